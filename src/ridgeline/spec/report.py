"""Problems and warnings, each placed in the file by what it is about."""

from dataclasses import dataclass, field

from ridgeline.errors import Problem
from ridgeline.spec.document import Entries, Location, find


@dataclass(frozen=True, slots=True)
class Report:
    """Collects what is wrong, each at its place in the file."""

    file: str
    root: Entries
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, location: Location, message: str, *, at_key: bool = False) -> None:
        self.problems.append(self.at(location, message, at_key=at_key))

    def warning(self, location: Location, message: str) -> None:
        self.warnings.append(self.at(location, message))

    def at(self, location: Location, message: str = "", *, at_key: bool = False) -> Problem:
        """Make a problem that points at a value of the file, or at its key."""
        found = find(self.root, location)
        at = found.key_at if at_key else found.at
        return Problem(self.file, at.line, at.column, found.where, message)
