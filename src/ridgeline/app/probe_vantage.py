"""A sweep from vantage points: the lab's clients, or hosts that a command reaches."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ridgeline.app.probe_lab import LabPoints
from ridgeline.app.probe_sweep import Subject, Swept, find_subject, make_map
from ridgeline.errors import InputError
from ridgeline.probe.observers import DEFAULT_COMMAND, Observer, Sighting, observe, read_hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class VantageOptions:
    """What the user asked for."""

    target: str
    version: int = 4
    service: str = ""
    by: str = ""
    lab: str = ""
    vantage: tuple[str, ...] = ()
    hosts: str = ""
    """File of hosts; with `command`."""
    command: str = DEFAULT_COMMAND
    timeout: float = 2.0


class VantageSweep:
    """Everything that a sweep from vantage points needs; `run` may be called again and again.

    Raises
    ------
    InputError
        The target, a client or a line of the hosts file is wrong.
    MachineError
        The lab is not up.
    """

    def __init__(self, options: VantageOptions) -> None:
        if bool(options.lab) is bool(options.hosts):
            raise InputError("say from where to ask: --lab NAME or --hosts FILE")
        self._options = options
        self._lab = LabPoints(options.lab) if options.lab else None
        self._subject: Subject = find_subject(
            options.target,
            lab=self._lab,
            version=options.version,
            service=options.service,
            by=options.by,
        )

    def plan(self) -> list[str]:
        """Say in words what `run` would ask, line by line."""
        return [
            f"{observer.row.name}: "
            + (" ".join(observer.argv) if observer.argv else f"{asked.by} to {asked.address}")
            for asked in self._subject.asked
            for observer in self._observers(asked.address)
        ]

    def run(self, tell: Callable[[str], None]) -> Swept:
        """Ask from everywhere."""
        sightings = asyncio.run(self._run(tell))
        rows = [sighting.row for sighting in sightings]
        source = f"lab {self._options.lab}" if self._lab else f"hosts {self._options.hosts}"
        return Swept(
            catchment=make_map(rows, self._subject, in_lab=self._lab is not None, source=source),
            how="vantage",
            problems={_name(s): s.problem for s in sightings if s.problem},
        )

    async def _run(self, tell: Callable[[str], None]) -> list[Sighting]:
        found: list[Sighting] = []
        for asked in self._subject.asked:
            observers = self._observers(asked.address)
            what = asked.service or asked.address
            found += await observe(
                observers,
                asked.address,
                service=asked.service,
                by=asked.by,
                timeout=self._options.timeout,
                progress=partial(_tell, tell, what, len(observers)),
            )
        return found

    def _observers(self, address: str) -> Sequence[Observer]:
        options = self._options
        if self._lab is not None:
            points = self._lab.clients(options.vantage)
            return [Observer(row=point.row, make=point.make) for point in points]
        try:
            lines = Path(options.hosts).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{options.hosts}: cannot be read: {error}") from None
        return read_hosts(lines, file=options.hosts, command=options.command, address=address)

    def close(self) -> None:
        if self._lab is not None:
            self._lab.close()


def _tell(tell: Callable[[str], None], what: str, n_all: int, n_done: int) -> None:
    tell(f"{what}: {n_done} of {n_all}")


def _name(sighting: Sighting) -> str:
    row = sighting.row
    return f"{row.name} {row.service}".strip()
