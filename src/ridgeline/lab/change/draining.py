"""Take a site out of service with patience: new flows first, then, when few are left, the rest.

Each stage says a little more loudly that others should be preferred, and counts the flows that the
site still has: GRACEFUL_SHUTDOWN (RFC 8326), then a longer AS path for neighbours that do not heed
it, then, once few flows are left or the deadline has come, the withdrawal.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from ridgeline.lab.change.faults import SiteFaults
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.kernel.sockets import count_flows
from ridgeline.lab.services.base import anycast_addresses

QUIET_S: Final = 1.0
FEW: Final = 0
"""Withdraw as soon as no more flows than these are left."""
_LOOK_EVERY_S: Final = 0.25


def flows_at(fabric: Fabric, site: str) -> int:
    """Count the TCP flows that a site's server has open with clients; 0 where it has no server."""
    node = fabric.plan.origin_node(site)
    if not node.startswith("server."):
        return 0
    return count_flows(fabric.namespace(node), anycast_addresses(fabric.plan.spec))


async def drain(
    fabric: Fabric, faults: SiteFaults, site: str, *, grace_s: float, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Drain a site and withdraw it at the end; return what was done when, with the flows left.

    Without grace it withdraws as soon as the routes have moved.
    """
    begun = time.monotonic()
    stages: list[dict[str, Any]] = []

    def note(stage: str) -> int:
        flows = flows_at(fabric, site)
        t_ms = round(1000 * (time.monotonic() - begun), 1)
        stages.append({"stage": stage, "t_ms": t_ms, "flows": flows})
        tell(f"drain {site}: {stage}, {flows:,} flows left")
        return flows

    note("announced")
    await faults.start_drain(site)
    await fabric.until_still(QUIET_S)
    note("graceful shutdown")
    if grace_s > 0:
        if await faults.prepend_drain(site):
            await fabric.until_still(QUIET_S)
            note("prepended")
        flows = flows_at(fabric, site)
        while flows > FEW and time.monotonic() - begun < grace_s:
            await asyncio.sleep(_LOOK_EVERY_S)
            flows = flows_at(fabric, site)
        note("waited")
    await faults.finish_drain(site)
    if grace_s > 0:
        await fabric.until_still(QUIET_S)
    note("withdrawn")
    return stages
