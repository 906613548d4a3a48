"""Ways in which a site goes away and comes back; each acts on the real thing.

=========  ==================================================================================
withdraw   the site stops announcing (BIRD is told so)
link       its uplinks lose carrier, both ends see it
crash      its router's BIRD is killed
silent     its uplinks swallow every packet and nobody is told: BFD or the hold timer must notice
hang       its services stop answering, the route stays: only a health check would notice
=========  ==================================================================================
"""

import signal
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from typing import Final

from ridgeline.errors import InputError
from ridgeline.lab.agents import AgentOrigin
from ridgeline.lab.birdctl import BirdControl
from ridgeline.lab.change.currency import Currency
from ridgeline.lab.change.purge import Purges
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.kernel.processes import end_daemon
from ridgeline.lab.plan import Link, LinkKind
from ridgeline.render.bird import BFD_INTERVAL_MS, BFD_MULTIPLIER, HOLD_TIME_S
from ridgeline.spec.model import SiteState

_NOT_DRAINED: Final = {"drain*": False, "prepend*": False}


class How(Enum):
    """The way in which a site fails."""

    WITHDRAW = "withdraw"
    LINK = "link"
    CRASH = "crash"
    SILENT = "silent"
    HANG = "hang"


class SiteFaults:
    """Breaks and mends sites of one lab, and knows what is broken."""

    def __init__(self, fabric: Fabric, currency: Currency, purges: Purges) -> None:
        self._fabric = fabric
        self._currency = currency
        self._purges = purges
        self._plan = fabric.plan
        self.broken: dict[str, How] = {}
        self.withdrawn: set[str] = set()
        """Drained to the end: they announce nothing any more."""
        self.drained: set[str] = {
            site.name for site in self._plan.spec.sites if site.state is SiteState.DRAINED
        }

    async def fail(self, site: str, how: How) -> None:
        """Break a site."""
        act: Final[dict[How, Callable[[str], Awaitable[None]]]] = {
            How.WITHDRAW: self._withdraw,
            How.LINK: self._cut,
            How.CRASH: self._crash,
            How.SILENT: self._silence,
            How.HANG: self._hang,
        }
        await act[how](site)
        self.broken[site] = how

    async def heal(self, site: str) -> None:
        """Mend whatever was done to a site, in the reverse of the order in which it hurts.

        A site that was away announces only once its zones are the fleet's again, and its cache has
        forgotten what the fleet's has.
        """
        how = self.broken.get(site)
        fabric = self._fabric
        has_old = bool(fabric.zones) or self._purges.is_behind(site)
        missed = has_old and how not in {None, How.WITHDRAW}
        if missed and not fabric.has_agents:  # an agent sees to that by itself
            await self._withdraw(site)
        if how is How.HANG:
            for daemon in fabric.services_of(site):
                daemon.send(signal.SIGCONT)
        await self._purges.catch_up(site)  # before a route comes back
        if how is How.SILENT:
            fabric.restore(self.uplinks(site))
        if how is How.LINK:
            fabric.mend(self.uplinks(site))
        if how is How.CRASH:
            await fabric.start_bird(f"edge.{site}")
        if missed:
            await self._currency.catch_up(site)
        await self._origin(site).toggle({"anycast*": True, **_NOT_DRAINED})
        self.broken.pop(site, None)
        self.drained.discard(site)
        self.withdrawn.discard(site)

    async def start_drain(self, site: str) -> None:
        """Ask the neighbours to prefer others: GRACEFUL_SHUTDOWN (RFC 8326) in one update."""
        await self._origin(site).toggle({"drain*": True, "anycast*": False})
        self.drained.add(site)

    async def prepend_drain(self, site: str) -> bool:
        """Make the AS path longer too, for neighbours that heed no community; say if it can be.

        An agent has no such stage.
        """
        if self._fabric.has_agents:
            return False
        await self._origin(site).toggle({"prepend*": True, "drain*": False})
        return True

    async def finish_drain(self, site: str) -> None:
        """Withdraw what nobody uses any more."""
        await self._origin(site).toggle(_NOT_DRAINED)
        self.withdrawn.add(site)

    def uplinks(self, site: str) -> list[Link]:
        """List the links from a site's router to its upstreams."""
        return [
            link
            for link, _, _ in self._plan.links_of(f"edge.{site}")
            if link.kind is LinkKind.UPLINK
        ]

    def notice_within_s(self, site: str, how: How) -> float:
        """Say how long the neighbours may need to notice a fault of this kind."""
        if how is How.SILENT:
            with_bfd = all(link.bfd for link in self.uplinks(site))
            return BFD_INTERVAL_MS * BFD_MULTIPLIER / 1000 if with_bfd else float(HOLD_TIME_S)
        return float("inf") if how is How.HANG else 0.0

    def notes(self, site: str, how: How) -> Iterator[str]:
        """Say what a reader should know about a fault's figures."""
        slow = [link.b.node for link in self.uplinks(site) if not link.bfd]
        if how is How.SILENT and slow:
            yield (
                f"No BFD towards {', '.join(slow)}: there only the hold timer notices, after up to "
                f"{HOLD_TIME_S} s here; BIRD's default is 240 s. Set `bfd: true` on the upstream."
            )
        if how is How.HANG and self._fabric.has_agents:
            yield "The agent at the site found its services silent and withdrew the routes."
        elif how is How.HANG:
            yield (
                "The route stays, because nothing at the site checks its services: its clients are "
                "lost until it is healed."
            )
        else:
            yield (
                "Routers here announce changes at once. On the Internet, timers between updates "
                "(MRAI, RFC 4271 section 9.2.1.1) make withdrawals slower."
            )

    def _origin(self, site: str) -> BirdControl | AgentOrigin:
        return self._fabric.origin(site)

    async def _withdraw(self, site: str) -> None:
        await self._origin(site).toggle({"anycast*": False, **_NOT_DRAINED})

    async def _cut(self, site: str) -> None:
        self._fabric.cut(self.uplinks(site))

    async def _silence(self, site: str) -> None:
        self._fabric.silence(self.uplinks(site))

    async def _crash(self, site: str) -> None:
        daemon = self._fabric.bird(f"edge.{site}")
        await end_daemon(daemon)

    async def _hang(self, site: str) -> None:
        services = self._fabric.services_of(site)
        if not services:
            raise InputError(
                f"site {site} runs no service in this lab, so none can hang; "
                "use --how withdraw, link, crash or silent"
            )
        for daemon in services:
            daemon.send(signal.SIGSTOP)
