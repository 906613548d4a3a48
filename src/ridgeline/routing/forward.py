"""Where packets go: from every PoP, hop by hop, to a site, and how long that takes."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.net.place import (
    ACCESS_RTT_MS,
    FIBRE_KM_PER_MS,
    PATH_STRETCH,
)
from ridgeline.routing.announce import Announcements
from ridgeline.routing.distance import distances_km
from ridgeline.routing.learned import Learned
from ridgeline.routing.policy import Policy, policy
from ridgeline.routing.possible import Possible, possible
from ridgeline.routing.routers import IntArray, Routers, check, routers
from ridgeline.routing.settle import settle
from ridgeline.routing.sweep import NOBODY, Choices, has_one_bit, sweep
from ridgeline.topology.internet import Internet

NO_SITE: Final = -1
LIKELY_SHARE: Final = 0.5  # more than this part of the equally good routes lead to one site


class CertaintyCode(IntEnum):
    """How sure a router's site is, as stored in arrays (see `catchment.model.Certainty`)."""

    UNREACHED = 0
    CERTAIN = 1
    LIKELY = 2
    POSSIBLE = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forwarding:
    """The way of every PoP to a site; arrays of shape (n_pop,) unless told otherwise.

    Attributes
    ----------
    site : int32 array
        Index of the site that the PoP's packets reach; `NO_SITE` where the prefix is not heard.
    next_hop : int32 array
        The next PoP, of the same or another AS, or ``n_pop + site`` at the last; -1: none.
    length : int32 array
        AS path length of the route, prepends counted; 0 where not heard.
    learned : int8 array
        `Learned` value of the route.
    rtt_ms : float64 array
        Round trip over that way, access line included; NaN where a place is unknown.
    certainty : int8 array
        `CertaintyCode` value.
    agreement : float32 array
        Lower bound on the part of tie-breaks that lead to the same site.
    possible : uint64 array, shape (n_words, n_pop)
        Bit ``s % 64`` of word ``s // 64``: some tie-break leads to site s.
    sure : bool array
        Some site is reached, however ties are broken. An unreached PoP whose ties could have fallen
        otherwise has possible sites.
    stable : bool
        False where policies cannot all be satisfied and routing would never settle.
    """

    announcements: Announcements
    net: Routers
    rules: Policy
    session: IntArray
    site: IntArray
    next_hop: IntArray
    length: IntArray
    learned: NDArray[np.int8]
    rtt_ms: NDArray[np.float64]
    certainty: NDArray[np.int8]
    agreement: NDArray[np.float32]
    possible: NDArray[np.uint64]
    sure: NDArray[np.bool_]
    stable: bool

    def possible_sites(self, pop: int) -> tuple[int, ...]:
        """Sites that some tie-break leads this PoP to, rising."""
        words = self.possible[:, pop]
        n = self.announcements.n_sites
        return tuple(s for s in range(n) if int(words[s // 64]) >> (s % 64) & 1)

    def pop_path(self, pop: int) -> tuple[int, ...]:
        """PoPs that a packet passes, this one first; empty where the prefix is not heard."""
        path: list[int] = []
        while 0 <= pop < self.net.n and self.session[pop] != NOBODY:
            path.append(pop)
            pop = int(self.next_hop[pop])
        return tuple(path)

    def as_path(self, pop: int) -> tuple[int, ...]:
        """AS path of the PoP's route as BGP carries it: next AS first, origin last, prepends in.

        The PoP's own AS is not part of it (RFC 4271, section 5.1.2); empty where not heard.
        """
        return self.as_paths([pop])[0]

    def as_paths(self, pops: Iterable[int]) -> tuple[tuple[int, ...], ...]:
        """AS paths of many PoPs."""
        known: dict[int, tuple[int, ...]] = {}
        next_hop, session, n = self.next_hop.tolist(), self.session.tolist(), self.net.n
        pop_as, asn = self.net.pop_as.tolist(), self.net.asn.tolist()
        paths = []
        for pop in pops:
            here = int(pop)
            way = []
            while here not in known:
                way.append(here)
                if session[here] == NOBODY or next_hop[here] >= n:
                    path = (
                        () if session[here] == NOBODY else self.announcements.as_path[session[here]]
                    )
                    known[here] = path
                else:
                    here = next_hop[here]
            for here in reversed(way):
                there = next_hop[here]
                if session[here] != NOBODY and there < n:
                    a = pop_as[there]
                    inside = a == pop_as[here]
                    known[here] = (
                        known[there]
                        if inside
                        else (
                            *(asn[a],) * self._copies(there, a, pop_as[here], session[here]),
                            *known[there],
                        )
                    )
            paths.append(known[int(pop)])
        return tuple(paths)

    def _copies(self, router: int, a: int, b: int, session: int) -> int:
        """How often AS a stands in the path that its router tells AS b."""
        orders = self.rules.towards.get((a, b))
        if orders is None or self.learned[router] != Learned.CUSTOMER:
            return 1
        return 1 + int(orders[session])


def forward(internet: Internet, announcements: Announcements) -> Forwarding:
    """Work out every PoP's site, path and round-trip time."""
    net = routers(internet)
    return forward_routers(net, announcements)


def forward_routers(net: Routers, announcements: Announcements) -> Forwarding:
    """`forward` for routers made before."""
    check(net, announcements)
    rules = policy(net.asn, announcements)
    stable = True
    if rules.lowered:
        best, stable = settle(net, announcements, rules)
    else:
        best = sweep(net, announcements, rules)
    heard = best.session != NOBODY
    plain = Possible(best.sites, heard)
    options = plain if rules.is_plain else possible(net, announcements, rules)
    site = np.full(net.n, NO_SITE, np.int32)
    site[heard] = announcements.site[best.session[heard]]
    return Forwarding(
        announcements=announcements,
        net=net,
        rules=rules,
        session=best.session,
        site=site,
        next_hop=best.next_hop,
        length=best.length,
        learned=best.learned,
        rtt_ms=round_trips(net, announcements, best),
        certainty=_certainty(best, options),
        agreement=best.agreement,
        possible=options.sites,
        sure=options.sure,
        stable=stable,
    )


def _certainty(best: Choices, options: Possible) -> NDArray[np.int8]:
    one = has_one_bit(options.sites)
    codes = np.where(best.agreement > LIKELY_SHARE, CertaintyCode.LIKELY, CertaintyCode.POSSIBLE)
    codes[one & options.sure] = CertaintyCode.CERTAIN
    codes[best.session == NOBODY] = CertaintyCode.UNREACHED
    return codes.astype(np.int8)


def round_trips(net: Routers, said: Announcements, best: Choices) -> NDArray[np.float64]:
    """Round-trip time of every router's way: great circles between its stations, and the access line.

    A station that is nowhere is passed over; from a router that is nowhere nothing is known.
    """
    n = net.n
    next_hop = np.concatenate([best.next_hop, np.arange(n, n + said.n_sites, dtype=np.int32)])
    next_hop[:n][best.session == NOBODY] = np.flatnonzero(best.session == NOBODY)
    lat = np.concatenate([net.lat, said.site_lat])
    lon = np.concatenate([net.lon, said.site_lon])
    # A way that passes nowhere goes on from the next station that is somewhere.
    after = next_hop.copy()
    while True:
        lost = np.isnan(lat[after]) & (after != next_hop[after])
        if not lost.any():
            break
        after[lost] = next_hop[after[lost]]
    km = distances_km(lat, lon, lat[after], lon[after])
    km[n:] = np.where(np.isnan(said.site_lat), np.nan, 0.0)
    # Each round doubles how far ahead every router has looked.
    while np.any(after != after[after]):
        km += km[after]
        after = after[after]
    rtt = ACCESS_RTT_MS + 2 * PATH_STRETCH / FIBRE_KM_PER_MS * km[:n]
    rtt[best.session == NOBODY] = np.nan
    return rtt
