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

Events and commands are in `messages`, a prefix and what decides of it in `prefix`, the comparison
with what the router holds in `observing`.
"""

from collections.abc import Mapping
from math import inf
from typing import Final

from ridgeline.agent.health import CheckState, Condition, Part, Round, judge
from ridgeline.agent.messages import (
    Applied,
    Apply,
    AskGuard,
    Checked,
    Command,
    DrainAsked,
    Event,
    GuardAnswered,
    Level,
    Observed,
    OpenSessions,
    ReleaseGuard,
    ResumeAsked,
    RouterFailed,
    SaveState,
    Say,
    ShutSessions,
    Stop,
    Stopping,
    Woken,
)
from ridgeline.agent.observing import ask_again, compare, look_outside
from ridgeline.agent.prefix import (
    ANSWER_WITHIN_S,
    GUARD_WAIT_S,
    Decider,
    Drain,
    Policy,
    PrefixState,
    is_worse,
)
from ridgeline.agent.router import Observation, Stance, Wanted
from ridgeline.spec.model import Prefix

__all__ = [
    "Applied",
    "Apply",
    "AskGuard",
    "Checked",
    "Command",
    "Core",
    "Drain",
    "DrainAsked",
    "Event",
    "GuardAnswered",
    "Level",
    "Observed",
    "OpenSessions",
    "Policy",
    "PrefixState",
    "ReleaseGuard",
    "ResumeAsked",
    "RouterFailed",
    "SaveState",
    "Say",
    "ShutSessions",
    "Stop",
    "Stopping",
    "Woken",
]

STOP_WITHIN_S: Final = 5.0
"""How long a stop waits for the router beyond the hold of the drain."""


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
        is_stopping = self.stopping_until is not None
        decider = Decider(self.policy, self.checks, is_stopping, now, commands)
        decided = bool(self._dirty)
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for prefix in dirty:
                self._decide(self.prefixes[prefix], decider, wanted)
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
            p.is_settled for p in self.prefixes.values()
        )

    @property
    def wake_at(self) -> float | None:
        """When something is due even if nothing happens; None: never."""
        return self._wake_at

    def _next(self, now: float) -> float | None:
        times = [t for p in self.prefixes.values() for t in p.times() if t > now]
        if self.stopping_until is not None and not self.is_stopped:
            times.append(self.stopping_until)
        return min(times, default=None)

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
                news = compare(p, p.target, now, is_degraded=bool(self.degraded))
                if news is not None:
                    commands.append(news)
                    self._dirty[prefix] = None
            commands.extend(look_outside(p, now, has_neighbours=has_neighbours))

    def _ask_again(self, p: PrefixState, now: float) -> None:
        ask_again(p, now)
        self._dirty[p.prefix] = None

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
            if any(t <= now for t in p.times()):
                self._dirty[p.prefix] = None

    def _named(self, prefixes: tuple[Prefix, ...]) -> list[PrefixState]:
        if not prefixes:
            return list(self.prefixes.values())
        return [self.prefixes[p] for p in prefixes if p in self.prefixes]

    # Deciding.

    def _decide(self, p: PrefixState, decider: Decider, wanted: dict[Prefix, Wanted]) -> None:
        p.condition = judge(p.rule, self.checks)
        if p.target is None:
            return  # not before the router has been read
        if self.is_stopped:
            return
        now, decision = decider.now, decider.desired(p, p.target)
        if decision.stance is not p.target.stance or decision.prepend != p.target.prepend:
            self._turn(p, p.target, decision, decider)
        elif p.found and decision is not p.target and decision.stance is Stance.WITHDRAWN:
            # A router may show nothing only because our dead-man switch is open: say it once.
            self._order(p, decision, now)
        if p.due is not None and now >= p.due:
            p.due, p.taken, p.ordered_at = None, False, now
            wanted[p.prefix] = p.target
        decider.settle_slot(p)

    def _turn(self, p: PrefixState, before: Wanted, decision: Wanted, decider: Decider) -> None:
        facts = {"from": before.stance.value, "to": decision.stance.value}
        event = {
            Stance.ANNOUNCED: "announce",
            Stance.DRAINED: "drain",
            Stance.WITHDRAWN: "withdraw",
        }[decision.stance]
        level: Level = "info" if decision.stance is Stance.ANNOUNCED else "warning"
        decider.commands.append(Say(level, event, decision.reason, p.prefix, facts))
        has_failed = p.condition in {Condition.DOWN, Condition.IMPAIRED}
        if has_failed and not decider.is_stopping and is_worse(decision.stance, before.stance):
            decider.damp(p)
        p.since, p.updates = decider.now, p.updates + 1
        self._order(p, decision, decider.now)

    def _order(self, p: PrefixState, wanted: Wanted, now: float) -> None:
        p.target, p.found = wanted, False
        p.slot_lost = p.slot_lost and wanted.stance is Stance.WITHDRAWN
        p.confirmed, p.taken, p.due, p.retries = False, False, now, 0

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
        # A drain without end keeps its sessions: it is announced again when its service is.
        drains = [p.drain for p in self.prefixes.values() if p.drain and p.drain.hold != inf]
        is_whole = len(drains) == len(self.prefixes) > 0
        if gone and self.policy.shut_sessions and is_whole and not self.sessions_shut:
            self.sessions_shut = True
            commands.append(ShutSessions(drains[0].reason))
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
