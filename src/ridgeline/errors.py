"""Every error that Ridgeline raises on purpose.

Who can fix it decides the class: the author of the input (`InputError`, exit code 2) or the
operator of the machine (`MachineError`, exit code 3). A programmer's mistake stays a `ValueError`
or a `TypeError` and shows its traceback.
"""

from collections.abc import Iterable
from dataclasses import dataclass


class RidgelineError(Exception):
    """Base of the errors that the command line turns into a message instead of a traceback."""

    exit_code = 1


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in one place of an input file."""

    file: str
    line: int
    """1-based, as editors count."""
    column: int
    """1-based."""
    where: str
    """Path inside the document, e.g. ``sites.nrt.upstreams[0].asn``; empty for the whole file."""
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: "
        return f"{place}{self.where}: {self.message}" if self.where else place + self.message


class InputError(RidgelineError):
    """The input is wrong; carries *all* problems found, in file order."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        if isinstance(problems, str):
            self.problems: tuple[Problem, ...] = ()
            super().__init__(problems)
            return
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class MachineError(RidgelineError):
    """A daemon, socket, package or privilege is not what was needed.

    The message says what was asked of whom and the answer; `hint` is the one command or step that
    mends it, shown on a line of its own.
    """

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.hint = hint
        super().__init__(f"{message}\n  fix: {hint}" if hint else message)


class AnswerIsNoError(RidgelineError):
    """The command did its work and the answer is no: a check, comparison or rehearsal failed."""

    exit_code = 1
