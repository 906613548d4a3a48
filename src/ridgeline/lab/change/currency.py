"""A site announces only when its zones are loaded and no older than the fleet's.

So every BIRD that originates the anycast prefixes starts with them held back, and a site that was
cut off is held back until it has caught up: the first client that comes must not be told what was
true before the site went away.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

from ridgeline.errors import MachineError
from ridgeline.lab.change.publish import asker, knotc, reload_site
from ridgeline.lab.change.serials import Wanted
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.plan import Node, NodeKind
from ridgeline.lab.services.authoritative import FOLDER
from ridgeline.lab.services.base import addresses_of, of_kind, unicast
from ridgeline.spec.model import ServiceKind, SiteState

CURRENT_WITHIN_S: Final = 30.0
_REFRESH_EVERY_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.05


class Currency:
    """Knows when the zones of a site are the fleet's, and lets it announce then."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self.released_at = 0.0
        """When the last site of the start was let to announce (monotonic)."""

    async def release_all(self) -> None:
        """Let every site announce, each as soon as its zones are there."""
        fabric = self._fabric
        if fabric.has_agents:
            return  # each agent holds its site back by itself
        async with asyncio.TaskGroup() as group:
            for node in fabric.plan.of_kind(NodeKind.SERVER):
                group.create_task(self._release(node))

    async def _release(self, node: Node) -> None:
        await self.until_current(node.site)
        drained = self._fabric.plan.spec.site(node.site).state is SiteState.DRAINED
        await self._fabric.origin(node.site).toggle({"drain*" if drained else "anycast*": True})
        self.released_at = time.monotonic()

    async def catch_up(self, site: str) -> None:
        """Bring a site that was away what it missed, and wait until it answers with it."""
        if self._fabric.zones:
            server = self._fabric.plan.node(f"server.{site}")
            await reload_site(self._fabric, server)
            await self.until_current(site)

    async def until_current(self, site: str) -> None:
        """Wait until a site serves every zone, none older than the primary's.

        Raises
        ------
        MachineError
            It does not in half a minute; says which zone.
        """
        fabric = self._fabric
        if not fabric.zones:
            return
        server = fabric.plan.node(f"server.{site}")
        address = addresses_of(of_kind(fabric.plan.spec, ServiceKind.AUTHORITATIVE_DNS))[0]
        last = "nothing answers"

        async def local_has(domain: str, want: Wanted) -> bool:
            answer = await local.ask(domain)
            return answer is not None and want.holds(answer)

        refreshed = begun = time.monotonic()
        with asker(fabric, server, address) as local:
            while time.monotonic() - begun < CURRENT_WITHIN_S:
                wanted = await self._wanted()
                late = [d for d, want in wanted.items() if not want or not await local_has(d, want)]
                if not late:
                    return
                last = (
                    f"its zone {late[0]} is not there or older than the fleet's"
                    if wanted[late[0]]
                    else f"the primary does not serve zone {late[0]}"
                )
                if time.monotonic() - refreshed > _REFRESH_EVERY_S:
                    refreshed = time.monotonic()
                    with suppress(MachineError):  # it may not listen yet
                        await knotc(fabric.place(server).folder(FOLDER), "zone-refresh")
                await asyncio.sleep(_LOOK_EVERY_S)
        raise MachineError(f"site {site} must not announce after {CURRENT_WITHIN_S:.0f} s: {last}")

    async def _wanted(self) -> dict[str, Wanted | None]:
        """Ask the primary what it has; a zone that is a file counts as what was handed out.

        None for a zone that the primary does not serve (yet).
        """
        fabric = self._fabric
        found: dict[str, Wanted | None] = {
            z.domain: Wanted(z.serial) for z in fabric.zones if not z.primary
        }
        primaries = list(fabric.plan.of_kind(NodeKind.PRIMARY))
        mine = [zone.domain for zone in fabric.zones if zone.primary]
        if not primaries or not mine:
            return found
        with asker(fabric, primaries[0], unicast(primaries[0])[0]) as primary:
            for domain in mine:
                answer = await primary.ask(domain)
                serial = answer.serial if answer else None
                found[domain] = None if serial is None else Wanted(serial)
        return found
