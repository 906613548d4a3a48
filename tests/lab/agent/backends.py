"""The four routers at the site of a bed, all with one face, so that one suite tests them all.

Daemons that give root away (FRR) cannot enter the folders of pytest, and a unix socket's path has at
most 107 bytes: everything is in a short folder of its own, which goes with the bed.
"""

import asyncio
import importlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import pytest

from ridgeline.agent.router import Router, RouterKind, RouterSettings, Stance, Wanted
from ridgeline.agent.routers import exabgp_helper, make_router
from ridgeline.agent.routers.frr_vty import Vty
from ridgeline.errors import MachineError
from ridgeline.lab.beds.router import (
    RouteHeard,
    RouterBed,
    missing,
    program,
    router_bed,
    wait_until,
)
from ridgeline.lab.kernel.namespaces import NetworkNamespace
from ridgeline.net.asn import Asn
from ridgeline.spec.model import Prefix

T = TypeVar("T")

FOUR, SIX = ip_network("192.0.2.0/24"), ip_network("2001:db8:53::/48")
FENCES: Final = (ip_network("198.51.100.0/24"), ip_network("2001:db8:feed::/48"))
"""Announced and withdrawn in turn, one on each session, to see that all before has arrived."""
ANNOUNCED, WITHDRAWN = Wanted(Stance.ANNOUNCED), Wanted(Stance.WITHDRAWN)
WITHIN_S: Final = 30.0
"""How long a state may take to come on a machine with much other work; none takes a second alone."""
DRAINED, DRAINED_LONGER = Wanted(Stance.DRAINED), Wanted(Stance.DRAINED, prepend=2)


class Backend:
    """A router program at the site, with two sessions: IPv4 and IPv6."""

    kind: ClassVar[RouterKind]
    needs: ClassVar[tuple[str, ...]]
    package: ClassVar[str]
    neighbour: ClassVar[str] = ""
    """What the neighbour's BIRD needs besides, so that the sessions come up soon."""
    sessions: ClassVar[tuple[str, str]] = ("198.18.0.1", "2001:2::1")
    """What the back-end calls them."""
    deadline: ClassVar[str]
    """The module whose `ANSWER_WITHIN_S` says how long an answer may take."""
    remembers: ClassVar[bool] = False
    """Whether a restarted daemon still has the order."""
    shuts: ClassVar[bool] = True
    """Whether it can close sessions with a reason."""
    dead_man: ClassVar[str] = "no dead-man switch"
    """What `inspect` says of the switch in the plain set-up."""

    def __init__(self, bed: RouterBed) -> None:
        self.bed = bed
        self.here = bed.folder
        self._fence = False
        self.prepare()
        self.write(graceful=False)
        self.daemon = self.start()

    def prepare(self) -> None:
        """Start what the router stands on."""

    def write(self, *, graceful: bool) -> None:
        """Write the router's configuration."""
        raise NotImplementedError

    def start(self) -> subprocess.Popen[bytes]:
        """Start the router and wait until its socket is there."""
        raise NotImplementedError

    def settings(self, asn: int = 64500) -> RouterSettings:
        raise NotImplementedError

    def end(self) -> None:
        self.bed.end(self.daemon)

    def restart(self) -> None:
        self.end()
        self.daemon = self.start()
        self.wait_sessions()

    def router(self, *prefixes: Prefix, asn: int = 64500) -> Router:
        return make_router(self.settings(asn), prefixes or (FOUR, SIX, *FENCES))

    def is_up(self) -> bool:
        return self.bed.ask_neighbour("show protocols").count("Established") == 2

    def wait_sessions(self) -> None:
        wait_until(self.is_up, "both sessions are up", seconds=30)

    def reset(self) -> None:
        """Bring everything to withdrawn, and forget what was heard."""
        self.wait_sessions()
        gone = dict.fromkeys((FOUR, SIX, *FENCES), WITHDRAWN)
        run(self.router(), lambda router: router.apply(gone))
        for prefix in gone:
            self.wait_no_route(prefix)
        self._fence = False
        run(self.router(), self.settle)

    def wait_no_route(self, prefix: Prefix) -> None:
        wait_until(
            lambda: self.bed.route(str(prefix)) is None, f"{prefix} is gone", seconds=WITHIN_S
        )

    def count(self, prefix: Prefix) -> int:
        return len(self.bed.heard(str(prefix)))

    def clean(self) -> None:
        """Remove what the daemons left outside of the folder."""

    async def wait_heard(
        self, what: str, prefix: Prefix, *, seconds: float = WITHIN_S
    ) -> RouteHeard:
        """Wait until the neighbour has heard that it is ``present`` or ``removed``."""

        def heard() -> list[RouteHeard]:
            events = self.bed.heard(str(prefix))
            return [event for event in events if event.is_present is (what == "present")]

        await wait_for(heard, f"the neighbour hears that {prefix} is {what}", seconds=seconds)
        return heard()[0]

    async def settle(self, router: Router) -> None:
        """Wait until the neighbour has heard all that was said so far; then forget it.

        What was said later has arrived on both sessions, and BGP keeps the order.
        """
        await self.fence(router)
        self.bed.mark()

    async def fence(self, router: Router) -> None:
        """Wait until the neighbour has heard all that was said so far."""
        before = {prefix: self.count(prefix) for prefix in FENCES}
        self._fence = not self._fence
        await router.apply(dict.fromkeys(FENCES, ANNOUNCED if self._fence else WITHDRAWN))
        await wait_for(
            lambda: all(self.count(prefix) > count for prefix, count in before.items()),
            f"the neighbour hears of {FENCES}",
        )


class Bird(Backend):
    """BIRD 2, which keeps the order in its include file."""

    kind = RouterKind.BIRD
    needs = ("bird",)
    package = "bird2"
    sessions = ("up4", "up6")
    deadline = "bird_socket"
    remembers = True
    dead_man = "dead-man switch: none"

    def prepare(self) -> None:
        (self.here / "agent.d").mkdir()

    def write(self, *, graceful: bool) -> None:
        sessions = "".join(
            f"protocol bgp {name} {{ local {own} as 64500; neighbor {to} as 65550;\n"
            f"  connect delay time 0; connect retry time 1; error wait time 1,1;\n"
            f"  graceful restart {'on' if graceful else 'off'};\n"
            f'  {family} {{ import none; export where proto ~ "any_*" || proto ~ "drn_*"; }}; }}\n'
            for name, own, to, family in (
                ("up4", "198.18.0.0", "198.18.0.1", "ipv4"),
                ("up6", "2001:2::", "2001:2::1", "ipv6"),
            )
        )
        (self.here / "bird.conf").write_text(
            f'log "{self.here}/bird.log" all;\nrouter id 198.18.0.0;\n'
            f'protocol device {{ scan time 60; }}\ninclude "{self.here}/agent.d/*.conf";\n{sessions}'
        )

    def start(self) -> subprocess.Popen[bytes]:
        (self.here / "bird.ctl").unlink(missing_ok=True)
        daemon = self.bed.start(
            *(program("bird"), "-f", "-c", f"{self.here}/bird.conf"),
            *("-s", f"{self.here}/bird.ctl", "-P", f"{self.here}/bird.pid"),
        )
        wait_accepts(self.here / "bird.ctl")
        return daemon

    def settings(self, asn: int = 64500) -> RouterSettings:
        return RouterSettings(
            kind=self.kind,
            asn=Asn(asn),
            socket=f"{self.here}/bird.ctl",
            include=f"{self.here}/agent.d/ridgeline.conf",
        )

    def at_bird(self, command: str) -> str:
        argv = [program("birdc"), "-s", f"{self.here}/bird.ctl", *command.split()]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout

    def wait_route(self, prefix: str) -> None:
        wait_until(lambda: self.bed.route(prefix), f"the neighbour has {prefix}")


FRR_TEXT = """\
frr defaults traditional
hostname site
router bgp 64500
 bgp router-id 198.18.0.0
 {graceful}
 no bgp ebgp-requires-policy
 no bgp network import-check
 no bgp default ipv4-unicast
 neighbor 198.18.0.1 remote-as 65550
 neighbor 198.18.0.1 timers connect 1
 neighbor 2001:2::1 remote-as 65550
 neighbor 2001:2::1 timers connect 1
 address-family ipv4 unicast
  neighbor 198.18.0.1 activate
 exit-address-family
 address-family ipv6 unicast
  neighbor 2001:2::1 activate
 exit-address-family
"""


class Frr(Backend):
    """FRR's bgpd beside its zebra."""

    kind = RouterKind.FRR
    needs = ("bgpd", "zebra")
    package = "frr"
    deadline = "frr"

    def prepare(self) -> None:
        self.logs: list[Path] = []
        owner = pwd.getpwnam("frr")
        os.chown(self.here, owner.pw_uid, owner.pw_gid)
        self.here.chmod(0o755)
        (self.here / "zebra.conf").write_text("hostname zebra\n")
        self.run_daemon("zebra", "-s", "90000000")
        wait_accepts(self.here / "zserv.api")

    def write(self, *, graceful: bool) -> None:
        text = "bgp graceful-restart" if graceful else "bgp graceful-restart-disable"
        (self.here / "bgpd.conf").write_text(FRR_TEXT.format(graceful=text))

    def run_daemon(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        here = self.here
        (here / f"{name}.conf").chmod(0o644)
        daemon = self.bed.start(
            *(program(name), "-f", f"{here}/{name}.conf", "-i", f"{here}/{name}.pid"),
            *("-z", f"{here}/zserv.api", "--vty_socket", str(here), "-P", "0", *more),
            name=name,
        )
        self.logs.append(Path(f"/var/tmp/frr/{name}.{daemon.pid}"))  # noqa: S108 - FRR's own
        return daemon

    def clean(self) -> None:
        for folder in self.logs:  # a killed daemon does not remove it
            shutil.rmtree(folder, ignore_errors=True)

    def start(self) -> subprocess.Popen[bytes]:
        path = self.here / "bgpd.vty"
        path.unlink(missing_ok=True)
        daemon = self.run_daemon("bgpd", "-l", "198.18.0.0", "-l", "2001:2::")
        wait_accepts(path)
        return daemon

    def settings(self, asn: int = 64500) -> RouterSettings:
        return RouterSettings(
            kind=self.kind,
            asn=Asn(asn),
            socket=f"{self.here}/bgpd.vty",
            options={"file": f"{self.here}/bgpd.conf"},
        )

    def vty(self, *commands: str) -> str:
        """Run commands at bgpd, as an operator's vtysh does; return the last answer."""

        async def story() -> str:
            vty = Vty(f"{self.here}/bgpd.vty", seconds=5)
            try:
                return (await vty.show_all(commands))[-1]
            finally:
                vty.close()

        with ThreadPoolExecutor(1) as pool:  # a story's loop may be running here
            return pool.submit(asyncio.run, story()).result()

    def configure(self, *commands: str) -> None:
        self.vty("configure terminal", *commands, "end")

    def restart_sessions(self) -> None:
        """Let changes of the session's own settings take effect."""
        self.vty("clear bgp *")
        wait_until(lambda: not self.is_up(), "the sessions end", pause=0)
        self.wait_sessions()


GOBGP_TEXT = """\
[global.config]
  as = 64500
  router-id = "198.18.0.0"
  local-address-list = ["198.18.0.0", "2001:2::"]
"""
GOBGP_NEIGHBOUR = """\
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{to}"
    peer-as = 65550
  [neighbors.transport.config]
    passive-mode = true
  [neighbors.timers.config]
    idle-hold-time-after-reset = 1
  [neighbors.graceful-restart.config]
    enabled = {graceful}
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "{family}-unicast"
"""


class Gobgp(Backend):
    """gobgpd, reached by its neighbour: by itself it tries only every 5 to 10 seconds."""

    kind = RouterKind.GOBGP
    needs = ("gobgpd",)
    package = "gobgpd"
    neighbour = "passive no; connect delay time 1; connect retry time 1;"
    deadline = "gobgp"

    def write(self, *, graceful: bool) -> None:
        text = GOBGP_TEXT
        for to, family in (("198.18.0.1", "ipv4"), ("2001:2::1", "ipv6")):
            text += GOBGP_NEIGHBOUR.format(to=to, family=family, graceful=str(graceful).lower())
        (self.here / "gobgpd.toml").write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        path = self.here / "api.sock"
        path.unlink(missing_ok=True)
        daemon = self.bed.start(
            *(program("gobgpd"), "-f", f"{self.here}/gobgpd.toml"),
            *("--api-hosts", f"unix://{path}", "--pprof-disable", "-l", "warn"),
        )
        wait_accepts(path)
        return daemon

    def settings(self, asn: int = 64500) -> RouterSettings:
        return RouterSettings(kind=self.kind, asn=Asn(asn), socket=f"unix://{self.here}/api.sock")

    def sh(self, commands: str) -> None:
        """Run commands of the shell that find gobgpd where the documentation has it."""
        gobgp = f"{program('gobgp')} --target unix://{self.here}/api.sock "
        subprocess.run(["/bin/sh", "-ec", commands.replace("gobgp ", gobgp)], check=True)


EXABGP = shutil.which("exabgp", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
EXABGP_NEIGHBOUR = """\
neighbor {to} {{
  router-id 198.18.0.0; local-address {own}; local-as 64500; peer-as 65550; hold-time 240;
  family {{ {family} unicast; }}
  capability {{ graceful-restart {graceful}; }}
  api {{ processes [ ridgeline ]; }}
}}
"""


class Exabgp(Backend):
    """ExaBGP with our helper."""

    kind = RouterKind.EXABGP
    needs = ("exabgp",)
    package = "exabgp (of PyPI)"
    deadline = "exabgp"
    shuts = False
    dead_man = "dead-man switch: the helper withdraws"

    def write(self, *, graceful: bool) -> None:
        helper = f"{sys.executable} -S -E {exabgp_helper.__file__} {self.here}/exabgp.sock"
        text = f"process ridgeline {{ run {helper}; encoder text; }}\n"
        for to, own, family in (
            ("198.18.0.1", "198.18.0.0", "ipv4"),
            ("2001:2::1", "2001:2::", "ipv6"),
        ):
            graceful_restart = "120" if graceful else "disable"
            text += EXABGP_NEIGHBOUR.format(
                to=to, own=own, family=family, graceful=graceful_restart
            )
        (self.here / "exabgp.conf").write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        path = self.here / "exabgp.sock"
        path.unlink(missing_ok=True)
        daemon = self.bed.start(
            *(str(EXABGP), f"{self.here}/exabgp.conf"),
            environment={"exabgp_daemon_user": "root", "exabgp_api_cli": "false"},
        )
        wait_accepts(path)
        return daemon

    def settings(self, asn: int = 64500) -> RouterSettings:
        return RouterSettings(kind=self.kind, asn=Asn(asn), socket=f"{self.here}/exabgp.sock")


BACKENDS: Final[tuple[type[Backend], ...]] = (Bird, Frr, Gobgp, Exabgp)


def lacks(kind: type[Backend]) -> str:
    """Say what is missing here to run this router; empty if nothing is."""
    absent = missing(("bird", *(name for name in kind.needs if name != "exabgp")))
    if absent or (kind is Exabgp and EXABGP is None):
        return f"not installed: {kind.package}; scripts/setup packages, scripts/setup python"
    if kind is Gobgp and importlib.util.find_spec("h2") is None:
        return "not installed: ridgeline[gobgp]"
    if kind is Frr and os.getuid() != 0:
        return "FRR gives root away, so it wants root"
    return ""


@contextmanager
def backend_of(kind: type[Backend]) -> Iterator[Backend]:
    """Run a router with both sessions up; leave no process, namespace or file behind."""
    if reason := lacks(kind):
        pytest.skip(reason)
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="ridgeline-", dir="/tmp"))
    backends: list[Backend] = []
    started: list[subprocess.Popen[bytes]] = []
    try:
        with router_bed(folder, neighbour_options=kind.neighbour) as bed:
            try:
                backends.append(kind(bed))
                backends[0].wait_sessions()
                yield backends[0]
            finally:
                started += bed.processes
    finally:
        for backend in backends:
            backend.clean()
        shutil.rmtree(folder, ignore_errors=True)
    left = [process.args for process in started if process.poll() is None]
    assert not left, f"still running: {left}"


def wait_accepts(path: Path) -> None:
    """Wait until somebody listens: the name of a socket is there a little earlier."""

    def accepts() -> bool:
        with socket.socket(socket.AF_UNIX) as attempt:
            return attempt.connect_ex(str(path)) == 0

    wait_until(accepts, f"somebody listens at {path}", seconds=20)


def run(router: Router, story: Callable[[Router], Awaitable[T]]) -> T:
    """Tell a story with a router, as one agent that starts and ends."""

    async def tell() -> T:
        try:
            return await story(router)
        finally:
            await router.close()

    return asyncio.run(tell())


async def wait_for(holds: Callable[[], object], what: str, *, seconds: float = WITHIN_S) -> None:
    """Wait while the event loop goes on; AssertionError says what never was."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not holds():
        assert loop.time() < until, f"not in {seconds} s: {what}"
        await asyncio.sleep(0.005)


def answer_within(monkeypatch: pytest.MonkeyPatch, kind: type[Backend], seconds: float) -> None:
    """Let the back-end lose its patience sooner."""
    module = importlib.import_module(f"ridgeline.agent.routers.{kind.deadline}")
    monkeypatch.setattr(module, "ANSWER_WITHIN_S", seconds)
