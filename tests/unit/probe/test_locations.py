"""Where probes are, from every list that tells."""

import io

import pytest

from ridgeline.errors import InputError
from ridgeline.probe.locations import Location, read_locations


def read(text: str) -> dict[str, Location]:
    return read_locations(io.StringIO(text), file="probes")


def test_the_atlas_interface_tells_longitude_first() -> None:
    text = (
        '{"count": 1, "results": [{"id": 6002, "geometry": {"type": "Point", "coordinates": '
        '[10.8375, 59.9385]}, "country_code": "NO", "asn_v4": 64500}]}'
    )
    assert read(text) == {"6002": Location(59.9385, 10.8375, "NO", 64500)}


def test_the_daily_archive_tells_latitude_and_longitude() -> None:
    text = '{"meta": {}, "objects": [{"id": 1, "latitude": 1.5, "longitude": -2, "asn_v4": null, "asn_v6": 64501}]}'
    assert read(text) == {"1": Location(1.5, -2.0, "", 64501)}


def test_probes_without_a_place_are_left_out() -> None:
    text = (
        '[{"id": 1, "geometry": null}, {"id": 2, "latitude": 1, "longitude": 2}, {"latitude": 1}]'
    )
    assert list(read(text)) == ["2"]


@pytest.mark.parametrize("divider", [",", "\t"])
def test_lines_are_read_with_or_without_a_heading(divider: str) -> None:
    lines = ["id,lat,lon,country", "6002,59.9,10.8,NO", "", "# a remark", "x.example,-1,2"]
    text = "\n".join(lines).replace(",", divider)
    assert read(text) == {"6002": Location(59.9, 10.8, "NO"), "x.example": Location(-1.0, 2.0)}


def test_wrong_lines_are_all_told() -> None:
    with pytest.raises(InputError) as caught:
        read("6002,59.9,10.8\n6003,north,10\n6004\n6005,nan,1\n")
    assert str(caught.value) == (
        "probes:2:1: expected id,lat,lon; found '6003,north,10'\n"
        "probes:3:1: expected id,lat,lon; found '6004'\n"
        "probes:4:1: expected id,lat,lon; found '6005,nan,1'"
    )


@pytest.mark.parametrize("text", ["", "\n", "id,lat,lon\n", "[]", '[{"id": 1}]'])
def test_a_list_of_nothing_says_what_was_expected(text: str) -> None:
    with pytest.raises(InputError, match="probes: no probe with a place in it; expected Atlas"):
        read(text)
