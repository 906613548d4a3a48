"""The compressed rows hold exactly the pairs that the links hold."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.topology.build import InternetBuilder
from ridgeline.topology.graph import as_graph
from ridgeline.topology.internet import Internet


@st.composite
def internets(draw: st.DrawFn) -> Internet:
    asns = draw(st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=12, unique=True))
    builder = InternetBuilder("drawn")
    for asn in asns:
        builder.add_as(asn)
    ranks = st.integers(0, len(asns) - 1)
    pairs = draw(
        st.dictionaries(st.tuples(ranks, ranks), st.tuples(st.booleans(), st.integers(1, 3)))
    )
    for (i, j), (is_peer, times) in pairs.items():
        # One relationship per pair; the lower rank sells, which keeps the draw simple.
        if i < j:
            for _ in range(times):
                (builder.peers if is_peer else builder.buys)(asns[j], asns[i])
    return builder.build()


def pairs_of(
    ptr: np.typing.NDArray[np.int32], idx: np.typing.NDArray[np.int32]
) -> list[tuple[int, int]]:
    return [(u, int(v)) for u in range(ptr.size - 1) for v in idx[ptr[u] : ptr[u + 1]]]


@given(internets())
@settings(max_examples=200, deadline=None)
def test_rows_equal_the_set_of_links(net: Internet) -> None:
    graph = as_graph(net)
    a, b = net.pop_as[net.link_a].tolist(), net.pop_as[net.link_b].tolist()
    links = list(zip(a, b, net.link_rel.tolist(), strict=True))
    buys = {(i, j) for i, j, rel in links if rel == -1}
    peers = {(i, j) for i, j, rel in links if rel == 0}
    assert pairs_of(graph.provider_ptr, graph.provider_idx) == sorted(buys)
    assert pairs_of(graph.customer_ptr, graph.customer_idx) == sorted((j, i) for i, j in buys)
    assert pairs_of(graph.peer_ptr, graph.peer_idx) == sorted(peers | {(j, i) for i, j in peers})
    assert graph.asn is net.asn
    assert not graph.peer_idx.flags.writeable
