"""Places in names, held against what light allows."""

import pytest

from ridgeline.app.probe_places import find_here, guess_place, place_fields, seen_from
from ridgeline.errors import InputError


def test_a_router_names_its_city_with_a_reason() -> None:
    fields = place_fields("ae1.cr1.nrt.tancho.example")
    assert fields["place"]["code"] == "nrt"
    assert "Tokyo" in fields["place"]["reason"]
    assert 0.3 <= fields["place"]["confidence"] <= 1


def test_a_place_faster_than_light_is_rejected_and_told() -> None:
    near = seen_from(find_here("lhr"), 5.0)
    assert guess_place("cr1.nrt.tancho.example", near)[0] is None
    fields = place_fields("cr1.nrt.tancho.example", near)
    assert "place" not in fields
    assert "not Tokyo" in fields["place_rejected"]
    far = seen_from(find_here("lhr"), 200.0)
    assert place_fields("cr1.nrt.tancho.example", far)["place"]["code"] == "nrt"


def test_a_name_that_tells_nothing_says_nothing() -> None:
    assert place_fields("192-0-2-1.dsl.example.net") == {}


def test_nothing_is_seen_from_nowhere() -> None:
    assert seen_from(None, 5.0) == []
    assert seen_from(find_here("lhr"), None) == []
    assert find_here("") is None
    with pytest.raises(InputError, match="IATA"):
        find_here("zzzz")
