"""The decision process as on a whiteboard: every router hears its neighbours and takes the best.

Routers act one after another, whoever has news first, until nobody has any. `forward` and
`propagate` must equal this; it is slow and means to be read.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from ridgeline.net.community import GRACEFUL_SHUTDOWN, NO_ADVERTISE, NO_EXPORT
from ridgeline.routing.announce import Announcements
from ridgeline.routing.learned import LOCAL_PREF, Learned
from ridgeline.routing.routers import Routers

NO_EXPORT_SUBCONFED: Final = (65535, 65283)
PATIENCE: Final = 50  # activations per router until we say that routing never settles


class Route(NamedTuple):
    """A route as one router holds it.

    The order of the fields is the order of the decision (RFC 4271, section 9.1.2.2; origin and
    MED are equal everywhere), lowest first.
    """

    minus_local_pref: int
    length: int
    internal: bool
    """Heard over iBGP."""
    igp_cost: int
    next_hop: int
    """The neighbour, a router or ``n + site`` for a site: router ids rise with this number."""
    session: int
    learned: Learned
    as_path: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """Every router's best route, None where the prefix is not heard."""

    best: tuple[Route | None, ...]
    stable: bool
    """False when routers kept changing their minds (policies that cannot all be satisfied)."""


def settle_reference(net: Routers, announcements: Announcements) -> Settled:
    """Let routers decide until nobody changes."""
    best: list[Route | None] = [None] * net.n
    waiting = deque(dict.fromkeys(int(p) for p in announcements.pop))
    queued = set(waiting)
    for _ in range(PATIENCE * max(1, net.n)):
        if not waiting:
            return Settled(tuple(best), stable=True)
        here = waiting.popleft()
        queued.remove(here)
        route = min(_heard(net, announcements, best, here), default=None)
        if route != best[here]:
            best[here] = route
            news = dict.fromkeys(v for v in _neighbours(net, here) if v not in queued)
            waiting.extend(news)
            queued.update(news)
    return Settled(tuple(best), stable=False)


def _neighbours(net: Routers, here: int) -> Iterator[int]:
    for rows in (net.providers, net.peers, net.customers):
        yield from rows.row(here)
    yield from (there for there in net.siblings(here) if there != here)


def _heard(
    net: Routers, said: Announcements, best: list[Route | None], here: int
) -> Iterator[Route]:
    """Everything that a router hears and accepts."""
    for i in range(said.n_sessions):
        if int(said.pop[i]) == here:
            yield from _import(net, said, here, Learned(int(said.learned[i])), i, said.as_path[i],
                               next_hop=net.n + int(said.site[i]))  # fmt: skip
    for learned, rows, we_are in (
        (Learned.CUSTOMER, net.customers, Learned.PROVIDER),
        (Learned.PEER, net.peers, Learned.PEER),
        (Learned.PROVIDER, net.providers, Learned.CUSTOMER),
    ):
        for there in rows.row(here):
            route = best[there]
            if route is None:
                continue
            path = _export(net, said, route, there, here, we_are)
            if path is not None:
                yield from _import(net, said, here, learned, route.session, path, next_hop=there)
    for there in net.siblings(here):
        route = best[there]
        if route is None or route.internal or there == here:
            continue  # an iBGP route is not told over iBGP (RFC 4271, section 9.2)
        if NO_ADVERTISE not in said.communities[route.session]:
            cost = _cost(net, here, there)
            yield route._replace(internal=True, igp_cost=cost, next_hop=there)


def _import(
    net: Routers,
    said: Announcements,
    here: int,
    learned: Learned,
    session: int,
    as_path: tuple[int, ...],
    *,
    next_hop: int,
) -> Iterator[Route]:
    asn = int(net.asn[net.pop_as[here]])
    if asn in as_path:
        return  # RFC 4271, section 9.1.2: a loop
    communities = said.communities[session]
    local_pref = LOCAL_PREF[learned]
    if learned is Learned.CUSTOMER:
        for lower in (200, 100, 50):
            if (asn, 10, lower) in communities:
                local_pref = lower
    if GRACEFUL_SHUTDOWN in communities:
        local_pref = 0
    yield Route(-local_pref, len(as_path), False, 0, next_hop, session, learned, as_path)


def _export(
    net: Routers, said: Announcements, route: Route, there: int, here: int, we_are: Learned
) -> tuple[int, ...] | None:
    """AS path as router `there` tells `here` (its provider, peer or customer); None: not told."""
    asn = int(net.asn[net.pop_as[there]])
    towards = int(net.asn[net.pop_as[here]])
    communities = said.communities[route.session]
    if communities & {NO_EXPORT, NO_EXPORT_SUBCONFED, NO_ADVERTISE}:
        return None
    if route.learned is not Learned.CUSTOMER:
        # Valley-free, and a neighbour that does not pay us gives no orders.
        return (asn, *route.as_path) if we_are is Learned.CUSTOMER else None
    if (asn, 0, towards) in communities:
        return None
    extra = next((k for k in (3, 2, 1) if (asn, k, towards) in communities), 0)
    return (asn,) * (1 + extra) + route.as_path


def _cost(net: Routers, here: int, there: int) -> int:
    a = int(net.pop_as[here])
    first, end = int(net.first[a]), int(net.first[a + 1])
    return int(net.igp[int(net.igp_ptr[a]) + (here - first) * (end - first) + there - first])
