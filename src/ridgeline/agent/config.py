"""What the agent of one site does: from the spec, and `agent.yaml` beside it for the rest.

Everything has a default, so the file may be absent. It is read as the spec is: with all problems at
once, each with its line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ridgeline.agent.checks.plan import PlannedCheck
from ridgeline.agent.core import Policy
from ridgeline.agent.health import Part, Rule, all_of
from ridgeline.agent.router import RouterSettings
from ridgeline.errors import InputError
from ridgeline.spec.model import Address, Prefix, SiteState, Spec

FILE_NAME: Final = "agent.yaml"
CONTROL: Final = "/run/ridgeline/agent.sock"
STATE: Final = "/var/lib/ridgeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadManSettings:
    """What makes the route go when the agent is gone."""

    kind: str = "none"
    """``none``, ``bfd`` or ``lease``."""
    lease: float = 5.0
    """Lifetime of the leased addresses in seconds; refreshed every fifth of it."""
    addresses: tuple[str, ...] = ()
    """lease: the marker addresses, on the loopback; bfd: ``LOCAL,PEER`` pairs."""
    interface: str = "lo"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """The store that keeps the budget of withdrawals (etcd)."""

    endpoints: tuple[str, ...]
    budget: int
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Everything that the agent of one site needs to know."""

    site: str
    network: str
    prefixes: tuple[Prefix, ...]
    checks: tuple[PlannedCheck, ...]
    rules: Mapping[Prefix, Part]
    policy: Policy
    router: RouterSettings
    state: str = STATE
    """Directory of the state file."""
    control: str = CONTROL
    metrics: str = ""
    """Path of a unix socket, or ``HOST:PORT`` on the loopback; empty: none."""
    on_stop: str = "leave"
    """``leave`` or ``drain``."""
    dead_man: DeadManSettings = DeadManSettings()
    fleet: FleetSettings | None = None
    spec_drained: bool = False
    """The spec itself says ``state: drained``."""
    unchecked: tuple[str, ...] = ()
    """Services of which nothing but the presence of their addresses is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """The checks of one service, and how many of them must hold."""

    name: str
    addresses: tuple[Address, ...]
    checks: tuple[PlannedCheck, ...]
    least: int | None = None
    """None: all."""


def prefix_rules(
    prefixes: tuple[Prefix, ...],
    services: tuple[ServicePlan, ...],
    least: Mapping[Prefix, int | None],
) -> dict[Prefix, Part]:
    """Say for each prefix what must hold for it to be announced.

    A service counts for every prefix that holds one of its addresses, with the checks of those
    addresses and with those that look at no address.
    """
    rules: dict[Prefix, Part] = {}
    for prefix in prefixes:
        parts: list[Part] = []
        for service in services:
            if not any(address in prefix for address in service.addresses):
                continue
            names = [c.name for c in service.checks if c.address is None or c.address in prefix]
            if names:
                needed = len(names) if service.least is None else min(service.least, len(names))
                parts.append(Rule(tuple(names), needed))
        wanted = least.get(prefix)
        rules[prefix] = all_of(*parts) if wanted is None else Rule(tuple(parts), wanted)
    return rules


def site_prefixes(spec: Spec, site: str) -> tuple[Prefix, ...]:
    """List the prefixes that a site announces, in file order.

    Raises
    ------
    InputError
        The spec has no such site, or only plans it.
    """
    try:
        found = spec.site(site)
    except KeyError:
        known = ", ".join(s.name for s in spec.sites)
        raise InputError(f"{spec.file}: there is no site {site!r}; its sites are {known}") from None
    if found.state is SiteState.PLANNED:
        raise InputError(
            f"{spec.file}:{found.line}: site {site} is planned, not announced; "
            "say `state: active` to run its agent"
        )
    announced = {p for upstream in found.upstreams for p in upstream.prefixes}
    return tuple(p for p in spec.prefixes if p in announced)
