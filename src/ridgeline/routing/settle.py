"""Routing where some AS lowers the local preference of some customer's routes.

Then an AS may prefer a longer, dearer route and the order of `sweep` is lost; there may be several
stable outcomes (RFC 4264, "BGP wedgies") or none. Routers decide one by one, whoever has news first,
from the state in which nobody has heard anything: what follows when all sites announce at once.
"""

import numpy as np

from ridgeline.routing.announce import Announcements
from ridgeline.routing.policy import Policy
from ridgeline.routing.reference import settle_reference
from ridgeline.routing.routers import Routers
from ridgeline.routing.sweep import Choices


def settle(net: Routers, said: Announcements, rules: Policy) -> tuple[Choices, bool]:  # noqa: ARG001 - the fast twin will want the rules
    """Return every router's best route, and whether routing came to rest."""
    settled = settle_reference(net, said)
    best = Choices.none(net.n, said.n_sites)
    for here, route in enumerate(settled.best):
        if route is not None:
            best.session[here] = route.session
            best.next_hop[here] = route.next_hop
            best.length[here] = route.length
            best.learned[here] = route.learned
    best.agreement[:] = np.where(best.session >= 0, 0.0, best.agreement)
    return best, settled.stable
