"""AS-level adjacency: who sells to, buys from and peers with whom, as compressed sparse rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, PEER_TO_PEER, Internet


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AsGraph:
    """Neighbours of every AS, by relationship (read-only arrays).

    Row u of a pair is ``idx[ptr[u]:ptr[u + 1]]``: AS indices, rising, each once however many
    sessions two ASes share.

    Attributes
    ----------
    n : int
        Number of ASes.
    asn : uint32 array, shape (n,)
        AS numbers, rising; shared with the Internet.
    provider_ptr, customer_ptr, peer_ptr : int32 array, shape (n + 1,)
        Row starts.
    provider_idx, customer_idx, peer_idx : int32 array
        The providers, customers and peers themselves.
    """

    n: int
    asn: NDArray[np.uint32]
    provider_ptr: NDArray[np.int32]
    provider_idx: NDArray[np.int32]
    customer_ptr: NDArray[np.int32]
    customer_idx: NDArray[np.int32]
    peer_ptr: NDArray[np.int32]
    peer_idx: NDArray[np.int32]


def as_graph(internet: Internet) -> AsGraph:
    """Collapse an Internet's sessions into AS-level adjacency."""
    a, b = internet.pop_as[internet.link_a], internet.pop_as[internet.link_b]
    buys, peer = internet.link_rel == CUSTOMER_TO_PROVIDER, internet.link_rel == PEER_TO_PEER
    n = internet.n_as
    provider_ptr, provider_idx = sorted_rows(n, a[buys], b[buys])
    customer_ptr, customer_idx = sorted_rows(n, b[buys], a[buys])
    peer_ptr, peer_idx = sorted_rows(
        n, np.concatenate([a[peer], b[peer]]), np.concatenate([b[peer], a[peer]])
    )
    return AsGraph(
        n=n,
        asn=internet.asn,
        provider_ptr=provider_ptr,
        provider_idx=provider_idx,
        customer_ptr=customer_ptr,
        customer_idx=customer_idx,
        peer_ptr=peer_ptr,
        peer_idx=peer_idx,
    )


def sorted_rows(
    n: int, row: NDArray[np.int32], column: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Sort edges into rows, without repeats: (where each row starts, columns), read-only."""
    edge = np.sort(row.astype(np.int64) * n + column)
    edge = edge[np.concatenate([[True], edge[1:] != edge[:-1]])] if edge.size else edge
    ptr = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(edge // n, minlength=n), out=ptr[1:])
    idx = (edge % n).astype(np.int32)
    for array in (ptr, idx):
        array.setflags(write=False)
    return ptr, idx
