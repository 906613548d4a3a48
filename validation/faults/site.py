"""A site with its router, one service, and the agent as systemd would run it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ridgeline.agent.control import ask_agent
from ridgeline.errors import MachineError
from ridgeline.lab.beds.router import RouterBed, router_bed, wait_until

from .judge import WITHIN_S, Change, LogReader, Moment, State, Verdict, Want, judge
from .routers import ADDRESS, LEASE, PREFIX, Router
from .stores import Stores
from .unit import Unit, read_unit

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "tests" / "lab" / "agent" / "service.py"
SHIPPED_UNIT = ROOT / "contrib" / "systemd" / "ridgeline-agent.service"
HOLD_S = 0.6
"""A story has ended when nothing has changed for so long; the agent reads back every 500 ms."""
PATIENCE_S = 40.0
SESSION_S = 40.0
"""How long a router's session may take; not our part."""

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


class Site:
    """Everything at one site, and the story that is told of it."""

    def __init__(self, bed: RouterBed, kind: type[Router], stores: Stores) -> None:
        self.bed = bed
        self.stores = stores
        self.store_address = ""
        """Ours in the store's network."""
        self.here = bed.folder
        self.quick = False
        """Tell stories that only take their time in fewer words."""
        bed.at_site("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        self.spec = self.here / "ridgeline.yaml"
        self.config = self.here / "agent.yaml"
        self.spec.write_text(SPEC)
        self.mounted: list[Path] = []
        for name in ("state", "agent.d"):
            self._mount_small(self.here / name)
        self.router = kind(bed)
        self.service: subprocess.Popen[bytes] | None = None
        self.unit = Unit(bed, self.argv())
        self.moments: list[Moment] = []
        self.notes: list[str] = []
        """What the neighbour's log cannot show."""
        self._log = self.here / "neighbour.log"
        self._offset = self._said_from = 0
        self._until = 0.0
        self._leased = False
        self._reader = LogReader(PREFIX)
        self.router.start()
        self.unit.settings = read_unit(SHIPPED_UNIT).with_lines(self.router.drop_in())

    def _mount_small(self, folder: Path) -> None:
        """Put a folder on a file system of 64 kB, where that is allowed."""
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
        if os.getuid() == 0 and subprocess.run(command, check=False).returncode == 0:
            self.mounted.append(folder)

    def close(self) -> None:
        self.unit.stop()
        for folder in self.mounted:
            subprocess.run(["umount", "-l", folder], check=False)

    def argv(self, config: Path | None = None) -> tuple[str, ...]:
        """Return the command line of the agent."""
        return (
            *(sys.executable, "-m", "ridgeline", "agent", "run", str(self.spec), "--site", "nrt"),
            *("--config", str(config or self.config)),
        )

    # Starting and ending.

    def start_service(self) -> None:
        """Start the service; return when it answers."""
        ready = self.here / "service.ready"
        ready.unlink(missing_ok=True)
        self.service = self.bed.start(
            *(sys.executable, "-S", "-E", str(SERVICE), str(ready), ADDRESS), name="service"
        )
        self.wait(ready.exists, "the service runs")

    def end_service(self) -> None:
        assert self.service is not None
        self.bed.end(self.service)
        self.service = None

    def end_agent(self) -> None:
        """Kill the agent; where a device goes with it, wait until the route has gone too."""
        was_there = self.unit.is_running and self.state in {State.THERE, State.DRAINED}
        self.unit.stop()
        if was_there and self.router.dead_man and self.router.process is not None:
            self.wait(lambda: self.state in {State.GONE, State.DOWN}, "the dead-man switch works")

    def render_config(
        self,
        name: str = "agent",
        *,
        checks: str = DNS,
        more: str = "",
        damping: str = "200ms",
        leased: bool = False,
    ) -> str:
        """Write the agent's settings; `name` tells two agents apart."""
        return (
            f"{self.router.settings(leased=leased)}\n"
            f"state: {self.here}/{'state' if name == 'agent' else name}\n"
            f"control: {self.here}/{name}.sock\n"
            f"damping: {damping}\n"
            "drain: {hold: 300ms}\n"
            f"services:\n  dns: {{checks: [{checks}]}}\n"
            f"{LEASE if leased else self.router.dead_man}{more}"
        )

    def heal(
        self,
        *,
        checks: str = DNS,
        more: str = "",
        damping: str = "200ms",
        leased: bool = False,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Let everything run, healthy and announced, with an agent that knows of no past."""
        self.end_agent()
        if leased is not self._leased:
            self._leased = leased
            self.router.forget()
        for path in (self.here / "state").iterdir():
            path.unlink()
        self.config.write_text(
            self.render_config(checks=checks, more=more, damping=damping, leased=leased)
        )
        self.forget_log()
        self.unit.start(environment)
        if self.router.process is None:
            self.router.start()
        if self.service is None:
            self.start_service()
        self.wait_announced()
        self.moments, self.notes = [], []

    # The story.

    def moment(self, label: str = "", want: Want | None = None) -> None:
        """Say what happens now, and what the neighbour should see from now on."""
        if want is None:
            want = self.moments[-1].want if self.moments else Want.THERE
        self.moments.append(Moment(time.time(), label, want))

    def let_service_die(self, want: Want = Want.GONE, label: str = "the service dies") -> None:
        self.moment(label, want)
        self.end_service()

    def let_service_live(self, label: str = "it lives") -> None:
        self.start_service()
        self.moment(label, Want.THERE)

    @property
    def state(self) -> State:
        """How the prefix stands at the neighbour."""
        with self._log.open() as log:
            log.seek(self._offset)
            text = log.read()
            self._offset = log.tell()
        self._reader.feed(text)
        return self._reader.state

    def settle(self, *, hold: float = HOLD_S, seconds: float = WITHIN_S + 1.5) -> None:
        """Wait until the neighbour sees what it should, and nothing else for a while.

        It is no error if it does not come to that: the verdict will say so.
        """
        began, want = time.time(), self.moments[-1].want
        while not self._is_settled(want, began=began, hold=hold, seconds=seconds):
            time.sleep(0.005)
        self._until = time.time()

    def _is_settled(self, want: Want, *, began: float, hold: float, seconds: float) -> bool:
        state, now = self.state, time.time()
        since = max(self._reader.changes[-1].at, self.moments[-1].at)
        if state is State.DOWN and self.router.process is not None:
            assert now < began + SESSION_S, f"no session in {SESSION_S:g} s"
            return False
        if want.holds(state):
            return now - since >= hold
        return now - max(since, began) > seconds

    def verdict(self, *, within_s: float = WITHIN_S) -> Verdict:
        """Judge the story, which ends where it settled last."""
        return judge(self.moments, self._reader.changes, until=self._until, within_s=within_s)

    # Looking.

    def status(self) -> dict[str, Any]:
        try:
            return ask_agent(str(self.here / "agent.sock"), {"verb": "status"})
        except MachineError:
            return {"prefixes": [{"held": None, "confirmed": False}]}

    @property
    def is_judged(self) -> bool:
        """Whether the agent knows what it wants, and its router holds that."""
        (prefix,) = self.status()["prefixes"]
        return bool(prefix["confirmed"] and prefix.get("condition") != "unknown")

    @property
    def condition(self) -> str:
        """What the agent thinks of the prefix."""
        (prefix,) = self.status()["prefixes"]
        return str(prefix.get("condition"))

    @property
    def changes(self) -> list[Change]:
        """All that the neighbour has seen."""
        assert self.state is not None  # reads on
        return self._reader.changes

    def ask(self, verb: str, **arguments: object) -> None:
        ask_agent(str(self.here / "agent.sock"), {"verb": verb, **arguments})

    def wait_announced(self) -> None:
        def announced() -> bool:
            (prefix,) = self.status()["prefixes"]
            is_held = prefix["held"] == "announced" and prefix["confirmed"]
            return bool(is_held and prefix["condition"] == "up")

        self.wait(announced, "the agent has confirmed it")
        self.wait(lambda: self.state is State.THERE, "the neighbour has it")

    def log(self) -> str:
        """Return what the agent has said in this story."""
        path = self.here / "agent.out"
        return path.read_text(errors="replace")[self._said_from :] if path.exists() else ""

    def forget_log(self) -> None:
        self._said_from += len(self.log())

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the agent's log that tell of one kind of event."""
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        entries = []
        for line in lines:
            with suppress(ValueError):  # the last may be half written
                entries.append(json.loads(line))
        return [entry for entry in entries if entry["event"] == event]

    def wait_said(self, event: str, *, more_than: int = 0) -> None:
        self.wait(lambda: len(self.said(event)) > more_than, f"the agent says {event}")

    def wait(self, holds: Callable[[], object], what: str) -> None:
        """Wait for something without which the story has no meaning, however busy the machine."""
        wait_until(holds, what, seconds=PATIENCE_S)


@contextmanager
def site_of(kind: type[Router], folder: Path, stores: Stores) -> Iterator[Site]:
    """Build a site; end everything whatever happens."""
    with router_bed(folder) as bed:
        site = Site(bed, kind, stores)
        try:
            yield site
        finally:
            site.close()


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
