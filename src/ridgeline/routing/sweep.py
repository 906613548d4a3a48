"""Routing for all routers at once, shortest paths first, with numpy alone.

Gao-Rexford preferences make the order known in advance: customer routes climb from provider to
provider, peer routes take one step across, provider routes descend; within each, paths grow one AS
at a time. So an AS that hears something at a length has its best class and length for good, all its
routers settle at once, and no router is ever asked twice. Routes of drained sites (local
preference 0 everywhere) come last, and there only length counts.

Lowered local preferences break that order; `settle` takes those.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.routing.announce import Announcements
from ridgeline.routing.learned import Learned
from ridgeline.routing.policy import DO_NOT_ANNOUNCE, Policy
from ridgeline.routing.routers import IntArray, Routers, Rows

BoolArray = NDArray[np.bool_]

NOBODY: Final = -1
_LAST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """The best route of every router; arrays of shape (n,).

    Attributes
    ----------
    session : int32 array
        Session that the route began with; `NOBODY` where the prefix is not heard.
    next_hop : int32 array
        Neighbouring router, or ``n + site`` for a site's; `NOBODY` where not heard.
    length : int32 array
        AS path length, prepends counted; 0 where not heard.
    learned : int8 array
        `Learned` value.
    agreement : float32 array
        Part of the equally good routes, each tie weighed evenly, that surely lead to the same site.
    sites : uint64 array, shape (n_words, n)
        Sites behind all equally good routes: bit ``s % 64`` of word ``s // 64``. Right only where
        every AS treats all sessions alike; else ask `possible`.
    """

    session: IntArray
    next_hop: IntArray
    length: IntArray
    learned: NDArray[np.int8]
    agreement: NDArray[np.float32]
    sites: NDArray[np.uint64]

    @classmethod
    def none(cls, n: int, n_sites: int) -> "Choices":
        """Return what holds before anything is heard."""
        return cls(
            np.full(n, NOBODY, np.int32),
            np.full(n, NOBODY, np.int32),
            np.zeros(n, np.int32),
            np.zeros(n, np.int8),
            np.zeros(n, np.float32),
            np.zeros((max(1, -(-n_sites // 64)), n), np.uint64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """Routes on their way, all of one length: arrays of shape (m,)."""

    to: IntArray
    by: IntArray
    """Who tells: a router, or ``n + site``; router ids rise with this number."""
    session: IntArray
    learned: NDArray[np.int8]

    def only(self, keep: NDArray[np.bool_]) -> "Offers":
        """Return some of them."""
        if keep.all():
            return self
        which = np.flatnonzero(keep)
        return Offers(self.to[which], self.by[which], self.session[which], self.learned[which])


def join(offers: list[Offers]) -> Offers:
    """Put offers one after another."""
    if len(offers) == 1:
        return offers[0]
    return Offers(
        np.concatenate([o.to for o in offers]),
        np.concatenate([o.by for o in offers]),
        np.concatenate([o.session for o in offers]),
        np.concatenate([o.learned for o in offers]),
    )


def has_one_bit(words: NDArray[np.uint64]) -> BoolArray:
    """Whether exactly one bit is set in each column; words of shape (n_words, m)."""
    some = words != 0
    one: BoolArray = np.sum(some, axis=0) == 1
    for word, has in zip(words, some, strict=True):
        one &= (word & (word - has)) == 0
    return one


def sweep(net: Routers, said: Announcements, rules: Policy, *, with_ties: bool = True) -> Choices:
    """Give every router its best route; no AS may lower a local preference (`rules.lowered`).

    Without ties, `agreement` and `sites` of the answer say nothing.
    """
    run = _Sweep(net, said, rules, with_ties=with_ties)
    run.layer(~rules.drained, flat=False)
    if np.any(rules.drained):
        run.layer(rules.drained, flat=True)
    return run.best


class _Sweep:
    """The state of one run: what is settled so far."""

    def __init__(
        self, net: Routers, said: Announcements, rules: Policy, *, with_ties: bool
    ) -> None:
        self.net, self.said, self.rules, self.with_ties = net, said, rules, with_ties
        self.best = Choices.none(net.n, said.n_sites)
        self._lowest = np.full(net.n, _LAST, np.int32)  # scratch, always left as it is here
        self._ties = np.zeros(net.n, np.float64)
        self._agree = np.zeros(net.n, np.float64)
        self._torn = np.zeros(net.n, np.bool_)
        self._has_siblings = np.diff(net.first) > 1
        self._members = Rows(ptr=net.first, idx=np.arange(net.n, dtype=np.int32))

    def layer(self, sessions: BoolArray, *, flat: bool) -> None:
        """Spread these sessions' routes; flat: with local preference 0 everywhere."""
        up = (Learned.CUSTOMER, self.net.providers)
        across = (Learned.PEER, self.net.peers)
        down = (Learned.PROVIDER, self.net.customers)
        if flat:
            self._phase(self._seeds(sessions), {}, [up, across, down])
            return
        role = self.said.learned
        climbed = self._phase(self._seeds(sessions & (role == Learned.CUSTOMER)), {}, [up])
        peers = self._seeds(sessions & (role == Learned.PEER))
        crossed = self._phase(peers, climbed, [across], onwards=False)
        heard = {
            length: np.concatenate(
                [found[length] for found in (climbed, crossed) if length in found]
            )
            for length in climbed.keys() | crossed.keys()
        }
        self._phase(self._seeds(sessions & (role == Learned.PROVIDER)), heard, [down])

    def _seeds(self, sessions: BoolArray) -> dict[int, list[Offers]]:
        """Tell what the sites themselves tell, by AS path length."""
        said, length = self.said, self.said.length()
        allowed = sessions.copy()
        for a, refused in self.rules.refused.items():
            allowed &= ~((said.as_index == a) & refused)
        seeds: dict[int, list[Offers]] = {}
        for arrival in np.unique(length[allowed]):
            which = np.flatnonzero(allowed & (length == arrival)).astype(np.int32)
            seeds[int(arrival)] = [
                Offers(
                    said.pop[which],
                    self.net.n + said.site[which],
                    which,
                    said.learned[which],
                )
            ]
        return seeds

    def _phase(
        self,
        arriving: dict[int, list[Offers]],
        tellers: Mapping[int, IntArray],
        ways: list[tuple[Learned, Rows]],
        *,
        onwards: bool = True,
    ) -> dict[int, IntArray]:
        """Settle what arrives, by rising length; let who settles tell its neighbours that way.

        `tellers` settled earlier, by length, and start telling now. Returns who settles here.
        """
        tellers = dict(tellers)
        settled: dict[int, IntArray] = {}
        while arriving or tellers:
            length = min(*arriving, *tellers, _LAST, _LAST)
            telling = [tellers.pop(length)] if length in tellers else []
            if length in arriving:
                settled[length] = self._settle(join(arriving.pop(length)), length)
                if onwards:
                    telling.append(settled[length])
            for told in telling:
                for extra, offers in self._tell(told, ways):
                    arriving.setdefault(length + 1 + extra, []).append(offers)
        return settled

    def _tell(
        self, tellers: IntArray, ways: list[tuple[Learned, Rows]]
    ) -> Iterator[tuple[int, Offers]]:
        """Tell what these routers tell, with the extra prepends that it carries."""
        best = self.best
        if np.any(self.rules.kept):
            tellers = tellers[~self.rules.kept[best.session[tellers]]]
        for learned, rows in ways:
            allowed = tellers
            if learned is not Learned.PROVIDER:
                allowed = tellers[best.learned[tellers] == Learned.CUSTOMER]
            teller, to = rows.expand_numbered(allowed)
            wanted = np.flatnonzero(best.session[to] == NOBODY)
            by, to = allowed[teller[wanted]], to[wanted]
            yield from self._obey(
                Offers(to, by, best.session[by], np.full(to.size, learned, np.int8))
            )

    def _obey(self, offers: Offers) -> Iterator[tuple[int, Offers]]:
        """Carry out what communities and loops demand of routes on their way."""
        if not offers.to.size:
            return
        if not (self.rules.refused or self.rules.towards):
            yield 0, offers
            return
        to_as, by_as = self.net.pop_as[offers.to], self.net.pop_as[offers.by]
        extra = np.zeros(offers.to.size, np.int8)
        for a, refused in self.rules.refused.items():
            extra[(to_as == a) & refused[offers.session]] = DO_NOT_ANNOUNCE
        for (a, x), orders in self.rules.towards.items():
            here = (by_as == a) & (to_as == x)
            here &= self.best.learned[offers.by] == Learned.CUSTOMER
            here &= extra != DO_NOT_ANNOUNCE
            extra[here] = orders[offers.session[here]]
        if not np.any(extra):
            yield 0, offers
            return
        for prepends in np.unique(extra[extra != DO_NOT_ANNOUNCE]):
            yield int(prepends), offers.only(extra == prepends)

    def _settle(self, offers: Offers, length: int) -> IntArray:
        """Decide at every router that still can; return those that have a route now."""
        net, best = self.net, self.best
        offers = offers.only(best.session[offers.to] == NOBODY)
        if not offers.to.size:
            return offers.to
        # Lowest neighbour router id (RFC 4271, section 9.1.2.2 f).
        np.minimum.at(self._lowest, offers.to, offers.by)
        chosen = offers.only(offers.by == self._lowest[offers.to])
        self._lowest[offers.to] = _LAST
        best.session[chosen.to] = chosen.session
        best.next_hop[chosen.to] = chosen.by
        best.learned[chosen.to] = chosen.learned
        best.length[chosen.to] = length
        if self.with_ties:
            self._weigh_ties(offers, chosen.to)
        # Who may not speak of its route (NO_ADVERTISE) keeps it for itself.
        speakers = np.sort(chosen.to[~self.rules.silent[chosen.session]])
        speakers = speakers[self._has_siblings[net.pop_as[speakers]]]
        return np.concatenate([chosen.to, self._follow(speakers)]) if speakers.size else chosen.to

    def _weigh_ties(self, offers: Offers, settled: IntArray) -> None:
        """Gather the sites behind equally good routes, and how many of these lead to the chosen one."""
        best, site = self.best, self.said.site
        direct = np.flatnonzero(offers.by >= self.net.n)
        told = site[offers.session]
        for word, sites in enumerate(best.sites):
            bits = (
                sites[np.where(offers.by < self.net.n, offers.by, 0)]
                if direct.size
                else sites[offers.by]
            )
            here = direct[told[direct] // 64 == word]
            bits[direct] = 0
            bits[here] = np.uint64(1) << (told[here] % 64).astype(np.uint64)
            np.bitwise_or.at(sites, offers.to, bits)
        best.agreement[settled] = 1.0
        torn = ~has_one_bit(best.sites[:, settled])
        if not torn.any():
            return
        self._torn[settled[torn]] = True
        some = self._torn[offers.to]
        offers, told = offers.only(some), told[some]
        sure = np.ones(offers.to.size)
        from_router = offers.by < self.net.n
        sure[from_router] = best.agreement[offers.by[from_router]]
        sure[told != site[best.session[offers.to]]] = 0
        np.add.at(self._ties, offers.to, 1.0)
        np.add.at(self._agree, offers.to, sure)
        settled = settled[torn]
        best.agreement[settled] = self._agree[settled] / self._ties[settled]
        self._ties[settled] = self._agree[settled] = 0
        self._torn[settled] = False

    def _follow(self, speakers: IntArray) -> IntArray:
        """Send the other routers of these ASes to the nearest speaker of their own (hot potato)."""
        net, best, site = self.net, self.best, self.said.site
        speaker_as = net.pop_as[speakers]
        _, members = self._members.expand(np.unique(speaker_as))
        others: IntArray = members[best.session[members] == NOBODY]
        if not others.size:
            return others
        low = np.searchsorted(speaker_as, net.pop_as[others], side="left")
        size = np.searchsorted(speaker_as, net.pop_as[others], side="right") - low
        start = np.cumsum(size) - size
        here = np.repeat(others, size)
        there = speakers[np.repeat(low - start, size) + np.arange(here.size)]
        cost = net.igp_cost(here, there)
        # Lowest cost, then lowest router id: both in one number.
        least = np.minimum.reduceat((cost.astype(np.int64) << 32) | there, start)
        chosen = (least & 0xFFFFFFFF).astype(np.int32)
        if self.with_ties:
            tied = cost == np.repeat(least >> 32, size)
            same = site[best.session[there]] == np.repeat(site[best.session[chosen]], size)
            agree = np.add.reduceat(np.where(tied & same, best.agreement[there], 0), start)
            best.agreement[others] = agree / np.add.reduceat(tied, start, dtype=np.int64)
            for sites in best.sites:
                sites[others] = np.bitwise_or.reduceat(np.where(tied, sites[there], 0), start)
        best.session[others] = best.session[chosen]
        best.next_hop[others] = chosen
        best.learned[others] = best.learned[chosen]
        best.length[others] = best.length[chosen]
        return others
