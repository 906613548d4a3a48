"""An Internet in numbers, and one AS from near."""

import numpy as np
import pytest

from ridgeline.topology.as_rel import read_as_rel
from ridgeline.topology.demo import demo
from ridgeline.topology.graph import AsGraph, as_graph
from ridgeline.topology.internet import Internet
from ridgeline.topology.summary import cone, levels, profile, summarise


def read(text: str) -> tuple[Internet, AsGraph]:
    net = read_as_rel(text.encode(), file="x")
    return net, as_graph(net)


def by_asn(net: Internet, values: np.typing.NDArray[np.int32]) -> dict[int, int]:
    return dict(zip(net.asn.tolist(), values.tolist(), strict=True))


HIERARCHY = "1|2|-1\n1|3|-1\n2|4|-1\n3|4|-1\n4|5|-1\n1|5|-1\n2|3|0\n"


def test_a_level_is_the_longest_chain_of_customers() -> None:
    net, graph = read(HIERARCHY)
    assert by_asn(net, levels(graph)) == {1: 3, 2: 2, 3: 2, 4: 1, 5: 0}


def test_a_cone_holds_customers_of_customers_once() -> None:
    net, graph = read(HIERARCHY)
    assert [net.asn[cone(graph, i)].tolist() for i in range(net.n_as)] == [
        [1, 2, 3, 4, 5],
        [2, 4, 5],
        [3, 4, 5],
        [4, 5],
        [5],
    ]


def test_a_summary_counts() -> None:
    seen = summarise(*read(HIERARCHY))
    assert (seen.n_as, seen.n_pop, seen.n_session) == (5, 5, 7)
    assert (seen.n_provider_customer, seen.n_peer_peer) == (6, 1)
    assert (seen.n_tier1, seen.n_transit, seen.n_stub) == (1, 3, 1)
    assert (seen.providers.mean, seen.customers.max, seen.peers.max) == (6 / 5, 3, 1)
    assert (seen.n_levels, seen.loops, seen.part_sizes) == (4, (), (5,))
    assert (seen.n_placed, seen.users) == (0, 0)


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("1|2|-1\n2|3|-1\n3|1|-1\n", (1, 2, 3)),
        ("9|1|-1\n1|2|-1\n2|3|-1\n3|1|-1\n3|4|-1\n", (1, 2, 3)),
        ("1|2|-1\n2|3|-1\n1|3|-1\n", ()),
    ],
)
def test_loops_name_who_is_in_them(text: str, loops: tuple[int, ...]) -> None:
    assert summarise(*read(text)).loops == loops


def test_countries_count_an_as_once_each() -> None:
    net = demo()
    seen = {c.country: c for c in summarise(net, as_graph(net)).countries}
    assert (seen["US"].n_as, seen["US"].n_pop) == (7, 11)
    assert sum(c.n_pop for c in seen.values()) == net.n_pop
    assert sum(c.users for c in seen.values()) == net.pop_users.sum()


def test_a_profile_says_where_neighbours_are_met() -> None:
    net = demo()
    index = net.index_of(65537)
    assert index is not None
    seen = profile(net, as_graph(net), index)
    assert (seen.name, seen.providers) == ("tanuki", ())
    assert {n.name: n.at for n in seen.peers} == {
        "norrsken": ("fra", "iad", "sin"),
        "condor": ("iad", "lax"),
    }
    assert [pop.code for pop in seen.pops] == ["nrt", "sin", "syd", "lax", "iad", "fra"]
    assert ("redwood", ("lax",)) in {(n.name, n.at) for n in seen.customers}


def test_a_profile_of_an_as_that_is_nowhere_has_no_coordinates() -> None:
    net, graph = read(HIERARCHY)
    seen = profile(net, graph, 0)
    assert [(pop.lat, pop.lon, pop.code) for pop in seen.pops] == [(None, None, "")]
    assert [n.at for n in seen.customers] == [(), (), ()]
