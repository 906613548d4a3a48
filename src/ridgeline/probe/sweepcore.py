"""The decisions of a sweep from inside, with no socket and no clock of its own.

    Landed, SendFailed, Woken --> SweepCore.handle(event, now=...) --> Ask, WakeAt, Finished

Verfploeter's way (De Vries et al., IMC 2017): echoes leave from the anycast address at one site,
and where each reply lands is the catchment of who replied.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_RATE: Final = 20_000.0
_TICK_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class Landed:
    """A reply arrived at a site."""

    index: int
    """Whom we had asked: place in the hitlist."""
    site: str
    source: str
    """Who replied; somebody with several addresses may use another one."""
    rtt: float | None
    """Seconds from the sending to the landing; None where two clocks would be compared."""


@dataclass(frozen=True, slots=True)
class SendFailed:
    """The machine would not send a probe."""

    index: int
    why: str


@dataclass(frozen=True, slots=True)
class Woken:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Note these as asked, then send to each of them."""

    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send `Woken` at this time."""

    at: float


@dataclass(frozen=True, slots=True)
class Finished:
    """Everybody was asked, and the last have had their time."""


Event: TypeAlias = Landed | SendFailed | Woken
Command: TypeAlias = Ask | WakeAt | Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPolicy:
    """How a sweep is made."""

    rate: float
    """Probes per second, as the user named it; never more in any second."""
    patience: float = 5.0
    """Seconds to wait for replies after the last probe."""

    def __post_init__(self) -> None:
        if not 0 < self.rate <= MAX_RATE:
            raise ValueError(f"a rate is above 0 and at most {MAX_RATE:,.0f} probes per second")
        if self.patience < 0:
            raise ValueError("patience cannot be negative")


class SweepCore:
    """One sweep: who is still to be asked, and what has landed where."""

    def __init__(self, order: Sequence[int], policy: SweepPolicy) -> None:
        self.policy = policy
        self.landed: dict[int, Landed] = {}
        """The first landing of each reply."""
        self.failed: dict[int, str] = {}
        self.n_asked = 0
        self.n_repeated = 0
        """Replies that came more than once."""
        self.n_unasked = 0
        """Replies to nothing that this sweep, or the journal before it, had asked."""
        self.is_finished = False
        self._order = order
        self._asked = set[int]()
        self._began: float | None = None
        self._ends: float | None = None

    def remember(self, asked: Sequence[int], landed: Sequence[Landed]) -> None:
        """Take over what a journal says, before the first event."""
        self._asked.update(asked)
        self.landed.update((landing.index, landing) for landing in landed)
        self._order = [index for index in self._order if index not in self._asked]

    @property
    def n_left(self) -> int:
        """How many are still to be asked."""
        return len(self._order) - self.n_asked

    def handle(self, event: Event, *, now: float) -> list[Command]:
        """Take one event; return what the runner must do, in order."""
        match event:
            case Landed(index=index):
                self._land(index, event)
                return []
            case SendFailed(index=index, why=why):
                self.failed[index] = why
                return []
            case Woken():
                return [] if self.is_finished else self._go_on(now)

    def _land(self, index: int, landing: Landed) -> None:
        if index in self.landed:
            self.n_repeated += 1
        elif index in self._asked:
            self.landed[index] = landing
        else:
            self.n_unasked += 1

    def _go_on(self, now: float) -> list[Command]:
        if self._began is None:
            self._began = now
        if not self.n_left:
            if self._ends is None:
                self._ends = now + self.policy.patience
            if now >= self._ends or len(self.landed) + len(self.failed) >= len(self._asked):
                self.is_finished = True
                return [Finished()]
            return [WakeAt(min(self._ends, now + 0.05))]
        # What is due by now; after a pause of the machine the schedule shifts instead of bursting.
        due = 1 + int((now - self._began) * self.policy.rate) - self.n_asked
        most = max(1, int(self.policy.rate * 5 * _TICK_S))
        if due > most:
            self._began += (due - most) / self.policy.rate
            due = most
        commands: list[Command] = []
        if due > 0:
            batch = tuple(self._order[self.n_asked : self.n_asked + due])
            self.n_asked += len(batch)
            self._asked.update(batch)
            commands.append(Ask(batch))
        following = self._began + self.n_asked / self.policy.rate
        return [*commands, WakeAt(max(following, now + _TICK_S))]
