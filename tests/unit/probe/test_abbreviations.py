"""How operators shorten names, and how they do not."""

import pytest

from ridgeline.probe.abbreviations import abbreviation_cost


@pytest.mark.parametrize(
    ("letters", "name"),
    [
        ("to", "tokyo"), ("toky", "tokyo"), ("ny", "new york"), ("nyc", "new york city"),
        ("slc", "salt lake city"), ("sj", "san jose"), ("pa", "palo alto"),
    ],
)  # fmt: skip
def test_first_letters_and_initials_cost_nothing(letters: str, name: str) -> None:
    cost = abbreviation_cost(letters, name)
    assert cost is not None
    assert cost <= 0.1


@pytest.mark.parametrize(
    ("cheap", "dear", "name"),
    [
        ("ln", "lo", "london"),  # told apart by nobody else
        ("frnk", "frkt", "frankfurt"),
        ("asb", "asn", "ashburn"),
        ("kc", "ks", "kansas city"),
    ],
)
def test_some_ways_to_shorten_are_likelier_than_others(cheap: str, dear: str, name: str) -> None:
    a, b = sorted((cheap, dear), key=lambda letters: abbreviation_cost(letters, name) or 0.0)
    assert abbreviation_cost(a, name) is not None
    assert (abbreviation_cost(a, name) or 0) < (abbreviation_cost(b, name) or 0)


def test_the_parts_of_a_compound_are_near_its_start() -> None:
    jump = abbreviation_cost("fk", "feldkirch")
    walk = abbreviation_cost("fr", "feldkirch")
    assert jump is not None
    assert walk is not None
    assert jump < walk


@pytest.mark.parametrize(
    ("letters", "name"),
    [
        ("xy", "tokyo"),
        ("yo", "tokyo"),
        ("tkz", "tokyo"),
        ("", "tokyo"),
        ("to", ""),
        ("tt", "tokyo"),
    ],
)
def test_letters_that_the_name_does_not_have_in_order_are_no_match(letters: str, name: str) -> None:
    assert abbreviation_cost(letters, name) is None


def test_a_c_may_stand_for_city() -> None:
    assert abbreviation_cost("kc", "kigali") is not None
    assert abbreviation_cost("qc", "kigali") is None
