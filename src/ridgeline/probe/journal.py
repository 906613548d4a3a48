"""The journal of a sweep: who was asked, written before asking, so that nobody is asked twice.

JSON lines: what the sweep is, then ``{"asked": [...]}`` and ``{"landed": [[...], ...]}``. Each line
is written at once and whole; a line that was cut off by the end of its writer is left out, because
what it announces was never sent.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import InputError, MachineError
from ridgeline.probe.sweepcore import Landed

SCHEMA: Final = "ridgeline.sweep-journal/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepIdentity:
    """What makes two runs the same sweep."""

    address: str
    """The anycast address that asks."""
    sender: str
    """Site from which the probes leave."""
    hitlist: str
    """Digest of the list."""
    n_targets: int
    seed: int


class Journal:
    """An open journal, with what earlier runs wrote in it.

    Raises
    ------
    InputError
        The file is of another sweep, or no journal.
    MachineError
        It cannot be written, or another run has it open.
    """

    def __init__(self, path: str, identity: SweepIdentity) -> None:
        self.asked: list[int] = []
        self.landed: list[Landed] = []
        self._path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise MachineError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(identity)
        except BlockingIOError:
            os.close(self._fd)
            raise MachineError(
                f"{path}: another sweep writes this journal", hint="wait for it to end"
            ) from None
        except BaseException:
            os.close(self._fd)
            raise

    def write_asked(self, indices: Iterable[int]) -> None:
        """Note whom we are about to ask."""
        self._write({"asked": list(indices)})

    def write_landed(self, landings: Iterable[Landed]) -> None:
        """Note what landed where."""
        rows = [[at.index, at.site, at.source, at.rtt] for at in landings]
        if rows:
            self._write({"landed": rows})

    def close(self) -> None:
        os.close(self._fd)

    def _read(self, identity: SweepIdentity) -> None:
        whole, _, cut = Path(self._path).read_bytes().rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        if not lines:
            if cut and not cut.startswith(b'{"schema"'):
                raise InputError(f"{self._path}: is no journal of a sweep; it is left as it is")
            os.ftruncate(self._fd, 0)
            self._write({"schema": SCHEMA, **asdict(identity)})
            return
        head = self._load(lines[0], 1)
        if head.get("schema") != SCHEMA:
            raise InputError(f"{self._path}: is no journal of a sweep; it is left as it is")
        for key, value in asdict(identity).items():
            if head.get(key) != value:
                raise InputError(
                    f"{self._path}: is of another sweep: {key} is {head.get(key)!r} there and "
                    f"{value!r} now; name another journal, or sweep as before"
                )
        for number, line in enumerate(lines[1:], 2):
            self._take(self._load(line, number), identity.n_targets, number)
        os.ftruncate(self._fd, len(whole) + 1)

    def _take(self, entry: Mapping[str, Any], n_targets: int, number: int) -> None:
        try:
            asked = [int(index) for index in entry.get("asked", ())]
            landed = [
                Landed(int(index), str(site), str(source), None if rtt is None else float(rtt))
                for index, site, source, rtt in entry.get("landed", ())
            ]
        except (TypeError, ValueError):
            raise InputError(f"{self._path}:{number}: this line is damaged") from None
        if any(not 0 <= index < n_targets for index in asked):
            raise InputError(f"{self._path}:{number}: names somebody beyond the hitlist")
        self.asked += asked
        self.landed += landed

    def _load(self, line: bytes, number: int) -> Mapping[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            raise InputError(f"{self._path}:{number}: is no line of a sweep's journal")
        return entry

    def _write(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            raise MachineError(f"{self._path}: cannot be written: {error.strerror}") from None
        if written != len(line):
            raise MachineError(f"{self._path}: the disk is full")
