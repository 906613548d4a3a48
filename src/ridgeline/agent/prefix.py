"""One prefix: what is known of it, and how it should stand now.

The three rules of `ridgeline.agent.core` are here, one branch each. Nothing here is sent anywhere:
the core turns a changed decision into an order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal

from ridgeline.agent.health import CheckState, Condition, Part, culprit
from ridgeline.agent.messages import AskGuard, Command, ReleaseGuard
from ridgeline.agent.router import Stance, Wanted
from ridgeline.spec.model import Prefix

GUARD_WAIT_S: Final = 1.0
"""How long a slot may take before the answer counts as no."""
GUARD_AGAIN_S: Final = 5.0
ANSWER_WITHIN_S: Final = 12.0
"""An order of which neither `Applied` nor `RouterFailed` is heard for so long is given again."""
_ORDER: Final = (Stance.WITHDRAWN, Stance.DRAINED, Stance.ANNOUNCED)


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

    def times(self) -> Iterable[float]:
        """Say when something is due, or was."""
        if self.drain is not None and self.drain.until is not None:
            yield self.drain.until
        if self.withdraw_at is not None:
            yield self.withdraw_at
        if self.due is not None:
            yield self.due
        elif not self.taken:
            yield self.ordered_at + ANSWER_WITHIN_S
        if self.slot == "asked":
            yield self.slot_at + GUARD_WAIT_S
        if self.slot in {"refused", "silent"}:
            yield self.slot_at + GUARD_AGAIN_S
        if self.announce_after and self.condition in {Condition.UP, Condition.IMPAIRED}:
            yield self.announce_after

    @property
    def is_settled(self) -> bool:
        """Whether the router holds nothing better than the checks want."""
        if self.target is None or self.held is None or not self.taken:
            return False
        wanted = self.target.stance
        if wanted is not Stance.WITHDRAWN and self.slot == "asked":
            return False
        if self.condition is Condition.UNKNOWN and (self.found or wanted is not Stance.WITHDRAWN):
            return False
        return not is_worse(wanted, self.held)


def is_worse(new: Stance, old: Stance) -> bool:
    """Whether fewer clients come by the new stance than by the old."""
    return _ORDER.index(new) < _ORDER.index(old)


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides for one prefix after the other, at one moment."""

    policy: Policy
    checks: Mapping[str, CheckState]
    is_stopping: bool
    now: float
    commands: list[Command]
    """What follows from the decisions is added here."""

    def desired(self, p: PrefixState, target: Wanted) -> Wanted:
        """Say how the prefix should stand now; `target` itself: as before."""
        if self.is_stopping:
            reason = "the agent is told to end" if p.drain is None else p.drain.reason
            return self._leaving(p, target, reason, self.policy.drain_hold)
        if p.drain is not None:
            hold = self.policy.drain_hold if p.drain.hold is None else p.drain.hold
            if hold == inf:
                return self._last_resort(p, target, p.drain.reason)
            return self._leaving(p, target, p.drain.reason, hold)
        p.withdraw_at = None
        return self._by_health(p, target)

    def settle_slot(self, p: PrefixState) -> None:
        """Give a slot back when the prefix is announced again, or was never withdrawn."""
        needed = p.target is not None and (
            p.target.stance is Stance.WITHDRAWN
            or p.condition is Condition.DOWN
            or (p.withdraw_at is not None and p.slot != "none")
        )
        if p.slot == "none" or needed or not p.confirmed:
            return
        if p.slot == "granted":
            self.commands.append(ReleaseGuard(p.prefix))
        p.slot = "none"

    def damp(self, p: PrefixState) -> None:
        """Count a failure, and say when it may be announced again."""
        most, damping = self.policy.damping_most, self.policy.damping
        is_calm = p.worse_at is None or self.now - p.since > 10 * damping
        p.strikes, p.worse_at = (0 if is_calm else p.strikes + 1), self.now
        p.announce_after = self.now + max(min(damping * 2 ** min(p.strikes, 8), most), damping)

    # The branches.

    def _by_health(self, p: PrefixState, target: Wanted) -> Wanted:
        why = culprit(p.rule, self.checks)
        if p.condition is Condition.DOWN:
            return self._withdrawn(p, target, why)
        if p.condition is Condition.UNKNOWN or self._is_damped(p, target):
            return self._unchanged(p, target)
        if p.condition is Condition.UP:
            return Wanted(Stance.ANNOUNCED, 0, "all that is required is healthy")
        return self._drained(f"an input that all sites share fails: {why}")

    def _leaving(self, p: PrefixState, target: Wanted, reason: str, hold: float) -> Wanted:
        """First drained, and after the hold withdrawn; what is withdrawn already stays so."""
        if target.stance is not Stance.WITHDRAWN and p.condition is not Condition.DOWN:
            if p.withdraw_at is None:
                p.withdraw_at = self.now + hold
            if self.now < p.withdraw_at:
                return self._drained(reason)
        return self._withdrawn(p, target, reason)

    def _last_resort(self, p: PrefixState, target: Wanted, reason: str) -> Wanted:
        """Drained for as long as it takes, for clients who have no other site."""
        if p.condition is Condition.DOWN:
            return self._withdrawn(p, target, culprit(p.rule, self.checks))
        is_gone = target.stance is Stance.WITHDRAWN
        if is_gone and (p.condition is Condition.UNKNOWN or self._is_damped(p, target)):
            return self._unchanged(p, target)
        return self._drained(reason)

    def _is_damped(self, p: PrefixState, target: Wanted) -> bool:
        return target.stance is not Stance.ANNOUNCED and self.now < p.announce_after

    def _unchanged(self, p: PrefixState, target: Wanted) -> Wanted:
        """As before, unless it is withdrawn on a slot that is lost."""
        return self._withdrawn(p, target, target.reason) if p.slot_lost else target

    def _drained(self, reason: str) -> Wanted:
        return Wanted(Stance.DRAINED, self.policy.drain_prepend, reason)

    def _withdrawn(self, p: PrefixState, target: Wanted, reason: str) -> Wanted:
        gone = Wanted(Stance.WITHDRAWN, 0, reason)
        if not self.policy.guarded or p.slot == "granted":
            return gone
        if p.slot == "none" or (p.slot != "asked" and self.now >= p.slot_at + GUARD_AGAIN_S):
            p.slot, p.slot_at = ("asked" if p.slot == "none" else p.slot), self.now
            self.commands.append(AskGuard(p.prefix, reason))
        if target.stance is not Stance.WITHDRAWN:
            return target if p.slot == "asked" else self._drained(f"no slot to withdraw: {reason}")
        if p.slot_lost and p.slot == "refused":
            return self._drained(f"its slot was lost and there is no other: {reason}")
        return gone  # as it stands already, or as it was found
