"""Discs, cities and witnesses: when there must be another site, and where."""

import pytest

from ridgeline.net.place import Place, great_circle_km
from ridgeline.probe.discs import KM_PER_RTT_MS, distance_km, reach, unit_vector
from ridgeline.probe.enumerate import DEFAULTS, Enumeration, Evidence, enumerate_sites
from ridgeline.probe.metros import Metros, all_metros, make_metro
from ridgeline.probe.vantage import VantagePoint, fastest

TOKYO, OSAKA = (35.68, 139.69), (34.69, 135.50)
LONDON, PARIS, SYDNEY = (51.51, -0.13), (48.86, 2.35), (-33.87, 151.21)


def vp(name: str, where: tuple[float, float], rtt_ms: float, site: str = "") -> VantagePoint:
    return VantagePoint(name=name, lat=where[0], lon=where[1], rtt_ms=rtt_ms, site=site)


def codes(found: Enumeration) -> list[str]:
    return [site.place.code if site.place else "?" for site in found.sites]


def test_two_discs_that_do_not_meet_prove_anycast_and_place_a_site_in_each() -> None:
    found = enumerate_sites([vp("a", LONDON, 1), vp("b", TOKYO, 2)])
    assert found.is_anycast
    assert found.proof is not None
    assert {disc.vantage_point for disc in found.proof} == {"a", "b"}
    assert codes(found) == ["lhr", "nrt"]
    assert {site.evidence for site in found.sites} == {Evidence.PROOF}
    assert all(site.confidence > 0.9 for site in found.sites)


def test_one_place_that_can_have_answered_all_is_no_anycast() -> None:
    found = enumerate_sites([vp("a", LONDON, 1), vp("b", TOKYO, 120), vp("c", SYDNEY, 200)])
    assert not found.is_anycast
    assert found.proof is None
    assert codes(found) == ["lhr"]
    assert found.sites[0].n_vantage_points == 3


def test_a_disc_larger_than_half_the_globe_holds_what_is_not_at_its_antipodes() -> None:
    # 190 ms reach 18,987 km: London is in, 17,000 km away.
    assert not enumerate_sites([vp("a", LONDON, 1), vp("b", SYDNEY, 190)]).is_anycast
    assert enumerate_sites([vp("a", LONDON, 1), vp("b", SYDNEY, 160)]).is_anycast


def test_a_single_site_stands_where_all_vantage_points_allow_it() -> None:
    # Alone, either disc holds cities on all sides; both together only those between.
    osaka_side = vp("east", TOKYO, 6)
    tokyo_side = vp("west", (33.59, 130.40), 6)  # Fukuoka
    found = enumerate_sites([osaka_side, tokyo_side])
    site = found.sites[0]
    for seen in (osaka_side, tokyo_side):
        assert great_circle_km(seen.lat, seen.lon, site.lat, site.lon) <= 6 * KM_PER_RTT_MS


def test_a_site_explains_vantage_points_within_its_reach() -> None:
    found = enumerate_sites(
        [vp("near", LONDON, 1), vp("paris", PARIS, 12), vp("far", SYDNEY, 1)],
    )
    assert codes(found) == ["syd", "lhr"]
    assert [site.n_vantage_points for site in found.sites] == [1, 2]


def test_population_decides_among_cities_at_like_distances() -> None:
    found = enumerate_sites([vp("village", (51.9, -0.6), 3), vp("far", SYDNEY, 1)])
    assert "lhr" in codes(found)


def test_a_near_city_beats_a_larger_one_at_the_border_of_the_disc() -> None:
    # Heraklion, not Izmir or Athens, although they are larger and inside.
    found = enumerate_sites([vp("crete", (35.3375, 25.1405), 6), vp("far", SYDNEY, 1)])
    assert "her" in codes(found)


def test_a_lone_witness_does_not_place_a_site_in_a_small_city() -> None:
    # Brasov is within reach of Bucharest, but only by a path straighter than paths are.
    bucharest = vp("bucharest", (44.43, 26.10), 1)
    brasov = vp("brasov", (45.65, 25.60), 1.6)
    found = enumerate_sites([bucharest, brasov, vp("far", SYDNEY, 1)])
    assert codes(found) == ["otp", "syd"]


def test_witnesses_in_a_large_city_place_a_site_that_physics_does_not_ask_for() -> None:
    # Helsinki is 80 km from Tallinn, which 1 ms barely allows; a dozen hosts say the same.
    tallinn = vp("tallinn", (59.44, 24.75), 0.5)
    helsinki = [vp(f"helsinki{i}", (60.17 + i / 500, 24.94), 1) for i in range(12)]
    found = enumerate_sites([tallinn, *helsinki, vp("far", SYDNEY, 1)])
    assert codes(found) == ["tll", "syd", "hel"]
    assert found.sites[2].evidence is Evidence.LIKELY


def test_the_answer_does_not_depend_on_the_order_of_the_vantage_points() -> None:
    some = [vp(f"v{i}", (40 + i % 7, -5 + 4 * (i % 11)), 2 + i % 5) for i in range(60)]
    assert enumerate_sites(some) == enumerate_sites(some[::-1])


def test_of_several_times_the_fastest_counts() -> None:
    kept = fastest([vp("a", LONDON, 9), vp("a", LONDON, 1), vp("b", PARIS, 3)])
    assert [(v.name, v.rtt_ms) for v in kept] == [("a", 1), ("b", 3)]


def test_nothing_is_enumerated_from_nothing() -> None:
    found = enumerate_sites([])
    assert not found.is_anycast
    assert found.sites == ()


def test_a_disc_without_a_city_is_a_site_nowhere() -> None:
    nowhere = Metros([make_metro(Place(code="x", city="X", country="", lat=80.0, lon=0.0), 1)])
    found = enumerate_sites([vp("a", LONDON, 1), vp("b", SYDNEY, 1)], metros=nowhere)
    assert [site.place for site in found.sites] == [None, None]
    assert [site.confidence for site in found.sites] == [0.0, 0.0]
    assert (found.sites[0].lat, found.sites[0].lon) == LONDON


def test_a_zero_distance_needs_no_division() -> None:
    found = enumerate_sites([vp("a", LONDON, 1e-9), vp("b", SYDNEY, 1e-9)])
    assert found.is_anycast
    assert len(found.sites) == 2


def test_what_a_site_explains_grows_with_the_time_and_never_to_the_whole_disc() -> None:
    shares = [DEFAULTS.explained_share(rtt) for rtt in (0.1, 1, 5, 10, 50, 1000)]
    assert shares == sorted(shares)
    assert shares[0] == DEFAULTS.least_share
    assert shares[-1] < DEFAULTS.sure_share < 1


@pytest.mark.parametrize("km", [0.0, 1.0, 150.0, 5000.0, 20_015.0, 40_000.0])
def test_cities_within_a_disc_are_those_near_enough(km: float) -> None:
    where = unit_vector(*PARIS)
    metros = all_metros()
    inside = {metro.place for metro, _ in metros.within(where, PARIS[0], km)}
    everywhere = metros.within(where, PARIS[0], 40_000.0)
    near = {metro.place for metro, _ in everywhere if distance_km(where, metro.where) <= km}
    assert inside == near


def test_a_cosine_reaches_around_the_globe_and_no_farther() -> None:
    assert reach(0) == 1
    assert reach(1e9) == reach(20_100) == -1
