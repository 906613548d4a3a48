"""What every `Internet` must keep, whoever made it.

`complaints` looks at the arrays' shape and meaning and is what the builder and the cache trust.
`components` answers a different question: whether every AS can reach every other at all.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, PEER_TO_PEER, Internet

_DTYPES: Final = {
    "asn": np.uint32,
    "pop_as": np.int32,
    "pop_lat": np.float64,
    "pop_lon": np.float64,
    "pop_users": np.float64,
    "link_a": np.int32,
    "link_b": np.int32,
    "link_rel": np.int8,
}


def complaints(internet: Internet, *, deep: bool = True) -> list[str]:
    """Name everything that is wrong with an Internet's arrays; an empty list means sound.

    Without `deep`, links are not looked at one by one: enough to follow every index safely.
    """
    # Meaning is only worth asking about when every index can be followed.
    return _shape_complaints(internet) or [
        *_place_complaints(internet),
        *(_link_complaints(internet) if deep else ()),
    ]


def _shape_complaints(net: Internet) -> list[str]:
    return _dtype_complaints(net) or _length_complaints(net) or _index_complaints(net)


def _dtype_complaints(net: Internet) -> list[str]:
    arrays = {field: (getattr(net, field), dtype) for field, dtype in _DTYPES.items()}
    return [
        f"{field} is {array.dtype} of shape {array.shape}, not 1-D {dtype.__name__}"
        for field, (array, dtype) in arrays.items()
        if array.ndim != 1 or array.dtype != dtype
    ]


def _length_complaints(net: Internet) -> list[str]:
    if net.n_as == 0:
        return ["there is no AS"]
    lengths = {
        "as_name": (len(net.as_name), net.n_as),
        "link_b": (net.link_b.size, net.n_link),
        "link_rel": (net.link_rel.size, net.n_link),
    }
    for field in ("pop_code", "pop_city", "pop_country", "pop_lat", "pop_lon", "pop_users"):
        lengths[field] = (len(getattr(net, field)), net.n_pop)
    return [
        f"{field} has {found} entries, not {wanted}"
        for field, (found, wanted) in lengths.items()
        if found != wanted
    ]


def _index_complaints(net: Internet) -> list[str]:
    wrong = []
    if np.any(net.asn[1:] <= net.asn[:-1]):
        wrong.append("AS numbers do not rise")
    # In AS order with none left out, each step is 0 or 1 from the first AS to the last.
    step = np.diff(net.pop_as, prepend=np.int32(-1), append=np.int32(net.n_as))
    if step.min() < 0 or step.max() > 1 or step[0] != 1 or step[-1] != 1:
        wrong.append("PoPs are not in the order of their ASes, or an AS has none")
    for field in ("link_a", "link_b"):
        ends = getattr(net, field)
        if ends.size and (int(ends.min()) < 0 or int(ends.max()) >= net.n_pop):
            wrong.append(f"{field} points outside the {net.n_pop} PoPs")
    rel = net.link_rel
    if rel.size and (rel.min() < CUSTOMER_TO_PROVIDER or rel.max() > PEER_TO_PEER):
        wrong.append("link_rel holds something other than -1 (customer to provider) and 0 (peers)")
    return wrong


def _place_complaints(net: Internet) -> list[str]:
    wrong = []
    nowhere = np.isnan(net.pop_lat)
    if not np.array_equal(nowhere, np.isnan(net.pop_lon)):
        wrong.append("a PoP has a latitude without a longitude, or the reverse")
    elif np.any(np.abs(net.pop_lat[~nowhere]) > 90) or np.any(np.abs(net.pop_lon[~nowhere]) > 180):
        wrong.append("a PoP is off the globe")
    if not (np.all(np.isfinite(net.pop_users)) and np.all(net.pop_users >= 0)):
        wrong.append("a user weight is negative or not a number")
    return wrong


def _link_complaints(net: Internet) -> list[str]:
    wrong = []
    a, b = net.pop_as[net.link_a], net.pop_as[net.link_b]
    inside = np.flatnonzero(a == b)
    if inside.size:
        wrong.append(f"AS{net.asn[a[inside[0]]]} has {inside.size} link(s) with itself")
    again = repeats(a, b, net.link_rel, net.n_as)
    hybrid = again.link[again.differs]
    wrong += [
        f"AS{net.asn[a[i]]} and AS{net.asn[b[i]]} are related in two ways" for i in hybrid[:20]
    ]
    return wrong


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """Links whose two ASes an earlier link joins already.

    Attributes
    ----------
    link : int64 array, shape (n,)
        The later link.
    earlier : int64 array, shape (n,)
        The first link between the two.
    differs : bool array, shape (n,)
        Whether the later link relates them in another way.
    """

    link: NDArray[np.int64]
    earlier: NDArray[np.int64]
    differs: NDArray[np.bool_]


def repeats(
    a: NDArray[np.int32], b: NDArray[np.int32], rel: NDArray[np.int8], n_as: int
) -> Repeats:
    """Find the AS pairs that stand more than once (AS indices in)."""
    pair = np.minimum(a, b).astype(np.int64) * n_as + np.maximum(a, b)
    # 0 peers, 1 the lower index buys, 2 the higher index buys
    kind = np.where(rel == PEER_TO_PEER, 0, np.where(a < b, 1, 2))
    order = np.argsort(pair, kind="stable")
    is_again = np.zeros(pair.size, np.bool_)
    is_again[1:] = np.diff(pair[order]) == 0
    head = np.maximum.accumulate(np.where(is_again, 0, np.arange(pair.size)))
    link, earlier = order[is_again], order[head[is_again]]
    return Repeats(link=link, earlier=earlier, differs=kind[link] != kind[earlier])


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The connected parts of an Internet, links taken without regard to policy.

    Attributes
    ----------
    label : int32 array, shape (n_as,)
        Part of each AS; part 0 is the largest, then falling in size.
    size : int64 array, shape (n,)
        Number of ASes in each part.
    """

    label: NDArray[np.int32]
    size: NDArray[np.int64]

    @property
    def is_one(self) -> bool:
        """Whether everything hangs together."""
        return self.size.size == 1


def components(internet: Internet) -> Components:
    """Split an Internet into its connected parts (PoPs of one AS always hang together)."""
    a = internet.pop_as[internet.link_a]
    b = internet.pop_as[internet.link_b]
    root = np.arange(internet.n_as, dtype=np.int32)
    while True:
        # Hook the larger root of each link below the smaller one, then flatten every tree.
        before = root.copy()
        ra, rb = root[a], root[b]
        low = np.minimum(ra, rb)
        np.minimum.at(root, ra, low)
        np.minimum.at(root, rb, low)
        while not np.array_equal(root, root[root]):
            root = root[root]
        if np.array_equal(root, before):
            break
    _, inverse, size = np.unique(root, return_inverse=True, return_counts=True)
    by_size = np.argsort(-size, kind="stable")
    rank = np.empty(size.size, np.int32)
    rank[by_size] = np.arange(size.size, dtype=np.int32)
    return Components(label=rank[inverse], size=size[by_size].astype(np.int64))
