"""Where paths part and meet."""

from ridgeline.probe.paths import meets_at, parts_at


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
