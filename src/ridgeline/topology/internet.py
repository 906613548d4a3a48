"""The Internet as arrays: ASes, PoPs and links (read-only; index spaces are named in the docstring)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CUSTOMER_TO_PROVIDER: Final = -1
PEER_TO_PEER: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Internet:
    """AS-level policy plus PoP-level geography.

    Attributes
    ----------
    name : str
        Where it came from: ``builtin:demo``, a file name.
    asn : uint32 array, shape (n_as,)
        AS numbers, rising; an AS's index is its rank.
    as_name : tuple of str, length n_as
        A DNS-label-like short name (``tanuki``), or empty.
    pop_as : int32 array, shape (n_pop,)
        AS index of each PoP; PoPs of one AS are adjacent, in AS order.
    pop_code : tuple of str, length n_pop
        Lower-case city code (IATA where there is one), or empty for an AS that is nowhere.
    pop_city, pop_country : tuple of str, length n_pop
        City name and ISO 3166-1 alpha-2 country, or empty.
    pop_lat, pop_lon : float64 array, shape (n_pop,)
        Degrees; NaN for a PoP that is nowhere.
    pop_users : float64 array, shape (n_pop,)
        User weight; 0 for a PoP without users.
    link_a, link_b : int32 array, shape (n_link,)
        PoP indices of an eBGP session's two ends (different ASes).
    link_rel : int8 array, shape (n_link,)
        `CUSTOMER_TO_PROVIDER`: a buys from b. `PEER_TO_PEER`: neither pays.

    Inside an AS every two PoPs are joined, at an IGP cost of their great-circle distance.
    """

    name: str
    asn: NDArray[np.uint32]
    as_name: tuple[str, ...]
    pop_as: NDArray[np.int32]
    pop_code: tuple[str, ...]
    pop_city: tuple[str, ...]
    pop_country: tuple[str, ...]
    pop_lat: NDArray[np.float64]
    pop_lon: NDArray[np.float64]
    pop_users: NDArray[np.float64]
    link_a: NDArray[np.int32]
    link_b: NDArray[np.int32]
    link_rel: NDArray[np.int8]

    @property
    def n_as(self) -> int:
        """Number of ASes."""
        return self.asn.size

    @property
    def n_pop(self) -> int:
        """Number of PoPs."""
        return self.pop_as.size

    @property
    def n_link(self) -> int:
        """Number of eBGP sessions."""
        return self.link_a.size

    def index_of(self, asn: int) -> int | None:
        """Return the index of an AS, or None where it is not part of this Internet."""
        if not 0 <= asn < 2**32:
            return None
        index = int(np.searchsorted(self.asn, np.uint32(asn)))
        return index if index < self.n_as and int(self.asn[index]) == asn else None

    def pops_of(self, as_index: int) -> range:
        """PoP indices of an AS, given by its index."""
        low, high = np.searchsorted(self.pop_as, [as_index, as_index + 1])
        return range(int(low), int(high))

    def pop_ptr(self) -> NDArray[np.int32]:
        """Row pointer: the PoPs of AS i are ``ptr[i]:ptr[i + 1]``; int32, shape (n_as + 1,)."""
        every = np.arange(self.n_as + 1, dtype=np.int32)
        return np.searchsorted(self.pop_as, every).astype(np.int32)
