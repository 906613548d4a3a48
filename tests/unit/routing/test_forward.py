"""One story for each rule of the decision, and for each community of the menu.

Networks are 1, 2, 3, ... here; `paths` tells what each PoP's route looks like.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from ridgeline.net.community import GRACEFUL_SHUTDOWN, NO_ADVERTISE, NO_EXPORT, Community
from ridgeline.net.place import ACCESS_RTT_MS, Place, great_circle_km, one_way_ms
from ridgeline.routing.announce import Announcements
from ridgeline.routing.forward import CertaintyCode, Forwarding, forward
from ridgeline.topology.build import InternetBuilder
from ridgeline.topology.internet import Internet

US = 64500
TOKYO = Place(code="nrt", city="Tokyo", country="JP", lat=35.76, lon=140.39)
OSAKA = Place(code="kix", city="Osaka", country="JP", lat=34.43, lon=135.23)
LONDON = Place(code="lhr", city="London", country="GB", lat=51.47, lon=-0.46)
PARIS = Place(code="cdg", city="Paris", country="FR", lat=49.01, lon=2.55)


def internet(
    *,
    buys: Sequence[tuple[int, int] | tuple[int, int, str]] = (),
    peers: Sequence[tuple[int, int] | tuple[int, int, str]] = (),
    at: Mapping[int, Sequence[Place]] | None = None,
) -> Internet:
    builder = InternetBuilder("story")
    places = at or {}
    for asn in sorted({asn for link in (*buys, *peers) for asn in link[:2]} | set(places)):
        builder.add_as(asn, at=places.get(asn, ()))
    for customer, provider, *city in buys:
        builder.buys(customer, provider, at=city[0] if city else "")
    for left, right, *city in peers:
        builder.peers(left, right, at=city[0] if city else "")
    return builder.build()


def say(
    net: Internet,
    *sessions: tuple[str, int | tuple[int, str]],
    prepend: Mapping[str, int] | None = None,
    communities: Mapping[str, set[Community]] | None = None,
    poison: Mapping[str, int] | None = None,
) -> Announcements:
    """Let each named site announce to a network, or to one of its PoPs."""
    names = tuple(dict.fromkeys(name for name, _ in sessions))
    pops, paths = [], []
    for name, where in sessions:
        asn, code = where if isinstance(where, tuple) else (where, None)
        index = net.index_of(asn)
        assert index is not None
        pops.append(next(p for p in net.pops_of(index) if code in {None, net.pop_code[p]}))
        path = (US,) * (1 + (prepend or {}).get(name, 0))
        paths.append((US, poison[name], US) if poison and name in poison else path)
    site = np.array([names.index(name) for name, _ in sessions], np.int32)
    pop = np.array(pops, np.int32)
    return Announcements(
        origin=US,
        site_names=names,
        site_lat=net.pop_lat[[pops[list(site).index(s)] for s in range(len(names))]],
        site_lon=net.pop_lon[[pops[list(site).index(s)] for s in range(len(names))]],
        site=site,
        pop=pop,
        as_index=net.pop_as[pop],
        learned=np.ones(pop.size, np.int8),
        as_path=tuple(paths),
        communities=tuple(frozenset((communities or {}).get(name, ())) for name, _ in sessions),
    )


def landing(net: Internet, ways: Forwarding) -> dict[int, str | None]:
    """Site of each network (of its first PoP)."""
    names = ways.announcements.site_names
    sites = {int(net.asn[net.pop_as[p]]): int(ways.site[p]) for p in reversed(range(net.n_pop))}
    return {asn: names[site] if site >= 0 else None for asn, site in sorted(sites.items())}


def paths(net: Internet, ways: Forwarding) -> dict[int, tuple[int, ...]]:
    found = {int(net.asn[net.pop_as[p]]): ways.as_path(p) for p in reversed(range(net.n_pop))}
    return dict(sorted(found.items()))


def pop(net: Internet, asn: int, code: str) -> int:
    index = net.index_of(asn)
    assert index is not None
    return next(p for p in net.pops_of(index) if net.pop_code[p] == code)


# --- the decision ---


def test_a_customer_route_wins_over_a_shorter_peer_route() -> None:
    net = internet(buys=[(2, 1), (3, 2)], peers=[(1, 4)])
    ways = forward(net, say(net, ("far", 3), ("near", 4)))
    assert landing(net, ways)[1] == "far"
    assert paths(net, ways)[1] == (2, 3, US)


def test_a_peer_route_wins_over_a_shorter_provider_route() -> None:
    net = internet(buys=[(1, 5), (3, 2)], peers=[(1, 2)])
    ways = forward(net, say(net, ("peer", 3), ("provider", 5)))
    assert landing(net, ways)[1] == "peer"


def test_a_direct_neighbour_drops_its_own_prepended_route_for_a_shorter_one() -> None:
    net = internet(buys=[(2, 1)])
    ways = forward(net, say(net, ("direct", 1), ("through", 2), prepend={"direct": 2}))
    assert landing(net, ways) == {1: "through", 2: "through"}


def test_a_site_loses_a_tie_to_any_network_in_the_lab_and_the_tie_is_told() -> None:
    net = internet(buys=[(2, 1)])
    ways = forward(net, say(net, ("direct", 1), ("through", 2), prepend={"direct": 1}))
    assert landing(net, ways)[1] == "through"
    assert ways.certainty[0] == CertaintyCode.POSSIBLE
    assert ways.possible_sites(0) == (0, 1)


def test_peer_and_provider_routes_are_told_to_customers_only() -> None:
    net = internet(buys=[(2, 1), (3, 2)], peers=[(2, 4), (4, 5)])
    ways = forward(net, say(net, ("a", 5)))
    assert landing(net, ways) == {1: None, 2: None, 3: None, 4: "a", 5: "a"}


def test_each_pop_uses_its_own_session_and_the_others_the_nearest_one() -> None:
    net = internet(at={1: [TOKYO, OSAKA, LONDON, PARIS]})
    ways = forward(net, say(net, ("nrt", (1, "nrt")), ("lhr", (1, "lhr"))))
    names = ways.announcements.site_names
    assert [names[s] for s in ways.site] == ["nrt", "nrt", "lhr", "lhr"]
    assert set(ways.certainty) == {CertaintyCode.CERTAIN}  # places settle what lengths leave open


def test_a_longer_path_loses_even_where_its_session_is_next_door() -> None:
    net = internet(at={1: [TOKYO, LONDON]})
    ways = forward(net, say(net, ("nrt", (1, "nrt")), ("lhr", (1, "lhr")), prepend={"lhr": 1}))
    assert list(ways.site) == [0, 0]
    assert ways.pop_path(1) == (1, 0)


def test_the_pops_of_one_network_may_hear_different_sites_over_paths_of_one_length() -> None:
    net = internet(
        buys=[(3, 1, "nrt"), (4, 1, "lhr"), (1, 2, "nrt"), (1, 2, "lhr")],
        at={1: [TOKYO, LONDON], 2: [TOKYO, LONDON], 3: [TOKYO], 4: [LONDON]},
    )
    ways = forward(net, say(net, ("nrt", 3), ("lhr", 4)))
    assert paths(net, ways)[2] == (1, 3, US)
    assert ways.as_path(pop(net, 2, "lhr")) == (1, 4, US)


def test_the_round_trip_follows_the_detour() -> None:
    # Network 2 is in Paris, joined to its provider in London, and the site is in Tokyo.
    builder = InternetBuilder("detour")
    builder.add_as(1, at=[TOKYO, LONDON])
    builder.add_as(2, at=[PARIS])
    builder.buys(2, 1, at="lhr")
    net = builder.build()
    ways = forward(net, say(net, ("nrt", (1, "nrt"))))
    km = great_circle_km(PARIS.lat, PARIS.lon, LONDON.lat, LONDON.lon)
    km += great_circle_km(LONDON.lat, LONDON.lon, TOKYO.lat, TOKYO.lon)
    assert ways.rtt_ms[pop(net, 2, "cdg")] == pytest.approx(ACCESS_RTT_MS + 2 * one_way_ms(km))


def test_two_routers_in_one_city_are_a_kilometre_apart_so_that_own_sessions_win() -> None:
    here = [Place(code=code, city="", country="", lat=1.0, lon=1.0) for code in ("one", "two")]
    net = internet(at={1: here})
    ways = forward(net, say(net, ("a", (1, "one")), ("b", (1, "two"))))
    assert list(ways.site) == [0, 1]


# --- loops ---


def test_a_network_in_the_announced_path_refuses_it_and_its_customers_go_elsewhere() -> None:
    net = internet(buys=[(2, 1), (3, 2), (4, 1)])
    ways = forward(net, say(net, ("a", 1), ("b", 4), poison={"a": 2}))
    assert landing(net, ways) == {1: "b", 2: "b", 3: "b", 4: "b"}
    only = forward(net, say(net, ("a", 1), poison={"a": 2}))
    assert landing(net, only) == {1: "a", 2: None, 3: None, 4: "a"}


def test_our_own_network_in_the_topology_hears_nothing() -> None:
    net = internet(buys=[(US, 1), (2, US)])
    ways = forward(net, say(net, ("a", 1)))
    assert landing(net, ways) == {1: "a", 2: None, US: None}


def test_providers_in_a_circle_come_to_rest() -> None:
    net = internet(buys=[(1, 2), (2, 3), (3, 1), (4, 3)])
    ways = forward(net, say(net, ("a", 1)))
    assert paths(net, ways) == {1: (US,), 2: (1, US), 3: (2, 1, US), 4: (3, 2, 1, US)}


# --- the menu of communities ---


def test_do_not_announce_to_one_network() -> None:
    net = internet(buys=[(1, 2), (1, 3)])
    ways = forward(net, say(net, ("a", 1), communities={"a": {(1, 0, 2)}}))
    assert landing(net, ways) == {1: "a", 2: None, 3: "a"}


def test_prepend_towards_one_network() -> None:
    net = internet(buys=[(1, 2), (1, 3)])
    ways = forward(net, say(net, ("a", 1), communities={"a": {(1, 2, 3), (1, 1, 3)}}))
    assert paths(net, ways) == {1: (US,), 2: (1, US), 3: (1, 1, 1, US)}


def test_orders_count_only_from_customers() -> None:
    # Network 3 hears it from its peer 2 and tells its customer 4 plainly.
    net = internet(buys=[(4, 3)], peers=[(2, 3)])
    ways = forward(net, say(net, ("a", 2), communities={"a": {(3, 3, 4), (3, 0, 4)}}))
    assert paths(net, ways)[4] == (3, 2, US)


def test_orders_reach_a_network_farther_up_untouched() -> None:
    net = internet(buys=[(1, 2), (2, 3)])
    ways = forward(net, say(net, ("a", 1), communities={"a": {(2, 0, 3)}}))
    assert landing(net, ways) == {1: "a", 2: "a", 3: None}


def test_no_export_stays_inside_the_network_that_hears_it() -> None:
    net = internet(buys=[(2, 1, "lhr")], at={1: [TOKYO, LONDON], 2: [LONDON]})
    ways = forward(net, say(net, ("a", (1, "nrt")), communities={"a": {NO_EXPORT}}))
    assert landing(net, ways) == {1: "a", 2: None}
    assert ways.site[pop(net, 1, "lhr")] == 0


def test_no_advertise_stays_in_the_router_that_hears_it() -> None:
    net = internet(at={1: [TOKYO, LONDON]})
    ways = forward(net, say(net, ("a", (1, "nrt")), communities={"a": {NO_ADVERTISE}}))
    assert list(ways.site) == [0, -1]


def test_a_silent_route_hides_the_routes_behind_it() -> None:
    # Tokyo takes the silent route (same length, lower site number), so nobody tells London.
    net = internet(at={1: [TOKYO, LONDON]})
    said = say(net, ("a", (1, "nrt")), ("b", (1, "nrt")), communities={"a": {NO_ADVERTISE}})
    ways = forward(net, said)
    assert list(ways.site) == [0, -1]
    assert ways.possible_sites(1) == (1,)
    assert ways.certainty[0] != CertaintyCode.CERTAIN


def test_a_drained_site_is_the_last_resort_of_everyone() -> None:
    net = internet(buys=[(2, 1), (3, 2), (5, 4)], peers=[(1, 4)])
    said = say(net, ("drained", 3), ("far", 5), communities={"drained": {GRACEFUL_SHUTDOWN}})
    ways = forward(net, said)
    # Network 2 buys from 1, which prefers its peer's route over its customer's drained one.
    assert landing(net, ways) == {1: "far", 2: "far", 3: "far", 4: "far", 5: "far"}


def test_with_all_sites_drained_only_length_counts_and_export_stays_valley_free() -> None:
    net = internet(buys=[(2, 1), (3, 2)], peers=[(1, 4), (4, 5)])
    said = say(net, ("a", 3), ("b", 4), communities={s: {GRACEFUL_SHUTDOWN} for s in "ab"})
    ways = forward(net, said)
    assert paths(net, ways)[1] == (4, US)  # a peer's route, shorter than the customer's
    assert paths(net, ways)[5] == (4, US)


def test_a_lowered_preference_sends_the_network_elsewhere() -> None:
    net = internet(buys=[(1, 2), (3, 2)])
    said = say(net, ("backup", 1), ("main", 3), communities={"backup": {(1, 10, 50)}})
    ways = forward(net, said)
    assert landing(net, ways) == {1: "backup", 2: "backup", 3: "main"}
    # RFC 4264: had the main route come first, network 2 would never have heard the backup.
    assert ways.possible_sites(0) == (0, 1)
    assert ways.certainty[0] != CertaintyCode.CERTAIN


def test_the_lowest_of_several_preferences_counts() -> None:
    net = internet(peers=[(1, 2)])
    said = say(
        net, ("backup", 1), ("main", 2), communities={"backup": {(1, 10, 200), (1, 10, 100)}}
    )
    assert landing(net, forward(net, said))[1] == "main"


def test_policies_that_contradict_each_other_are_told_as_unstable() -> None:
    # Each prefers what its right-hand peer has from below, and tells only its left-hand peer.
    ring = {1: 2, 2: 3, 3: 1}
    net = internet(peers=[(1, 2), (2, 3), (3, 1)])
    said = say(
        net,
        *((f"s{a}", a) for a in ring),
        communities={f"s{a}": {(a, 10, 100), (a, 0, b)} for a, b in ring.items()},
    )
    ways = forward(net, said)
    assert not ways.stable
    assert CertaintyCode.CERTAIN not in set(ways.certainty)


# --- the door ---


def test_announcements_for_another_internet_are_refused() -> None:
    net, other = internet(buys=[(2, 1), (3, 1)]), internet(peers=[(1, 2)])
    with pytest.raises(ValueError, match="outside the 2 PoPs"):
        forward(other, say(net, ("a", 3)))


def test_likely_means_more_than_half_of_the_equally_good_routes() -> None:
    net = internet(buys=[(9, 1), (9, 2), (9, 3)])
    said = say(net, ("a", 1), ("a", 2), ("b", 3))
    ways = forward(net, said)
    nine = pop(net, 9, "")
    assert ways.agreement[nine] == pytest.approx(2 / 3)
    assert ways.certainty[nine] == CertaintyCode.LIKELY
    assert ways.certainty[pop(net, 1, "")] == CertaintyCode.CERTAIN
