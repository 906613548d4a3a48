"""Is this site like the others? The fingerprint of a file here, against that of the fleet.

A site whose configuration is not the fleet's must not be announced: its clients would get other
answers than everybody else's. The file is read when it has changed, and a fingerprint that is about
to be the fleet's is accepted beside the present one, so that a change may go from site to site.
"""

import os
from pathlib import Path

from ridgeline.agent.checks.base import Done
from ridgeline.agent.checks.plan import ConsistencyCheck
from ridgeline.agent.health import Round
from ridgeline.render.fingerprint import Fleet, fingerprint


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
        self._seen: tuple[int, int, int] | None = None
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
        status = self._path.stat()
        seen = (status.st_mtime_ns, status.st_size, status.st_ino)
        if seen != self._seen:
            self._found = fingerprint(self._path.read_text(errors="replace"), self._fleet)
            self._seen = seen
        return self._found

    def abandon(self, reason: str) -> Round:
        return Round(ok=False, reason=reason)

    def close(self) -> None:
        self._seen = None
