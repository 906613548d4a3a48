"""Is this site like the others? What it has and what it serves, against what the fleet shall have.

A site that is not like the fleet must not be announced: its clients would get other answers than
everybody else's. Files are read when they have changed, and a value that is about to be the fleet's
is accepted beside the present one, so that a change may go from site to site.

`ConsistencyChecker` knows one fingerprint of one file. `ExpectedChecker` reads what is expected from
a file of its own, as soon as that changes. If it is gone, or cannot be read, the last good one holds;
without one nothing is judged, and the check holds: the want of an expectation withdraws nobody.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

from ridgeline.agent.checks.base import Done
from ridgeline.agent.checks.expectation import Expectation, Memory, parse_expectation
from ridgeline.agent.checks.plan import ConsistencyCheck, ExpectedCheck
from ridgeline.agent.checks.told import ask_told
from ridgeline.agent.health import Round
from ridgeline.render.fingerprint import (
    ABSENT,
    FILE_FACT,
    Fleet,
    file_fingerprint,
    fingerprint,
)

_MAX_BYTES: Final = 1 << 24
_Seen = tuple[int, int, int]


class ConsistencyChecker:
    """Reads one file and compares."""

    def __init__(self, check: ConsistencyCheck) -> None:
        self._path = Path(check.file)
        self._expect = check.expect
        self._fleet = Fleet(
            sites=check.sites,
            addresses=tuple(own for own in check.own if not own.startswith("/")),
            folders=tuple(own for own in check.own if own.startswith("/")),
        )
        self._seen: _Seen | None = None
        self._found = ""

    def begin(self, done: Done) -> None:
        try:
            found = self._read()
        except OSError as error:
            reason = f"{self._path} cannot be read: {os.strerror(error.errno or 0)}"
            done(Round(ok=False, reason=reason))
            return
        if found in self._expect:
            done(Round(ok=True, reason=f"{self._path} is the fleet's ({found})"))
        else:
            known = " or ".join(self._expect)
            reason = f"{self._path} is {found}, and the fleet's is {known}: not like the others"
            done(Round(ok=False, reason=reason))

    def _read(self) -> str:
        seen = _seen(self._path)
        if seen != self._seen:
            self._found = fingerprint(self._path.read_text(errors="replace"), self._fleet)
            self._seen = seen
        return self._found

    def abandon(self, reason: str) -> Round:
        return Round(ok=False, reason=reason)

    def close(self) -> None:
        self._seen = None


class ExpectedChecker:
    """Asks the local service, reads its files, and compares with what is expected now."""

    def __init__(self, check: ExpectedCheck) -> None:
        self._check = check
        self._expected = Path(check.expected)
        self._expected_seen: _Seen | None = None
        self._problem = ""
        """Why the file with what is expected could not be read the last time; empty: it could."""
        self.memory = Memory()
        """Whoever takes over after a reload takes this over too."""
        self._files: dict[str, tuple[_Seen, Expectation, str]] = {}
        """Fact -> when its file was read, with whose addresses, and the fingerprint."""
        self._before = Expectation()
        self._told: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def begin(self, done: Done) -> None:
        self._before, self._told = self._read_expected(), {}
        self._task = asyncio.get_running_loop().create_task(self._run(done))

    def abandon(self, reason: str) -> Round:  # noqa: ARG002 - being late is no difference
        self.close()
        return self._verdict()

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, done: Done) -> None:
        await ask_told(self._check, self._before.facts, self._told)
        done(self._verdict())

    def _verdict(self) -> Round:
        now = self._read_expected()
        for name in self._before.facts:
            if self._check.folder and name.startswith(FILE_FACT):
                self._look_at(name, self._before)
        if self._problem and not now.facts:
            return Round(ok=True, reason=f"not judged: {self._problem}")
        outcome = self.memory.judge(self._told, self._before, now)
        if self._problem:
            reason = f"{outcome.reason} ({self._problem}; the last one holds)"
            return Round(ok=outcome.ok, reason=reason, shared=outcome.shared)
        return outcome

    def _read_expected(self) -> Expectation:
        """Read what is expected, if it has changed; the last good one holds where it cannot be."""
        path = self._expected
        try:
            seen = _seen(path)
            if seen != self._expected_seen:
                self._expected_seen, self._problem = seen, ""
                self.memory.expected = parse_expectation(path.read_text(), self._check.service)
        except OSError as error:
            self._expected_seen = None
            self._problem = f"{path} cannot be read: {os.strerror(error.errno or 0)}"
        except ValueError as error:
            self._problem = f"{path} {error}"
        return self.memory.expected

    def _look_at(self, name: str, expectation: Expectation) -> None:
        path = Path(self._check.folder, name.removeprefix(FILE_FACT))
        try:
            seen = _seen(path)
            known = self._files.get(name)
            if known is None or known[0] != seen or known[1].addresses != expectation.addresses:
                fleet = Fleet(
                    sites=self._check.sites,
                    addresses=expectation.addresses,
                    folders=tuple({self._check.folder, str(Path(self._check.folder).resolve())}),
                )
                with path.open("rb") as stream:
                    found = file_fingerprint(stream.read(_MAX_BYTES), fleet)
                known = self._files[name] = (seen, expectation, found)
            self._told[name] = known[2]
        except FileNotFoundError:
            self._told[name] = ABSENT
        except OSError:
            return  # it cannot be judged: that this agent may not read it says nothing of the site


def _seen(path: Path) -> _Seen:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino
