"""What the core is told (events), and what it answers (commands): plain values, in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ridgeline.agent.health import Round
from ridgeline.agent.router import Observation, Wanted
from ridgeline.spec.model import Prefix

Level: TypeAlias = Literal["info", "warning", "error"]


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
