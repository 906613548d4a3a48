"""From rounds of checks to one verdict, with no clock and no socket.

A check has one of four conditions; what a service or a prefix is follows from its checks by
`Rule`s (all, any, at least N). Unknown is not bad: an agent that has just started has no opinion,
and changes nothing until it has one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias


class Condition(IntEnum):
    """What a check says of the local service; ordered, worst first."""

    DOWN = 0
    IMPAIRED = 1
    """It answers, but lacks an input that all sites share (zone, origin, upstream resolver)."""
    UNKNOWN = 2
    """Too few rounds since the start."""
    UP = 3


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one check."""

    ok: bool
    reason: str
    shared: bool = False
    """Failed for want of an input that every site shares."""
    final: bool = False
    """No second look is needed: the process has ended."""


@dataclass(slots=True)
class CheckState:
    """Rise and fall of one check."""

    rise: int
    fall: int
    condition: Condition = Condition.UNKNOWN
    reason: str = "not checked yet"
    """Why it is so, from the last round that counted."""
    streak: int = 0
    """Rounds in a row that say something else than `condition`."""
    _good: bool = True
    _any_local: bool = False

    def take(self, outcome: Round) -> bool:
        """Count a round; say whether the condition changed."""
        if outcome.ok != self._good or self.streak == 0:
            self._good, self._any_local = outcome.ok, False
            count = 0
        else:
            count = self.streak
        if outcome.ok:
            if self.condition is Condition.UP:
                self.streak, self.reason = 0, outcome.reason
                return False
            return self._count(count + 1, self.rise, Condition.UP, outcome.reason)
        self._any_local |= not outcome.shared
        meant = Condition.DOWN if self._any_local else Condition.IMPAIRED
        if self.condition is meant:
            self.streak, self.reason = 0, outcome.reason
            return False
        needed = 1 if outcome.final else self.fall
        return self._count(count + 1, needed, meant, outcome.reason)

    @property
    def is_doubtful(self) -> bool:
        """Whether the last round failed and nothing was known against it: look again at once."""
        return self.condition >= Condition.UNKNOWN and self.streak > 0 and not self._good

    def _count(self, count: int, needed: int, meant: Condition, reason: str) -> bool:
        if count < needed:
            self.streak = count
            return False
        self.condition, self.reason, self.streak = meant, reason, 0
        return True


@dataclass(frozen=True, slots=True)
class Rule:
    """At least `least` of the parts; each part is the name of a check, or a rule of its own."""

    parts: "tuple[Part, ...]"
    least: int

    def checks(self) -> Iterator[str]:
        """Name every check below."""
        for part in self.parts:
            if isinstance(part, Rule):
                yield from part.checks()
            else:
                yield part


Part: TypeAlias = str | Rule


def all_of(*parts: Part) -> Rule:
    """Make a rule that needs every part; with no part it always holds."""
    return Rule(parts, len(parts))


def any_of(*parts: Part) -> Rule:
    """Make a rule that needs one part."""
    return Rule(parts, 1)


def judge(part: Part, states: Mapping[str, CheckState]) -> Condition:
    """Return the condition of the whole: that of its `least`-th best part.

    With three of which two are needed, the second best decides. So one formula serves all, any and
    at-least, and an unknown part never looks worse than it may turn out to be.
    """
    if isinstance(part, str):
        return states[part].condition
    if not part.parts or part.least <= 0:
        return Condition.UP
    if len(part.parts) == 1 == part.least:
        return judge(part.parts[0], states)
    found = sorted((judge(inner, states) for inner in part.parts), reverse=True)
    return found[part.least - 1] if part.least <= len(found) else Condition.DOWN


def culprit(part: Part, states: Mapping[str, CheckState]) -> str:
    """Name the check that makes the whole what it is, with its reason."""
    if isinstance(part, str):
        return f"{part}: {states[part].reason}"
    whole = judge(part, states)
    for inner in part.parts:
        if judge(inner, states) is whole:
            return culprit(inner, states)
    return ""
