"""Which sites a router could reach if ties were broken otherwise.

The last step of the decision, the lowest router id, is known in the lab and nowhere else. So every
router here keeps *all* its equally good routes: a set of sessions, as bits. Where all sessions are
treated alike the sets are exact: for each bit there is an order of router ids that chooses it.

Communities and loops can make what a network hears depend on how another broke its tie. Then a
route is only *sure* if it comes in every case, and a network stays open to worse routes until it has
a sure one: the sets hold every stable outcome, and perhaps a little more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.routing._labels import Bits, BoolArray, Labels, SetOffers, join_sets
from ridgeline.routing.announce import Announcements
from ridgeline.routing.learned import LOCAL_PREF, Learned
from ridgeline.routing.policy import DO_NOT_ANNOUNCE, Policy
from ridgeline.routing.routers import IntArray, Routers, Rows

_LAST: Final = 2**62
_FULL: Final = LOCAL_PREF[Learned.CUSTOMER]
_MAX_LABELS: Final = 48  # a router with possible routes of so many lengths is going in circles
_ROLES: Final = (Learned.CUSTOMER, Learned.PEER, Learned.PROVIDER)


@dataclass(frozen=True, slots=True, eq=False)
class Possible:
    """Every router's options.

    Attributes
    ----------
    sites : uint64 array, shape (n_words, n)
        Bit ``s % 64`` of word ``s // 64``: site s is possible.
    sure : bool array, shape (n,)
        Some route comes, however ties are broken.
    """

    sites: Bits
    sure: BoolArray


def possible(net: Routers, said: Announcements, rules: Policy) -> Possible:
    """Find every router's options."""
    names = said.site if rules.is_plain else np.arange(said.n_sessions, dtype=np.int32)
    beaten: frozenset[int] = frozenset()
    careful = False
    while True:
        run = _Run(net, said, rules, names, beaten, careful=careful)
        run.layer(~rules.drained, flat=False)
        if np.any(rules.drained):
            run.layer(rules.drained, flat=True)
        if run.lost and not careful:
            careful, beaten = True, frozenset()
            continue
        # Who surely hears a customer route at full preference never falls back to a lowered one.
        if run.preferred <= beaten:
            break
        beaten |= run.preferred
    bits = run.bits[0] | run.bits[1]
    if not rules.is_plain:
        bits = _sessions_to_sites(bits, said)
    return Possible(bits, run.closed(np.arange(net.n)))


def _sessions_to_sites(bits: Bits, said: Announcements) -> Bits:
    sites = np.zeros((_words(said.n_sites), bits.shape[1]), np.uint64)
    for session in range(said.n_sessions):
        site = int(said.site[session])
        has = (bits[session // 64] >> np.uint64(session % 64)) & np.uint64(1)
        sites[site // 64] |= has << np.uint64(site % 64)
    return sites


def _words(n: int) -> int:
    return max(1, -(-n // 64))


class _Run:
    """One pass: the state so far, and how it grows by one length."""

    def __init__(
        self,
        net: Routers,
        said: Announcements,
        rules: Policy,
        names: IntArray,
        beaten: frozenset[int],
        *,
        careful: bool,
    ) -> None:
        self.net, self.said, self.rules = net, said, rules
        self.names, self.beaten, self.careful = names, beaten, careful
        words = _words(int(names.max(initial=0)) + 1)
        # Routes heard from customers in [0], all others in [1]: they are told to different people.
        self.bits = np.zeros((2, words, net.n), np.uint64)
        self.done = np.zeros(net.n_as, np.bool_)
        """Per AS: no route worse than what it has is possible."""
        self.shut = np.zeros(net.n, np.bool_)
        """Per router: the same, where a route that may not be passed on shuts one router only."""
        self.longest = np.zeros(net.n, np.int32)
        """Per router: length of its longest possible route."""
        self.n_labels = np.zeros(net.n, np.int32)
        self.lost = False
        """Possible routes chased each other in a circle; only a careful pass is to be trusted."""
        self.preferred: set[int] = set()
        """ASes that surely hear a customer route at full preference, of those that lower some."""
        self._deadline: dict[int, tuple[int, int]] = {}
        """Per AS with a sure but lowered route: the (role, length) at which that route stands."""
        self._kept, self._silent = self._set(rules.kept), self._set(rules.silent)
        self._lowered = self._set(
            np.any([low < _FULL for low in rules.lowered.values()], axis=0)
            if rules.lowered
            else np.zeros(said.n_sessions, np.bool_)
        )
        self._heard = np.zeros_like(self.bits)  # scratch, always left zero
        self._surely = np.zeros(net.n, np.bool_)  # scratch
        self._has_siblings = np.diff(net.first) > 1
        self._members = Rows(ptr=net.first, idx=np.arange(net.n, dtype=np.int32))

    def closed(self, at: NDArray[np.integer]) -> BoolArray:
        """Whether these routers surely have a route, so that no worse one is possible."""
        closed: BoolArray = self.done[self.net.pop_as[at]] | self.shut[at]
        return closed

    def layer(self, sessions: BoolArray, *, flat: bool) -> None:
        """Spread these sessions' routes; flat: with local preference 0 everywhere."""
        net, role = self.net, self.said.learned
        ways = list(zip(_ROLES, (net.providers, net.peers, net.customers), strict=True))
        if flat:
            self._phase(self._seeds(sessions), {}, ways, role=None)
            return
        labels: dict[int, list[Labels]] = {}
        for learned, rows in ways:
            seeds = self._seeds(sessions & (role == learned))
            new = self._phase(seeds, labels, [(learned, rows)], role=learned)
            for length, found in new.items():
                labels.setdefault(length, []).append(found)

    def _set(self, sessions: BoolArray) -> Bits:
        """One set of bits, shape (n_words, 1), for a set of sessions."""
        bits = np.zeros((_words(int(self.names.max(initial=0)) + 1), 1), np.uint64)
        for session in np.flatnonzero(sessions):
            name = int(self.names[session])
            bits[name // 64, 0] |= np.uint64(1) << np.uint64(name % 64)
        return bits

    def _seeds(self, sessions: BoolArray) -> dict[int, list[SetOffers]]:
        """Tell what the sites themselves tell, by AS path length."""
        said = self.said
        seeds: dict[int, list[SetOffers]] = {}
        for session in np.flatnonzero(sessions):
            refused = self.rules.refused.get(int(said.as_index[session]))
            if refused is not None and refused[session]:
                continue
            one = np.arange(said.n_sessions) == session
            offer = SetOffers(
                said.pop[one],
                self._set(one),
                np.ones(1, np.bool_),
                np.ones(1, np.bool_),
                said.learned[one],
            )
            seeds.setdefault(len(said.as_path[session]), []).append(offer)
        return seeds

    def _phase(
        self,
        arriving: dict[int, list[SetOffers]],
        labels: Mapping[int, list[Labels]],
        ways: list[tuple[Learned, Rows]],
        *,
        role: Learned | None,
    ) -> dict[int, Labels]:
        """As `sweep`'s, for sets: accept by rising length, and pass on."""
        labels = dict(labels)
        found: dict[int, Labels] = {}
        while arriving or labels:
            length = min(*arriving, *labels, _LAST, _LAST)
            telling = labels.pop(length, [])
            if length in arriving:
                found[length] = self._accept(join_sets(arriving.pop(length)), length, role)
                if role is not Learned.PEER:
                    telling = [*telling, found[length]]
            for told in telling:
                for extra, offers in self._tell(told, length, ways):
                    arriving.setdefault(length + 1 + extra, []).append(offers)
        return found

    def _accept(self, offers: SetOffers, length: int, role: Learned | None) -> Labels:
        """Add what arrives to the routers' options, where it is not surely beaten."""
        net = self.net
        open_ = ~self.closed(offers.to)
        for a, deadline in self._deadline.items():
            if role is not None and (role, length) > deadline:
                open_ &= net.pop_as[offers.to] != a
        offers = offers.only(open_)
        if role is not None and self.rules.lowered:
            offers = self._lower(offers, length)
        touched = np.unique(offers.to)
        plane = (offers.learned != Learned.CUSTOMER).astype(np.int8)
        heard = self._heard
        for side in (0, 1):
            here = plane == side
            for word in range(heard.shape[1]):
                np.bitwise_or.at(heard[side, word], offers.to[here], offers.bits[word, here])
        self._surely[offers.to[offers.sure]] = True
        bits = heard[:, :, touched]
        sure = self._surely[touched]
        # Who may have a route that it must not pass on, now or before, is no sure speaker.
        known = self.bits[:, :, touched] | bits
        quiet = np.any((known[0] | known[1]) & self._silent, axis=0)
        self.shut[touched[sure & quiet]] = True
        spoken, surely = bits & ~self._silent, sure & ~quiet
        heard[:, :, touched] = 0
        self._surely[touched] = False
        speaking = np.any(spoken, axis=(0, 1)) | surely
        self.done[net.pop_as[touched[surely]]] = True
        speaking &= self._has_siblings[net.pop_as[touched]]
        new = [Labels(touched, bits)]
        if speaking.any():
            decided = touched[sure]
            new.append(
                self._follow(touched[speaking], spoken[:, :, speaking], surely[speaking], decided)
            )
        return self._add(new, length)

    def _add(self, new: list[Labels], length: int) -> Labels:
        at, where = np.unique(np.concatenate([label.at for label in new]), return_inverse=True)
        bits = np.zeros((*self.bits.shape[:2], at.size), np.uint64)
        offset = 0
        for label in new:  # within one label, no router stands twice
            bits[:, :, where[offset : offset + label.at.size]] |= label.bits
            offset += label.at.size
        fresh = np.any(bits & ~self.bits[:, :, at], axis=(0, 1))
        self.bits[:, :, at] |= bits
        self.longest[at] = np.maximum(self.longest[at], length)
        self.n_labels[at] += 1
        self.lost |= bool(np.any(self.n_labels[at] > _MAX_LABELS))
        keep = fresh if self.careful or self.lost else np.ones(at.size, np.bool_)
        return Labels(at[keep], bits[:, :, keep])

    def _follow(
        self, speakers: IntArray, spoken: Bits, surely: BoolArray, decided: IntArray
    ) -> Labels:
        """Send routers to every speaker of their AS that may be the nearest (hot potato)."""
        net = self.net
        speaker_as = net.pop_as[speakers]
        _, others = self._members.expand(np.unique(speaker_as))
        others = others[~np.isin(others, decided) & ~self.shut[others]]
        low = np.searchsorted(speaker_as, net.pop_as[others], side="left")
        size = np.searchsorted(speaker_as, net.pop_as[others], side="right") - low
        start = np.cumsum(size) - size
        if not others.size:
            return Labels(others, spoken[:, :, :0])
        which = np.repeat(low - start, size) + np.arange(int(size.sum()))
        here, there = np.repeat(others, size), speakers[which]
        cost = net.igp_cost(here, there).astype(np.int64)
        limit = np.minimum.reduceat(np.where(surely[which], cost, _LAST), start)
        near = (cost <= np.repeat(limit, size)) & (here != there)
        bits = np.where(near, spoken[:, :, which], np.uint64(0))
        bits = np.bitwise_or.reduceat(bits, start, axis=2)
        some = np.any(bits, axis=(0, 1))
        return Labels(others[some], bits[:, :, some])

    def _lower(self, offers: SetOffers, length: int) -> SetOffers:
        """Keep an AS open to better routes where one may come with a lowered local preference."""
        bits, sure = offers.bits.copy(), offers.sure.copy()
        to_as = self.net.pop_as[offers.to]
        hushed = set(self.said.as_index[self.rules.silent].tolist())
        for a, preference in self.rules.lowered.items():
            here = (to_as == a) & (offers.learned == Learned.CUSTOMER)
            touched = here & np.any(bits & self._set(preference < _FULL), axis=0)
            # A router may not pass on what stands if it may take a silent route instead.
            standing = here & sure & offers.steady & (a not in hushed)
            if np.any(standing & ~touched):
                self.preferred.add(a)
            if a in self.beaten:
                bits[:, here] &= ~self._set(preference < _FULL)
            else:
                self._set_deadline(a, length, bits[:, standing & touched], preference)
            sure[touched] = False
        return SetOffers(offers.to, bits, sure, offers.steady, offers.learned)

    def _set_deadline(
        self, a: int, length: int, standing: Bits, preference: NDArray[np.int32]
    ) -> None:
        """Note when routes that stand at an AS, but lowered, come in among the others."""
        for role in (Learned.PEER, Learned.PROVIDER):
            worse = self._set(preference < LOCAL_PREF[role])
            if np.any(~np.any(standing & worse, axis=0)):
                when = (int(role), length)
                self._deadline[a] = min(self._deadline.get(a, when), when)

    def _tell(
        self, labels: Labels, length: int, ways: list[tuple[Learned, Rows]]
    ) -> Iterator[tuple[int, SetOffers]]:
        """Tell what these routers tell, with the extra prepends that it carries."""
        for learned, rows in ways:
            told = labels.bits[0]
            if learned is Learned.PROVIDER:
                told = told | labels.bits[1]
            some = np.any(told, axis=0)
            at, told = labels.at[some], told[:, some] & ~self._kept
            options = self.bits[:, :, at]
            # Sure is what comes at the length of the longest option, if all options are told.
            sure = self.closed(at) & (self.longest[at] == length)
            sure &= ~np.any((options[0] | options[1]) & self._kept, axis=0)
            if learned is not Learned.PROVIDER:
                sure &= ~np.any(options[1], axis=0)
            if self.careful:
                sure[:] = False
            steady = sure & ~np.any((options[0] | options[1]) & self._lowered, axis=0)
            source, to = rows.expand_numbered(at)
            wanted = ~self.closed(to)
            source, to = source[wanted], to[wanted]
            role = np.full(to.size, learned, np.int8)
            offers = SetOffers(to, told[:, source], sure[source], steady[source], role)
            planes = labels.bits[:, :, some][:, :, source] & ~self._kept
            yield from self._obey(offers, at[source], planes)

    def _obey(
        self, offers: SetOffers, by: IntArray, planes: Bits
    ) -> Iterator[tuple[int, SetOffers]]:
        """Carry out what communities and loops demand of routes on their way.

        `planes` has what stands in `offers.bits` by whom the teller heard it from.
        """
        to_as, by_as = self.net.pop_as[offers.to], self.net.pop_as[by]
        options = self.bits[:, :, by]
        for a, sessions in self.rules.refused.items():
            refused = self._set(sessions)
            here = to_as == a
            offers.bits[:, here] &= ~refused
            planes[:, :, here] &= ~refused
            offers.sure[here & np.any((options[0] | options[1]) & refused, axis=0)] = False
        ordered = np.zeros(by.size, np.bool_)
        for (a, x), orders in self.rules.towards.items():
            here = (by_as == a) & (to_as == x)
            ordered |= here
            for i in np.flatnonzero(here):
                yield from self._order(offers, planes[:, :, i], options[:, :, i], int(i), orders)
        plain = offers.only(~ordered)
        if plain.to.size:
            yield 0, plain

    def _order(
        self, offers: SetOffers, told: Bits, options: Bits, i: int, orders: NDArray[np.int8]
    ) -> Iterator[tuple[int, SetOffers]]:
        """Split one offer by how often its routes are prepended on this session."""
        worst = 0
        sure = bool(offers.sure[i])
        for extra in np.unique(orders):
            if np.any(options[0] & self._set(orders == extra)[:, 0]):
                sure &= extra != DO_NOT_ANNOUNCE
                worst = max(worst, int(extra))
        for extra in {0, worst, *map(int, orders)} - {DO_NOT_ANNOUNCE}:
            bits = told[0] & self._set(orders == extra)[:, 0]
            if extra == 0 and offers.learned[i] == Learned.PROVIDER:
                bits |= told[1]
            here = np.zeros(offers.to.size, np.bool_)
            here[i] = True
            one = offers.only(here)
            surely = np.array([sure and extra == worst])
            if surely[0] or np.any(bits):
                yield extra, SetOffers(one.to, bits[:, None], surely, one.steady, one.learned)
