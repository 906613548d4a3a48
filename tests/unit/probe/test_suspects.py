"""Vantage points that cannot be where they say, and those that only look odd."""

from math import nan

import pytest

from ridgeline.probe.enumerate import enumerate_sites
from ridgeline.probe.suspects import find_suspects
from ridgeline.probe.vantage import VantagePoint

FRANKFURT, LONDON, SYDNEY = (50.11, 8.68), (51.51, -0.13), (-33.87, 151.21)
SINGAPORE = (1.35, 103.82)


def vp(name: str, where: tuple[float, float], rtt_ms: float, site: str = "") -> VantagePoint:
    return VantagePoint(name=name, lat=where[0], lon=where[1], rtt_ms=rtt_ms, site=site)


def around(where: tuple[float, float], rtt_ms: float, n: int, site: str = "") -> list[VantagePoint]:
    return [
        vp(f"{where[0]:g}-{i}", (where[0] + i / 100, where[1] - i / 100), rtt_ms + i, site)
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("where", "rtt_ms", "why"),
    [
        ((91.0, 0.5), 5.0, "91, 0.5 is no place on Earth"),
        ((10.0, 200.0), 5.0, "10, 200 is no place on Earth"),
        ((nan, 1.0), 5.0, "nan, 1 is no place on Earth"),
        ((0.0, 0.0), 5.0, "0, 0 is open sea: what is written where the place is not known"),
        (LONDON, 0.0, "0 ms is no round-trip time"),
        (LONDON, -1.0, "-1 ms is no round-trip time"),
        (LONDON, nan, "nan ms is no round-trip time"),
    ],
)
def test_what_nothing_can_be_is_suspected(
    where: tuple[float, float], rtt_ms: float, why: str
) -> None:
    (suspect,) = find_suspects([vp("odd", where, rtt_ms), vp("fine", LONDON, 3)])
    assert suspect.vantage_point == "odd"
    assert suspect.reason == why


def test_one_name_in_two_places_is_suspected_twice() -> None:
    suspects = find_suspects([vp("a", LONDON, 3), vp("a", SYDNEY, 3), vp("b", LONDON, 3)])
    assert [s.vantage_point for s in suspects] == ["a", "a"]
    assert "two places 169" in suspects[0].reason


def test_one_that_moved_a_little_is_not() -> None:
    assert not find_suspects([vp("a", (51.5, 0.0), 3), vp("a", (51.6, 0.1), 4)])


def test_one_site_cannot_answer_discs_that_do_not_meet() -> None:
    honest = around(FRANKFURT, 2, 6, "fra")
    suspects = find_suspects([*honest, vp("liar", SYDNEY, 3, "fra")])
    assert [s.vantage_point for s in suspects] == ["liar"]
    assert suspects[0].reason == ("no place is in reach of it and of 6 others that fra answered")


def test_one_word_against_another_proves_neither_wrong() -> None:
    assert not find_suspects([vp("a", FRANKFURT, 2, "fra"), vp("b", SYDNEY, 2, "fra")])


def test_sites_of_different_names_do_not_contradict_each_other() -> None:
    assert not find_suspects([*around(FRANKFURT, 2, 6, "fra"), vp("b", SYDNEY, 2, "syd")])


def test_alone_at_a_sites_door_among_a_crowd_far_from_any_is_left_out() -> None:
    crowd = around(SYDNEY, 150, 12)
    found = enumerate_sites([vp("liar", SYDNEY, 0.5), *crowd, vp("honest", SINGAPORE, 1)])
    assert [s.vantage_point for s in found.suspects] == ["liar"]
    assert found.suspects[0].reason == (
        "all 12 others within 150 km of it are 150 ms or more from any site"
    )
    assert all(abs(site.lat - SYDNEY[0]) > 5 for site in found.sites)
    assert found.n_vantage_points == 13


def test_a_liar_makes_no_address_anycast() -> None:
    found = enumerate_sites(
        [vp("liar", SYDNEY, 0.5), *around(SYDNEY, 290, 12), vp("honest", FRANKFURT, 1)]
    )
    assert [s.vantage_point for s in found.suspects] == ["liar"]
    assert not found.is_anycast
    assert [site.place.code for site in found.sites if site.place] == ["fra"]


def test_a_few_far_neighbours_are_no_crowd() -> None:
    found = enumerate_sites(
        [vp("local", SYDNEY, 0.5), *around(SYDNEY, 150, 5), vp("other", FRANKFURT, 1)]
    )
    assert not found.suspects
    assert any(abs(site.lat - SYDNEY[0]) < 1 for site in found.sites)


def test_a_second_witness_clears_the_first() -> None:
    found = enumerate_sites(
        [
            vp("one", SYDNEY, 0.5),
            vp("two", (-33.9, 151.1), 1.0),
            *around(SYDNEY, 150, 12),
            vp("other", FRANKFURT, 1),
        ]
    )
    assert not found.suspects


def test_suspects_are_not_counted_and_not_used() -> None:
    found = enumerate_sites([vp("null", (0.0, 0.0), 0.5), vp("a", FRANKFURT, 1)])
    assert found.n_vantage_points == 1
    assert not found.is_anycast
