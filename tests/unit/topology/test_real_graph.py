"""CAIDA's graph of 2025-09, where it is at hand: what is known of it must come out."""

import os
from pathlib import Path

import pytest

from ridgeline.topology.as_rel import read_as_rel
from ridgeline.topology.checks import complaints
from ridgeline.topology.graph import as_graph
from ridgeline.topology.summary import summarise

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("RIDGELINE_DATA", ROOT.parent / "shared" / "data"))
FILE = DATA / "as-rel2" / "20250901.as-rel2.txt.bz2"


@pytest.mark.skipif(not FILE.exists(), reason=f"{FILE} is not there: set RIDGELINE_DATA")
def test_the_real_graph_is_what_is_known_of_it() -> None:
    net = read_as_rel(FILE.read_bytes(), file=FILE.name)
    assert complaints(net) == []
    seen = summarise(net, as_graph(net))
    assert (seen.n_as, seen.n_provider_customer, seen.n_peer_peer) == (78_643, 161_166, 409_530)
    assert (seen.n_levels, seen.loops, seen.part_sizes) == (67, (), (78_643,))
    lumen = net.index_of(3356)
    assert lumen is not None
    assert net.asn[lumen] == 3356
