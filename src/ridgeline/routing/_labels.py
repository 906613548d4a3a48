"""Sets of routes: on their way between routers, and as the options of one router."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.routing.routers import IntArray

BoolArray = NDArray[np.bool_]
Bits = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class SetOffers:
    """Sets of routes on their way, all of one length: m of them.

    `bits` has shape (n_words, m); `sure`: one of the set comes, however ties are broken, unless the
    receiver stands in its path already and so has a shorter one. `steady`: even that cannot be
    where local preferences are lowered.
    """

    to: IntArray
    bits: Bits
    sure: BoolArray
    steady: BoolArray
    learned: NDArray[np.int8]

    def only(self, keep: BoolArray) -> "SetOffers":
        """Return some of them."""
        if keep.all():
            return self
        return SetOffers(
            self.to[keep],
            self.bits[:, keep],
            self.sure[keep],
            self.steady[keep],
            self.learned[keep],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """What m routers may have at one length: `bits` of shape (2, n_words, m), routes heard from customers in [0], all others in [1]."""

    at: IntArray
    bits: Bits


def join_sets(offers: list[SetOffers]) -> SetOffers:
    """Put sets one after another."""
    if len(offers) == 1:
        return offers[0]
    return SetOffers(
        np.concatenate([o.to for o in offers]),
        np.concatenate([o.bits for o in offers], axis=1),
        np.concatenate([o.sure for o in offers]),
        np.concatenate([o.steady for o in offers]),
        np.concatenate([o.learned for o in offers]),
    )
