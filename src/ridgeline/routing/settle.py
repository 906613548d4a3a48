"""Routing where some AS lowers the local preference of some customer's routes.

Then an AS may prefer a longer, dearer route and the order of `sweep` is lost; there may be several
stable outcomes (RFC 4264, "BGP wedgies") or none. Routers decide one by one, whoever has news first,
from the state in which nobody has heard anything: what follows when all sites announce at once.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.routing.announce import Announcements
from ridgeline.routing.engines import has_numba
from ridgeline.routing.policy import Policy
from ridgeline.routing.reference import PATIENCE, settle_reference
from ridgeline.routing.routers import Routers
from ridgeline.routing.sweep import Choices

FEW: Final = 1000
"""Up to so many routers the reference is done before a compiler has started."""


def settle(
    net: Routers, said: Announcements, rules: Policy, *, compiled: bool | None = None
) -> tuple[Choices, bool]:
    """Return every router's best route, and whether routing came to rest.

    How many of the equally good routes agree is not known here: `agreement` is 0 throughout.
    """
    if compiled is None:
        compiled = net.n > FEW and has_numba()
    if compiled:
        return _compiled(net, said, rules)
    settled = settle_reference(net, said)
    best = Choices.none(net.n, said.n_sites)
    for here, route in enumerate(settled.best):
        if route is not None:
            best.session[here] = route.session
            best.next_hop[here] = route.next_hop
            best.length[here] = route.length
            best.learned[here] = route.learned
    return best, settled.stable


def _compiled(net: Routers, said: Announcements, rules: Policy) -> tuple[Choices, bool]:
    from ridgeline.routing import _settle_kernel

    kernel: Any = _settle_kernel
    n, sessions = net.n, said.n_sessions
    best = Choices.none(n, said.n_sites)
    by_pop = np.argsort(said.pop, kind="stable").astype(np.int32)
    seed_ptr = np.zeros(n + 1, np.int32)
    np.cumsum(np.bincount(said.pop, minlength=n), out=seed_ptr[1:])
    start = np.array(list(dict.fromkeys(said.pop.tolist())), np.int32)
    lowered_row, lowered = _table(net.n_as, rules.lowered, np.int32, sessions)
    refused_row, refused = _table(net.n_as, rules.refused, np.bool_, sessions)
    orders = sorted(rules.towards)
    towards_ptr = np.zeros(net.n_as + 1, np.int32)
    np.cumsum(np.bincount([a for a, _ in orders], minlength=net.n_as), out=towards_ptr[1:])
    towards = np.array([rules.towards[pair] for pair in orders], np.int8).reshape(-1, sessions)
    stable = kernel.settle(
        net.pop_as, net.first,
        net.providers.ptr, net.providers.idx,
        net.peers.ptr, net.peers.idx,
        net.customers.ptr, net.customers.idx,
        net.igp_ptr, net.igp,
        start, seed_ptr, by_pop, said.site, said.learned, said.length(),
        rules.drained, rules.kept, rules.silent,
        lowered_row, lowered, refused_row, refused,
        towards_ptr, np.array([x for _, x in orders], np.int32), towards,
        PATIENCE * max(1, n),
        best.session, np.zeros(n, np.int32), best.length, np.zeros(n, np.bool_),
        best.learned, best.next_hop,
        np.zeros(n, np.int32), np.zeros((n, kernel.MAX_HOPS), np.int32),
    )  # fmt: skip
    unheard = best.session < 0
    best.next_hop[unheard] = -1
    best.length[unheard] = 0
    best.learned[unheard] = 0
    return best, bool(stable)


def _table(
    n_as: int, rows: dict[int, NDArray[Any]], dtype: Any, sessions: int
) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Stack the rows that some ASes have; return which row is whose (-1: none), and the rows."""
    whose = np.full(n_as, -1, np.int32)
    whose[list(rows)] = np.arange(len(rows), dtype=np.int32)
    return whose, np.array(list(rows.values()), dtype).reshape(-1, sessions)
