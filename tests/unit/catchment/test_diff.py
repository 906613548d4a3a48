"""What two maps disagree about, and how their rows find each other."""

from dataclasses import replace

import pytest

from ridgeline.catchment.diff import compare
from ridgeline.catchment.model import CatchmentMap, Certainty, Kind, Row
from ridgeline.errors import InputError

SURE = Row(name="a.nrt", asn=1, city="nrt", weight=6, site="nrt", rtt_ms=5.0,
           certainty=Certainty.CERTAIN, possible=("nrt",))  # fmt: skip
TORN = Row(name="b.lhr", asn=2, city="lhr", weight=3, site="lhr", rtt_ms=5.0,
           certainty=Certainty.POSSIBLE, possible=("lhr", "nrt"))  # fmt: skip
LOST = Row(name="c", asn=3, weight=1, site=None)


def a_map(*rows: Row, kind: Kind = Kind.PREDICTED) -> CatchmentMap:
    return CatchmentMap.from_rows(rows, kind=kind, network="x", sites=("nrt", "lhr"))


def test_a_map_agrees_with_itself() -> None:
    found = compare(a_map(SURE, TORN, LOST), a_map(SURE, TORN, LOST))
    assert (found.overall.part, found.overall.weighted) == (1.0, 1.0)
    assert found.moved == ()
    assert found.slower == ()
    assert (found.n_only_a, found.n_only_b, found.n_faster) == (0, 0, 0)


def test_agreement_counts_heads_and_weighs_users() -> None:
    found = compare(a_map(SURE, TORN), a_map(SURE, replace(TORN, site="nrt")))
    assert found.overall.part == 0.5
    assert found.overall.weighted == pytest.approx(2 / 3)
    assert found.by_certainty[Certainty.CERTAIN].part == 1.0
    assert found.by_certainty[Certainty.POSSIBLE].part == 0.0
    assert Certainty.LIKELY not in found.by_certainty


def test_moves_are_gathered_heaviest_first() -> None:
    after = [replace(TORN, site="nrt"), replace(SURE, site="lhr"), replace(LOST, site="lhr")]
    found = compare(a_map(SURE, TORN, LOST), a_map(*after))
    assert [(m.before, m.after, m.n, m.weight, m.names) for m in found.moved] == [
        ("nrt", "lhr", 1, 6, ("a.nrt",)),
        ("lhr", "nrt", 1, 3, ("b.lhr",)),
        (None, "lhr", 1, 1, ("c",)),
    ]


def test_a_site_outside_the_possible_ones_is_told() -> None:
    found = compare(a_map(SURE, TORN), a_map(replace(SURE, site="lhr"), replace(TORN, site="nrt")))
    assert found.outside_possible == ("a.nrt",)


def test_slower_clients_come_by_weight_and_noise_is_left_out() -> None:
    a = a_map(SURE, TORN, replace(LOST, rtt_ms=5.0))
    b = a_map(replace(SURE, rtt_ms=7.0), replace(TORN, rtt_ms=50.0), replace(LOST, rtt_ms=5.9))
    found = compare(a, b)
    assert [(s.name, s.by_ms) for s in found.slower] == [("b.lhr", 45.0), ("a.nrt", 2.0)]
    assert compare(b, a).n_faster == 2


def test_a_row_without_a_service_pairs_with_every_service() -> None:
    rehearsed = a_map(
        replace(SURE, service="dns"), replace(SURE, service="web", site="lhr"), kind=Kind.REHEARSED
    )
    found = compare(a_map(SURE), rehearsed)
    assert (found.overall.n, found.overall.n_same) == (2, 1)
    assert (found.n_only_a, found.n_only_b) == (0, 0)
    assert compare(rehearsed, a_map(SURE)).overall.n == 2


def test_services_of_different_names_do_not_pair() -> None:
    found = compare(
        a_map(replace(SURE, service="dns"), replace(TORN, service="dns")),
        a_map(replace(SURE, service="dns"), replace(TORN, service="web")),
    )
    assert (found.overall.n, found.n_only_a, found.n_only_b) == (1, 1, 1)


def test_rows_of_other_names_pair_by_network_and_city() -> None:
    found = compare(
        a_map(SURE, TORN), a_map(replace(SURE, name="probe-1"), replace(TORN, name="p2"))
    )
    assert found.matched_by == "network and city"
    assert found.overall.n == 2


def test_rows_without_a_city_pair_by_network_and_the_heaviest_stands_for_it() -> None:
    light = replace(SURE, name="a.kix", city="kix", weight=1, site="lhr")
    found = compare(a_map(light, SURE), a_map(replace(SURE, name="probe-1", city="")))
    assert found.matched_by == "network"
    assert (found.overall.n, found.overall.n_same, found.n_only_a) == (1, 1, 1)


def test_maps_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(InputError, match=r"no vantage point in common: 'a\.nrt'... against 'z'"):
        compare(a_map(SURE), a_map(Row(name="z", asn=9)))
    with pytest.raises(InputError, match="against an empty map"):
        compare(a_map(SURE), a_map())
