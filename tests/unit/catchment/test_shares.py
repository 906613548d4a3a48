"""Who gets what: by users, by networks, by country."""

import pytest

from ridgeline.catchment.inflation import inflation
from ridgeline.catchment.model import CatchmentMap, Certainty, Kind, Row
from ridgeline.catchment.shares import (
    UNREACHED,
    by_ases,
    by_certainty,
    by_country,
    by_site,
    weighted_quantile,
)
from ridgeline.net.place import ACCESS_RTT_MS, Place

TOKYO = Place(code="nrt", city="Tokyo", country="JP", lat=35.76, lon=140.39)
LONDON = Place(code="lhr", city="London", country="GB", lat=51.47, lon=-0.46)
SITES = {"nrt": TOKYO, "lhr": LONDON}


def a_map(*rows: Row) -> CatchmentMap:
    return CatchmentMap.from_rows(rows, kind=Kind.OBSERVED, network="x", sites=SITES)


def test_shares_follow_the_weight_and_the_order_of_the_spec() -> None:
    shares = by_site(
        a_map(
            Row(name="a", site="lhr", weight=3, rtt_ms=10.0),
            Row(name="b", site="nrt", weight=1),
            Row(name="c", site="lhr", weight=4, rtt_ms=30.0),
            Row(name="d", site=None, weight=2),
        )
    )
    assert list(shares) == ["nrt", "lhr", UNREACHED]
    assert [share.share for share in shares.values()] == [0.1, 0.7, 0.2]
    assert (shares["lhr"].median_rtt_ms, shares["nrt"].median_rtt_ms) == (30.0, None)


def test_a_site_that_nobody_reaches_is_told_with_zero() -> None:
    assert by_site(a_map(Row(name="a", site="lhr")))["nrt"].share == 0.0


def test_an_empty_map_divides_into_nothing() -> None:
    assert [share.share for share in by_site(a_map()).values()] == [0.0, 0.0]
    assert by_ases(a_map()) == {}


def test_a_network_that_reaches_two_sites_counts_in_parts() -> None:
    shares = by_ases(
        a_map(
            Row(name="a", asn=1, site="lhr", weight=3),
            Row(name="b", asn=1, site="nrt", weight=1),
            Row(name="c", asn=2, site="nrt", weight=0),
        )
    )
    assert shares == {"lhr": 0.375, "nrt": 0.625}


def test_countries_come_heaviest_first() -> None:
    shares = by_country(
        a_map(
            Row(name="a", country="GB", site="lhr", weight=1),
            Row(name="b", country="JP", site="lhr", weight=2),
            Row(name="c", country="JP", site="nrt", weight=6),
        )
    )
    assert list(shares.items()) == [("JP", {"lhr": 0.25, "nrt": 0.75}), ("GB", {"lhr": 1.0})]


def test_certainty_is_weighed_over_everyone() -> None:
    parts = by_certainty(
        a_map(
            Row(name="a", site="lhr", weight=3, certainty=Certainty.CERTAIN),
            Row(name="b", site=None, weight=1),
        )
    )
    assert parts == {Certainty.CERTAIN: 0.75, Certainty.LIKELY: 0.0, Certainty.POSSIBLE: 0.0}


@pytest.mark.parametrize(
    ("values", "weights", "part", "expected"),
    [
        ([], [], 0.5, None),
        ([5.0], [0.0], 0.5, 5.0),
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 0.5, 2.0),
        ([1.0, 2.0], [1.0, 1.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], [1.0, 0.0, 9.0], 0.95, 3.0),
        ([3.0, 1.0, 2.0], [0.0, 0.0, 9.0], 1.0, 2.0),
        ([9.0, 1.0], [1.0, 99.0], 0.95, 1.0),
    ],
)
def test_weighted_quantile(
    values: list[float], weights: list[float], part: float, expected: float | None
) -> None:
    assert weighted_quantile(values, weights, part) == expected


def test_a_detour_is_measured_against_the_nearest_site() -> None:
    found = inflation(
        a_map(
            Row(name="home", lat=35.7, lon=139.7, site="nrt", rtt_ms=4.0, weight=3),
            Row(name="away", lat=35.76, lon=140.39, site="lhr", rtt_ms=150.0, weight=1),
            Row(name="nowhere", site="lhr", rtt_ms=150.0, weight=50),
            Row(name="lost", lat=0.0, lon=0.0, site=None, weight=50),
        ),
        SITES,
    )
    (detour,) = found.detours
    assert (detour.row, detour.nearest) == (1, "nrt")
    assert detour.extra_ms == pytest.approx(150.0 - ACCESS_RTT_MS)
    assert (found.part, found.median_extra_ms) == (0.25, detour.extra_ms)


def test_two_sites_in_one_metropolis_are_equally_near() -> None:
    other = Place(code="lgw", city="London", country="GB", lat=51.40, lon=-0.35)
    row = Row(name="a", lat=51.40, lon=-0.35, site="lhr", rtt_ms=3.0)
    assert inflation(a_map(row), SITES | {"lgw": other}).detours == ()
