"""Who must hear of zones beside the name servers: what is expected of sites, agents, clients.

In such an order that no agent misses a zone: it forgets one that goes before the servers do, and
learns of a new one when the sites have it.
"""

import signal

from ridgeline.lab.fabric import Fabric
from ridgeline.lab.material.zonefiles import Zone
from ridgeline.lab.plan import NodeKind
from ridgeline.lab.services.base import of_kind
from ridgeline.lab.services.recursive import client_resolver
from ridgeline.spec.model import ServiceKind


async def before_change(fabric: Fabric, zones: tuple[Zone, ...]) -> None:
    """Prepare for other zones, before the first server has them."""
    fabric.expected.widen(zones)
    staying = {zone.domain for zone in zones}
    kept = tuple(zone for zone in fabric.zones if zone.domain in staying)
    await fabric.agents_follow(kept)


async def after_change(fabric: Fabric, *, is_there: bool) -> None:
    """Follow, now that the servers have the zones.

    Parameters
    ----------
    is_there
        Most sites have them. If not, what was right before stays right: something is wrong with
        the change and not with the sites.
    """
    if is_there:
        fabric.expected.settle(fabric.zones)
    _clients_follow(fabric)
    await fabric.agents_follow(fabric.zones)


def _clients_follow(fabric: Fabric) -> None:
    """Tell the small resolvers of the clients, which ask the network's name servers themselves."""
    if of_kind(fabric.plan.spec, ServiceKind.RECURSIVE_DNS):
        return  # they ask those
    for node in fabric.plan.of_kind(NodeKind.CLIENT):
        resolver = fabric.daemon(node.name, "resolver")
        before = resolver.configuration.read_text()
        client_resolver(fabric.place(node))
        if resolver.configuration.read_text() != before:
            resolver.send(signal.SIGHUP)
