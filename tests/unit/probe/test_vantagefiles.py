"""Vantage points from every format that we promise to read."""

import io
import json

import pytest

from ridgeline.errors import InputError
from ridgeline.probe.locations import Location
from ridgeline.probe.vantage import VantagePoint
from ridgeline.probe.vantagefiles import VantageFile, read_vantage_points

OSLO = VantagePoint(name="6002", lat=59.9385, lon=10.8375, rtt_ms=0.5)
WITH_SITE = VantagePoint(name="6002", lat=59.9385, lon=10.8375, rtt_ms=0.5, site="nix")


IGREEDY = "#hostname\tlatitude\tlongitude\tgt\tmin(rtt)[ms]"


def read(text: str, locations: dict[str, Location] | None = None) -> VantageFile:
    return read_vantage_points(io.StringIO(text), file="rtts", locations=locations)


@pytest.mark.parametrize(
    "text",
    [
        "6002\t59.9385\t10.8375\t0.5\n",
        "6002\t59.9385\t10.8375\t0.5\t55\tNorway\n",
        "#hostname\tlatitude\tlongitude\trtt[ms]\tttl\tcountry\n6002\t59.9385\t10.8375\t0.5\t-1\tNO\n",
        "name,lat,lon,rtt_ms\n6002,59.9385,10.8375,0.5\n",
        "rtt,Longitude,Latitude,probe\r\n0.5,10.8375,59.9385,6002\r\n",
        '"6002","59.9385","10.8375","0.5"\n',
        '{"name": "6002", "lat": 59.9385, "lon": 10.8375, "rtt_ms": 0.5}',
        '[{"probe": 6002, "latitude": 59.9385, "longitude": 10.8375, "min_rtt": 0.5}]',
        '{"vantage_points": [{"name": "6002", "lat": 59.9385, "lon": 10.8375, "rtt_ms": 0.5}]}',
    ],
)
def test_a_vantage_point_is_the_same_in_every_format(text: str) -> None:
    assert read(text).vantage_points == (OSLO,)


@pytest.mark.parametrize(
    "text",
    [
        f"{IGREEDY}\n#Testing\t33\tInstances\n6002\t59.9385\t10.8375\tnix\t0.5\n",
        "6002\t59.9385\t10.8375\tnix\t0.5\n",
        "name,lat,lon,site,rtt_ms\n6002,59.9385,10.8375,nix,0.5\n",
        '{"name": "6002", "lat": 59.9385, "lon": 10.8375, "rtt_ms": 0.5, "site": "nix"}',
    ],
)
def test_the_site_that_answered_is_read_where_it_is_told(text: str) -> None:
    assert read(text).vantage_points == (WITH_SITE,)


def test_a_catchment_map_is_a_list_of_vantage_points() -> None:
    header = {"schema": "ridgeline.catchment/1", "kind": "observed", "sites": ["nix"]}
    row = {"name": "6002", "lat": 59.9385, "lon": 10.8375, "rtt_ms": 0.5, "site": "nix"}
    unplaced = {"name": "6003", "rtt_ms": 2.0, "site": "nix"}
    found = read("\n".join(map(json.dumps, (header, row, unplaced))))
    assert found.vantage_points == (WITH_SITE,)
    assert found.notes == ("1 object that say no place and time",)


def test_of_several_times_the_fastest_is_kept() -> None:
    found = read("6002\t59.9385\t10.8375\t9\n6002\t59.9385\t10.8375\t0.5\n")
    assert found.vantage_points == (OSLO,)


PING = {
    "fw": 5080, "type": "ping", "prb_id": 6002, "dst_addr": "192.0.2.1", "timestamp": 1700000000,
    "min": 0.5, "rcvd": 2, "result": [{"rtt": 0.7}, {"rtt": 0.5}, {"x": "*"}],
}  # fmt: skip


def test_atlas_pings_are_placed_by_another_file() -> None:
    places = {"6002": Location(59.9385, 10.8375)}
    found = read(json.dumps([PING, {**PING, "result": [{"x": "*"}], "min": -1}]), places)
    assert found.vantage_points == (OSLO,)
    assert found.target == "192.0.2.1"
    assert found.notes == ("1 result without a reply",)


def test_atlas_pings_without_places_say_what_is_missing() -> None:
    results = [{**PING, "prb_id": i} for i in range(1, 9)]
    with pytest.raises(InputError) as caught:
        read(json.dumps(results))
    assert str(caught.value) == (
        "rtts: no vantage point with a place and a time in it: 8 probes without a place: Atlas "
        "results do not say where probes are; give --locations FILE with 1, 2, 3, 4, 5 and 3 more"
    )


def test_a_wrapper_without_results_says_so() -> None:
    with pytest.raises(InputError, match=r"in it: it holds no result$"):
        read('{"target": "192.0.2.1", "measurement_results": []}')


def test_mixed_targets_and_cut_text_are_noted() -> None:
    places = {"6002": Location(59.9385, 10.8375)}
    text = json.dumps([PING, {**PING, "dst_addr": "192.0.2.2"}])[:-1] + ", {oops"
    first, second = read(text, places).notes
    assert first.startswith(f"1 stretch of no JSON, first at character {text.index('{oops')}: ")
    assert second == "results for 2 addresses are mixed"


def test_every_wrong_line_of_a_table_is_told_with_its_column() -> None:
    with pytest.raises(InputError) as caught:
        read("a\t1\t2\t3\nb\t1\teast\t3\nc\t1\nd\t1\t2\tfast\n")
    assert str(caught.value) == (
        "rtts:2:5: lon: expected degrees east, found 'east'\n"
        "rtts:3:1: lon: the line ends before column 3, degrees east\n"
        "rtts:4:7: rtt_ms: expected milliseconds, found 'fast'"
    )


def test_no_more_than_a_score_of_wrong_lines_is_told() -> None:
    with pytest.raises(InputError) as caught:
        read("a\tb\tc\td\n" * 1000)
    assert len(caught.value.problems) == 20


@pytest.mark.parametrize("text", ["", "\n\n", "#hostname\tlat\n", "[]", "{}"])
def test_a_file_of_nothing_says_what_was_expected(text: str) -> None:
    with pytest.raises(InputError, match="rtts: no vantage point"):
        read(text)


def test_a_text_that_is_no_table_is_told() -> None:
    with pytest.raises(
        InputError, match="expected name, latitude, longitude and RTT; found 'hello'"
    ):
        read("hello\n")
