"""Fault x router: what the neighbour sees when things break. Writes docs/reference/agent-faults.md.

Every cell is run with the real agent, the real router and a BIRD neighbour, in namespaces; the text
of a cell is what the neighbour's log says. A cell fails if anything is wrong at the neighbour for
more than 2 s.

    .venv/bin/python validation/agent_faults.py [--only FAULT] [--router KIND] [--no-write]
"""

import argparse
import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.agent.control import ask_agent
from ridgeline.agent.routers import exabgp_helper
from ridgeline.errors import MachineError
from ridgeline.lab.routerbed import RouterBed, missing, program, router_bed, wait_until

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "agent-faults.md"
SERVICE = ROOT / "tests" / "lab" / "agent" / "service.py"
PREFIX = "192.0.2.0/24"
ADDRESS = "192.0.2.53"
WITHIN_S = 2.0
"""Nothing may stay wrong longer."""
WATCHDOG_S = 1.0
"""WatchdogSec of the shipped unit; the harness does systemd's part where the table says so."""

SPEC = """\
network: example-anycast
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns: {kind: custom, addresses: [192.0.2.53]}
health: {interval: 200ms, timeout: 150ms, fall: 2, rise: 2}
sites:
  nrt: {upstreams: [{asn: 65550}]}
"""
DNS = "{dns: {name: example.test, type: SOA, flags: [aa]}}"
AGENT = """\
import signal, sys, time
from ridgeline.app.agent import run_agent
shift, real = [0.0], time.time
time.time = lambda: real() + shift[0]
signal.signal(signal.SIGUSR2, lambda *_: shift.__setitem__(0, 3600.0 if shift[0] <= 0 else -3600.0))
run_agent(sys.argv[1], "nrt")
"""
BFD = """\
dead_man: {kind: bfd, interface: ridgeline0, addresses: ['10.255.53.2,10.255.53.1']}
"""


class Router:
    """A router at the site; each kind says how it is started, reloaded and broken."""

    name = ""
    needs: tuple[str, ...] = ()
    dead_man = ""
    """What of agent.yaml makes a dead agent's route go; empty: nothing but systemd."""
    dies_by = "systemd's watchdog and restart"
    notices_stop = True
    """Whether `dead_man` works for a stopped agent too."""

    def __init__(self, bed: RouterBed) -> None:
        self.bed = bed
        self.here = bed.folder
        self.process: subprocess.Popen[bytes] | None = None
        self.prepare()

    def prepare(self) -> None:
        """Write the files, and start what the router stands on."""

    def settings(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        assert self.process is not None
        self.bed.end(self.process)
        self.process = None

    def reload(self) -> None:
        """Do what an operator does after an edit."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def break_file(self) -> None:
        """Make a mistake elsewhere in the router's file."""
        with self.file.open("a") as file:
            file.write("\n%%% garbage here;\n")

    def mend_file(self) -> None:
        self.file.write_text(self.file.read_text().replace("\n%%% garbage here;\n", ""))

    @property
    def file(self) -> Path:
        raise NotImplementedError


class Bird(Router):
    name = "BIRD"
    needs = ("bird",)
    dead_man = BFD
    dies_by = "BFD"

    @property
    def file(self) -> Path:
        return self.here / "bird.conf"

    def prepare(self) -> None:
        make_tunnel(self.bed)
        (self.here / "agent.d").mkdir()
        self.file.write_text(f"""\
log "{self.here}/bird.log" all;
router id 198.18.0.0;
protocol device {{ scan time 60; }}
protocol bfd {{
  interface "ridgeline0" {{ min rx interval 40 ms; min tx interval 40 ms; multiplier 3; }};
  strict bind yes;
}}
include "{self.here}/agent.d/*.conf";
protocol bgp up {{
  local 198.18.0.0 as 64500; neighbor 198.18.0.1 as 65550;
  connect delay time 0; connect retry time 1; error wait time 1, 1; graceful restart off;
  ipv4 {{ import none; export where proto ~ "any_*" || proto ~ "drn_*"; next hop self; }};
}}
""")

    def settings(self) -> str:
        return (
            f"router: {{kind: bird, socket: {self.here}/bird.ctl, "
            f"include: {self.here}/agent.d/ridgeline.conf, bfd: 10.255.53.2}}"
        )

    def start(self) -> None:
        self.process = self.bed.start(
            program("bird"), "-f", "-c", str(self.file), "-s", f"{self.here}/bird.ctl"
        )

    def reload(self) -> None:
        with contextlib.suppress(RuntimeError):  # a broken file is the point of one fault
            self.bed.at_site(program("birdc"), "-s", f"{self.here}/bird.ctl", "configure")


class Frr(Router):
    name = "FRR"
    needs = ("bgpd", "zebra", "staticd")
    dead_man = BFD
    dies_by = "the tunnel device"
    notices_stop = False

    @property
    def file(self) -> Path:
        return self.here / "frr" / "bgpd.conf"

    def prepare(self) -> None:
        make_tunnel(self.bed)
        folder = self.file.parent
        folder.mkdir()
        frr = pwd.getpwnam("frr")
        os.chown(folder, frr.pw_uid, frr.pw_gid)
        self.here.chmod(0o755)
        folder.chmod(0o777)
        self.file.write_text("""\
frr defaults traditional
hostname site
router bgp 64500
 bgp router-id 198.18.0.0
 bgp graceful-restart-disable
 no bgp ebgp-requires-policy
 bgp network import-check
 neighbor 198.18.0.1 remote-as 65550
 neighbor 198.18.0.1 timers connect 1
""")
        (folder / "zebra.conf").write_text("hostname zebra\n")
        (folder / "staticd.conf").write_text(f"ip route {PREFIX} 10.255.53.2 ridgeline0\n")
        self._start("zebra", "-s", "90000000")
        wait_until((folder / "zserv.api").exists, "zebra listens")
        self._start("staticd")

    def _start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        folder = self.file.parent
        return self.bed.start(
            *(program(name), "-f", f"{folder}/{name}.conf", "-i", f"{folder}/{name}.pid"),
            *("-z", f"{folder}/zserv.api", "--vty_socket", str(folder), "-P", "0", *more),
            name=name,
        )

    def settings(self) -> str:
        return f"router: {{kind: frr, socket: {self.here}/frr/bgpd.vty}}"

    def start(self) -> None:
        (self.file.parent / "bgpd.vty").unlink(missing_ok=True)
        self.process = self._start("bgpd", "-l", "198.18.0.0")

    def reload(self) -> None:
        with contextlib.suppress(RuntimeError):  # a broken file is the point of one fault
            self.bed.at_site("vtysh", "--vty_socket", str(self.file.parent), "-f", str(self.file))


class Gobgp(Router):
    name = "GoBGP"
    needs = ("gobgpd",)

    @property
    def file(self) -> Path:
        return self.here / "gobgpd.toml"

    def prepare(self) -> None:
        self.file.write_text("""\
[global.config]
  as = 64500
  router-id = "198.18.0.0"
  local-address-list = ["198.18.0.0"]
[[neighbors]]
  [neighbors.config]
    neighbor-address = "198.18.0.1"
    peer-as = 65550
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
""")

    def settings(self) -> str:
        return f"router: {{kind: gobgp, socket: 'unix:{self.here}/api.sock'}}"

    def start(self) -> None:
        (self.here / "api.sock").unlink(missing_ok=True)
        self.process = self.bed.start(
            *(program("gobgpd"), "-f", str(self.file), "--pprof-disable", "-l", "warn"),
            *("--api-hosts", f"unix://{self.here}/api.sock"),
        )


class Exabgp(Router):
    name = "ExaBGP"
    dies_by = "the helper"
    dead_man = "# the helper is the dead-man switch\n"

    @property
    def file(self) -> Path:
        return self.here / "exabgp.conf"

    def prepare(self) -> None:
        helper = f"/usr/bin/python3 {exabgp_helper.__file__} {self.here}/exabgp.sock"
        self.file.write_text(f"""\
process ridgeline {{ run {helper}; encoder text; }}
neighbor 198.18.0.1 {{
  router-id 198.18.0.0; local-address 198.18.0.0; local-as 64500; peer-as 65550; hold-time 240;
  family {{ ipv4 unicast; }}
  capability {{ graceful-restart disable; }}
  api {{ processes [ ridgeline ]; }}
}}
""")

    def settings(self) -> str:
        return f"router: {{kind: exabgp, socket: {self.here}/exabgp.sock}}"

    def start(self) -> None:
        (self.here / "exabgp.sock").unlink(missing_ok=True)
        self.process = self.bed.start(
            str(find_exabgp()),
            str(self.file),
            name="exabgp",
            environment={"exabgp_daemon_user": "root", "exabgp_api_cli": "false"},
        )

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR1)


ROUTERS: tuple[type[Router], ...] = (Bird, Frr, Gobgp, Exabgp)


def find_exabgp() -> str | None:
    return shutil.which(
        "exabgp", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    )


def lacks(kind: type[Router]) -> str:
    """Say what this machine lacks for a router; empty: nothing."""
    absent = missing(["bird", *kind.needs])
    if kind is Exabgp and find_exabgp() is None:
        absent.append("exabgp")
    if kind is Gobgp and importlib.util.find_spec("h2") is None:
        absent.append("ridgeline[gobgp]")
    return ", ".join(absent)


def make_tunnel(bed: RouterBed) -> None:
    bed.at_site("ip", "tuntap", "add", "dev", "ridgeline0", "mode", "tun")
    bed.at_site("ip", "address", "add", "10.255.53.1/30", "dev", "ridgeline0")
    bed.at_site("ip", "link", "set", "ridgeline0", "up")


class Site:
    """A site with its router, one service and the agent."""

    def __init__(self, bed: RouterBed, kind: type[Router]) -> None:
        self.bed = bed
        self.here = bed.folder
        bed.at_site("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        (self.here / "ridgeline.yaml").write_text(SPEC)
        self.router = kind(bed)
        self.service: subprocess.Popen[bytes] | None = None
        self.agent: subprocess.Popen[bytes] | None = None
        self.router.start()

    # Starting and ending.

    def start_service(self) -> None:
        ready = self.here / "service.ready"
        ready.unlink(missing_ok=True)
        self.service = self.bed.start(
            *(sys.executable, "-S", "-E", str(SERVICE), str(ready), ADDRESS), name="service"
        )
        wait_until(ready.exists, "the service runs")

    def kill_service(self) -> float:
        assert self.service is not None
        began = time.time()
        self.bed.end(self.service)
        self.service = None
        return began

    def configure(self, *, checks: str = DNS, more: str = "", damping: str = "200ms") -> None:
        (self.here / "agent.yaml").write_text(
            f"{self.router.settings()}\n"
            f"state: {self.here}/state\n"
            f"control: {self.here}/agent.sock\n"
            f"damping: {damping}\n"
            "drain: {hold: 300ms}\n"
            f"services:\n  dns: {{checks: [{checks}]}}\n"
            f"{self.router.dead_man}{more}"
        )

    def start_agent(self) -> None:
        (self.here / "agent.out").write_bytes(b"")
        argv = (sys.executable, "-c", AGENT, str(self.here / "ridgeline.yaml"))
        self.agent = self.bed.start(*argv, name="agent")

    def end_agent(self, number: int = signal.SIGKILL) -> None:
        if self.agent is not None:
            self.bed.end(self.agent, number)
            self.agent = None

    def heal(self, *, checks: str = DNS, more: str = "", damping: str = "200ms") -> None:
        """Everything runs, is healthy and announced; the log is at its end."""
        self.end_agent()
        shutil.rmtree(self.here / "state", ignore_errors=True)
        self.configure(checks=checks, more=more, damping=damping)
        if self.router.process is None:
            self.router.start()
        if self.service is None:
            self.start_service()
        self.start_agent()
        self.wait_announced(seconds=40)
        time.sleep(0.1)
        self.bed.mark()

    # Looking.

    def status(self) -> dict[str, Any]:
        try:
            return ask_agent(str(self.here / "agent.sock"), {"verb": "status"})
        except MachineError:
            return {"prefixes": [{"held": None, "confirmed": False}]}

    def wait_announced(self, *, seconds: float = WITHIN_S) -> None:
        def announced() -> bool:
            (prefix,) = self.status()["prefixes"]
            return bool(prefix["held"] == "announced" and prefix["confirmed"])

        def settled() -> bool:
            return announced() or self.agent is None or self.agent.poll() is not None

        try:
            wait_until(settled, "the agent has confirmed it", seconds=seconds)
            assert announced(), "the agent has ended"
            wait_until(self.has, "the neighbour has the route", seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-3000:]}") from None

    def has(self) -> bool:
        return self.bed.route(PREFIX) is not None

    def is_drained(self) -> bool:
        return "(65535,0)" in (self.bed.route(PREFIX) or {}).get("community", "")

    def gone(self, began: float, *, seconds: float = WITHIN_S) -> str:
        """Wait until the neighbour has lost the route; say when."""
        try:
            event = self.bed.wait_heard("removed", PREFIX, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()[-3000:]}") from None
        return f"gone after {spell(event.at - began)}"

    def back(self, began: float, *, seconds: float) -> str:
        event = self.bed.wait_heard("present", PREFIX, seconds=seconds)
        return f"back after {spell(event.at - began)}"

    def silent(self, seconds: float = 0.7) -> None:
        """Nothing more may be heard."""
        self.bed.mark()
        time.sleep(seconds)
        heard = self.bed.heard(PREFIX)
        assert heard == [], f"{heard}\n{self.log()[-3000:]}"

    def log(self) -> str:
        path = self.here / "agent.out"
        return path.read_text() if path.exists() else ""

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]


def spell(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


# The faults. Each begins healed and returns what the neighbour saw.


def agent_killed(site: Site) -> str:
    return _agent_lost(site, signal.SIGKILL)


def agent_stopped(site: Site) -> str:
    return _agent_lost(site, signal.SIGSTOP)


def _agent_lost(site: Site, number: signal.Signals) -> str:
    assert site.agent is not None
    began = time.time()
    site.agent.send_signal(number)
    site.kill_service()
    by = ""
    if site.router.dead_man and (number is signal.SIGKILL or site.router.notices_stop):
        by = f"{site.gone(began)} ({site.router.dies_by})"
        site.silent(0.3)
    # What the shipped unit does: WatchdogSec, and Restart=always.
    if number is signal.SIGSTOP:
        time.sleep(max(0.0, began + WATCHDOG_S - time.time()))
    site.end_agent()
    site.start_agent()
    if not by:
        by = f"{site.gone(began)} (systemd's restart)"
    wait_until(lambda: site.said("found"), "the new agent has looked", seconds=10)
    time.sleep(1.5)
    assert not site.has(), site.log()[-3000:]
    heard = site.bed.heard(PREFIX)
    added = [event.at for event in heard if event.is_present]
    wrong = heard[-1].at - added[0] if added else 0.0
    assert wrong < WITHIN_S, heard
    return f"{by}; there again for {spell(wrong)} while the new agent looks" if wrong else by


def router_crash(site: Site) -> str:
    began = time.time()
    site.router.kill()
    seen = site.gone(began)
    site.bed.mark()
    began = time.time()
    site.router.start()
    seen += f"; {site.back(began, seconds=40)}"
    site.wait_announced()
    return seen


def router_crash_dead_service(site: Site) -> str:
    site.router.kill()
    began = time.time()
    site.gone(began)
    site.kill_service()
    time.sleep(0.6)
    site.bed.mark()
    site.router.start()
    wait_until(
        lambda: "Established" in site.bed.ask_neighbour("show protocols"), "session", seconds=40
    )
    time.sleep(1)
    heard = site.bed.heard(PREFIX)
    assert not site.has(), heard
    wrong = sum(b.at - a.at for a, b in zip(heard[::2], heard[1::2], strict=True))
    assert wrong < WITHIN_S
    return "never announced" if not heard else f"announced for {spell(wrong)} at the restart"


def operator_reload(site: Site) -> str:
    seen = site.gone(site.kill_service())
    site.bed.mark()
    site.router.reload()
    time.sleep(1)
    assert not site.has()
    heard = site.bed.heard(PREFIX)
    assert heard == [], heard
    return f"{seen}; no update at the reload"


def operator_mistake(site: Site) -> str:
    site.router.break_file()
    try:
        site.router.reload()
        time.sleep(0.3)
        seen = site.gone(site.kill_service())
    finally:
        site.router.mend_file()
    site.bed.mark()
    site.router.reload()
    time.sleep(1)
    assert not site.has()
    assert site.bed.heard(PREFIX) == []
    return f"{seen}; no update when mended"


def disk_full(site: Site) -> str:
    return _unwritable(site, full=True)


def read_only(site: Site) -> str:
    return _unwritable(site, full=False)


def _unwritable(site: Site, *, full: bool) -> str:
    site.end_agent()
    folders = [f for f in (site.here / "state", site.here / "agent.d") if f.exists()]
    mounted: list[Path] = []
    try:
        for folder in folders:
            kept = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
            mounted.append(folder)
            for name, data in kept.items():
                (folder / name).write_bytes(data)
        site.start_agent()
        site.wait_announced(seconds=20)
        site.bed.mark()
        for folder in list(mounted):
            if full:
                with contextlib.suppress(OSError), (folder / "filler").open("wb", 0) as filler:
                    while True:
                        filler.write(bytes(4096))
            else:
                # On top, because the agent's lock keeps a file open for writing.
                copy = folder.with_name(f"{folder.name}.ro")
                shutil.copytree(folder, copy)
                subprocess.run(["mount", "--bind", copy, folder], check=True)
                mounted.append(folder)
                subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        seen = site.gone(site.kill_service())
        site.silent()
    finally:
        site.end_agent()
        for folder in mounted:
            subprocess.run(["umount", "-l", folder], check=True)
    return seen


def store_lost(site: Site) -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return _store(site, closed.getsockname()[1])


def store_slow(site: Site) -> str:
    from ridgeline.lab.namespaces import entered

    with entered(site.bed.site):
        listener = socket.socket()
    with listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        return _store(site, listener.getsockname()[1])


def _store(site: Site, port: int) -> str:
    site.heal(more=f"fleet: {{endpoints: ['http://127.0.0.1:{port}'], budget: 2}}\n")
    began = site.kill_service()
    wait_until(site.is_drained, f"drained\n{site.log()[-2000:]}", seconds=WITHIN_S)
    seen = spell(time.time() - began)
    site.silent(1.5)
    assert site.has()
    assert any("store" in entry["reason"] for entry in site.said("withdrawal_refused"))
    return f"stays, drained after {seen}; alert"


def clock_jump(site: Site) -> str:
    assert site.agent is not None
    for _ in range(2):
        site.agent.send_signal(signal.SIGUSR2)
        site.silent()
    return f"no update at the jumps; {site.gone(site.kill_service())}"


def wild_check(site: Site) -> str:
    script = site.here / "check.sh"
    marker = f"{300 + os.getpid() % 1000}.125"
    script.write_text(
        "#!/bin/bash\n"
        f"[ -e {site.here}/calm ] && exit 0\n"
        "trap '' TERM\n"
        f"sleep {marker} &\n"
        f"setsid sleep {marker} &\n"
        "head -c 100000000 /dev/zero | tr '\\0' x\n"
        f"sleep {marker}\n"
    )
    script.chmod(0o755)
    (site.here / "calm").touch()
    site.heal(checks=f"{{exec: {{command: [{script}]}}}}")
    began = time.time()
    (site.here / "calm").unlink()
    try:
        seen = site.gone(began)
        site.silent()
        (site.here / "calm").touch()
        site.back(time.time(), seconds=10)
        left = [pid for pid in children_of(site) if marker in command_of(pid)]
        assert len(left) <= 1, left
    finally:
        (site.here / "calm").touch()
        for pid in (int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()):
            if f"sleep\0{marker}" in command_of(pid):  # the one that left by setsid
                os.kill(pid, signal.SIGKILL)
    return f"{seen}, back when it passes"


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def children_of(site: Site) -> list[int]:
    assert site.agent is not None
    found, todo = [], [site.agent.pid]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            todo += map(int, text.split())
            found += map(int, text.split())
    return found


def flapping(site: Site) -> str:
    site.heal(damping="60s")
    until = time.time() + 8
    while time.time() < until:
        site.kill_service()
        time.sleep(0.5)
        site.start_service()
        time.sleep(0.5)
    heard = site.bed.heard(PREFIX)
    assert len(heard) <= 2, heard
    return f"{len(heard)} update{'s' * (len(heard) != 1)}"


def garbage_reload(site: Site) -> str:
    assert site.agent is not None
    good = (site.here / "agent.yaml").read_text()
    (site.here / "agent.yaml").write_text("router: {kind: brid}\n\0garbage")
    site.agent.send_signal(signal.SIGHUP)
    wait_until(lambda: site.said("reload_refused"), "it is said", seconds=WITHIN_S)
    site.silent()
    seen = site.gone(site.kill_service())
    (site.here / "agent.yaml").write_text(good)
    return f"no update at the reload; {seen}"


def two_agents(site: Site) -> str:
    argv = (sys.executable, "-c", AGENT, str(site.here / "ridgeline.yaml"))
    second = site.bed.start(*argv, name="second")
    wait_until(lambda: second.poll() is not None, "the second ends", seconds=10)
    assert second.returncode != 0
    site.bed.end(second)
    heard = site.bed.heard(PREFIX)
    assert heard == [], heard
    return f"the second ends, no update; {site.gone(site.kill_service())}"


def socket_missing(site: Site) -> str:
    site.end_agent()
    site.router.kill()
    wait_until(lambda: not site.has(), "nothing is announced")
    site.start_agent()
    wait_until(lambda: site.said("router_failed"), "it is said", seconds=10)
    site.bed.mark()
    began = time.time()
    site.router.start()
    seen = site.back(began, seconds=40)
    site.wait_announced()
    return f"announced {seen.removeprefix('back ')} of the router's start"


@dataclass(frozen=True)
class Fault:
    run: Callable[[Site], str]
    title: str
    everywhere: bool = False
    """The router has a part in it: run for each router even when time is short."""

    @property
    def name(self) -> str:
        return self.run.__name__


FAULTS = (
    Fault(
        agent_killed,
        "The agent is killed (SIGKILL), and the service dies",
        everywhere=True,
    ),
    Fault(
        agent_stopped,
        "The agent is stopped (SIGSTOP), and the service dies",
        everywhere=True,
    ),
    Fault(
        router_crash,
        "The router crashes and is started again; the service is healthy",
        everywhere=True,
    ),
    Fault(
        router_crash_dead_service,
        "The service dies while the router is down",
    ),
    Fault(
        operator_reload, "The operator reloads the router's configuration while the service is dead"
    ),
    Fault(
        operator_mistake,
        "A syntax error elsewhere in the router's file, loaded; the service dies; it is mended",
    ),
    Fault(
        disk_full,
        "The disk is full while the agent writes, and the service dies",
    ),
    Fault(
        read_only,
        "The file system has become read-only, and the service dies",
    ),
    Fault(
        store_lost,
        "The fleet's store is unreachable, and the service dies",
    ),
    Fault(
        store_slow,
        "The fleet's store accepts and never answers, and the service dies",
    ),
    Fault(
        clock_jump,
        "The wall clock that the agent sees jumps an hour forward, then two back; then the service dies",
    ),
    Fault(
        wild_check,
        "A check forks, ignores SIGTERM, prints 100 MB, and hangs",
    ),
    Fault(
        flapping,
        "The service flaps for 8 s",
    ),
    Fault(
        garbage_reload,
        "Garbage in agent.yaml and SIGHUP; then the service dies",
    ),
    Fault(
        two_agents,
        "A second agent is started for the same site; then the service dies",
    ),
    Fault(socket_missing, "The agent starts before the router"),
)


@contextmanager
def site_of(kind: type[Router], folder: Path) -> Iterator[Site]:
    """Build a site; end everything whatever happens."""
    with router_bed(folder) as bed:
        yield Site(bed, kind)


def run_fault(site: Site, fault: Fault) -> str:
    site.heal()
    return fault.run(site)


PAGE_HEAD = """\
# What the neighbour sees when things break

Made by `validation/agent_faults.py`: the real agent, the real router and a BIRD neighbour, in
network namespaces; each cell is what the neighbour's own log says. A cell fails if anything is
wrong at the neighbour for more than 2 s. Checks run every 200 ms with a timeout of 150 ms, and two
failures in a row count. How soon a router that was started again is back depends on its own session
timers, and is told but not judged.

A death by the kernel, out of memory, is a SIGKILL and not run by itself. The clock jumps in the
agent's process alone, not in the machine. A store that is split is tested with a real etcd of three
members in `tests/lab/test_agent_fleet.py`.

The routers are set up as in [the how-to](../how-to/dead-man.md): BIRD's routes are bound to BFD,
FRR's depend on the agent's tunnel device, ExaBGP has our helper; GoBGP offers no such thing, so
that the unit's watchdog and restart do it (`WatchdogSec=1`, played here by the harness).

"""


def render_page(table: dict[tuple[str, str], str]) -> str:
    names = [kind.name for kind in ROUTERS]
    lines = [f"| fault | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for fault in FAULTS:
        cells = [table.get((fault.name, name), "not run") for name in names]
        lines.append(f"| {fault.title} | {' | '.join(cells)} |")
    return PAGE_HEAD + "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append")
    parser.add_argument("--router", action="append")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    table: dict[tuple[str, str], str] = {}
    failed = 0
    for kind in ROUTERS:
        if options.router and kind.name not in options.router:
            continue
        if absent := lacks(kind):
            print(f"{kind.name}: not installed: {absent}")
            continue
        with (
            tempfile.TemporaryDirectory(dir="/tmp") as folder,
            site_of(kind, Path(folder)) as site,
        ):
            for fault in FAULTS:
                if options.only and fault.name not in options.only:
                    continue
                began = time.monotonic()
                try:
                    seen = run_fault(site, fault)
                except AssertionError as error:
                    failed += 1
                    seen = "**FAILED**"
                    print(error, file=sys.stderr)
                table[fault.name, kind.name] = seen
                took = time.monotonic() - began
                print(f"{kind.name:7} {fault.name:26} {seen}  [{took:.1f} s]", flush=True)
    if not options.no_write and not failed and not options.only and not options.router:
        PAGE.write_text(render_page(table))
        print(f"wrote {PAGE}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
