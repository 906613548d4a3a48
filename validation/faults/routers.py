"""The routers at the site: how each is set up, started, reloaded and broken."""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar

from ridgeline.agent.router import Finding, RouterKind, RouterSettings
from ridgeline.agent.routers import exabgp_helper, make_router
from ridgeline.lab.beds.router import RouterBed, missing, program, wait_until
from ridgeline.net.asn import Asn

PREFIX = "192.0.2.0/24"
ADDRESS = "192.0.2.53"
GARBAGE = "\n%%% garbage here;\n"
BFD = """\
dead_man: {kind: bfd, interface: ridgeline0, addresses: ['10.255.53.2,10.255.53.1']}
"""
LEASE = """\
dead_man: {kind: lease, lease: 2s, interface: lease0, addresses: [198.18.255.1/30]}
"""
LEASED = "198.18.255.2"
"""A next hop that is there while the lease is."""


class Router:
    """A router at the site."""

    name: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    dead_man: ClassVar[str] = ""
    """What of agent.yaml makes a dead agent's route go."""
    killed_by: ClassVar[str] = ""
    """Whom a killed agent's route relies on."""
    stopped_by: ClassVar[str] = ""
    """Whom a stopped agent's route relies on."""

    def __init__(self, bed: RouterBed) -> None:
        self.bed = bed
        self.here = bed.folder
        self.process: subprocess.Popen[bytes] | None = None
        self.prepare()

    def prepare(self) -> None:
        """Write the files, and start what the router stands on."""

    def settings(self, *, leased: bool = False) -> str:
        """Return the `router:` line of agent.yaml; `leased`: with LEASE, not with `dead_man`."""
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.bed.end(self.process, number)
        self.process = None

    def reload(self) -> None:
        """Do what an operator does after an edit; a broken file is refused, and that is no error."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def forget(self) -> None:
        """Let the router know nothing of an earlier agent with other settings."""

    def drop_in(self) -> tuple[str, ...]:
        """Return the lines for the agent's unit that `agent check` prints for this router."""
        return ()

    def break_file(self) -> None:
        """Make a mistake elsewhere in the router's file."""
        with self.file.open("a") as file:
            file.write(GARBAGE)

    def mend_file(self) -> None:
        self.file.write_text(self.file.read_text().replace(GARBAGE, ""))

    @property
    def file(self) -> Path:
        """The file that its operator edits."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        raise NotImplementedError


class Bird(Router):
    name = "BIRD"
    needs = ("bird",)
    dead_man = BFD
    killed_by = "BFD"
    stopped_by = "BFD"

    @property
    def file(self) -> Path:
        return self.here / "bird.conf"

    def prepare(self) -> None:
        make_tunnel(self.bed)
        (self.here / "agent.d").mkdir(exist_ok=True)
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

    def settings(self, *, leased: bool = False) -> str:
        gateway = f"options: {{via: '{LEASED}'}}" if leased else "bfd: 10.255.53.2"
        return (
            f"router: {{kind: bird, socket: {self.here}/bird.ctl, "
            f"include: {self.here}/agent.d/ridgeline.conf, {gateway}}}"
        )

    def start(self) -> None:
        self.process = self.bed.start(
            program("bird"), "-f", "-c", str(self.file), "-s", f"{self.here}/bird.ctl"
        )

    def reload(self) -> None:
        with contextlib.suppress(RuntimeError):
            self.bed.at_site(program("birdc"), "-s", f"{self.here}/bird.ctl", "configure")

    def forget(self) -> None:
        """Remove the agent's protocols: it asks BIRD to load them only where there are none."""
        (self.here / "agent.d" / "ridgeline.conf").unlink(missing_ok=True)
        self.reload()

    @classmethod
    def version(cls) -> str:
        return f"BIRD {last_word(program('bird'), '--version')}"


class Frr(Router):
    name = "FRR"
    needs = ("bgpd", "zebra", "staticd", "frr-reload.py")
    dead_man = BFD
    killed_by = "the tunnel device"
    stopped_by = "systemd's watchdog, then the tunnel device"

    @property
    def file(self) -> Path:
        return self.here / "frr" / "frr.conf"

    def prepare(self) -> None:
        make_tunnel(self.bed)
        folder = self.file.parent
        folder.mkdir()
        frr = pwd.getpwnam("frr")
        os.chown(folder, frr.pw_uid, frr.pw_gid)
        self.here.chmod(0o755)
        folder.chmod(0o777)
        self.file.write_text(f"""\
frr version 8.4.4
frr defaults traditional
hostname site
ip route {PREFIX} 10.255.53.2 ridgeline0
ip route {PREFIX} {LEASED} lease0
router bgp 64500
 bgp router-id 198.18.0.0
 bgp graceful-restart-disable
 no bgp ebgp-requires-policy
 bgp network import-check
 neighbor 198.18.0.1 remote-as 65550
 neighbor 198.18.0.1 timers connect 1
exit
""")
        (folder / "vtysh.conf").write_text("service integrated-vtysh-config\n")
        self._start("zebra", "-s", "90000000")
        wait_until((folder / "zserv.api").exists, "zebra listens")
        self._start("staticd")

    def _start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        folder = self.file.parent
        lines = self.file.read_text().replace(GARBAGE, "").splitlines(keepends=True)
        begin = next(i for i, line in enumerate(lines) if line.startswith("router bgp"))
        parts = {"bgpd": lines[begin:], "staticd": lines[begin - 2 : begin]}
        own = ["frr defaults traditional\n", "hostname site\n", *parts.get(name, [])]
        (folder / f"{name}.conf").write_text("".join(own))
        return self.bed.start(
            *(program(name), "-f", f"{folder}/{name}.conf", "-i", f"{folder}/{name}.pid"),
            *("-z", f"{folder}/zserv.api", "--vty_socket", str(folder), "-P", "0", *more),
            name=name,
        )

    def settings(self, *, leased: bool = False) -> str:  # noqa: ARG002 - its operator writes the routes
        return f"router: {{kind: frr, socket: {self.here}/frr/bgpd.vty}}"

    def start(self) -> None:
        (self.file.parent / "bgpd.vty").unlink(missing_ok=True)
        self.process = self._start("bgpd", "-l", "198.18.0.0")

    def reload(self) -> None:
        """Do what `systemctl reload frr` does: remove from bgpd what is not in the file."""
        folder = str(self.file.parent)
        with contextlib.suppress(RuntimeError):
            self.bed.at_site(
                *(program("frr-reload.py"), "--reload", "--bindir", "/usr/bin"),
                *("--vty_socket", folder, "--confdir", folder, "--rundir", folder),
                *("--log-level", "error", "--stdout", str(self.file)),
            )

    @classmethod
    def version(cls) -> str:
        done = subprocess.run(
            [program("bgpd"), "--version"], capture_output=True, text=True, check=False
        )
        found = re.search(r"version (\S+)", done.stdout)
        return f"FRR {found[1] if found else '?'}"


class Gobgp(Router):
    name = "GoBGP"
    needs = ("gobgpd", "gobgp")
    killed_by = "systemd's ExecStopPost"
    stopped_by = "systemd's watchdog, then ExecStopPost"

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

    def settings(self, *, leased: bool = False) -> str:  # noqa: ARG002 - it has no next hop of ours
        return f"router: {{kind: gobgp, socket: 'unix:{self.here}/api.sock'}}"

    def start(self) -> None:
        (self.here / "api.sock").unlink(missing_ok=True)
        self.process = self.bed.start(
            *(program("gobgpd"), "-f", str(self.file), "--pprof-disable", "-l", "warn"),
            # The unit's ExecStopPost runs `gobgp`, which asks this port.
            *("--api-hosts", f"unix://{self.here}/api.sock,127.0.0.1:50051"),
        )

    def forget(self) -> None:
        """Let the router know nothing of an earlier agent with other settings."""

    def drop_in(self) -> tuple[str, ...]:
        settings = RouterSettings(
            kind=RouterKind.GOBGP, asn=Asn(64500), socket=f"unix:{self.here}/api.sock"
        )
        wait_until((self.here / "api.sock").exists, "gobgpd listens")

        async def inspect() -> tuple[Finding, ...]:
            router = make_router(settings, (ip_network(PREFIX),))
            try:
                return await router.inspect()
            finally:
                await router.close()

        for finding in asyncio.run(inspect()):
            if "[Service]" in finding.lines:
                return finding.lines
        raise AssertionError("the check prints no drop-in for the unit")

    @classmethod
    def version(cls) -> str:
        return f"GoBGP {last_word(program('gobgpd'), '--version')}"


class Exabgp(Router):
    name = "ExaBGP"
    dead_man = ""
    killed_by = "our helper"
    stopped_by = "our helper"

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

    def settings(self, *, leased: bool = False) -> str:  # noqa: ARG002 - it has no next hop of ours
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

    @classmethod
    def version(cls) -> str:
        done = subprocess.run(
            [str(find_exabgp()), "version"], capture_output=True, text=True, check=False
        )
        found = re.search(r"ExaBGP : (\S+)", done.stdout)
        return f"ExaBGP {found[1] if found else '?'}"


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


def last_word(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return ((done.stdout + done.stderr).split() or ["?"])[-1]


def make_tunnel(bed: RouterBed) -> None:
    """Make the devices on which the routes may depend: BFD's, and the lease's."""
    bed.at_site("ip", "tuntap", "add", "dev", "ridgeline0", "mode", "tun")
    bed.at_site("ip", "address", "add", "10.255.53.1/30", "dev", "ridgeline0")
    bed.at_site("ip", "link", "add", "lease0", "type", "veth", "peer", "name", "lease1")
    for name in ("ridgeline0", "lease0", "lease1"):
        bed.at_site("ip", "link", "set", name, "up")
