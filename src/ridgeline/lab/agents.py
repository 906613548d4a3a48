"""The real agent at every site of a lab: its files, how it is started, and what it is asked.

It runs in the namespace where the anycast prefixes start and keeps them in a file that the BIRD
there includes; so a service that hangs is withdrawn, which nothing else in a lab would do.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.material.zonefiles import Zone
from ridgeline.lab.services.base import DaemonFiles, write_whole
from ridgeline.spec.model import Address, Service, ServiceKind, Spec

NAME: Final = "agent"
_ANNOUNCED_WITHIN_S: Final = 30.0
_TELLS_WITHIN_S: Final = 1.0
_FOLLOWS_WITHIN_S: Final = 5.0
_UNTIL_TOLD: Final = 3600.0
_SETTINGS: Final = """\
router: {{kind: bird, socket: {bird}, include: {folder}/routes.conf, neighbours: {neighbours}}}
state: {folder}/state
control: {folder}/agent.sock
damping: 5s
"""
_ZONES_GRACE: Final = "5s"


def include_pattern(files: Path, node: str) -> str:
    """Make the agent's folder, and name what the BIRD of the node includes from it.

    A pattern, because the file is not there yet; the folder must be.
    """
    folder = files / node / NAME
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / "routes*.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSite:
    """The agent of one site, and what it must know."""

    spec: Spec
    site: str
    folder: Path
    """The agent's own."""
    bird: Path
    """Control socket of the BIRD that announces."""
    neighbours: tuple[str, ...] = ()
    primary: tuple[Address, ...] = ()
    """Unicast addresses of the hidden primary: a site with older zones does not announce."""
    expected: Path
    """The file with what every site shall be (`ridgeline.lab.expected`)."""
    server: Path | None
    """Folder of the site's services; None where none runs."""

    @property
    def configuration(self) -> Path:
        """The agent's settings."""
        return self.folder / "agent.yaml"

    def write(self, zones: Iterable[Zone]) -> None:
        """Write the settings, with checks of these zones."""
        names = f"[{', '.join(self.neighbours)}]"
        text = _SETTINGS.format(bird=self.bird, folder=self.folder, neighbours=names)
        write_whole(self.configuration, text + self._services(tuple(zones)))

    def start(self, zones: Iterable[Zone]) -> DaemonFiles:
        """Write the files and say how to start it.

        It reads a copy of the spec: what its author changes meanwhile is not what this lab runs.

        Raises
        ------
        InputError
            The spec has no file that an agent could read.
        """
        path = Path(self.spec.file)
        if not path.is_file():
            raise InputError("agents read the spec by themselves: name a file, not standard input")
        copy = self.folder / "ridgeline.yaml"
        write_whole(copy, path.read_text())
        self.write(zones)
        argv = (sys.executable, "-m", "ridgeline", "agent", "run", str(copy))
        return DaemonFiles(
            name=NAME,
            argv=(*argv, "--site", self.site, "--config", str(self.configuration)),
            configuration=self.configuration,
        )

    def zone_checks(self, zones: Iterable[Zone]) -> set[str]:
        """Name the checks that ask for zones, as the agent itself will."""
        return {
            f"{service.name}/dns/{zone.domain.rstrip('.')}@{address}"
            for service in self.spec.services
            for zone in zones
            if _holds(service, zone)
            for address in service.addresses
        }

    def _services(self, zones: tuple[Zone, ...]) -> str:
        """Write the checks: each zone answers, none is old, and all is as it is at every site."""
        if self.server is None:
            return ""
        lines = ["services:"]
        peers = ", ".join(f'"{address}"' for address in self.primary)
        for service in self.spec.services:
            if service.kind is ServiceKind.CUSTOM:
                continue
            held = [zone.domain for zone in zones if _holds(service, zone)]
            lines += [f"  {service.name}:", "    checks:"]
            lines += [f"      - dns: {{name: {zone}, type: SOA, flags: [aa]}}" for zone in held]
            if service.primary and held:
                lines.append(
                    f"      - zones: {{zones: [{', '.join(held)}], peers: [{peers}], "
                    f"grace: {_ZONES_GRACE}, interval: 1s, timeout: 1s}}"
                )
            lines.append(
                f'      - consistency: {{expected: "{self.expected}", folder: "{self.server}", '
                "interval: 2s, timeout: 2s, rise: 1}"
            )
        return "\n".join(lines) + "\n"


def _holds(service: Service, zone: Zone) -> bool:
    return bool(service.zones) and service.primary == zone.primary


class AgentOrigin:
    """A site's announcement, moved by its agent; takes what `BirdControl.toggle` takes."""

    def __init__(self, agent: AgentSite) -> None:
        self._agent = agent
        self._socket = agent.folder / "agent.sock"

    async def toggle(self, wanted: Mapping[str, bool]) -> None:
        """Announce, drain or withdraw, whichever those switches of the lab's BIRD would mean."""
        match wanted.get("anycast*"), wanted.get("drain*"):
            case True, _:
                await self._ask({"verb": "resume"})
            case _, True:
                await self._ask({"verb": "drain", "reason": "lab drain", "hold": _UNTIL_TOLD})
            case _:
                await self._ask({"verb": "drain", "reason": "lab withdraw", "hold": 0})

    async def stance(self) -> tuple[str, str] | None:
        """Say how the least announced of its prefixes stands, and why; None: it does not answer."""
        try:
            said = await asyncio.wait_for(self._ask({"verb": "status"}), _TELLS_WITHIN_S)
        except (MachineError, TimeoutError):
            return None
        held = {prefix["held"]: str(prefix["reason"]) for prefix in said["prefixes"]}
        for stance in ("withdrawn", "drained"):
            if stance in held:
                return stance, held[stance]
        return "announced", ""

    async def until_announced(self, *, drained: bool) -> None:
        """Wait until the agent has announced everything; drained only if the spec says so.

        Raises
        ------
        MachineError
            It has not within half a minute, with what it says of itself.
        """
        deadline = time.monotonic() + _ANNOUNCED_WITHIN_S
        wanted = "drained" if drained else "announced"
        while True:
            try:
                said = await self._ask({"verb": "status"})
                prefixes = said["prefixes"]
                if prefixes and all(p["held"] == wanted for p in prefixes):
                    return
                bad = [c for c in said["checks"] if c["condition"] != "up"]
                last = "; ".join(f"{c['name']}: {c['reason']}" for c in bad[:3]) or str(
                    said["router"]["problem"]
                )
            except MachineError as error:
                last = str(error).splitlines()[0]
            if time.monotonic() > deadline:
                raise MachineError(f"the agent at {self._socket.parent} does not announce: {last}")
            await asyncio.sleep(0.05)

    async def follow(self, zones: Iterable[Zone], reload: Callable[[], None]) -> None:
        """Have the agent check these zones and no others; it keeps all that it knows of the rest.

        One that does not answer in time follows when it does.
        """
        wanted = self._agent.zone_checks(zones)
        with suppress(MachineError, TimeoutError):
            if await asyncio.wait_for(self._zone_checks(), 1) == wanted:
                return
        self._agent.write(zones)
        reload()
        deadline = time.monotonic() + _FOLLOWS_WITHIN_S
        while time.monotonic() < deadline:
            with suppress(MachineError, TimeoutError):
                if await asyncio.wait_for(self._zone_checks(), _FOLLOWS_WITHIN_S) == wanted:
                    return
            await asyncio.sleep(0.02)

    async def _zone_checks(self) -> set[str]:
        names = [check["name"] for check in (await self._ask({"verb": "status"}))["checks"]]
        return {name for name in names if name.partition("/")[2].startswith("dns/")}

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Speak to the control socket; `lab` and `agent` do not know each other's modules."""
        import json

        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=1 << 20)
        except OSError as error:
            raise MachineError(f"no agent answers at {self._socket}: {error.strerror}") from error
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline() or b"{}")
        finally:
            writer.close()
        if "error" in answer or not answer:
            raise MachineError(
                f"the agent at {self._socket} says: {answer.get('error', 'nothing')}"
            )
        return answer
