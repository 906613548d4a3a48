"""Policy routing on the AS graph: every AS's best route, tie sets, and many what-ifs at once.

Here an AS is one router that is nowhere, so hot potato says nothing and the lowest neighbour AS
number decides (a site comes after all of them). `forward` knows PoPs and places.

Compiled loops do the work where numba is installed and every AS treats all sessions alike; else
numpy does, ten times slower and with the same result.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ridgeline.routing.announce import Announcements
from ridgeline.routing.engines import has_numba
from ridgeline.routing.learned import Learned
from ridgeline.routing.policy import Policy, policy
from ridgeline.routing.possible import Possible, possible
from ridgeline.routing.routers import IntArray, Routers, check, routers_of_graph
from ridgeline.routing.settle import settle
from ridgeline.routing.sweep import NOBODY, Choices, sweep
from ridgeline.topology.graph import AsGraph

NO_SITE: Final = -1
Engine: TypeAlias = Literal["auto", "numba", "numpy"]

_SIDE_BY_SIDE: Final = 16  # scenarios in one pass: a row of keys fills one cache line
_MAX_SITES: Final = 2**16
_MAX_LENGTH: Final = 0x3F00
# What 32-bit keys can hold.
_MAX_RANK_32: Final = 2**17
_MAX_SITES_32: Final = 2**7
_MAX_LENGTH_32: Final = 24  # of an announcement; the graph may add as much again


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routes:
    """The best route of every AS; arrays of shape (n,).

    Attributes
    ----------
    site : int32 array
        Site that the AS's packets reach; `NO_SITE` where the prefix is not heard.
    length : int32 array
        AS path length, prepends counted; 0 where not heard.
    learned : int8 array
        `Learned` value.
    next_hop : int32 array
        AS index of the neighbour, or ``n + site`` next to a site; -1 where not heard.
    """

    site: IntArray
    length: IntArray
    learned: NDArray[np.int8]
    next_hop: IntArray


def propagate(graph: AsGraph, said: Announcements, *, engine: Engine = "auto") -> Routes:
    """Give every AS its best route.

    Raises
    ------
    ValueError
        The announcements do not fit the graph.
    """
    net = routers_of_graph(graph)
    said = _on_ases(said)
    check(net, said)
    rules = policy(graph.asn, said)
    if _compiles(said, rules, engine):
        return _numbered(graph).propagate(said, rules)
    return _routes(said, _decide(net, said, rules))


def tie_sets(graph: AsGraph, said: Announcements, *, engine: Engine = "auto") -> Possible:
    """Find the sites that some way to break ties would lead each AS to."""
    net = routers_of_graph(graph)
    said = _on_ases(said)
    check(net, said)
    rules = policy(graph.asn, said)
    if _compiles(said, rules, engine) and not _numbered(graph).is_circular:
        return _numbered(graph).tie_sets(said, rules)
    return possible(net, said, rules)


class ManyRoutes:
    """Best routes in several scenarios, unpacked when asked for."""

    def __init__(self, found: "dict[int, Routes | _Packed]") -> None:
        self._found = found

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, scenario: int) -> Routes:
        found = self._found[scenario]
        if isinstance(found, Routes):
            return found
        numbered, keys, column = found
        return numbered.unpack_one(keys, column)

    def shares(self, weight: NDArray[np.float64], n_sites: int) -> NDArray[np.float64]:
        """Sum the weight of the ASes by the site that they reach.

        Returns
        -------
        float64 array, shape (scenarios, n_sites + 1)
            By site index; the last column is the weight of those that hear nothing.
        """
        total = np.zeros((len(self), n_sites + 1), np.float64)
        packed: dict[int, tuple[_Packed, list[int]]] = {}
        for scenario, found in self._found.items():
            if isinstance(found, Routes):
                where = np.where(found.site == NO_SITE, n_sites, found.site)
                total[scenario] = np.bincount(where, weight, minlength=n_sites + 1)
            else:
                packed.setdefault(id(found[1]), (found, []))[1].append(scenario)
        for (numbered, keys, _), scenarios in packed.values():
            sums = np.zeros((len(scenarios), n_sites + 1), np.float64)
            numbered.kernels.sum_by_site(keys, numbered.rank, weight, sums)
            total[scenarios] = sums
        return total


def propagate_many(
    graph: AsGraph, scenarios: Sequence[Announcements], *, engine: Engine = "auto"
) -> ManyRoutes:
    """Give every AS its best route in each scenario; they should share most of their sessions.

    Raises
    ------
    ValueError
        Some announcements do not fit the graph.
    """
    found: dict[int, Routes | _Packed] = {}
    net = routers_of_graph(graph)
    together: dict[bytes, list[tuple[int, Announcements, Policy]]] = {}
    for number, scenario in enumerate(scenarios):
        said = _on_ases(scenario)
        check(net, said)
        rules = policy(graph.asn, said)
        if not _compiles(said, rules, engine):
            found[number] = _routes(said, _decide(net, said, rules))
        elif _numbered(graph).is_circular or not _fits_32(said, graph.n):
            found[number] = _numbered(graph).propagate(said, rules)
        else:
            same = bytes(np.array(sorted(rules.refused), np.int32))
            together.setdefault(same, []).append((number, said, rules))
    for group in together.values():
        for at in range(0, len(group), _SIDE_BY_SIDE):
            some = group[at : at + _SIDE_BY_SIDE]
            keys = _numbered(graph).propagate_many([said for _, said, _ in some], some[0][2])
            for column, (number, _, _) in enumerate(some):
                found[number] = (_numbered(graph), keys, column)
    return ManyRoutes(found)


def _on_ases(said: Announcements) -> Announcements:
    """Let the AS itself hear what one of its PoPs hears."""
    return replace(said, pop=said.as_index)


def _compiles(said: Announcements, rules: Policy, engine: Engine) -> bool:
    if engine == "numba" and not has_numba():
        raise ValueError("numba is not installed; leave the engine to be chosen")
    fits = said.n_sites < _MAX_SITES and int(said.length().max(initial=0)) < _MAX_LENGTH
    return engine != "numpy" and rules.is_plain and fits and has_numba()


def _fits_32(said: Announcements, n: int) -> bool:
    return (
        n + said.n_sites <= _MAX_RANK_32
        and said.n_sites <= _MAX_SITES_32
        and int(said.length().max(initial=0)) <= _MAX_LENGTH_32
    )


def _decide(net: Routers, said: Announcements, rules: Policy) -> Choices:
    if rules.lowered:
        return settle(net, said, rules)[0]
    return sweep(net, said, rules, with_ties=False)


def _routes(said: Announcements, best: Choices) -> Routes:
    site = np.full(best.session.size, NO_SITE, np.int32)
    heard = best.session != NOBODY
    site[heard] = said.site[best.session[heard]]
    return Routes(site=site, length=best.length, learned=best.learned, next_hop=best.next_hop)


@lru_cache(maxsize=4)
def _numbered(graph: AsGraph) -> "_Numbered":
    return _Numbered(graph)


class _Numbered:
    """An AS graph numbered for the compiled loops: providers before customers, stubs last.

    Has scratch arrays of its own, so not for two threads at once.
    """

    def __init__(self, graph: AsGraph) -> None:
        from ridgeline.routing import _kernels

        self.kernels: Any = _kernels
        n = graph.n
        order = _kernels.order(graph.customer_ptr, graph.customer_idx, graph.provider_ptr)
        self.is_circular = order.size < n
        if self.is_circular:
            order = np.arange(n, dtype=np.int32)
        is_transit = (np.diff(graph.customer_ptr) > 0)[order]
        stubs = order[~is_transit]
        n_providers = np.diff(graph.provider_ptr)[stubs]
        self.rank: IntArray = np.concatenate(
            [order[is_transit], stubs[np.argsort(n_providers, kind="stable")]]
        )
        self.number = np.empty(n, np.int32)
        self.number[self.rank] = np.arange(n, dtype=np.int32)
        self.providers = self._renumber(graph.provider_ptr, graph.provider_idx)
        self.peers = self._renumber(graph.peer_ptr, graph.peer_idx)
        self.customers = (
            self._renumber(graph.customer_ptr, graph.customer_idx) if self.is_circular else ()
        )
        self._key = np.empty(n, np.uint64)
        self._queue = np.empty(n, np.int32)
        self._told = np.empty(int(is_transit.sum()), np.uint64)

    def propagate(self, said: Announcements, rules: Policy) -> Routes:
        """As the function of that name."""
        self._run(said, rules)
        return self.unpack(self._key)

    def tie_sets(self, said: Announcements, rules: Policy) -> Possible:
        """As the function of that name."""
        at, key, climbers = self._run(said, rules)
        sites = np.empty((self.rank.size, max(1, -(-said.n_sites // 64))), np.uint64)
        self.kernels.tie_sets(
            *self.providers, *self.peers, at, key, self._key, self._queue, climbers, sites
        )
        return Possible(
            np.ascontiguousarray(sites[self.number].T),
            (self._key[self.number] >> np.uint64(48)) & np.uint64(0x3FFF) < np.uint64(0x3FFE),
        )

    def propagate_many(
        self, scenarios: Sequence[Announcements], rules: Policy
    ) -> NDArray[np.uint32]:
        """Run scenarios that refuse the same; keys of shape (n, scenarios), by number."""
        column = np.repeat(np.arange(len(scenarios)), [said.n_sessions for said in scenarios])
        a = _stack(said.as_index for said in scenarios)
        site = _stack(said.site for said in scenarios)
        role = _stack(said.learned for said in scenarios)
        length = _stack(said.length() for said in scenarios)
        # One row of seeds for each session, whichever scenarios it is part of.
        session = (a << 7 | site) << 2 | role
        distinct, row = np.unique(session, return_inverse=True)
        at = self.number[distinct >> 9]
        climbs = (distinct & 3) == Learned.CUSTOMER
        seeds = np.full((distinct.size, len(scenarios)), self.kernels.NONE32, np.uint32)
        rank = self.rank.size + site
        key = (role << 30 | length << 24 | rank << 7 | site).astype(np.uint32)
        np.minimum.at(seeds, (row, column), key)
        refusing = self._refusing(rules)
        marked = np.empty(self.rank.size, np.bool_)
        n_climbing = self.kernels.ancestors(
            *self.providers, at[climbs], refusing, marked, self._queue
        )
        keys = np.empty((self.rank.size, len(scenarios)), np.uint32)
        self.kernels.propagate_many(
            *self.providers,
            *self.peers,
            self.rank,
            at,
            seeds,
            self._queue[:n_climbing],
            refusing,
            keys,
            np.empty((self._told.size, len(scenarios)), np.uint32),
        )
        return keys

    def unpack(self, key: NDArray[np.uint64]) -> Routes:
        """Turn keys, by number, into routes, by AS index."""
        columns = _columns(self.rank.size)
        self.kernels.unpack(key, self.number, *columns)
        return _from_columns(*columns)

    def unpack_one(self, keys: NDArray[np.uint32], column: int) -> Routes:
        """Turn one of many scenarios into routes."""
        columns = _columns(self.rank.size)
        self.kernels.unpack32(keys, column, self.number, *columns)
        return _from_columns(*columns)

    def _run(self, said: Announcements, rules: Policy) -> tuple[IntArray, NDArray[np.uint64], int]:
        """Fill the keys; return the seeds, and how many ASes have a customer route."""
        length = said.length().astype(np.uint64)
        role = said.learned.astype(np.uint64)
        key = role << np.uint64(62) | length << np.uint64(48)
        site = said.site.astype(np.uint64)
        key |= (site + np.uint64(self.rank.size)) << np.uint64(16) | site
        by_key = np.argsort(key, kind="stable")
        at, key = self.number[said.as_index[by_key]], key[by_key]
        n_customer = int(np.sum(role == Learned.CUSTOMER))
        # A seed at a network that refuses it would stay behind: leave it out.
        refusing = self._refusing(rules)
        if refusing.size:
            taken = ~np.isin(at, refusing)
            n_customer = int(np.sum(taken[:n_customer]))
            at, key = at[taken], key[taken]
        seeds = (at, key, n_customer, refusing, self._key, self._queue)
        if self.is_circular:
            n = self.rank.size
            climbers = self.kernels.propagate_circular(
                *self.providers,
                *self.customers,
                *self.peers,
                self.rank,
                *seeds,
                np.empty(2 * n, np.int32),
                np.empty(2**14 + 2, np.int64),
            )
        else:
            climbers = self.kernels.propagate(
                *self.providers, *self.peers, self.rank, *seeds, self._told
            )
        return at, key, int(climbers)

    def _refusing(self, rules: Policy) -> IntArray:
        return self.number[np.array(sorted(rules.refused), np.int32)]

    def _renumber(self, ptr: IntArray, idx: IntArray) -> tuple[IntArray, IntArray]:
        """Rows in the order of the numbers, with the numbers themselves as entries."""
        size = np.diff(ptr)[self.rank]
        new = np.zeros(ptr.size, np.int32)
        np.cumsum(size, out=new[1:])
        where = np.repeat(ptr[self.rank] - new[:-1], size) + np.arange(idx.size, dtype=np.int32)
        return new, self.number[idx[where]]


def _stack(columns: Iterable[NDArray[np.signedinteger[Any]]]) -> NDArray[np.int64]:
    return np.concatenate(list(columns)).astype(np.int64)


_Packed: TypeAlias = tuple[_Numbered, NDArray[np.uint32], int]
_Columns: TypeAlias = tuple[IntArray, IntArray, NDArray[np.int8], IntArray]


def _columns(n: int) -> _Columns:
    return (
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.int8),
        np.empty(n, np.int32),
    )


def _from_columns(
    site: IntArray, length: IntArray, learned: NDArray[np.int8], next_hop: IntArray
) -> Routes:
    return Routes(site=site, length=length, learned=learned, next_hop=next_hop)
