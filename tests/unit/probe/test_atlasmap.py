"""A catchment map out of Atlas results."""

from collections.abc import Iterable

import pytest

from ridgeline.catchment.model import CatchmentMap, Row
from ridgeline.errors import InputError
from ridgeline.probe.atlas import AtlasResult, Hop, Kind, Skipped
from ridgeline.probe.atlasmap import AtlasMap, make_map, site_of_identity
from ridgeline.probe.locations import Location

TARGET = "192.0.2.1"
PLACES = {"1": Location(35.7, 139.7, "JP", 64500), "2": Location(0.0, -140.0)}


def dns(probe: str, identity: str, at: int = 1_700_000_000, rtt: float = 5.0) -> AtlasResult:
    return AtlasResult(
        kind=Kind.DNS, probe=probe, target=TARGET, at=at, rtt_ms=rtt, identity=identity
    )


def rows(results: Iterable[AtlasResult | Skipped]) -> list[Row]:
    return list(make_map(results, PLACES)[0].rows())


def test_a_row_says_who_asked_from_where_and_which_site_answered() -> None:
    made, notes = make_map([dns("1", "ns1.jp-tyo.example.net")], PLACES, source="some.json")
    assert list(made.rows()) == [
        Row(
            name="1", asn=64500, city="nrt", country="JP", lat=35.7, lon=139.7, site="tyo",
            rtt_ms=5.0,
        )
    ]  # fmt: skip
    assert (made.network, made.sites, made.source) == (TARGET, ("tyo",), "some.json")
    assert made.when == "2023-11-14T22:13:20Z"
    assert notes == ()


def test_an_identity_that_tells_no_place_names_its_site_itself() -> None:
    assert site_of_identity("nobody knows") == "nobody knows"
    assert site_of_identity("NRT57-P2") == "nrt"


def test_identities_can_be_kept_as_they_are() -> None:
    gathered = AtlasMap(name_site=str)
    gathered.take(dns("1", "NRT57-P2"))
    assert gathered.make({}).site == ("NRT57-P2",)


def test_the_last_result_decides_the_site_and_the_fastest_the_time() -> None:
    (row,) = rows([dns("1", "NRT1", 20, 9.0), dns("1", "SYD1", 30, 8.0), dns("1", "LHR1", 10, 2.0)])
    assert (row.site, row.rtt_ms) == ("syd", 2.0)


def test_a_probe_without_an_answer_reaches_no_site() -> None:
    lost = AtlasResult(kind=Kind.DNS, probe="2", target=TARGET, at=1, error="timeout")
    first, second = rows([dns("1", "NRT1"), lost])
    assert first.site == "nrt"
    assert (second.site, second.rtt_ms, second.city) == (None, None, "")


def test_a_traceroute_names_the_last_router() -> None:
    hops = (Hop(1, "198.51.100.1", 1.0), Hop(2, "", None), Hop(3, TARGET, 9.0))
    trace = AtlasResult(
        kind=Kind.TRACEROUTE, probe="1", target=TARGET, at=None, rtt_ms=9.0, hops=hops
    )
    direct = AtlasResult(
        kind=Kind.TRACEROUTE, probe="2", target=TARGET, at=None, rtt_ms=1.0, hops=hops[2:]
    )
    assert [row.site for row in rows([trace, direct])] == ["via 198.51.100.1", "direct"]


def test_two_targets_are_two_services() -> None:
    other = AtlasResult(
        kind=Kind.DNS, probe="1", target="192.0.2.2", at=1, rtt_ms=1, identity="LHR1"
    )
    made: CatchmentMap = make_map([dns("1", "NRT1"), other], PLACES)[0]
    assert made.service == (TARGET, "192.0.2.2")
    assert made.network == ""


def test_pings_alone_tell_no_site_and_what_to_do() -> None:
    ping = AtlasResult(kind=Kind.PING, probe="1", target=TARGET, at=1, rtt_ms=3.0)
    with pytest.raises(InputError) as caught:
        make_map([ping, Skipped("no prb_id")], {}, source="file")
    assert str(caught.value) == (
        "file: nothing tells which site answered: 1 ping results tell no site; `ridgeline probe "
        "enumerate` finds sites from their times; 1 objects skipped: no prb_id"
    )


def test_what_was_left_out_is_told() -> None:
    nameless = AtlasResult(kind=Kind.DNS, probe="1", target=TARGET, at=1, rtt_ms=3.0)
    _, notes = make_map([dns("9", "NRT1", at=10**18), nameless], PLACES)
    assert notes == (
        "1 answers without an identity: ask for CHAOS or NSID",
        "1 of 1 rows without a place: give --locations FILE",
    )
