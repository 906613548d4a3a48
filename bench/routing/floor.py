"""What no propagation can beat: reading every edge once, in order and in the order of its far end."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ridgeline.topology.graph import AsGraph


def pass_over_edges(graph: AsGraph) -> int:
    return int(_sum(graph.provider_idx, graph.peer_idx, graph.customer_idx))


def walk_over_edges(graph: AsGraph) -> int:
    state = _STATE.setdefault(graph.n, np.arange(graph.n, dtype=np.uint64))
    return int(_gather(graph.provider_idx, graph.peer_idx, graph.customer_idx, state))


_STATE: dict[int, NDArray[np.uint64]] = {}


@njit(cache=True)  # type: ignore[untyped-decorator]  # numba has no types
def _sum(a, b, c):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    total = np.int64(0)
    for i in range(a.size):
        total += a[i]
    for i in range(b.size):
        total += b[i]
    for i in range(c.size):
        total += c[i]
    return total


@njit(cache=True)  # type: ignore[untyped-decorator]
def _gather(a, b, c, state):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    total = np.uint64(0)
    for i in range(a.size):
        total += state[a[i]]
    for i in range(b.size):
        total += state[b[i]]
    for i in range(c.size):
        total += state[c[i]]
    return total
