"""The real agent at every site of a lab: its files, how it is started, and what it is asked.

It runs in the namespace where the anycast prefixes start and keeps them in a file that the BIRD
there includes; so a service that hangs is withdrawn, which nothing else in a lab would do.
"""

import asyncio
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.services.base import DaemonFiles
from ridgeline.lab.zones import Zone
from ridgeline.spec.model import Address, Spec

NAME: Final = "agent"
_ANNOUNCED_WITHIN_S: Final = 30.0
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


def prepare_agent(
    spec: Spec,
    site: str,
    *,
    folder: Path,
    bird: Path,
    neighbours: Iterable[str],
    zones: Iterable[Zone] = (),
    primary: Iterable[Address] = (),
) -> DaemonFiles:
    """Write the agent's settings and say how to start it.

    Parameters
    ----------
    primary
        Unicast addresses of the hidden primary: a site with older zones does not announce.

    Raises
    ------
    InputError
        The spec has no file that an agent could read.
    """
    path = Path(spec.file)
    if not path.is_file():
        raise InputError("agents read the spec by themselves: name a file, not standard input")
    configuration = folder / "agent.yaml"
    names = f"[{', '.join(neighbours)}]"
    text = _SETTINGS.format(bird=bird, folder=folder, neighbours=names)
    peers = ", ".join(f'"{address}"' for address in primary)
    configuration.write_text(text + (_services(spec, zones, peers) if peers else ""))
    argv = (sys.executable, "-m", "ridgeline", "agent", "run", str(path.resolve()))
    return DaemonFiles(
        name=NAME,
        argv=(*argv, "--site", site, "--config", str(configuration)),
        configuration=configuration,
    )


def _services(spec: Spec, zones: Iterable[Zone], peers: str) -> str:
    """Write the checks of what the primary feeds: each zone answers, and none is old."""
    held = [zone.domain for zone in zones if zone.primary]
    lines = ["services:"]
    for service in spec.services:
        if service.primary:
            lines += [f"  {service.name}:", "    checks:"]
            lines += [f"      - dns: {{name: {zone}, type: SOA, flags: [aa]}}" for zone in held]
            lines.append(
                f"      - zones: {{zones: [{', '.join(held)}], peers: [{peers}], "
                f"grace: {_ZONES_GRACE}, interval: 1s, timeout: 1s}}"
            )
    return "\n".join(lines) + "\n"


class AgentOrigin:
    """A site's announcement, moved by its agent; takes what `BirdControl.toggle` takes."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "agent.sock"

    async def toggle(self, wanted: Mapping[str, bool]) -> None:
        """Announce, drain or withdraw, whichever those switches of the lab's BIRD would mean."""
        match wanted.get("anycast*"), wanted.get("drain*"):
            case True, _:
                await self._ask({"verb": "resume"})
            case _, True:
                await self._ask({"verb": "drain", "reason": "lab drain", "hold": _UNTIL_TOLD})
            case _:
                await self._ask({"verb": "drain", "reason": "lab withdraw", "hold": 0})

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
