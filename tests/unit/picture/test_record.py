from math import inf, nan

import pytest

from ridgeline.picture.record import child, items, number, records, text, texts


@pytest.mark.parametrize("value", [None, "5", True, nan, inf, [], {}])
def test_what_is_no_number_is_none(value: object) -> None:
    assert number({"n": value}, "n") is None


def test_numbers_are_floats() -> None:
    assert number({"n": 5}, "n") == 5.0


@pytest.mark.parametrize(
    ("value", "read"), [("a", "a"), (5, "5"), (2.5, "2.5"), (None, ""), (True, ""), ([], "")]
)
def test_text_is_text_or_nothing(value: object, read: str) -> None:
    assert text({"t": value}, "t") == read


def test_lists_hold_only_what_is_asked_for() -> None:
    record = {"r": [{"a": 1}, 5, None], "t": ["x", 5, {}], "s": "one"}
    assert records(record, "r") == [{"a": 1}]
    assert texts(record, "t") == ["x", "5"]
    assert texts(record, "s") == ["one"]
    assert items(record, "s") == []
    assert child(record, "r") == {}
