"""What an Internet looks like from afar: counts, tiers, degrees, countries; and one AS from near."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.checks import components
from ridgeline.topology.distinct import distinct
from ridgeline.topology.graph import AsGraph
from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, Internet


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A distribution in five numbers."""

    mean: float
    median: float
    p90: float
    p99: float
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryShare:
    """What one country has of an Internet."""

    country: str
    """ISO 3166-1 alpha-2; empty for ASes that are nowhere."""
    n_as: int
    """ASes with a PoP there: one with PoPs in two countries counts in both."""
    n_pop: int
    users: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """An Internet in numbers."""

    n_as: int
    n_pop: int
    n_session: int
    """eBGP sessions between PoPs; two ASes may share several."""
    n_provider_customer: int
    """AS pairs of which one sells to the other."""
    n_peer_peer: int
    n_tier1: int
    """ASes that sell and buy from nobody."""
    n_transit: int
    """ASes that sell and buy."""
    n_stub: int
    """ASes that sell to nobody."""
    degree: Spread
    providers: Spread
    customers: Spread
    peers: Spread
    n_placed: int
    """ASes with at least one PoP somewhere."""
    users: float
    countries: tuple[CountryShare, ...]
    """Most users first, then most ASes."""
    part_sizes: tuple[int, ...]
    """ASes in each connected part, largest first; one entry when all hangs together."""
    part_examples: tuple[int, ...]
    """Up to five AS numbers outside the largest part."""
    n_levels: int
    """Longest chain of customer, its provider, that one's provider, ..., in ASes."""
    loops: tuple[int, ...]
    """AS numbers that are, through others, their own providers (or stand between two such rings)."""


def summarise(internet: Internet, graph: AsGraph) -> Summary:
    """Describe an Internet."""
    n_providers, n_customers, n_peers = (
        np.diff(ptr) for ptr in (graph.provider_ptr, graph.customer_ptr, graph.peer_ptr)
    )
    sells, buys = n_customers > 0, n_providers > 0
    parts = components(internet)
    level = levels(graph)
    return Summary(
        n_as=internet.n_as,
        n_pop=internet.n_pop,
        n_session=internet.n_link,
        n_provider_customer=graph.provider_idx.size,
        n_peer_peer=graph.peer_idx.size // 2,
        n_tier1=int(np.sum(sells & ~buys)),
        n_transit=int(np.sum(sells & buys)),
        n_stub=int(np.sum(~sells)),
        degree=_spread(n_providers + n_customers + n_peers),
        providers=_spread(n_providers),
        customers=_spread(n_customers),
        peers=_spread(n_peers),
        n_placed=int(np.unique(internet.pop_as[~np.isnan(internet.pop_lat)]).size),
        users=float(internet.pop_users.sum()),
        countries=_countries(internet),
        part_sizes=tuple(parts.size.tolist()),
        part_examples=tuple(internet.asn[parts.label > 0][:5].tolist()),
        n_levels=int(level.max()) + 1,
        loops=tuple(internet.asn[_loops(graph)].tolist()),
    )


def levels(graph: AsGraph) -> NDArray[np.int32]:
    """Return how long a chain of customers hangs below each AS (int32, shape (n,)).

    0 for an AS without customers. Where the chain has no end, because an AS in it is through others
    its own provider, -1.
    """
    return _peel(graph.customer_ptr, graph.provider_ptr, graph.provider_idx)


def _loops(graph: AsGraph) -> NDArray[np.int64]:
    """Return the indices of the ASes that are neither above all loops nor below them."""
    down = _peel(graph.provider_ptr, graph.customer_ptr, graph.customer_idx)
    return np.flatnonzero((levels(graph) < 0) & (down < 0))


def _peel(
    below: NDArray[np.int32], ptr: NDArray[np.int32], idx: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Take away who has nobody below, again and again; return each AS's turn, -1 for the rest."""
    turn_of = np.full(ptr.size - 1, -1, np.int32)
    n_below = np.diff(below)
    ready, turn = np.flatnonzero(n_below == 0), 0
    while ready.size:
        turn_of[ready] = turn
        above = _row_entries(ptr, idx, ready)
        np.subtract.at(n_below, above, 1)
        ready = distinct(above.astype(np.int64))
        ready = ready[n_below[ready] == 0]
        turn += 1
    return turn_of


def cone(graph: AsGraph, as_index: int) -> NDArray[np.int64]:
    """Return the customer cone of an AS: itself, its customers, theirs, and so on (AS indices)."""
    inside = np.zeros(graph.n, np.bool_)
    new = np.array([as_index])
    while new.size:
        inside[new] = True
        customers = np.unique(_row_entries(graph.customer_ptr, graph.customer_idx, new))
        new = customers[~inside[customers]]
    return np.flatnonzero(inside)


def _row_entries(
    ptr: NDArray[np.int32], idx: NDArray[np.int32], rows: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Concatenate some rows of a compressed matrix."""
    size = (ptr[rows + 1] - ptr[rows]).astype(np.int64)
    start = np.repeat(ptr[rows] - (np.cumsum(size) - size), size)
    return idx[start + np.arange(start.size)]


def _spread(values: NDArray[np.int32]) -> Spread:
    median, p90, p99 = np.percentile(values, [50, 90, 99])
    return Spread(
        mean=float(values.mean()),
        median=float(median),
        p90=float(p90),
        p99=float(p99),
        max=int(values.max()),
    )


def _countries(internet: Internet) -> tuple[CountryShare, ...]:
    country, code = np.unique(np.array(internet.pop_country), return_inverse=True)
    n_pop = np.bincount(code)
    users = np.bincount(code, internet.pop_users)
    as_and_country = np.unique(internet.pop_as.astype(np.int64) * country.size + code)
    n_as = np.bincount(as_and_country % country.size)
    return tuple(
        CountryShare(
            country=str(country[i]), n_as=int(n_as[i]), n_pop=int(n_pop[i]), users=float(users[i])
        )
        for i in np.lexsort((country, -n_as, -users))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PopProfile:
    """One PoP of an AS."""

    code: str
    city: str
    country: str
    lat: float | None
    lon: float | None
    users: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another AS that an AS has sessions with."""

    asn: int
    name: str
    at: tuple[str, ...]
    """Where: city codes of the own PoPs, without repeats; empty where nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One AS from near."""

    asn: int
    name: str
    pops: tuple[PopProfile, ...]
    providers: tuple[Neighbour, ...]
    customers: tuple[Neighbour, ...]
    peers: tuple[Neighbour, ...]
    n_cone: int
    """ASes in the customer cone, itself included."""


def profile(internet: Internet, graph: AsGraph, as_index: int) -> Profile:
    """Describe one AS, given by its index."""
    own = internet.pops_of(as_index)
    at: dict[tuple[int, str], set[str]] = {}
    for near, far, kind in (
        (internet.link_a, internet.link_b, "provider"),
        (internet.link_b, internet.link_a, "customer"),
    ):
        for i in np.flatnonzero((near >= own.start) & (near < own.stop)).tolist():
            is_purchase = internet.link_rel[i] == CUSTOMER_TO_PROVIDER
            neighbour = int(internet.pop_as[far[i]]), kind if is_purchase else "peer"
            at.setdefault(neighbour, set()).add(internet.pop_code[near[i]])

    def neighbours(kind: str) -> tuple[Neighbour, ...]:
        found = sorted((i, codes) for (i, of), codes in at.items() if of == kind)
        return tuple(
            Neighbour(
                asn=int(internet.asn[i]),
                name=internet.as_name[i],
                at=tuple(sorted(codes - {""})),
            )
            for i, codes in found
        )

    return Profile(
        asn=int(internet.asn[as_index]),
        name=internet.as_name[as_index],
        pops=_pops(internet, own),
        providers=neighbours("provider"),
        customers=neighbours("customer"),
        peers=neighbours("peer"),
        n_cone=cone(graph, as_index).size,
    )


def _pops(internet: Internet, pops: Sequence[int]) -> tuple[PopProfile, ...]:
    return tuple(
        PopProfile(
            code=internet.pop_code[i],
            city=internet.pop_city[i],
            country=internet.pop_country[i],
            lat=None if np.isnan(internet.pop_lat[i]) else float(internet.pop_lat[i]),
            lon=None if np.isnan(internet.pop_lon[i]) else float(internet.pop_lon[i]),
            users=float(internet.pop_users[i]),
        )
        for i in pops
    )
