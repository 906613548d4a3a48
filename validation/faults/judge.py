"""What the neighbour saw, held against what it should have seen. Pure: text and times in.

::

    neighbour's log ──read_log──> Change ──┐
                                           ├──> judge ──> Verdict: what was seen, what was wrong
    the story's Moments (and what they want) ──┘
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import pairwise
from typing import Final

WITHIN_S: Final = 2.0
"""Nothing may stay wrong longer."""


class State(Enum):
    """How the prefix stands at the neighbour."""

    GONE = "gone"
    THERE = "there"
    DRAINED = "drained"
    """There, with GRACEFUL_SHUTDOWN (RFC 8326)."""
    DOWN = "no session"


class Want(Enum):
    """How it should stand."""

    GONE = "gone"
    THERE = "there"
    DRAINED = "drained"
    ANY = "anything"
    """Nobody can say (a service that flaps), or it does not matter."""

    def holds(self, state: State) -> bool:
        return self is Want.ANY or state is State.DOWN or state.value == self.value


@dataclass(frozen=True, slots=True)
class Change:
    """The neighbour sees something else from this time on (seconds since the epoch)."""

    at: float
    state: State


@dataclass(frozen=True, slots=True)
class Moment:
    """Something is done to the site."""

    at: float
    label: str
    want: Want
    """What the neighbour should see from now on."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """The neighbour saw something else than it should, all this time."""

    begin: float
    end: float
    want: Want
    state: State
    again: bool
    """A dead service, gone already, was announced once more."""

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def __str__(self) -> str:
        what = f"{self.state.value} for {spell(self.seconds)}, should have been {self.want.value}"
        return f"announced again: {what}" if self.again else what


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one story."""

    saw: str
    longest_s: float
    """The longest time that something was wrong."""
    problems: tuple[str, ...]
    """What must not be: too long, or a wrong announcement afterwards."""


_LINE: Final = re.compile(
    r"^(?P<at>\S+ \S+) <\w+> "
    r"(?:site[46]: State changed to (?P<session>\w+)"
    r"|site[46]\.ipv[46] > (?P<what>added|updated|removed)(?: \[\w+\])? (?P<prefix>\S+)"
    r"|drained (?P<drained>\S+))"
)


class LogReader:
    """Turns the lines of the neighbour's log, as they come, into changes of one prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._site = "site6" if ":" in prefix else "site4"
        self._drained = False
        self._rest = ""
        self.changes = [Change(0.0, State.DOWN)]

    @property
    def state(self) -> State:
        return self.changes[-1].state

    def feed(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            match = _LINE.match(line)
            if match is None or (match["session"] and self._site not in line):
                continue
            if match["drained"]:
                self._drained |= match["drained"] == self._prefix
                continue
            if match["what"] and match["prefix"] != self._prefix:
                continue
            state = self._state_after(match)
            if state is not None and state is not self.state:
                at = datetime.fromisoformat(match["at"]).timestamp()
                self.changes.append(Change(at, state))

    def _state_after(self, match: re.Match[str]) -> State | None:
        if match["session"]:
            if match["session"] == "up":
                return State.GONE
            return State.DOWN
        if match["what"] == "removed":
            return None if self.state is State.DOWN else State.GONE
        drained, self._drained = self._drained, False
        return State.DRAINED if drained else State.THERE


def judge(
    moments: Sequence[Moment], changes: Sequence[Change], *, until: float, within_s: float
) -> Verdict:
    """Judge one story: from its first moment to `until`."""
    wrongs = list(find_wrongs(moments, changes, until=until))
    problems = [str(w) for w in wrongs if w.again or w.seconds > within_s]
    longest = max((w.seconds for w in wrongs), default=0.0)
    return Verdict(describe(moments, changes, until=until), longest, tuple(problems))


def find_wrongs(
    moments: Sequence[Moment], changes: Sequence[Change], *, until: float
) -> Iterator[Wrong]:
    """Find every time during which state and want differ.

    Wants count from the moment in which they arise; a wrong state does not become another because
    the neighbour's route changed from wrong to wrong.
    """
    begin: float | None = None
    was_right = False
    last: tuple[Want, State] | None = None
    for at, end, want, state in _pieces(moments, changes, until):
        if last is not None and want is not last[0]:
            if begin is not None:
                yield Wrong(begin, at, *last, again=was_right and last[0] is Want.GONE)
            begin, was_right = None, False
        if want.holds(state):
            if begin is not None and last is not None:
                yield Wrong(begin, at, *last, again=was_right and want is Want.GONE)
            begin, was_right = None, True
        elif begin is None:
            begin = at
        last = (want, state)
        if end >= until and begin is not None:
            yield Wrong(begin, end, want, state, again=was_right and want is Want.GONE)


def _pieces(
    moments: Sequence[Moment], changes: Sequence[Change], until: float
) -> Iterator[tuple[float, float, Want, State]]:
    first = moments[0].at
    times = sorted(
        {first, until}
        | {m.at for m in moments if m.at < until}
        | {c.at for c in changes if first < c.at < until}
    )
    for at, end in pairwise(times):
        want = next(m.want for m in reversed(moments) if m.at <= at)
        state = next(c.state for c in reversed(changes) if c.at <= at)
        yield at, end, want, state


def describe(moments: Sequence[Moment], changes: Sequence[Change], *, until: float) -> str:
    """Say what was seen after each moment, in a few words."""
    parts = []
    ends = [m.at for m in moments[1:]] + [until]
    for moment, end in zip(moments, ends, strict=True):
        before = next(c.state for c in reversed(changes) if c.at <= moment.at)
        seen = [c for c in changes if moment.at < c.at < end]
        if moment.label:
            parts.append(f"{moment.label}: {_tell(moment.at, before, seen)}")
        elif seen:
            parts.append(_tell(moment.at, before, seen))
    return "; ".join(parts) or "no update"


_MOST_TOLD: Final = 4


def _tell(since: float, before: State, seen: Sequence[Change]) -> str:
    if not seen:
        return "no update"
    words = []
    for change in seen:
        match before, change.state:
            case _, State.DOWN:
                word = "session lost"
            case State.DOWN, _:
                word = "session back"
            case State.DRAINED, State.THERE:
                word = "plain"
            case _, State.GONE:
                word = "gone"
            case _, State.DRAINED:
                word = "drained"
            case _:
                word = "there"
        before = change.state
        words.append(f"{word} after {spell(change.at - since)}")
    if len(words) > _MOST_TOLD:
        left = len(words) - _MOST_TOLD
        words = [*words[:_MOST_TOLD], f"{left} more"]
    return ", ".join(words)


def spell(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.2f} s"
