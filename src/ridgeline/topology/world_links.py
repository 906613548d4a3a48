"""Who buys from whom and who peers, in a generated Internet."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.distinct import distinct
from ridgeline.topology.world_places import Homes, draw

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

# Number of providers, from one up, measured on CAIDA's graph of 2025-09.
_STUB_PROVIDERS: Final = (0.467, 0.362, 0.107, 0.036, 0.0135, 0.0065, 0.0032, 0.0048)
_TRANSIT_PROVIDERS: Final = (
    0.216, 0.300, 0.200, 0.120, 0.0634, 0.0372, 0.0211, 0.0122, 0.0087, 0.0064, 0.0150,
)  # fmt: skip
_MANY_POWER: Final = 0.6
_MOST_PROVIDERS: Final = 60
# Whether a provider is sought in the own country, the continent or the world.
_STUB_SCOPE: Final = (0.60, 0.15, 0.25)
_TRANSIT_SCOPE: Final = (0.40, 0.20, 0.40)
# A transit's pull falls with its rank: (rank + shift) ** -power.
_SHIFT: Final = 3.0
_POWER: Final = 1.05
_GLOBAL_SHARE: Final = 0.03  # of the ASes: these sell everywhere
# Peers of those who peer at all: (part of them with more, how many), at the size of CAIDA's graph.
_STUB_PEERS: Final = (
    (1.0, 1.0),
    (0.735, 1.3),
    (0.368, 11),
    (0.0735, 61),
    (0.00735, 390),
    (1e-4, 3858),
)
_TRANSIT_PEERS: Final = (
    (1.0, 1.0), (0.862, 2), (0.431, 21), (0.172, 85), (0.086, 175), (0.0172, 918), (0.0017, 3179), (1e-4, 9700),
)  # fmt: skip
_STUBS_THAT_PEER: Final = 0.11
_TRANSITS_THAT_PEER: Final = 0.55
_CAIDA_SIZE: Final = 78_643
_TRIES: Final = 4
_GIANT: Final = 0.006  # who wants more than this part of all ASes as peers picks them itself
_FAVOUR: Final = 0.8  # how far a giant favours those who want many peers; 0 is not at all
_REPEATS: Final = 1.0  # draws for each pair wanted among the others; some come twice


def purchases(
    home: Homes, *, n_tier1: int, n_transit: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Choose providers, always more important ones, so that nobody buys from himself.

    Returns
    -------
    customer, provider : int64 array
        Ranks, each pair once.
    """
    n = home.city.size
    pull: FloatArray = (np.arange(n_transit, dtype=np.float64) + _SHIFT) ** -_POWER
    n_global = min(n_transit, max(n_tier1, round(_GLOBAL_SHARE * n)))
    wanted = _how_many(n, n_tier1, n_transit, rng)
    picks = np.full((n, int(wanted.max())), -1)
    for turn in range(picks.shape[1]):
        who = np.flatnonzero(wanted > turn)
        for _ in range(_TRIES):
            found = _seek(who, home, pull, n_global=n_global, n_transit=n_transit, rng=rng)
            again = np.any(picks[who] == found[:, None], axis=1)
            picks[who[~again], turn] = found[~again]
            who = who[again]
    customer, column = np.nonzero(picks >= 0)
    return customer, picks[customer, column]


def _how_many(n: int, n_tier1: int, n_transit: int, rng: np.random.Generator) -> IntArray:
    stub = draw(np.array(_STUB_PROVIDERS), rng.random(n)) + 1
    transit = draw(np.array(_TRANSIT_PROVIDERS), rng.random(n)) + 1
    # The last entry stands for itself and more: a Pareto tail.
    many = len(_TRANSIT_PROVIDERS) * (1 - rng.random(n)) ** -_MANY_POWER
    transit = np.where(transit < len(_TRANSIT_PROVIDERS), transit, many.astype(np.int64))
    transit = np.minimum(transit, _MOST_PROVIDERS)
    rank = np.arange(n, dtype=np.int64)
    wanted = np.where(rank < n_transit, transit, stub)
    return np.where(rank < n_tier1, 0, np.minimum(wanted, np.minimum(rank, n_transit)))


def _seek(
    who: IntArray,
    home: Homes,
    pull: FloatArray,
    *,
    n_global: int,
    n_transit: int,
    rng: np.random.Generator,
) -> IntArray:
    """Draw a provider for each of these ASes."""
    limit = np.minimum(who, n_transit)  # only who is more important sells to an AS
    chance, where = rng.random(who.size), rng.random(who.size)
    scope = np.array([_STUB_SCOPE, _TRANSIT_SCOPE])[(who < n_transit).astype(np.int64)]
    local, near = where < scope[:, 0], where < scope[:, 0] + scope[:, 1]
    found = _prefix_draw(np.arange(n_global), pull, limit, chance)
    for region, wanted in ((home.continent, near & ~local), (home.country, local)):
        for part in np.unique(region[who[wanted]]).tolist():
            mine = np.flatnonzero(wanted & (region[who] == part))
            pool = np.flatnonzero(region[:n_transit] == part)
            drawn = _prefix_draw(pool, pull[pool], limit[mine], chance[mine])
            found[mine] = np.where(drawn >= 0, drawn, found[mine])
    return found


def _prefix_draw(
    pool: IntArray, weight: FloatArray, limit: IntArray, chance: FloatArray
) -> IntArray:
    """Draw from the members of a rising pool that are below each limit; -1 where none is."""
    total = np.concatenate([[0.0], np.cumsum(weight[: pool.size])])
    end = np.searchsorted(pool, limit)
    at = np.searchsorted(total, chance * total[end], side="right") - 1
    return np.where(end > 0, pool[np.minimum(at, np.maximum(end - 1, 0))] if pool.size else -1, -1)


def peer_targets(n: int, *, n_tier1: int, n_transit: int, rng: np.random.Generator) -> FloatArray:
    """Choose how many peers each AS shall have, about; most have none."""
    rank = np.arange(n)
    chance, height = rng.random(n), 1 - rng.random(n)
    transit, stub = _from_tail(_TRANSIT_PEERS, height), _from_tail(_STUB_PEERS, height)
    target = np.where(rank < n_transit, transit, stub)
    peers = chance < np.where(rank < n_transit, _TRANSITS_THAT_PEER, _STUBS_THAT_PEER)
    # A smaller Internet has fewer to peer with, and its largest cannot peer with everyone.
    target = 1 + (target - 1) * min(1.0, (n / _CAIDA_SIZE) ** 0.5)
    target = np.minimum(target, 0.125 * n)
    return np.where(peers & (rank >= n_tier1), target, 0.0)


def _from_tail(tail: tuple[tuple[float, float], ...], height: FloatArray) -> FloatArray:
    share, value = np.log(np.array(tail)[::-1]).T
    value_at: FloatArray = np.exp(np.interp(np.log(height), share, value))
    return value_at


def peerings(
    target: FloatArray,
    as_index: IntArray,
    city: IntArray,
    hub: FloatArray,
    *,
    n_tier1: int,
    bought: tuple[IntArray, IntArray],
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray]:
    """Choose who peers, at the hubs where both are; tier-1s with each other in any case.

    Parameters
    ----------
    target : float64 array, shape (n,)
        About how many peers each AS shall have.
    as_index, city : int64 array
        Where everyone is.
    hub : float64 array, shape (n_cities,)
        Size of each city as a meeting place.
    bought : pair of int64 arrays
        Customers and providers: who trades does not peer.

    Returns
    -------
    left, right : int64 array
        Ranks, the lower one first, each pair once.
    """
    n = target.size
    share = hub[city] * (target[as_index] > 0)
    here = np.flatnonzero(share)
    as_index, city, share = as_index[here], city[here], share[here]
    giant_pairs = _giant_pairs(target, as_index, city, rng)
    met = np.bincount(np.concatenate([giant_pairs // n, giant_pairs % n]), minlength=n)
    rest = np.where(target < _GIANT * n, np.maximum(target - met, 0.0), 0.0)
    mass = share / np.bincount(as_index, share, n)[as_index] * rest[as_index]
    pairs = np.concatenate([giant_pairs, _chance_pairs(as_index, city, mass, n, rng)])
    clique = np.triu_indices(n_tier1, 1)
    mesh = clique[0].astype(np.int64) * n + clique[1]
    trade = np.sort(np.minimum(*bought) * n + np.maximum(*bought))
    pairs = distinct(pairs)
    pairs = pairs[trade[np.minimum(np.searchsorted(trade, pairs), trade.size - 1)] != pairs]
    pairs = distinct(np.concatenate([pairs, mesh]))
    return pairs // n, pairs % n


def _giant_pairs(
    target: FloatArray, as_index: IntArray, city: IntArray, rng: np.random.Generator
) -> IntArray:
    """Let each giant pick its peers among those in its cities; pairs as low * n + high.

    Giants peer with almost anyone, so that most small networks have some of them as peers: two ends
    drawn by mass alone would leave the giants too few.
    """
    n = target.size
    found = [np.empty(0, np.int64)]
    for giant in np.flatnonzero(target >= _GIANT * n).tolist():
        mine = np.zeros(int(city.max()) + 1, np.bool_)
        mine[city[as_index == giant]] = True
        others = distinct(as_index[mine[city]])
        others = others[others != giant]
        favour = target[others] ** _FAVOUR
        # Nobody is picked with a chance above one, which leaves more for the others.
        scale = target[giant] / max(favour.sum(), 1e-9)
        for _ in range(8):
            expected = np.minimum(1.0, scale * favour).sum()
            scale *= min(target[giant], others.size) / max(expected, 1e-9)
        picked = others[rng.random(others.size) < scale * favour]
        found.append(np.minimum(picked, giant) * n + np.maximum(picked, giant))
    return distinct(np.concatenate(found))


def _chance_pairs(
    as_index: IntArray, city: IntArray, mass: FloatArray, n: int, rng: np.random.Generator
) -> IntArray:
    """Draw pairs in each city, both ends by mass, half as many as the city's mass; as low * n + high."""
    found = []
    for part in np.unique(city[mass > 0]).tolist():
        here = np.flatnonzero((city == part) & (mass > 0))
        n_pairs = round(mass[here].sum() / 2 * _REPEATS)
        left, right = (as_index[here[draw(mass[here], rng.random(n_pairs))]] for _ in range(2))
        low, high = np.minimum(left, right), np.maximum(left, right)
        found.append((low * n + high)[low != high])
    return np.concatenate([np.empty(0, np.int64), *found])
