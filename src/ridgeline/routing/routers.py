"""An Internet as its routers see it: every PoP's neighbours by role, and IGP costs inside each AS."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ridgeline.routing.announce import Announcements
from ridgeline.routing.distance import distances_km
from ridgeline.topology.graph import AsGraph, as_graph, sorted_rows
from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, PEER_TO_PEER, Internet

IntArray = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Compressed sparse rows: row u is ``idx[ptr[u]:ptr[u + 1]]``, rising, without repeats."""

    ptr: IntArray
    idx: IntArray

    def row(self, u: int) -> list[int]:
        """Return one row."""
        return [int(v) for v in self.idx[self.ptr[u] : self.ptr[u + 1]]]

    def expand(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return (row, entry) of every entry of these rows, in order."""
        number, entries = self.expand_numbered(rows)
        return rows[number], entries

    def expand_numbered(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return (position in `rows`, entry) of every entry of these rows, in order."""
        start = self.ptr[rows]
        size = self.ptr[rows + 1] - start
        before = np.cumsum(size) - size
        where = np.repeat(start - before, size) + np.arange(int(size.sum()), dtype=np.int32)
        return np.repeat(np.arange(rows.size, dtype=np.int32), size), self.idx[where]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routers:
    """One router for each PoP.

    Attributes
    ----------
    asn : uint32 array, shape (n_as,)
        AS numbers.
    pop_as : int32 array, shape (n,)
        AS index of each router.
    first : int32 array, shape (n_as + 1,)
        The routers of AS a are ``first[a]:first[a + 1]``.
    providers, peers, customers : Rows
        eBGP neighbours of each router, by what they are to it.
    igp_ptr : int64 array, shape (n_as + 1,)
        Where the cost matrix of an AS starts in `igp`; an AS with one router has none.
    igp : int32 array
        Cost matrices, row by row: kilometres, at least 1 between two routers.
    lat, lon : float64 array, shape (n,)
        Degrees; NaN for a router that is nowhere.
    """

    asn: NDArray[np.uint32]
    pop_as: IntArray
    first: IntArray
    providers: Rows
    peers: Rows
    customers: Rows
    igp_ptr: NDArray[np.int64]
    igp: IntArray
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Number of routers."""
        return self.pop_as.size

    @property
    def n_as(self) -> int:
        """Number of ASes."""
        return self.asn.size

    def siblings(self, router: int) -> range:
        """All routers of the AS that this one belongs to, itself included."""
        a = self.pop_as[router]
        return range(int(self.first[a]), int(self.first[a + 1]))

    def igp_cost(self, here: IntArray, there: IntArray) -> IntArray:
        """IGP costs between routers of the same AS, pair by pair; 0 to itself."""
        a = self.pop_as[here]
        first = self.first[a]
        size = self.first[a + 1] - first
        alone = size < 2
        where = self.igp_ptr[a] + (here - first).astype(np.int64) * size + (there - first)
        if not self.igp.size:
            return np.zeros(here.size, np.int32)
        return np.where(alone, 0, self.igp[np.where(alone, 0, where)]).astype(np.int32)


@lru_cache(maxsize=4)
def routers(internet: Internet) -> Routers:
    """Make a router of every PoP (the last few Internets are remembered)."""
    if internet.n_pop == internet.n_as:  # the graph has the same rows, and may be known already
        return replace(
            routers_of_graph(as_graph(internet)), lat=internet.pop_lat, lon=internet.pop_lon
        )
    a, b = internet.link_a, internet.link_b
    buys, peer = internet.link_rel == CUSTOMER_TO_PROVIDER, internet.link_rel == PEER_TO_PEER
    n = internet.n_pop
    first = internet.pop_ptr()
    igp_ptr, igp = _igp(first, internet.pop_lat, internet.pop_lon)
    return Routers(
        asn=internet.asn,
        pop_as=internet.pop_as,
        first=first,
        providers=_rows(n, a[buys], b[buys]),
        customers=_rows(n, b[buys], a[buys]),
        peers=_rows(n, np.concatenate([a[peer], b[peer]]), np.concatenate([b[peer], a[peer]])),
        igp_ptr=igp_ptr,
        igp=igp,
        lat=internet.pop_lat,
        lon=internet.pop_lon,
    )


@lru_cache(maxsize=4)
def routers_of_graph(graph: AsGraph) -> Routers:
    """Make one router, nowhere, of every AS."""
    n = graph.n
    nowhere = np.full(n, np.nan)
    return Routers(
        asn=graph.asn,
        pop_as=np.arange(n, dtype=np.int32),
        first=np.arange(n + 1, dtype=np.int32),
        providers=Rows(ptr=graph.provider_ptr, idx=graph.provider_idx),
        customers=Rows(ptr=graph.customer_ptr, idx=graph.customer_idx),
        peers=Rows(ptr=graph.peer_ptr, idx=graph.peer_idx),
        igp_ptr=np.zeros(n + 1, np.int64),
        igp=np.zeros(0, np.int32),
        lat=nowhere,
        lon=nowhere,
    )


def check(net: Routers, said: Announcements) -> None:
    """Refuse announcements that were made for another Internet, or by hand and wrongly.

    Raises
    ------
    ValueError
        An index is out of range or arrays differ in length.
    """
    n = said.n_sessions
    columns = (said.pop, said.as_index, said.learned, said.as_path, said.communities)
    if any(len(column) != n for column in columns):
        raise ValueError("the columns of the announcements differ in length")
    if n and (said.pop.min() < 0 or said.pop.max() >= net.n):
        raise ValueError(f"a session points outside the {net.n} PoPs")
    if n and not np.array_equal(net.pop_as[said.pop], said.as_index):
        raise ValueError("a session's AS is not the AS of its PoP")
    if not all(said.as_path):
        raise ValueError("a session announces an empty AS path")


def _rows(n: int, row: IntArray, column: IntArray) -> Rows:
    ptr, idx = sorted_rows(n, row, column)
    return Rows(ptr=ptr, idx=idx)


def _igp(
    first: IntArray, lat: NDArray[np.float64], lon: NDArray[np.float64]
) -> tuple[NDArray[np.int64], IntArray]:
    """Cost matrices of all ASes, those of one size at a time."""
    size = np.diff(first).astype(np.int64)
    cells = np.where(size > 1, size * size, 0)
    ptr = np.concatenate([[0], np.cumsum(cells)])
    igp = np.zeros(int(ptr[-1]), np.int32)
    for k in np.unique(size[size > 1]):
        ases = np.flatnonzero(size == k)
        pops = first[ases][:, None] + np.arange(k)
        cost = _mesh(lat[pops], lon[pops])
        igp[ptr[ases][:, None] + np.arange(k * k)] = cost.reshape(ases.size, k * k)
    return ptr, igp


def _mesh(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.int32]:
    """Shortest paths over full meshes of rounded great circles; places of shape (m, k).

    Rounding can make two short links cheaper than the direct one by a kilometre, and an IGP sees it.
    """
    km = distances_km(lat[:, :, None], lon[:, :, None], lat[:, None, :], lon[:, None, :])
    cost: IntArray = np.maximum(1, np.rint(np.nan_to_num(km))).astype(np.int32)
    k = lat.shape[1]
    cost[:, np.arange(k), np.arange(k)] = 0
    for via in range(k):
        np.minimum(cost, cost[:, :, via, None] + cost[:, None, via, :], out=cost)
    return cost
