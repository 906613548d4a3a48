import pytest

from ridgeline.net.airports import find_place
from ridgeline.net.place import great_circle_km, one_way_ms


def km_between(one: str, other: str) -> float:
    a, b = find_place(one), find_place(other)
    assert a is not None
    assert b is not None
    return great_circle_km(a.lat, a.lon, b.lat, b.lon)


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [("lhr", "jfk", 5540), ("nrt", "lax", 8752), ("syd", "jnb", 11060), ("akl", "mad", 19630)],
)
def test_the_great_circle_is_as_long_as_atlases_say(one: str, other: str, km: float) -> None:
    assert km_between(one, other) == pytest.approx(km, rel=0.01)
    assert km_between(other, one) == pytest.approx(km_between(one, other))


def test_half_way_round_is_the_longest_way() -> None:
    assert great_circle_km(0, 0, 0, 180) == pytest.approx(20015.1, abs=0.1)
    assert great_circle_km(52.5, 13.4, -52.5, -166.6) == pytest.approx(20015.1, abs=0.1)


def test_a_thousand_kilometres_take_seven_milliseconds() -> None:
    assert one_way_ms(1000) == pytest.approx(7.305, abs=0.001)
