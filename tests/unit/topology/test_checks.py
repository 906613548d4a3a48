"""What must hold of any Internet, and whether it hangs together."""

from dataclasses import replace

import numpy as np
import pytest

from ridgeline.topology.as_rel import read_as_rel
from ridgeline.topology.checks import complaints, components
from ridgeline.topology.demo import demo


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("asn", np.array([1, 2, 3], np.int64), "asn is int64"),
        ("asn", np.array([1, 1, 2], np.uint32), "AS numbers do not rise"),
        ("asn", np.array([], np.uint32), "there is no AS"),
        ("as_name", ("",), "as_name has 1 entries, not 3"),
        ("pop_as", np.array([0, 2, 1], np.int32), "not in the order"),
        ("pop_as", np.array([0, 0, 1], np.int32), "an AS has none"),
        ("pop_as", np.array([1, 1, 2], np.int32), "an AS has none"),
        ("pop_lat", np.array([0.0, np.nan, np.nan]), "a latitude without a longitude"),
        ("pop_users", np.array([0.0, np.inf, 0.0]), "user weight"),
        ("link_a", np.array([0, 3], np.int32), "link_a points outside the 3 PoPs"),
        ("link_b", np.array([-1, 0], np.int32), "link_b points outside"),
        ("link_a", np.array([0], np.int32), "link_b has 2 entries, not 1"),
        ("link_rel", np.array([0, 1], np.int8), "link_rel holds something other"),
    ],
)
def test_a_broken_array_is_named(field: str, value: object, told: str) -> None:
    net = read_as_rel(b"1|2|0\n2|3|-1\n", file="x")
    assert complaints(net) == []
    broken = replace(net, **{field: value})  # type: ignore[arg-type]  # that is the point
    assert any(told in line for line in complaints(broken))


def test_places_off_the_globe_are_named() -> None:
    net = demo()
    assert complaints(replace(net, pop_lat=net.pop_lat + 100)) == ["a PoP is off the globe"]


def test_parts_are_ordered_by_size() -> None:
    net = read_as_rel(b"10|11|0\n1|2|-1\n2|3|-1\n20|21|0\n21|22|-1\n22|23|0\n", file="x")
    parts = components(net)
    assert parts.size.tolist() == [4, 3, 2]
    label = dict(zip(net.asn.tolist(), parts.label.tolist(), strict=True))
    assert label == {20: 0, 21: 0, 22: 0, 23: 0, 1: 1, 2: 1, 3: 1, 10: 2, 11: 2}
    assert not parts.is_one


def test_a_long_chain_is_one_part() -> None:
    lines = [f"{i}|{i + 1}|-1" for i in range(1, 3000)]
    assert components(read_as_rel("\n".join(lines).encode(), file="x")).is_one
    shuffled = np.random.default_rng(1).permutation(lines).tolist()
    assert components(read_as_rel("\n".join(shuffled).encode(), file="x")).is_one
