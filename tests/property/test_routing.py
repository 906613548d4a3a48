"""Fast routing equals the obvious: the reference, and routers that send each other messages.

`Speaker` below is written from the routers' configuration (see `render/bird.py`), not from the
model: it has filters, communities on routes, tables of what each session said, and messages that
arrive in any order. Internets are drawn from a seed: small, with several PoPs to an AS, several
sessions to a pair of ASes, and providers that may form circles.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from math import isnan, nan
from random import Random
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.net.community import GRACEFUL_SHUTDOWN, NO_ADVERTISE, NO_EXPORT, Community
from ridgeline.net.place import ACCESS_RTT_MS, great_circle_km, one_way_ms
from ridgeline.routing.announce import Announcements
from ridgeline.routing.engines import has_numba
from ridgeline.routing.forward import CertaintyCode, Forwarding, forward
from ridgeline.routing.learned import Learned
from ridgeline.routing.policy import policy
from ridgeline.routing.possible import possible
from ridgeline.routing.propagate import (
    Engine,
    Routes,
    propagate,
    propagate_many,
    tie_sets,
)
from ridgeline.routing.reference import settle_reference
from ridgeline.routing.routers import routers
from ridgeline.routing.settle import settle
from ridgeline.routing.sweep import sweep
from ridgeline.topology.graph import as_graph
from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, PEER_TO_PEER, Internet

ORIGIN = 64500
PLAIN: tuple[str, ...] = ()
ORDERS = ("towards", "no-export", "no-advertise", "shutdown")
ALL = (*ORDERS, "preference", "preference")

seeds = st.integers(0, 2**40)
sizes = st.integers(1, 11)
many_examples = settings(max_examples=300, deadline=None)
few_examples = settings(max_examples=60, deadline=None)


# --- drawing ---


def draw_internet(random: Random, n_as: int, *, max_pops: int = 3) -> Internet:
    asn = sorted(random.sample(range(1, 80), n_as))
    pop_as = [a for a in range(n_as) for _ in range(random.choice([1, 1, 1, 2, max_pops]))]
    pops = [[p for p, b in enumerate(pop_as) if b == a] for a in range(n_as)]
    if max_pops == 1:
        pop_as, pops = list(range(n_as)), [[a] for a in range(n_as)]
    cities = [(random.uniform(-60, 60), random.uniform(-180, 180)) for _ in range(4)]
    places = [random.choice([*cities, (nan, nan)]) for _ in pop_as]
    order = random.sample(range(n_as), n_as)
    in_circles = random.random() < 0.3
    links = []
    for u, v in combinations(order, 2):
        if random.random() < min(0.9, 3.0 / n_as + 0.12):
            rel = CUSTOMER_TO_PROVIDER if random.random() < 0.6 else PEER_TO_PEER
            low, high = (v, u) if in_circles and random.random() < 0.4 else (u, v)
            links += [
                (random.choice(pops[low]), random.choice(pops[high]), rel)
                for _ in range(random.choice([1, 1, 2]))
            ]
    ends = np.array(links, np.int32).reshape(-1, 3)
    n = len(pop_as)
    return Internet(
        name="drawn",
        asn=np.array(asn, np.uint32),
        as_name=("",) * n_as,
        pop_as=np.array(pop_as, np.int32),
        pop_code=("",) * n,
        pop_city=("",) * n,
        pop_country=("",) * n,
        pop_lat=np.array([lat for lat, _ in places]),
        pop_lon=np.array([lon for _, lon in places]),
        pop_users=np.ones(n),
        link_a=ends[:, 0].copy(),
        link_b=ends[:, 1].copy(),
        link_rel=ends[:, 2].astype(np.int8),
    )


def draw_announcements(random: Random, net: Internet, kinds: tuple[str, ...]) -> Announcements:
    asn = [int(a) for a in net.asn]
    n_sites = random.randint(1, 4)
    rows = [
        (site, pop)
        for site in range(n_sites)
        for pop in random.sample(range(net.n_pop), min(net.n_pop, random.choice([1, 1, 2])))
    ]
    paths, communities = [], []
    for _ in rows:
        path: tuple[int, ...] = (ORIGIN,) * random.choice([1, 1, 1, 2, 3])
        if kinds and random.random() < 0.15:
            path = (ORIGIN, random.choice(asn), ORIGIN)  # a poisoned one
        paths.append(path)
        communities.append(frozenset(draw_communities(random, asn, kinds)))
    site = np.array([s for s, _ in rows], np.int32)
    pop = np.array([p for _, p in rows], np.int32)
    return Announcements(
        origin=ORIGIN,
        site_names=tuple(f"s{s}" for s in range(n_sites)),
        site_lat=np.array([random.uniform(-60, 60) for _ in range(n_sites)]),
        site_lon=np.array([random.uniform(-180, 180) for _ in range(n_sites)]),
        site=site,
        pop=pop,
        as_index=net.pop_as[pop],
        learned=np.array([random.choice([1, 1, 1, 1, 2, 3]) for _ in rows], np.int8),
        as_path=tuple(paths),
        communities=tuple(communities),
    )


def draw_communities(random: Random, asn: list[int], kinds: tuple[str, ...]) -> Iterator[Community]:
    if not kinds:
        return
    for _ in range(random.choice([0, 0, 1, 2, 3])):
        match random.choice(kinds):
            case "towards":
                yield (random.choice(asn), random.choice([0, 0, 1, 2, 3]), random.choice(asn))
            case "preference":
                yield (random.choice(asn), 10, random.choice([50, 100, 200]))
            case "no-export":
                yield NO_EXPORT
            case "no-advertise":
                yield NO_ADVERTISE
            case "shutdown":
                yield GRACEFUL_SHUTDOWN


# --- routers that send messages ---


class Heard(NamedTuple):
    path: tuple[int, ...]
    communities: frozenset[Community]
    local_pref: int
    session: int


@dataclass
class Peering:
    there: int
    internal: bool
    asn: int
    role: Learned = Learned.CUSTOMER
    """What the neighbour is to us."""
    cost: int = 0
    rank: int = 0


@dataclass
class Speaker:
    asn: int
    peerings: list[Peering]
    table: dict[int, Heard] = field(default_factory=dict)
    told: dict[int, Heard | None] = field(default_factory=dict)
    best: tuple[int, Heard] | None = None
    """Which peering, and what it said."""

    def accept(self, at: int, route: Heard | None) -> Heard | None:
        peering = self.peerings[at]
        if route is None or peering.internal:
            return route
        if self.asn in route.path:
            return None
        own = {c for c in route.communities if len(c) == 3 and c[0] == self.asn}
        kept = route.communities - {c for c in own if c[1] == 100}
        local_pref = {Learned.CUSTOMER: 300, Learned.PEER: 200, Learned.PROVIDER: 100}[peering.role]
        if peering.role is Learned.CUSTOMER:
            for value in (200, 100, 50):
                if (self.asn, 10, value) in own:
                    local_pref = value
        else:
            kept -= {c for c in own if c[1] <= 10}
        if GRACEFUL_SHUTDOWN in kept:
            local_pref = 0
        return Heard(
            route.path, kept | {(self.asn, 100, int(peering.role))}, local_pref, route.session
        )

    def decide(self, prefer: Callable[[int, Heard], object]) -> tuple[int, Heard] | None:
        def key(item: tuple[int, Heard]) -> tuple[object, ...]:
            peering, route = self.peerings[item[0]], item[1]
            # The rank of one neighbour is not that of another: the last entry only orders equals.
            return (
                -route.local_pref,
                len(route.path),
                peering.internal,
                peering.cost,
                prefer(peering.rank, route),
                peering.rank,
            )

        return min(self.table.items(), key=key, default=None)

    def tell(self, to: int) -> Heard | None:
        if self.best is None or NO_ADVERTISE in self.best[1].communities:
            return None
        route = self.best[1]
        said = route.communities
        target = self.peerings[to]
        if target.internal:
            return None if self.peerings[self.best[0]].internal else route
        for_customers_only = (self.asn, 100, 1) not in said
        if for_customers_only and target.role is not Learned.CUSTOMER:
            return None
        if NO_EXPORT in said or (self.asn, 0, target.asn) in said:
            return None
        copies = 1 + next((k for k in (3, 2, 1) if (self.asn, k, target.asn) in said), 0)
        return route._replace(path=(self.asn,) * copies + route.path)


def igp_costs(net: Internet) -> dict[tuple[int, int], int]:
    cost = {}
    for a in range(net.n_as):
        pops = [p for p in range(net.n_pop) if net.pop_as[p] == a]
        for p in pops:
            for q in pops:
                ends = [float(x[i]) for i in (p, q) for x in (net.pop_lat, net.pop_lon)]
                nowhere = any(isnan(end) for end in ends)
                km = 0 if nowhere else round(great_circle_km(*ends))
                cost[p, q] = 0 if p == q else max(1, km)
        for via in pops:
            for p in pops:
                for q in pops:
                    cost[p, q] = min(cost[p, q], cost[p, via] + cost[via, q])
    return cost


def speakers(net: Internet) -> list[Speaker]:
    cost = igp_costs(net)
    everyone = [Speaker(int(net.asn[net.pop_as[p]]), []) for p in range(net.n_pop)]

    def join(here: int, there: int, role: Learned, *, internal: bool) -> None:
        everyone[here].peerings.append(
            Peering(there, internal, everyone[there].asn, role,
                    cost[here, there] if internal else 0, there)
        )  # fmt: skip

    for a, b, rel in zip(net.link_a, net.link_b, net.link_rel, strict=True):
        peers = rel == PEER_TO_PEER
        join(int(a), int(b), Learned.PEER if peers else Learned.PROVIDER, internal=False)
        join(int(b), int(a), Learned.PEER if peers else Learned.CUSTOMER, internal=False)
    for p, q in cost:
        if p != q:
            join(p, q, Learned.CUSTOMER, internal=True)
    return everyone


def exchange_messages(
    net: Internet,
    said: Announcements,
    random: Random,
    prefer: Callable[[int, Heard], object] = lambda rank, _: rank,
    *,
    patience: int = 4000,
) -> list[tuple[int, Heard] | None] | None:
    """Deliver messages in random order until there are none; None if they never end."""
    everyone = speakers(net)
    mailboxes: dict[tuple[int, int], deque[Heard | None]] = {}
    where: dict[tuple[int, int, int], list[int]] = {}
    for p, speaker in enumerate(everyone):
        for at, peering in enumerate(speaker.peerings):
            where.setdefault((p, peering.there, peering.internal), []).append(at)
    for i in range(said.n_sessions):
        pop = int(said.pop[i])
        role = Learned(int(said.learned[i]))
        everyone[pop].peerings.append(
            Peering(-1, False, ORIGIN, role, 0, net.n_pop + int(said.site[i]))
        )
        message = Heard(said.as_path[i], said.communities[i], 0, i)
        mailboxes[pop, len(everyone[pop].peerings) - 1] = deque([message])

    def far_end(p: int, at: int) -> int:
        """The n-th of several sessions between two routers is the n-th at the other end too."""
        peering = everyone[p].peerings[at]
        nth = where[p, peering.there, peering.internal].index(at)
        return where[peering.there, p, peering.internal][nth]

    for _ in range(patience):
        waiting = sorted(box for box, letters in mailboxes.items() if letters)
        if not waiting:
            return [speaker.best for speaker in everyone]
        p, at = random.choice(waiting)
        speaker = everyone[p]
        route = speaker.accept(at, mailboxes[p, at].popleft())
        if route is None:
            speaker.table.pop(at, None)
        else:
            speaker.table[at] = route
        speaker.best = speaker.decide(prefer)
        for to, peering in enumerate(speaker.peerings):
            news = speaker.tell(to)
            if peering.there >= 0 and news != speaker.told.get(to):
                speaker.told[to] = news
                mailboxes.setdefault((peering.there, far_end(p, to)), deque()).append(news)
    return None


# --- the properties ---


def draw(seed: int, size: int, kinds: tuple[str, ...]) -> tuple[Internet, Announcements]:
    random = Random(seed)  # noqa: S311 - a drawn example, not a secret
    net = draw_internet(random, size)
    return net, draw_announcements(random, net, kinds)


@given(seeds, sizes, st.sampled_from([PLAIN, ORDERS]))
@many_examples
def test_sweep_equals_reference(seed: int, size: int, kinds: tuple[str, ...]) -> None:
    net, said = draw(seed, size, kinds)
    slow = settle_reference(routers(net), said)
    fast = sweep(routers(net), said, policy(net.asn, said))
    assert slow.stable
    for p, route in enumerate(slow.best):
        found = (fast.session[p], fast.next_hop[p], fast.length[p], fast.learned[p])
        wanted = (route.session, route.next_hop, route.length, route.learned) if route else None
        assert found == (wanted or (-1, -1, 0, 0))


@pytest.mark.skipif(not has_numba(), reason="numba is missing")
@given(seeds, sizes)
@many_examples
def test_compiled_settling_equals_reference(seed: int, size: int) -> None:
    net, said = draw(seed, size, ALL)
    rules = policy(net.asn, said)
    slow, slow_stable = settle(routers(net), said, rules, compiled=False)
    fast, fast_stable = settle(routers(net), said, rules, compiled=True)
    assert fast_stable == slow_stable
    for column in ("session", "next_hop", "length", "learned"):
        np.testing.assert_array_equal(getattr(fast, column), getattr(slow, column))


@given(seeds, sizes, st.sampled_from([PLAIN, ORDERS]))
@many_examples
def test_forwarding_equals_routers_that_send_messages(
    seed: int, size: int, kinds: tuple[str, ...]
) -> None:
    net, said = draw(seed, size, kinds)
    ways = forward(net, said)
    for order in range(3):
        settled = exchange_messages(net, said, Random(order))  # noqa: S311
        assert settled is not None
        for p, best in enumerate(settled):
            site = int(said.site[best[1].session]) if best else -1
            assert int(ways.site[p]) == site
            assert ways.as_path(p) == (best[1].path if best else ())


@given(seeds, sizes)
@many_examples
def test_with_lowered_preferences_every_outcome_was_thought_possible(seed: int, size: int) -> None:
    net, said = draw(seed, size, ALL)
    ways = forward(net, said)
    for order in range(4):
        settled = exchange_messages(net, said, Random(order))  # noqa: S311
        for p, best in enumerate(settled or ()):
            if best is not None:
                assert int(said.site[best[1].session]) in ways.possible_sites(p)
            if ways.certainty[p] == CertaintyCode.CERTAIN:
                assert best is not None
                assert int(said.site[best[1].session]) == int(ways.site[p])


@given(seeds, sizes)
@many_examples
def test_tie_sets_are_exact(seed: int, size: int) -> None:
    """A site is in the set just where routers that like it best among equals would reach it."""
    net, said = draw(seed, size, PLAIN)
    ways = forward(net, said)
    for site in range(said.n_sites):

        def prefer(_: int, route: Heard, site: int = site) -> object:
            return int(said.site[route.session]) != site

        settled = exchange_messages(net, said, Random(0), prefer)  # noqa: S311
        assert settled is not None
        for p, best in enumerate(settled):
            reached = best is not None and int(said.site[best[1].session]) == site
            assert (site in ways.possible_sites(p)) == reached


@given(seeds, sizes, st.sampled_from([PLAIN, ORDERS, ALL]), st.sampled_from([48, 1]))
@many_examples
def test_any_router_ids_lead_to_a_possible_site(
    seed: int, size: int, kinds: tuple[str, ...], max_labels: int
) -> None:
    net, said = draw(seed, size, kinds)
    # With room for one label only, the analysis falls back to its careful mode nearly always.
    with patch("ridgeline.routing.possible._MAX_LABELS", max_labels):
        options = possible(routers(net), said, policy(net.asn, said))
    for order in range(6):
        random = Random(order)  # noqa: S311
        liking: dict[tuple[int, int], float] = {}

        def prefer(rank: int, route: Heard) -> object:
            return liking.setdefault((rank, route.session), random.random())  # noqa: B023

        settled = exchange_messages(net, said, random, prefer)
        for p, best in enumerate(settled or ()):
            if best is None:
                assert not options.sure[p]
            else:
                site = int(said.site[best[1].session])
                assert int(options.sites[0, p]) >> site & 1


@given(seeds, sizes)
@many_examples
def test_plain_forwarding_and_the_general_analysis_agree_on_ties(seed: int, size: int) -> None:
    net, said = draw(seed, size, PLAIN)
    ways = forward(net, said)
    options = possible(routers(net), said, policy(net.asn, said))
    np.testing.assert_array_equal(ways.possible, options.sites)
    np.testing.assert_array_equal(ways.site >= 0, options.sure)


@given(seeds, sizes, st.sampled_from([PLAIN, ORDERS]))
@many_examples
def test_round_trip_is_the_way_added_up(seed: int, size: int, kinds: tuple[str, ...]) -> None:
    net, said = draw(seed, size, kinds)
    ways = forward(net, said)
    for p in range(net.n_pop):
        np.testing.assert_allclose(ways.rtt_ms[p], added_up(net, ways, p), rtol=1e-9)


def added_up(net: Internet, ways: Forwarding, pop: int) -> float:
    if ways.site[pop] < 0 or isnan(net.pop_lat[pop]):
        return nan
    site = int(ways.site[pop])
    said = ways.announcements
    stations = [(float(net.pop_lat[q]), float(net.pop_lon[q])) for q in ways.pop_path(pop)]
    stations.append((float(said.site_lat[site]), float(said.site_lon[site])))
    somewhere = [station for station in stations if not isnan(station[0])]
    legs = pairwise(somewhere)
    return ACCESS_RTT_MS + 2 * sum(one_way_ms(great_circle_km(*a, *b)) for a, b in legs)


# --- the AS graph ---

engines = [
    pytest.param("numba", marks=pytest.mark.skipif(not has_numba(), reason="numba is missing")),
    "numpy",
]


def draw_graph(seed: int, size: int, kinds: tuple[str, ...]) -> tuple[Internet, Announcements]:
    random = Random(seed)  # noqa: S311
    net = draw_internet(random, size, max_pops=1)
    return net, draw_announcements(random, net, kinds)


def assert_same_routes(a: Routes, b: Routes) -> None:
    for column in ("site", "length", "learned", "next_hop"):
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column), err_msg=column)


@pytest.mark.parametrize("engine", engines)
@given(seed=seeds, size=st.integers(1, 25), kinds=st.sampled_from([PLAIN, PLAIN, ORDERS, ALL]))
@many_examples
def test_propagation_equals_reference(
    engine: Engine, seed: int, size: int, kinds: tuple[str, ...]
) -> None:
    net, said = draw_graph(seed, size, kinds)
    graph = as_graph(net)
    fast = propagate(graph, said, engine=engine)
    slow = settle_reference(routers(net), said)
    for a, route in enumerate(slow.best):
        found = (fast.site[a], fast.next_hop[a], fast.length[a], fast.learned[a])
        wanted = (-1, -1, 0, 0)
        if route:
            wanted = (int(said.site[route.session]), route.next_hop, route.length, route.learned)
        assert found == wanted


@pytest.mark.parametrize("engine", engines)
@given(seed=seeds, size=st.integers(1, 25))
@many_examples
def test_tie_sets_of_the_graph_are_those_of_its_routers(
    engine: Engine, seed: int, size: int
) -> None:
    net, said = draw_graph(seed, size, PLAIN)
    ties = tie_sets(as_graph(net), said, engine=engine)
    ways = forward(net, said)
    np.testing.assert_array_equal(ties.sites, ways.possible)
    np.testing.assert_array_equal(ties.sure, ways.site >= 0)


@pytest.mark.parametrize("engine", engines)
@given(seed=seeds, size=st.integers(1, 25))
@few_examples
def test_many_what_ifs_equal_one_after_another(engine: Engine, seed: int, size: int) -> None:
    net, said = draw_graph(seed, size, PLAIN)
    graph = as_graph(net)
    scenarios = [
        said,
        *(said.without(name) for name in said.site_names),
        *(said.prepended(name, 2) for name in said.site_names),
        said.drained(said.site_names[0]),
        *(said for _ in range(14)),
    ]
    together = propagate_many(graph, scenarios, engine=engine)
    weight = np.arange(1.0, graph.n + 1)
    shares = together.shares(weight, said.n_sites)
    for number, scenario in enumerate(scenarios):
        alone = propagate(graph, scenario, engine="numpy")
        assert_same_routes(together[number], alone)
        for site in range(said.n_sites):
            assert shares[number, site] == weight[alone.site == site].sum()
        assert shares[number, -1] == weight[alone.site < 0].sum()


@given(seeds, st.integers(1, 25))
@many_examples
def test_hundreds_of_sites_keep_their_bits_apart(seed: int, size: int) -> None:
    net, said = draw_graph(seed, size, PLAIN)
    # The same sites again under high numbers: the sets must be the same, moved by so many bits.
    moved = 131
    names = (*(f"x{i}" for i in range(moved)), *said.site_names)
    nowhere = np.full(moved, nan)
    far = replace(
        said,
        site_names=names,
        site=said.site + np.int32(moved),
        site_lat=np.concatenate([nowhere, said.site_lat]),
        site_lon=np.concatenate([nowhere, said.site_lon]),
    )
    near_ways, far_ways = forward(net, said), forward(net, far)
    far_ties = tie_sets(as_graph(net), far)
    np.testing.assert_array_equal(far_ties.sites, far_ways.possible)
    for p in range(net.n_pop):
        assert far_ways.possible_sites(p) == tuple(s + moved for s in near_ways.possible_sites(p))
