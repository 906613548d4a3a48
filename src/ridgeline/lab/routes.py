"""What every router of a lab chose, read from its BIRD: next hop, AS path, and so the site."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ridgeline.lab.plan import LabPlan, LinkKind, NodeKind
from ridgeline.lab.sessions import ibgp_name


@dataclass(frozen=True, slots=True, kw_only=True)
class BestRoute:
    """A router's best route for one prefix."""

    protocol: str
    """BIRD's name of the session from which it came."""
    as_path: tuple[int, ...]
    local_pref: int | None


def parse_best_route(lines: Iterable[str]) -> BestRoute | None:
    """Read the answer to ``show route primary all PREFIX``; None without a route."""
    protocol = ""
    as_path: tuple[int, ...] = ()
    local_pref: int | None = None
    for line in lines:
        words = line.split()
        if "[" in line and not protocol:
            protocol = line.split("[", 1)[1].split()[0].rstrip("]")
        elif words[:1] == ["BGP.as_path:"]:
            as_path = tuple(int(word) for word in words[1:] if word.isdigit())
        elif words[:1] == ["BGP.local_pref:"]:
            local_pref = int(words[1])
    return (
        BestRoute(protocol=protocol, as_path=as_path, local_pref=local_pref) if protocol else None
    )


def describe_routes(
    plan: LabPlan, routes: Mapping[str, BestRoute | None]
) -> dict[str, dict[str, Any] | None]:
    """Say of each router where its packets go next and at which site they end."""
    following = {name: _next_router(plan, name, route) for name, route in routes.items() if route}
    return {
        name: None
        if route is None
        else {
            "next": following[name],
            "site": _site(plan, name, following),
            "as_path": list(route.as_path),
            "local_pref": route.local_pref,
        }
        for name, route in routes.items()
    }


def _next_router(plan: LabPlan, name: str, route: BestRoute) -> str | None:
    """Name the router that a session leads to; None where the route begins."""
    if route.protocol.startswith("ibgp_"):
        for link, _, there in plan.links_of(name):
            if link.kind is LinkKind.INTERIOR and route.protocol == ibgp_name(there.node):
                return there.node
    for link, here, there in plan.links_of(name):
        if link.kind is LinkKind.LAN and route.protocol in {"to_server", "to_edge"}:
            return there.node
        if route.protocol.endswith(f"_{here.interface}"):
            return there.node
    return None


def _site(plan: LabPlan, name: str, following: Mapping[str, str | None]) -> str | None:
    """Follow the next hops to a site's router; None if they lead nowhere, or in a circle."""
    seen = set()
    here: str | None = name
    while here is not None and here not in seen:
        seen.add(here)
        node = plan.node(here)
        if node.kind in {NodeKind.EDGE, NodeKind.SERVER}:
            return node.site
        here = following.get(here)
    return None
