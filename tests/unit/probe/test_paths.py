"""Where paths part and meet, and what light allows."""

from ridgeline.net.airports import find_place
from ridgeline.net.place import Place
from ridgeline.probe.paths import furthest_km, meets_at, parts_at, why_impossible


def place(code: str) -> Place:
    found = find_place(code)
    assert found is not None
    return found


def test_paths_part_at_the_first_hop_that_differs() -> None:
    assert parts_at([["a", "b", "x"], ["a", "b", "y", "z"], ["q", "z"]]) == [2, 2, None]


def test_a_silent_hop_hides_no_parting_and_makes_none() -> None:
    assert parts_at([["a", None, "c", "x"], ["a", "b", "c", "y"]]) == [3, 3]
    assert parts_at([[None, "x"], [None, "y"]]) == [None, None]


def test_equal_paths_do_not_part_and_a_longer_one_goes_on() -> None:
    assert parts_at([["a", "b"], ["a", "b"]]) == [None, None]
    assert parts_at([["a", "b", "c"], ["a", "b"]]) == [2, None]


def test_paths_meet_where_both_pass_but_not_at_the_target() -> None:
    assert meets_at([["a", "m", "t"], ["b", "c", "m", "t"], ["d", "t"]]) == [1, 2, None]
    assert meets_at([["a", "t"], ["b", "t"]]) == [None, None]


def test_paths_that_begin_together_do_not_meet_again() -> None:
    assert meets_at([["a", "b", "m", "t"], ["a", "c", "m", "t"]]) == [None, None]


def test_light_gets_100_km_there_and_back_in_a_millisecond() -> None:
    assert 99 < furthest_km(1.0) < 101


def test_a_guess_faster_than_light_is_rejected_with_the_reason() -> None:
    here = [(place("lhr"), 0.0)]
    why = why_impossible(place("nrt"), 20.0, here)
    assert "Tokyo" in why
    assert "from here" in why
    assert why_impossible(place("nrt"), 200.0, here) == ""


def test_two_hops_must_both_be_near_enough_to_each_other() -> None:
    assert why_impossible(place("syd"), 5.0, [(place("lhr"), 5.0)])
    assert not why_impossible(place("cdg"), 5.0, [(place("lhr"), 5.0)])


def test_without_anything_known_nothing_is_impossible() -> None:
    assert why_impossible(place("syd"), 0.1, []) == ""
