"""The decisions of a traceroute, with no socket and no clock of its own.

    Reply, SendFailed, Woken --> TracerouteCore.handle(event, now=...) --> SendProbe, WakeAt, Finished

All probes of a trace are one flow (the Paris way, Augustin et al., IMC 2006): routers that spread
load over paths send them all along the same one. Replies are told apart by a number inside the
probe; where a router quotes too little to see it, the core asks one hop at a time instead.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias


class Heard(StrEnum):
    """What an answer to a probe means."""

    HOP = "hop"
    """A router on the way: the hop limit ran out there."""
    TARGET = "target"
    """The target itself."""
    REFUSED = "refused"
    """Somebody says that the target cannot be reached; `note` says how."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Somebody answered a probe."""

    sequence: int | None
    """Number of the probe; None where the answer quotes too little of it."""
    address: str
    heard: Heard
    at: float
    """When it came, on the clock of `now`."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendFailed:
    """The machine itself would not send a probe."""

    sequence: int
    why: str


@dataclass(frozen=True, slots=True)
class Woken:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class SendProbe:
    """Send a probe with this hop limit, carrying this number."""

    ttl: int
    sequence: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Send `Woken` at this time."""

    at: float


@dataclass(frozen=True, slots=True)
class Finished:
    """There is nothing more to send or to wait for."""


Event: TypeAlias = Reply | SendFailed | Woken
Command: TypeAlias = SendProbe | WakeAt | Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePolicy:
    """How a trace is made."""

    max_hops: int = 30
    queries: int = 3
    """Probes for each hop."""
    timeout: float = 1.0
    """Seconds after which a probe counts as lost."""
    window: int = 16
    """Probes under way at once."""
    spacing: float = 0.005
    """Seconds between two probes."""
    silent_hops: int = 6
    """Hops in a row without any answer after which there is no use in going on; no hop further
    from the last answer than this is asked."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_hops <= 255:
            raise ValueError("a packet passes 1 to 255 hops")
        if min(self.queries, self.window, self.silent_hops) < 1 or self.timeout <= 0:
            raise ValueError("queries, window, silent_hops and timeout must be above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class HopReply:
    """One answer from a hop."""

    address: str
    rtt: float
    """Seconds."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """What was heard with one hop limit."""

    ttl: int
    sent: int
    replies: tuple[HopReply, ...]
    """In the order in which they came; empty: silent."""

    @property
    def address(self) -> str | None:
        """Who answered most; the first of those who answered equally often."""
        counts: dict[str, int] = {}
        for reply in self.replies:
            counts[reply.address] = counts.get(reply.address, 0) + 1
        return max(counts, key=lambda address: counts[address], default=None)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Everyone who answered: more than one means that the path changed on the way."""
        return tuple(dict.fromkeys(reply.address for reply in self.replies))

    @property
    def rtt(self) -> float | None:
        """Least round trip of who answered most, in seconds."""
        return min((r.rtt for r in self.replies if r.address == self.address), default=None)

    @property
    def note(self) -> str:
        return next((reply.note for reply in self.replies if reply.note), "")


_AMBIGUOUS_WINDOW: Final = 1


@dataclass(slots=True)
class _Slot:
    """A hop limit under way."""

    sent: int = 0
    lost: int = 0
    replies: list[HopReply] = field(default_factory=list)


class TracerouteCore:
    """One trace to one address."""

    def __init__(self, policy: TracePolicy) -> None:
        self.policy = policy
        self.reached = False
        self.problem = ""
        """Why the trace ended early, in words; empty if it did not."""
        self.is_finished = False
        self._slots: dict[int, _Slot] = {}
        self._waiting: dict[int, tuple[int, float]] = {}
        self._late: dict[int, tuple[int, float]] = {}
        self._end: int | None = None
        self._next_sequence = 0
        self._next_send = float("-inf")
        self._window = policy.window
        self._failures = 0
        self._is_given_up = False

    def hops(self) -> tuple[Hop, ...]:
        """Everything heard so far, from the first hop to the last that answered or the target."""
        last = max((ttl for ttl, slot in self._slots.items() if slot.replies), default=0)
        if self._end is not None:
            last = min(last, self._end)
        return tuple(
            Hop(
                ttl=ttl,
                sent=self._slots[ttl].sent if ttl in self._slots else 0,
                replies=tuple(self._slots[ttl].replies) if ttl in self._slots else (),
            )
            for ttl in range(1, last + 1)
        )

    def handle(self, event: Event, *, now: float) -> list[Command]:
        """Take one event; return what the runner must do, in order."""
        if self.is_finished:
            return []
        match event:
            case Reply():
                self._hear(event, now)
            case SendFailed(sequence=sequence, why=why):
                self._fail(sequence, why)
            case Woken():
                pass
        self._expire(now)
        return self._go_on(now)

    def _hear(self, reply: Reply, now: float) -> None:
        sequence = reply.sequence
        if sequence is None:
            if len(self._waiting) != 1:
                self._ask_one_at_a_time(now)
                return
            (sequence,) = self._waiting
        found = self._waiting.pop(sequence, None)
        if found is None:
            # Late answers still tell who is there; second answers to one probe tell nothing.
            found = self._late.pop(sequence, None)
            if found is None:
                return
            self._slots[found[0]].lost -= 1
        ttl, sent_at = found
        rtt = max(0.0, reply.at - sent_at)
        slot = self._slots[ttl]
        slot.replies.append(HopReply(address=reply.address, rtt=rtt, note=reply.note))
        if reply.heard is not Heard.HOP and (self._end is None or ttl <= self._end):
            was_reached = self.reached and ttl == self._end
            self._end = ttl
            self.reached = was_reached or reply.heard is Heard.TARGET
            self.problem = "" if self.reached else f"{reply.note} (said {reply.address})"

    def _ask_one_at_a_time(self, now: float) -> None:
        """Forget what is under way, let its answers pass, and go on with one probe at once."""
        if self._window == _AMBIGUOUS_WINDOW or not self._waiting:
            return
        self._window = _AMBIGUOUS_WINDOW
        for ttl, _ in self._waiting.values():
            self._slots[ttl].sent -= 1
        self._waiting.clear()
        self._next_send = now + self.policy.timeout

    def _fail(self, sequence: int, why: str) -> None:
        found = self._waiting.pop(sequence, None)
        if found is None:
            return
        self._slots[found[0]].lost += 1
        self._failures += 1
        if self._failures > self.policy.silent_hops or not any(
            slot.replies for slot in self._slots.values()
        ):
            self.problem = why
            self._is_given_up = True

    def _expire(self, now: float) -> None:
        timeout = self.policy.timeout
        gone = [s for s, (_, sent_at) in self._waiting.items() if sent_at + timeout <= now]
        for sequence in gone:
            self._late[sequence] = self._waiting.pop(sequence)
            self._slots[self._late[sequence][0]].lost += 1

    def _go_on(self, now: float) -> list[Command]:
        commands: list[Command] = []
        while len(self._waiting) < self._window and self._next_send <= now:
            ttl = self._choose()
            if ttl is None:
                break
            sequence = self._next_sequence
            self._next_sequence += 1
            self._slots.setdefault(ttl, _Slot()).sent += 1
            self._waiting[sequence] = (ttl, now)
            self._next_send = now + self.policy.spacing
            commands.append(SendProbe(ttl, sequence))
        if self._is_over():
            self.is_finished = True
            if not self.reached and not self.problem:
                self.problem = (
                    "no answer"
                    if not any(slot.replies for slot in self._slots.values())
                    else "the last hops do not answer"
                )
            return [*commands, Finished()]
        times = [sent_at + self.policy.timeout for _, sent_at in self._waiting.values()]
        if len(self._waiting) < self._window and self._choose() is not None:
            times.append(self._next_send)
        return [*commands, WakeAt(min(times))] if times else commands

    def _is_over(self) -> bool:
        end = self._end
        waits = any(end is None or ttl <= end for ttl, _ in self._waiting.values())
        return not waits and self._choose() is None

    def _choose(self) -> int | None:
        """Choose the next hop to ask: every hop once before any hop twice."""
        if self._is_given_up:
            return None
        policy = self.policy
        last = max((ttl for ttl, slot in self._slots.items() if slot.replies), default=0)
        limit = policy.max_hops if self._end is None else self._end
        if self._end is None:
            for ttl in range(1, min(limit, last + policy.silent_hops) + 1):
                if ttl not in self._slots or not self._slots[ttl].sent:
                    return ttl
            if any(s.sent == 1 and not s.lost and not s.replies for s in self._slots.values()):
                return None  # the first round is still under way: its end is not known
            limit = min(limit, last + policy.silent_hops)
        for n_sent in range(policy.queries):
            for ttl in range(1, limit + 1):
                slot = self._slots.get(ttl)
                if slot is None or slot.sent <= n_sent:
                    return ttl
        return None
