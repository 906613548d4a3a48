"""Which site is the odd one out, and who accepts what others made."""

from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from ridgeline.probe.consistency import NO_ANSWER, Fact, compare, groups

SERIAL = ("dns", "serial of example.test.")


def fact(**values: str) -> Fact:
    return Fact(service="dns", name="x", values=values)


def test_sites_that_say_the_same_are_consistent() -> None:
    found = compare({"nrt": {SERIAL: "7"}, "lhr": {SERIAL: "7"}})
    assert (found.odd, found.facts[0].usual, found.facts[0].odd) == ((), "7", ())
    assert found.document()["consistent"] is True


def test_the_one_that_differs_from_most_is_odd() -> None:
    found = compare({s: {SERIAL: v} for s, v in zip("abcd", "7787", strict=True)})
    assert found.odd == ("c",)
    document = found.document(lab="x")
    assert (document["schema"], document["lab"]) == ("ridgeline.consistency/1", "x")
    assert document["facts"][0]["odd"] == ["c"]


def test_where_no_value_has_the_most_everybody_differs() -> None:
    assert fact(a="1", b="2").odd == ("a", "b")
    assert fact(a="1", b="1", c="2", d="2").odd == ("a", "b", "c", "d")
    assert fact(a="1", b="1", c="2", d="2").usual is None


def test_a_site_that_does_not_say_what_others_say_is_odd() -> None:
    found = compare({"nrt": {SERIAL: "7"}, "lhr": {}, "iad": {SERIAL: "7"}})
    assert found.facts[0].values["lhr"] == NO_ANSWER
    assert found.odd == ("lhr",)
    alone = compare({"nrt": {SERIAL: "7"}, "lhr": {}})
    assert alone.odd == ("lhr",)


def test_what_no_site_says_is_no_fact() -> None:
    assert compare({"nrt": {}, "lhr": {}}).facts == ()


@given(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123"), min_size=1))
def test_who_is_not_odd_agrees_with_everybody_who_is_not(values: dict[str, str]) -> None:
    one = fact(**values)
    even = {values[site] for site in values if site not in one.odd}
    assert len(even) <= 1
    assert bool(one.odd) == (len(set(values.values())) > 1)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_groups_are_those_who_share_a_key_and_few_are_asked(keys: list[int]) -> None:
    sites = [f"s{index}" for index in range(len(keys))]
    key = dict(zip(sites, keys, strict=True))
    asked: list[tuple[str, str]] = []

    def accept(made_at: str, shown_at: Sequence[str]) -> Iterable[bool]:
        asked.extend((made_at, other) for other in shown_at)
        return [key[made_at] == key[other] for other in shown_at]

    found = groups(sites, accept)
    assert list(found) and set(found) == set(sites)  # noqa: PT018 - one statement about one set
    for one in sites:
        for other in sites:
            assert (found[one] == found[other]) == (key[one] == key[other])
    assert len(asked) == len(set(asked)) <= len(sites) * len(set(keys))
