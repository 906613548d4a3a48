"""The agent's decisions, with no socket and no clock of its own.

The runner feeds events with the time at which they happened and carries out the commands that come
back. What the agent *believes* of the router changes only on what was read back (`Observed`), never
on our own wish; whatever differs from it is asked for again.

::

    Checked ─────────────┐                   ┌──> Apply ────────────> router, then read back
    Applied / Observed ──┼──> Core.handle ───┼──> AskGuard / ReleaseGuard ──> fleet
    GuardAnswered ───────┤                   ├──> Say ──────────────> log
    DrainAsked / Woken ──┘                   └──> Core.wake_at ─────> runner's timer

Three rules stand above all others:

1. No opinion, no change: until a check has had its rounds, what the router holds stays.
2. Withdrawing is immediate, announcing again is not: at most two updates a minute while a service
   flaps, because the neighbours' route-flap damping (RFC 2439) punishes longer than we do.
3. A failure that other sites share may drain this one, never withdraw it; and with a fleet guard
   a slot of the budget comes first. Refused or unanswered: stay announced, drained, and say so.
   Withdrawn, and the slot is lost: ask for another; refused: announce again, drained; unanswered:
   change nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal, TypeAlias

from ridgeline.agent.health import CheckState, Condition, Part, Round, culprit, judge
from ridgeline.agent.router import Observation, Stance, Wanted
from ridgeline.spec.model import Prefix

RETRY_FIRST_S: Final = 0.1
RETRY_MOST_S: Final = 1.0
GUARD_WAIT_S: Final = 1.0
"""How long a slot may take before the answer counts as no."""
GUARD_AGAIN_S: Final = 5.0
STOP_WITHIN_S: Final = 5.0
"""How long a stop waits for the router beyond the hold of the drain."""
ODD_FOR_S: Final = 0.4
"""What the neighbours are sent must differ for so long, over two readings, to be an alert."""
ANSWER_WITHIN_S: Final = 12.0
"""An order of which neither `Applied` nor `RouterFailed` is heard for so long is given again."""

Level: TypeAlias = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decided; times in seconds."""

    drain_hold: float = 30.0
    """How long a drained prefix stays announced before it is withdrawn."""
    drain_prepend: int = 0
    damping: float = 60.0
    """Least time between a withdrawal and the next announcement; doubles while it goes on."""
    damping_most: float = 900.0
    guarded: bool = False
    """Whether a fleet guard hands out slots for withdrawals."""
    shut_sessions: bool = False
    """Whether a drain with a reason ends with closed sessions (RFC 9003)."""


# Events.


@dataclass(frozen=True, slots=True)
class Checked:
    """One round of a check ended."""

    check: str
    outcome: Round


@dataclass(frozen=True, slots=True)
class Applied:
    """The router took the order."""

    wanted: Mapping[Prefix, Wanted]
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """The router was read back."""

    observation: Observation


@dataclass(frozen=True, slots=True)
class RouterFailed:
    """The router could not be asked, or refused: nothing is known of it any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class GuardAnswered:
    """The fleet guard's answer to `AskGuard`, or word that a slot granted earlier is lost."""

    prefix: Prefix
    granted: bool
    reason: str = ""
    silent: bool = False
    """The fleet could not be asked: no slot, but no refusal either."""


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """The operator, or the spec, wants prefixes away."""

    reason: str
    prefixes: tuple[Prefix, ...] = ()
    """Empty: all of the site."""
    for_s: float | None = None
    """Resume by itself after this long."""
    hold: float | None = None
    """Seconds until it is withdrawn, infinity for never; None: as the policy says."""


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """End a drain."""

    prefixes: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class Stopping:
    """The agent was told to end."""

    drain: bool
    """Drain, hold and withdraw first; else leave everything as it stands."""


@dataclass(frozen=True, slots=True)
class Woken:
    """The time of `Core.wake_at` has come."""


Event: TypeAlias = (
    Checked
    | Applied
    | Observed
    | RouterFailed
    | GuardAnswered
    | DrainAsked
    | ResumeAsked
    | Stopping
    | Woken
)


# Commands.


@dataclass(frozen=True, slots=True)
class Apply:
    """Bring prefixes to these stances, in one batch; a newer order replaces an older one."""

    wanted: Mapping[Prefix, Wanted]


@dataclass(frozen=True, slots=True)
class AskGuard:
    """Take a slot of the budget before this prefix is withdrawn."""

    prefix: Prefix
    reason: str


@dataclass(frozen=True, slots=True)
class ReleaseGuard:
    """Give the slot back."""

    prefix: Prefix


@dataclass(frozen=True, slots=True)
class ShutSessions:
    """Everything is withdrawn for a drain with a reason: close the sessions with it."""

    reason: str


@dataclass(frozen=True, slots=True)
class OpenSessions:
    """Open them again."""


@dataclass(frozen=True, slots=True)
class Say:
    """One line of the log: a decision, or something that the operator must know."""

    level: Level
    event: str
    reason: str
    prefix: Prefix | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SaveState:
    """The drains changed: write them down."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Everything asked for by `Stopping` is done, or cannot be."""

    reason: str


Command: TypeAlias = (
    Apply | AskGuard | ReleaseGuard | ShutSessions | OpenSessions | Say | SaveState | Stop
)


@dataclass(frozen=True, slots=True)
class Drain:
    """An operator's drain of one prefix."""

    reason: str
    since: float
    until: float | None = None
    hold: float | None = None


@dataclass(slots=True, kw_only=True)
class PrefixState:
    """Everything known and wanted of one prefix; read it, do not write it."""

    prefix: Prefix
    rule: Part
    condition: Condition = Condition.UNKNOWN
    target: Wanted | None = None
    """What was decided last; None until the router has been read once."""
    held: Stance | None = None
    """What the router is known to hold; None: unknown."""
    exported: Mapping[str, Stance] = field(default_factory=dict)
    found: bool = True
    """The target is what was found at the start: nothing was ordered yet."""
    confirmed: bool = False
    """The router holds what is wanted."""
    since: float = 0.0
    """When the target changed last."""
    drain: Drain | None = None
    withdraw_at: float | None = None
    """When the hold of the drain ends."""
    announce_after: float = 0.0
    """Damping: not announced again before this time."""
    strikes: int = 0
    worse_at: float | None = None
    """When the last failure drained or withdrew it."""
    slot: Literal["none", "asked", "granted", "refused", "silent"] = "none"
    slot_at: float = 0.0
    """When the slot was asked for, or not granted."""
    slot_lost: bool = False
    """It is withdrawn on a slot that is lost: another site may have it by now."""
    due: float | None = None
    """When the order goes to the router (again); None: it has gone, or there is none."""
    retries: int = 0
    ordered_at: float = 0.0
    """When the order went to the router last."""
    taken: bool = True
    """The router took the last order, so that an observation tells something about it."""
    updates: int = 0
    """Changes asked of the router."""
    alerts: tuple[str, ...] = ()
    """What is not as it should be, in words."""
    odd: tuple[str, ...] = ()
    """The same as of the last reading; it becomes an alert if it lasts."""
    odd_at: float = 0.0


class Core:
    """All decisions of one site's agent."""

    def __init__(
        self,
        rules: Mapping[Prefix, Part],
        checks: Mapping[str, CheckState],
        policy: Policy,
    ) -> None:
        self.policy = policy
        self.checks = dict(checks)
        self.prefixes = {p: PrefixState(prefix=p, rule=rule) for p, rule in rules.items()}
        self.router_problem = "not asked yet"
        self.degraded: tuple[str, ...] = ()
        self.neighbours: tuple[object, ...] = ()
        self.sessions_shut = False
        self._users: dict[str, list[PrefixState]] = {name: [] for name in self.checks}
        for state in self.prefixes.values():
            if not isinstance(state.rule, str):
                for name in dict.fromkeys(state.rule.checks()):
                    self._users[name].append(state)
            else:
                self._users[state.rule].append(state)
        self._dirty: dict[Prefix, None] = {}
        self.stopping_until: float | None = None
        self.is_stopped = False
        self.said_problem = ""
        self._wake_at: float | None = None

    def handle(self, *events: Event, now: float) -> list[Command]:
        """Take events that happened by `now`; return what the runner must do, in order.

        Give all events that are at hand in one call: a thousand failures become one `Apply`.
        What is due by `now` is done whether or not `Woken` is among them.
        """
        commands: list[Command] = []
        for event in events:
            self._take(event, now, commands)
        is_due = self._wake_at is not None and now >= self._wake_at
        if is_due:
            self._woken(now, commands)
        wanted: dict[Prefix, Wanted] = {}
        decided = bool(self._dirty)
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for prefix in dirty:
                self._decide(self.prefixes[prefix], now, wanted, commands)
        if wanted:
            commands.insert(0, Apply(wanted))
        self._finish(now, commands)
        if is_due or decided or not all(isinstance(event, Checked) for event in events):
            self._wake_at = self._next(now)
        return commands

    def adopt(self, old: "Core") -> None:
        """Take over what an earlier core knew of the same prefixes and checks, after a reload."""
        for name, state in self.checks.items():
            before = old.checks.get(name)
            if before is not None:
                state.condition, state.reason = before.condition, before.reason
        for prefix, mine in self.prefixes.items():
            known = old.prefixes.get(prefix)
            if known is None:
                continue
            for name in PrefixState.__slots__:
                if name not in {"rule", "prefix", "condition"}:
                    setattr(mine, name, getattr(known, name))
            self._dirty[prefix] = None
        self.router_problem, self.neighbours = old.router_problem, old.neighbours
        self.said_problem, self.degraded = old.said_problem, old.degraded
        self.sessions_shut = old.sessions_shut
        self.stopping_until, self.is_stopped = old.stopping_until, old.is_stopped

    @property
    def is_settled(self) -> bool:
        """Whether the router holds nothing better than the checks want.

        Before that nobody may vouch for its routes: a dead-man switch that comes up, with the agent
        or with the router, would let them go out again.
        """
        return not any(c.is_doubtful for c in self.checks.values()) and all(
            _is_settled(p) for p in self.prefixes.values()
        )

    @property
    def wake_at(self) -> float | None:
        """When something is due even if nothing happens; None: never."""
        return self._wake_at

    def _next(self, now: float) -> float | None:
        times = [t for p in self.prefixes.values() for t in self._times(p) if t > now]
        if self.stopping_until is not None and not self.is_stopped:
            times.append(self.stopping_until)
        return min(times, default=None)

    def _times(self, p: PrefixState) -> Iterable[float]:
        if p.drain is not None and p.drain.until is not None:
            yield p.drain.until
        if p.withdraw_at is not None and p.withdraw_at < inf:
            yield p.withdraw_at
        if p.due is not None:
            yield p.due
        elif not p.taken:
            yield p.ordered_at + ANSWER_WITHIN_S
        if p.slot == "asked":
            yield p.slot_at + GUARD_WAIT_S
        if p.slot in {"refused", "silent"}:
            yield p.slot_at + GUARD_AGAIN_S
        if p.condition is Condition.UP and p.announce_after:
            yield p.announce_after

    # Taking events.

    def _take(self, event: Event, now: float, commands: list[Command]) -> None:
        match event:
            case Checked(check=name, outcome=outcome):
                self._checked(name, outcome, commands)
            case Applied(wanted=wanted, degraded=degraded):
                self._applied(wanted, degraded, now, commands)
            case Observed(observation=observation):
                self._observed(observation, now, commands)
            case RouterFailed(reason=reason):
                self._router_failed(reason, now, commands)
            case GuardAnswered():
                self._guard_answered(event, now, commands)
            case DrainAsked():
                self._drain(event, now, commands)
            case ResumeAsked(prefixes=prefixes):
                self._resume(prefixes, "the operator asked for it", commands)
            case Stopping(drain=drain):
                self._stop(drain=drain, now=now, commands=commands)
            case Woken():
                self._woken(now, commands)

    def _checked(self, name: str, outcome: Round, commands: list[Command]) -> None:
        state = self.checks.get(name)
        if state is None or not state.take(outcome):
            return
        facts = {"check": name, "condition": state.condition.name.lower()}
        level: Level = "info" if state.condition is Condition.UP else "warning"
        commands.append(Say(level, "check_changed", state.reason, None, facts))
        for user in self._users[name]:
            self._dirty[user.prefix] = None

    def _applied(
        self,
        wanted: Mapping[Prefix, Wanted],
        degraded: tuple[str, ...],
        now: float,
        commands: list[Command],
    ) -> None:
        for prefix, done in wanted.items():
            p = self.prefixes.get(prefix)
            if p is not None and p.target == done:
                p.taken = True
                if degraded:  # an unwritten file announces again at the operator's next reload
                    p.retries = max(p.retries, 1)
                    self._ask_again(p, now)
        if degraded != self.degraded:
            self.degraded = degraded
            commands.extend(Say("warning", "router_degraded", text) for text in degraded)
            if not degraded:
                commands.append(Say("info", "router_whole", "the router takes everything again"))

    def _observed(self, observation: Observation, now: float, commands: list[Command]) -> None:
        if self.router_problem:
            self.router_problem = self.said_problem = ""
            commands.append(Say("info", "router_answers", "the router was read back"))
        self.neighbours = observation.neighbours
        has_neighbours = any(n.established for n in observation.neighbours)
        for prefix, held in observation.held.items():
            p = self.prefixes.get(prefix)
            if p is None:
                continue  # read before a reload took it away
            p.held, p.exported = held, observation.exported.get(prefix, {})
            if p.target is None:
                p.target = Wanted(held, 0, "as the agent found it")
                p.since, p.confirmed = now, True
                commands.append(Say("info", "found", "at the start", prefix, {"held": held.value}))
                self._dirty[prefix] = None
            elif p.taken:
                self._compare(p, p.target, now, commands)
            self._look_outside(p, now, has_neighbours=has_neighbours, commands=commands)

    def _compare(self, p: PrefixState, target: Wanted, now: float, commands: list[Command]) -> None:
        """Hold what is wanted against what the router holds."""
        if p.held is target.stance:
            if not p.confirmed:
                p.confirmed = True
                if not self.degraded:
                    p.due, p.retries = None, 0
                facts = {
                    "stance": target.stance.value,
                    "neighbours": sorted(p.exported),
                    "after_ms": round((now - p.since) * 1000, 1),
                }
                commands.append(Say("info", "confirmed", target.reason, p.prefix, facts))
                self._dirty[p.prefix] = None
        elif p.due is None:
            reason = (
                f"the router holds it {p.held.value if p.held else 'in an unknown way'}, "
                f"wanted is {target.stance.value}: asking again"
            )
            commands.append(Say("warning", "not_as_wanted", reason, p.prefix))
            p.confirmed = False
            self._ask_again(p, now)

    def _ask_again(self, p: PrefixState, now: float) -> None:
        """Send the order again: at once the first time, then later and later."""
        p.due = now
        if p.retries:
            p.due += min(RETRY_FIRST_S * 2 ** (p.retries - 1), RETRY_MOST_S)
        p.retries = min(p.retries + 1, 8)
        self._dirty[p.prefix] = None

    def _look_outside(
        self, p: PrefixState, now: float, *, has_neighbours: bool, commands: list[Command]
    ) -> None:
        """Say what the neighbours hear that they should not, or do not that they should.

        What a router sends follows what it holds by a moment: only what lasts is told.
        """
        odd: tuple[str, ...] = ()
        if p.held is Stance.WITHDRAWN and p.exported:
            others = ", ".join(sorted(p.exported))
            odd = (f"withdrawn here, but another route for it still goes to {others}",)
        elif p.held is not Stance.WITHDRAWN and not p.exported and has_neighbours:
            odd = ("held by the router, but sent to no neighbour: see `agent check`",)
        if odd != p.odd:
            p.odd, p.odd_at = odd, now
        if p.odd != p.alerts and (not odd or now - p.odd_at >= ODD_FOR_S):
            p.alerts = odd
            commands.extend(Say("error", "export_differs", text, p.prefix) for text in odd)

    def _router_failed(self, reason: str, now: float, commands: list[Command]) -> None:
        self.router_problem = reason
        if reason != self.said_problem:
            self.said_problem = reason
            commands.append(Say("error", "router_failed", reason))
        for p in self.prefixes.values():
            p.held, p.exported = None, {}
            if p.target is not None and not p.taken and p.due is None:
                p.retries = max(p.retries, 1)
                self._ask_again(p, now)

    def _guard_answered(self, answer: GuardAnswered, now: float, commands: list[Command]) -> None:
        p = self.prefixes.get(answer.prefix)
        if p is None or p.slot == "none":
            if answer.granted:  # it is not needed any more
                commands.append(ReleaseGuard(answer.prefix))
            return
        self._dirty[p.prefix] = None
        if answer.granted:
            p.slot, p.slot_lost = "granted", False
            return
        if p.slot == "granted":
            p.slot = "none"  # and so the next decision asks for another
            p.slot_lost = p.target is not None and p.target.stance is Stance.WITHDRAWN
            reason = f"{answer.reason or 'no slot any more'}: asking for another"
            commands.append(Say("error", "slot_lost", reason, p.prefix))
            return
        before, p.slot = p.slot, "silent" if answer.silent else "refused"
        p.slot_at = now
        if p.slot != before:
            reason = f"{answer.reason or 'no slot'}: {self._consequence(p)}"
            commands.append(Say("error", "withdrawal_refused", reason, p.prefix))

    def _consequence(self, p: PrefixState) -> str:
        if p.target is None or p.target.stance is not Stance.WITHDRAWN:
            return "it stays announced, drained"
        if p.slot_lost and p.slot == "refused":
            return "it is announced again, drained"
        return "it stays withdrawn"

    def _drain(self, event: DrainAsked, now: float, commands: list[Command]) -> None:
        until = None if event.for_s is None else now + event.for_s
        if until is not None and until <= now:  # one from the state file, over before we started
            commands.append(Say("info", "drain_ended", "its time was over before the start"))
            commands.append(SaveState())
            if self.policy.shut_sessions:
                commands.append(OpenSessions())
            return
        for p in self._named(event.prefixes):
            p.drain = Drain(event.reason, now, until, event.hold)
            p.withdraw_at = None
            self._dirty[p.prefix] = None
        commands.append(SaveState())

    def _resume(self, prefixes: tuple[Prefix, ...], reason: str, commands: list[Command]) -> None:
        ended = [p for p in self._named(prefixes) if p.drain is not None]
        for p in ended:
            p.drain, p.withdraw_at, p.announce_after = None, None, 0.0
            self._dirty[p.prefix] = None
            commands.append(Say("info", "drain_ended", reason, p.prefix))
        if ended:
            commands.append(SaveState())
            if self.sessions_shut:
                self.sessions_shut = False
                commands.append(OpenSessions())

    def _stop(self, *, drain: bool, now: float, commands: list[Command]) -> None:
        if not drain:
            self.is_stopped = True
            commands.append(Stop("told to end; everything is left as it stands"))
            return
        if self.stopping_until is None:
            self.stopping_until = now + self.policy.drain_hold + STOP_WITHIN_S
        self._dirty.update(dict.fromkeys(self.prefixes))

    def _woken(self, now: float, commands: list[Command]) -> None:
        for p in self.prefixes.values():
            if p.drain is not None and p.drain.until is not None and now >= p.drain.until:
                self._resume((p.prefix,), "the time given for the drain is over", commands)
            if not p.taken and p.due is None and now >= p.ordered_at + ANSWER_WITHIN_S:
                reason = f"nothing was heard of an order for {ANSWER_WITHIN_S:g} s: asking again"
                commands.append(Say("warning", "order_lost", reason, p.prefix))
                self._ask_again(p, now)
            if p.slot == "asked" and now >= p.slot_at + GUARD_WAIT_S:
                why = "the fleet guard is silent"
                answer = GuardAnswered(p.prefix, granted=False, reason=why, silent=True)
                self._guard_answered(answer, now, commands)
            if any(t <= now for t in self._times(p)):
                self._dirty[p.prefix] = None

    def _named(self, prefixes: tuple[Prefix, ...]) -> list[PrefixState]:
        if not prefixes:
            return list(self.prefixes.values())
        return [self.prefixes[p] for p in prefixes if p in self.prefixes]

    # Deciding.

    def _decide(
        self,
        p: PrefixState,
        now: float,
        wanted: dict[Prefix, Wanted],
        commands: list[Command],
    ) -> None:
        p.condition = judge(p.rule, self.checks)
        if p.target is None:
            return  # not before the router has been read
        if self.is_stopped:
            return
        decision = self._desired(p, p.target, now, commands)
        if decision.stance is not p.target.stance or decision.prepend != p.target.prepend:
            self._turn(p, p.target, decision, now, commands)
        elif p.found and decision is not p.target and decision.stance is Stance.WITHDRAWN:
            # A router may show nothing only because our dead-man switch is open: say it once.
            self._order(p, decision, now)
        if p.due is not None and now >= p.due:
            p.due, p.taken, p.ordered_at = None, False, now
            wanted[p.prefix] = p.target
        self._settle_slot(p, commands)

    def _turn(
        self,
        p: PrefixState,
        before: Wanted,
        decision: Wanted,
        now: float,
        commands: list[Command],
    ) -> None:
        facts = {"from": before.stance.value, "to": decision.stance.value}
        event = {
            Stance.ANNOUNCED: "announce",
            Stance.DRAINED: "drain",
            Stance.WITHDRAWN: "withdraw",
        }[decision.stance]
        level: Level = "info" if decision.stance is Stance.ANNOUNCED else "warning"
        commands.append(Say(level, event, decision.reason, p.prefix, facts))
        if (
            p.drain is None
            and self.stopping_until is None
            and _is_worse(decision.stance, before.stance)
        ):
            calm = p.worse_at is None or now - p.since > 10 * self.policy.damping
            p.strikes, p.worse_at = (0 if calm else p.strikes + 1), now
            wait = min(self.policy.damping * 2 ** min(p.strikes, 8), self.policy.damping_most)
            p.announce_after = now + max(wait, self.policy.damping)
        p.since, p.updates = now, p.updates + 1
        self._order(p, decision, now)

    def _order(self, p: PrefixState, wanted: Wanted, now: float) -> None:
        p.target, p.found = wanted, False
        p.slot_lost = p.slot_lost and wanted.stance is Stance.WITHDRAWN
        p.confirmed, p.taken, p.due, p.retries = False, False, now, 0

    def _desired(
        self, p: PrefixState, target: Wanted, now: float, commands: list[Command]
    ) -> Wanted:
        """Say how the prefix should stand now."""
        if p.drain is not None:
            return self._draining(p, target, p.drain.reason, now, commands)
        if self.stopping_until is not None:
            return self._draining(p, target, "the agent is told to end", now, commands)
        p.withdraw_at = None
        why = culprit(p.rule, self.checks)
        if p.condition is Condition.DOWN:
            return self._withdrawn(p, target, why, now, commands)
        is_damped = target.stance is not Stance.ANNOUNCED and now < p.announce_after
        if p.condition is Condition.UNKNOWN or is_damped:
            is_lost = p.slot_lost
            return self._withdrawn(p, target, target.reason, now, commands) if is_lost else target
        if p.condition is Condition.UP:
            return Wanted(Stance.ANNOUNCED, 0, "all that is required is healthy")
        return self._drained(f"an input that all sites share fails: {why}")

    def _draining(
        self, p: PrefixState, target: Wanted, reason: str, now: float, commands: list[Command]
    ) -> Wanted:
        """First drained, and after the hold withdrawn."""
        if p.withdraw_at is None and target.stance is not Stance.WITHDRAWN:
            own = None if p.drain is None else p.drain.hold
            p.withdraw_at = now + (self.policy.drain_hold if own is None else own)
        if p.condition is not Condition.DOWN and p.withdraw_at is not None and now < p.withdraw_at:
            return self._drained(reason)
        return self._withdrawn(p, target, reason, now, commands)

    def _drained(self, reason: str) -> Wanted:
        return Wanted(Stance.DRAINED, self.policy.drain_prepend, reason)

    def _withdrawn(
        self, p: PrefixState, target: Wanted, reason: str, now: float, commands: list[Command]
    ) -> Wanted:
        gone = Wanted(Stance.WITHDRAWN, 0, reason)
        if not self.policy.guarded or p.slot == "granted":
            return gone
        if p.slot == "none" or (p.slot != "asked" and now >= p.slot_at + GUARD_AGAIN_S):
            p.slot, p.slot_at = ("asked" if p.slot == "none" else p.slot), now
            commands.append(AskGuard(p.prefix, reason))
        if target.stance is not Stance.WITHDRAWN:
            return target if p.slot == "asked" else self._drained(f"no slot to withdraw: {reason}")
        if p.slot_lost and p.slot == "refused":
            return self._drained(f"its slot was lost and there is no other: {reason}")
        return gone  # as it stands already, or as it was found

    def _settle_slot(self, p: PrefixState, commands: list[Command]) -> None:
        """Give a slot back when the prefix is announced again, or was never withdrawn."""
        needed = p.target is not None and (
            p.target.stance is Stance.WITHDRAWN
            or p.condition is Condition.DOWN
            or (p.withdraw_at is not None and p.slot != "none")
        )
        if p.slot == "none" or needed or not p.confirmed:
            return
        if p.slot == "granted":
            commands.append(ReleaseGuard(p.prefix))
        p.slot = "none"

    def _finish(self, now: float, commands: list[Command]) -> None:
        """See whether a drain of the whole site, or our stop, is complete."""
        if self.stopping_until is None and not self.policy.shut_sessions:
            return
        gone = all(
            p.held is Stance.WITHDRAWN
            and p.target is not None
            and p.target.stance is Stance.WITHDRAWN
            for p in self.prefixes.values()
        )
        drains = [p.drain for p in self.prefixes.values()]
        reason = next((d.reason for d in drains if d is not None), "")
        if gone and self.policy.shut_sessions and reason and all(drains) and not self.sessions_shut:
            self.sessions_shut = True
            commands.append(ShutSessions(reason))
        if (
            self.stopping_until is not None
            and not self.is_stopped
            and (gone or now >= self.stopping_until)
        ):
            self.is_stopped = True
            commands.append(
                Stop(
                    "everything is withdrawn"
                    if gone
                    else "the time for the drain is over, and not everything is withdrawn"
                )
            )


_ORDER: Final = (Stance.WITHDRAWN, Stance.DRAINED, Stance.ANNOUNCED)


def _is_worse(new: Stance, old: Stance) -> bool:
    return _ORDER.index(new) < _ORDER.index(old)


def _is_settled(p: PrefixState) -> bool:
    if p.target is None or p.held is None or not p.taken:
        return False
    wanted = p.target.stance
    if wanted is not Stance.WITHDRAWN and p.slot == "asked":
        return False
    if p.condition is Condition.UNKNOWN and (p.found or wanted is not Stance.WITHDRAWN):
        return False
    return not _is_worse(wanted, p.held)
