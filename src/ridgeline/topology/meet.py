"""Where two neighbouring ASes meet: from AS-level links and PoPs to sessions between PoPs.

Two ASes meet in every city where both are, up to a few; where they share none, in one session
between their nearest PoPs. Half a million links are placed at once.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.cities import unit_vectors

MAX_SESSIONS: Final = 8
_CHUNK: Final = 2_000_000  # PoP pairs looked at together

IntArray = NDArray[np.int32]


def sessions(
    pop_ptr: IntArray,
    pop_city: IntArray,
    pop_lat: NDArray[np.float64],
    pop_lon: NDArray[np.float64],
    a: IntArray,
    b: IntArray,
) -> tuple[IntArray, IntArray, NDArray[np.int64]]:
    """Place AS-level links.

    Parameters
    ----------
    pop_ptr : int32 array, shape (n_as + 1,)
        The PoPs of AS i are ``pop_ptr[i]:pop_ptr[i + 1]``, the most important first.
    pop_city : int32 array, shape (n_pop,)
        A number for the city; each city once in an AS; negative for a PoP that is nowhere.
    pop_lat, pop_lon : float64 array, shape (n_pop,)
        Degrees; NaN nowhere.
    a, b : int32 array, shape (n_link,)
        AS indices of the links' ends.

    Returns
    -------
    pop_a, pop_b : int32 array, shape (n_session,)
        PoPs of the sessions' ends, ordered by link.
    link : int64 array, shape (n_session,)
        The link of each session.
    """
    n_pops = np.diff(pop_ptr)
    swap = n_pops[a] > n_pops[b]
    few, many = np.where(swap, b, a), np.where(swap, a, b)
    link, pop_few, pop_many = _shared_cities(pop_ptr, pop_city, few, many)
    is_apart = np.ones(a.size, np.bool_)
    is_apart[link] = False
    apart = np.flatnonzero(is_apart)
    near_few, near_many = _nearest(pop_ptr, pop_lat, pop_lon, few[apart], many[apart])

    link = np.concatenate([link, apart])
    pop_few = np.concatenate([pop_few, near_few])
    pop_many = np.concatenate([pop_many, near_many])
    order = np.argsort(link, kind="stable")
    link, pop_few, pop_many = link[order], pop_few[order], pop_many[order]
    swapped = swap[link]
    return (
        np.where(swapped, pop_many, pop_few).astype(np.int32),
        np.where(swapped, pop_few, pop_many).astype(np.int32),
        link,
    )


def _shared_cities(
    pop_ptr: IntArray, pop_city: IntArray, few: IntArray, many: IntArray
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (link, PoP, PoP) wherever both ends are in one city, at most `MAX_SESSIONS` a link."""
    n_city = int(pop_city.max(initial=0)) + 1
    owner = np.repeat(np.arange(pop_ptr.size - 1), np.diff(pop_ptr))
    somewhere = np.flatnonzero(pop_city >= 0)
    key = owner[somewhere].astype(np.int64) * n_city + pop_city[somewhere]
    order = np.argsort(key)
    key, keyed_pop = key[order], somewhere[order]

    link, pop = _expand(pop_ptr, few)
    wanted = many[link].astype(np.int64) * n_city + pop_city[pop]
    at = np.minimum(np.searchsorted(key, wanted), max(0, key.size - 1))
    met = (pop_city[pop] >= 0) & (key[at] == wanted if key.size else False)
    link, pop, other = link[met], pop[met], keyed_pop[at[met]] if key.size else pop[met]
    # `link` rises, so the place of an entry in its link is its distance from the link's first.
    first = np.searchsorted(link, link)
    keep = np.arange(link.size) - first < MAX_SESSIONS
    return link[keep], pop[keep], other[keep]


def _nearest(
    pop_ptr: IntArray,
    pop_lat: NDArray[np.float64],
    pop_lon: NDArray[np.float64],
    few: IntArray,
    many: IntArray,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each link's nearest pair of PoPs; the first ones where a place is unknown."""
    points = unit_vectors(pop_lat, pop_lon)
    n_pops = np.diff(pop_ptr).astype(np.int64)
    pairs = np.cumsum(n_pops[few] * n_pops[many])
    best_few, best_many = np.zeros(few.size, np.int64), np.zeros(few.size, np.int64)
    start = 0
    while start < few.size:
        done = pairs[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(pairs, done + _CHUNK, side="right")))
        row, pop = _expand(pop_ptr, few[start:stop])
        inner, other = _expand(pop_ptr, many[start:stop][row])
        row, pop = row[inner], pop[inner]
        cosine = np.einsum("ij,ij->i", points[pop], points[other])
        cosine[np.isnan(cosine)] = -2
        head = np.searchsorted(row, np.arange(stop - start))
        top = np.maximum.reduceat(cosine, head)
        candidate = np.flatnonzero(cosine == top[row])
        chosen = candidate[np.searchsorted(row[candidate], np.arange(stop - start))]
        best_few[start:stop], best_many[start:stop] = pop[chosen], other[chosen]
        start = stop
    return best_few, best_many


def _expand(ptr: IntArray, rows: IntArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (position in `rows`, entry) for every entry of these rows of a compressed matrix."""
    size = (ptr[rows + 1] - ptr[rows]).astype(np.int64)
    position = np.repeat(np.arange(rows.size), size)
    before = np.cumsum(size) - size
    return position, np.arange(position.size) + np.repeat(ptr[rows] - before, size)
