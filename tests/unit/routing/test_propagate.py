"""The checked door of the AS graph; that its engines agree is in tests/property."""

import os
from pathlib import Path

import numpy as np
import pytest

from ridgeline.app.internet import load_internet_and_graph
from ridgeline.routing.announce import Announcements
from ridgeline.routing.engines import has_numba
from ridgeline.routing.propagate import propagate, propagate_many, tie_sets
from ridgeline.topology.build import InternetBuilder
from ridgeline.topology.graph import AsGraph, as_graph

DATA = Path(os.environ.get("RIDGELINE_DATA", Path(__file__).parents[4] / "shared" / "data"))
REAL = DATA / "as-rel2" / "20250901.as-rel2.txt.bz2"


def graph_of(*pairs: tuple[int, int]) -> AsGraph:
    builder = InternetBuilder("graph")
    for asn in sorted({asn for pair in pairs for asn in pair}):
        builder.add_as(asn)
    for customer, provider in pairs:
        builder.buys(customer, provider)
    return as_graph(builder.build())


def say(graph: AsGraph, *at: int, prepend: int = 0) -> Announcements:
    """One site at each AS index."""
    index = np.array(at, np.int32)
    n = len(at)
    return Announcements(
        origin=4200000000,
        site_names=tuple(f"s{s}" for s in range(n)),
        site_lat=np.zeros(n),
        site_lon=np.zeros(n),
        site=np.arange(n, dtype=np.int32),
        pop=index,
        as_index=index,
        learned=np.ones(n, np.int8),
        as_path=((4200000000,) * (1 + prepend),) * n,
        communities=(frozenset(),) * n,
    )


def test_columns_of_different_length_are_refused() -> None:
    graph = graph_of((2, 1))
    said = say(graph, 0, 1)
    broken = Announcements(
        **{name: getattr(said, name) for name in said.__slots__} | {"as_path": said.as_path[:1]}
    )
    with pytest.raises(ValueError, match="differ in length"):
        propagate(graph, broken)


def test_nobody_announcing_leaves_everybody_without_a_route() -> None:
    graph = graph_of((2, 1))
    routes = propagate(graph, say(graph))
    assert set(routes.site) == {-1}
    assert set(routes.length) == {0}


def test_prepends_beyond_what_keys_hold_fall_back_to_numpy() -> None:
    graph = graph_of((2, 1))
    assert propagate(graph, say(graph, 1, prepend=20_000)).length.max() == 20_002


def test_no_scenario_is_no_work() -> None:
    assert len(propagate_many(graph_of((2, 1)), [])) == 0


def test_without_numba_numpy_does_it_and_asking_for_numba_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = graph_of((2, 1), (3, 1))
    said = say(graph, 1)
    expected = propagate(graph, said)
    monkeypatch.setattr("ridgeline.routing.propagate.has_numba", lambda: False)
    np.testing.assert_array_equal(propagate(graph, said).site, expected.site)
    assert list(tie_sets(graph, said).sites[0]) == [1, 1, 1]
    with pytest.raises(ValueError, match="numba is not installed"):
        propagate(graph, said, engine="numba")


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL.name} is not in the data folder {DATA}")
@pytest.mark.skipif(not has_numba(), reason="numba is missing")
def test_engines_agree_on_the_real_internet() -> None:
    _, graph = load_internet_and_graph(str(REAL))
    large = np.argsort(-np.diff(graph.customer_ptr))[:60:6]
    said = say(graph, *large)
    fast, slow = propagate(graph, said, engine="numba"), propagate(graph, said, engine="numpy")
    for column in ("site", "length", "learned", "next_hop"):
        np.testing.assert_array_equal(getattr(fast, column), getattr(slow, column))
    np.testing.assert_array_equal(
        tie_sets(graph, said, engine="numba").sites, tie_sets(graph, said, engine="numpy").sites
    )
    what_ifs = [said, said.without("s3"), said.prepended("s5", 3)]
    together = propagate_many(graph, what_ifs)
    for number, scenario in enumerate(what_ifs):
        alone = propagate(graph, scenario)
        np.testing.assert_array_equal(together[number].site, alone.site)
        np.testing.assert_array_equal(together[number].next_hop, alone.next_hop)
