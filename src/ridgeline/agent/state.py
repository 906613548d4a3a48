"""What outlives the agent: its drains, in a file that is replaced whole; and who runs it.

Times are stored by the wall clock, and turned into time left at the start: a clock that jumps
while the agent runs changes nothing.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from ridgeline.agent.core import Drain, DrainAsked
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

_SCHEMA: Final = "ridgeline.agent-state/1"
_FILE: Final = "agent.json"
_LOCK: Final = "agent.lock"


@dataclass(frozen=True, slots=True)
class Saved:
    """What an earlier run left."""

    drains: tuple[DrainAsked, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What other parts keep here, by name."""


class StateDirectory:
    """The state directory of one site's agent, held by one process at a time."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._lock = -1

    def claim(self) -> None:
        """Make the directory and hold it.

        Raises
        ------
        MachineError
            Another agent runs here, or the directory cannot be used.
        """
        try:
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise MachineError(
                f"the state directory {self.path} cannot be used: {error.strerror}",
                hint=f"install -d -m 0750 -o $(id -un) {self.path}, or `state:` in agent.yaml",
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            self._lock = -1
            raise MachineError(
                f"another agent (process {pid}) runs with the state directory {self.path}",
                hint="end that one first, or give this one another `state:` in agent.yaml",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def read(self, *, wall: float) -> Saved:
        """Read what was saved, as seen at this wall-clock time.

        Raises
        ------
        MachineError
            The file is there and makes no sense.
        """
        path = self.path / _FILE
        try:
            document = json.loads(path.read_text())
            drains = tuple(_drain(entry, wall) for entry in document["drains"])
            return Saved(drains, document.get("extra", {}))
        except FileNotFoundError:
            return Saved()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MachineError(
                f"the state file {path} cannot be read: {error}",
                hint=f"look at it; if nothing should be drained, remove it: rm {path}",
            ) from error

    def write(
        self,
        drains: Iterable[tuple[Prefix, Drain]],
        *,
        now: float,
        wall: float,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """Replace the file; return what prevented it, or an empty string."""
        entries = [
            {
                "prefix": str(prefix),
                "reason": drain.reason,
                "until": None if drain.until is None else wall + drain.until - now,
                "hold": drain.hold,
            }
            for prefix, drain in drains
        ]
        document = {"schema": _SCHEMA, "drains": entries, "extra": dict(extra or {})}
        path = self.path / _FILE
        temporary = self.path / f".{_FILE}.new"
        try:
            with temporary.open("w") as stream:
                json.dump(document, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            _sync_folder(self.path)
        except OSError as error:
            return f"{path} cannot be written ({error.strerror}): a restart forgets this change"
        return ""


def _sync_folder(path: Path) -> None:
    """Let the new name of a file outlive a power cut (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drain(entry: Mapping[str, Any], wall: float) -> DrainAsked:
    until = entry["until"]
    left = None if until is None else max(0.0, float(until) - wall)
    hold = entry.get("hold")
    return DrainAsked(
        str(entry["reason"]),
        (ip_network(entry["prefix"]),),
        left,
        None if hold is None else float(hold),
    )
