"""What a fault is: a story of one site, for every router it concerns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from .judge import WITHIN_S
from .routers import Router
from .site import Site


class Group(Enum):
    """The parts of the page."""

    AGENT = "The agent dies"
    ROUTER = "The router dies"
    OPERATOR = "The operator errs"
    MACHINE = "The machine fails"
    STORE = "The fleet's store fails"
    SERVICE = "The service and its checks misbehave"


def nothing() -> str:
    return ""


def nobody(_: type[Router]) -> str:
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row of the page for each router."""

    title: str
    run: Callable[[Site], None]
    group: Group
    prepare: Callable[[Site], None] = Site.heal
    """What brings the site to where the story begins: healthy and announced."""
    ends_agent: bool = False
    """The agent's end is part of the story; else it must run through it."""
    lacks: Callable[[], str] = nothing
    """What this machine lacks for it; empty: nothing."""
    relies_on: Callable[[type[Router]], str] = nobody
    """Whom a cell relies on, beside the agent."""
    within_s: float = WITHIN_S
    """How long something may be wrong."""
    not_for: Mapping[str, str] = field(default_factory=dict)
    """Routers that it cannot concern, with the reason."""

    @property
    def name(self) -> str:
        return self.run.__name__
