"""Give ASes a place: from the addresses they hold to PoPs in cities, with user weights.

An AS gets a PoP in each city where enough of its addresses are, weighted by their number; an AS of
one country has one PoP in that country's largest city. What an AS holds too little of, or beyond its
most important cities, counts at the nearest of its PoPs. An AS without an address in the tables
stays nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.assemble import assemble
from ridgeline.topology.cities import Cities, unit_vectors
from ridgeline.topology.internet import Internet
from ridgeline.topology.ip_ranges import IpRanges

MAX_POPS: Final = 32  # the most important cities of an AS; igp tables grow with the square
MIN_SHARE: Final = 0.01  # a PoP needs this part of the AS's addresses,
MIN_ADDRESSES: Final = 4096  # or so many


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holdings:
    """How many addresses each AS has in each city; arrays of shape (n,).

    Attributes
    ----------
    asn : int64 array
        AS number; each pair of AS and city once, sorted.
    city : int64 array
        City index.
    weight : float64 array
        Number of addresses; of IPv6 /64 networks where an AS has no IPv4.
    users : float64 array
        Number of IPv4 addresses, the user weight.
    """

    asn: NDArray[np.int64]
    city: NDArray[np.int64]
    weight: NDArray[np.float64]
    users: NDArray[np.float64]


def holdings(asns: Sequence[IpRanges], places: Sequence[IpRanges]) -> Holdings:
    """Join IP-to-ASN with IP-to-place tables; IPv6 counts only for ASes that hold no IPv4."""
    found: dict[bool, list[NDArray[np.float64]]] = {False: [], True: []}
    for asn in asns:
        for place in places:
            if asn.is_ipv6 == place.is_ipv6:
                found[asn.is_ipv6].append(_join(asn, place))
    ipv4, ipv6 = (np.concatenate([np.empty((0, 3)), *found[key]]) for key in (False, True))
    ipv6 = ipv6[~np.isin(ipv6[:, 0], ipv4[:, 0])]
    rows = np.concatenate([ipv4, ipv6])
    users = np.concatenate([ipv4[:, 2], np.zeros(len(ipv6))])
    pair, inverse = np.unique(rows[:, :2].astype(np.int64), axis=0, return_inverse=True)
    return Holdings(
        asn=pair[:, 0],
        city=pair[:, 1],
        weight=np.bincount(inverse, rows[:, 2], len(pair)).astype(np.float64),
        users=np.bincount(inverse, users, len(pair)).astype(np.float64),
    )


def _join(asn: IpRanges, place: IpRanges) -> NDArray[np.float64]:
    """Return (AS number, city, addresses) of every piece of address space that both tables know."""
    one = np.uint64(1)
    cut = np.unique(np.concatenate([asn.start, asn.end + one, place.start, place.end + one]))
    low, size = cut[:-1], np.diff(cut)
    values, known = [], np.ones(low.size, np.bool_)
    for ranges in (asn, place):
        at = np.searchsorted(ranges.start, low, side="right") - 1
        known &= (at >= 0) & (low <= ranges.end[at])
        values.append(ranges.value[at])
    columns = [*values, size]
    return np.stack([column[known].astype(np.float64) for column in columns], axis=1)


def place(internet: Internet, held: Holdings, cities: Cities) -> Internet:
    """Return the same ASes and relationships with PoPs in cities, and sessions where they meet.

    Every AS of `internet` must have one PoP, as `read_as_rel` gives it.
    """
    chosen_as, chosen_city, chosen_users = _chosen(internet, held, cities)
    missing = np.setdiff1d(np.arange(internet.n_as), chosen_as)
    order = np.argsort(np.concatenate([chosen_as, missing]), kind="stable")
    pop_as = np.concatenate([chosen_as, missing])[order]
    city = np.concatenate([chosen_city, np.full(missing.size, -1)])[order]
    users = np.concatenate([chosen_users, np.zeros(missing.size)])[order]

    a, b = internet.pop_as[internet.link_a], internet.pop_as[internet.link_b]
    links = a, b, internet.link_rel
    placed = assemble(internet.name, internet.asn, (pop_as, city, users), links, cities)
    return replace(placed, as_name=internet.as_name)


def _chosen(
    internet: Internet, held: Holdings, cities: Cities
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (AS index, city, users) of the PoPs, by AS, the most important first."""
    here = np.isin(held.asn, internet.asn)
    as_index = np.searchsorted(internet.asn, held.asn[here].astype(np.uint32))
    city, weight, users = held.city[here], held.weight[here], held.users[here]
    order = np.lexsort((city, -weight, as_index))
    as_index, city, weight, users = as_index[order], city[order], weight[order], users[order]
    first = np.searchsorted(as_index, as_index)
    rank = np.arange(as_index.size) - first
    share = weight / np.bincount(as_index, weight, internet.n_as)[as_index]
    kept = (rank < MAX_POPS) & (
        (rank == 0) | (share >= MIN_SHARE) | ((weight >= MIN_ADDRESSES) & (users > 0))
    )
    # Users in other cities are served from the AS's nearest PoP.
    points = unit_vectors(cities.lat, cities.lon)
    last = np.searchsorted(as_index, as_index, side="right")
    for i in np.flatnonzero(~kept & (users > 0)).tolist():
        own = np.arange(first[i], last[i])[kept[first[i] : last[i]]]
        nearest = own[np.argmax(points[city[own]] @ points[city[i]])]
        users[nearest] += users[i]
    return as_index[kept], city[kept], users[kept]
