"""`builtin:world`: a generated Internet of any size, in real cities.

ASes are made in order of importance: first a clique of tier-1s, then transits, then stubs. Each has
a home city, buys from more important ASes (near ones mostly), and may peer at the exchanges of the
cities where it is. The shapes of the distributions are fitted to CAIDA's graph of 2025-09; how well
they fit is shown in docs/explanation/builtin-world.md.

Everything random comes from the generator passed in, and from its `random` method alone, whose
stream numpy keeps from version to version: equal seeds give equal Internets.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.assemble import assemble
from ridgeline.topology.cities import cities
from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, PEER_TO_PEER, Internet
from ridgeline.topology.world_links import peer_targets, peerings, purchases
from ridgeline.topology.world_places import Map, chart, homes, presence, user_weights

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

FIRST_ASN: Final = 4_200_000_000  # private use (RFC 6996)
MIN_SIZE: Final = 4
MAX_SIZE: Final = 500_000
GENERATOR_VERSION: Final = 1  # rises when equal seeds begin to give other Internets
_TRANSIT_SHARE: Final = 0.22  # of the ASes; some of them find no customer


def world(size: int, rng: np.random.Generator, *, name: str = "builtin:world") -> Internet:
    """Generate an Internet.

    Parameters
    ----------
    size : int
        Number of ASes, `MIN_SIZE` to `MAX_SIZE`.
    rng : numpy.random.Generator
        Where chance comes from.

    Raises
    ------
    ValueError
        The size is out of range.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"{size} ASes: want {MIN_SIZE} to {MAX_SIZE}")
    n_tier1 = max(3, round(4 * float(np.log10(size)) - 4))
    n_transit = max(n_tier1 + 1, round(_TRANSIT_SHARE * size))
    earth = chart(cities())

    home = homes(size, earth, rng)
    bought = purchases(home, n_tier1=n_tier1, n_transit=n_transit, rng=rng)
    target = peer_targets(size, n_tier1=n_tier1, n_transit=n_transit, rng=rng)
    users = user_weights(home, earth, n_transit=n_transit, rng=rng)
    wide = _reach(size, n_tier1, n_transit, target)
    pop_as, pop_city = presence(home, earth, wide=wide, users=users, peers=target > 0, rng=rng)
    peers = peerings(target, pop_as, pop_city, earth.hub, n_tier1=n_tier1, bought=bought, rng=rng)
    pop_users = _spread_users(users, home.country, pop_as, pop_city, earth)

    # Importance must not show in the AS number, which breaks ties.
    number = np.argsort(np.argsort(rng.random(size), kind="stable"), kind="stable")
    order = np.argsort(number[pop_as], kind="stable")
    pops = number[pop_as][order], pop_city[order], pop_users[order]
    a = number[np.concatenate([bought[0], peers[0]])].astype(np.int32)
    b = number[np.concatenate([bought[1], peers[1]])].astype(np.int32)
    rel = np.repeat([CUSTOMER_TO_PROVIDER, PEER_TO_PEER], [bought[0].size, peers[0].size])
    asn = (FIRST_ASN + 1 + np.arange(size)).astype(np.uint32)
    return assemble(name, asn, pops, (a, b, rel.astype(np.int8)), earth.cities)


def _reach(size: int, n_tier1: int, n_transit: int, target: NDArray[np.float64]) -> FloatArray:
    """How many hubs abroad each AS goes to: the important ones, and those with many peers."""
    rank = np.arange(size)
    most = min(30.0, max(3.0, 6 * float(np.log10(size)) - 5))
    steps = ((n_transit / size, 0.0), (0.06, 1.5), (0.02, 4.0), (0.004, 12.0))
    wide = np.zeros(size)
    for share, hubs in steps:
        wide[rank < share * size] = hubs
    wide[:n_tier1] = most
    wish = np.where(
        target < 20, 1.0, np.maximum(target / (0.00125 * size), 1.0)
    )  # per cent of the most
    return np.minimum(np.maximum(wide, 10.0 * np.log10(wish)), most)


def _spread_users(
    users: FloatArray, country: IntArray, pop_as: IntArray, pop_city: IntArray, earth: Map
) -> FloatArray:
    """Divide the users of each AS among its PoPs at home, by people."""
    at_home = earth.country[pop_city] == country[pop_as]
    people = np.where(at_home, earth.people[pop_city], 0.0)
    total = np.bincount(pop_as, people, users.size)
    return np.round(people / total[pop_as] * users[pop_as])
