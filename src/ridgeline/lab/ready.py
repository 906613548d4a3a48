"""When is a lab ready? When its routing is quiet, not when its sessions are up.

"All established" comes seconds before the last route: who measured a failover then would measure
convergence. Quiet means: every session established, every OSPF adjacency full, and no router has
touched its forwarding table for a while.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from ridgeline.errors import MachineError
from ridgeline.lab.birdctl import BirdControl
from ridgeline.lab.plan import LabPlan, LinkKind, Node, NodeKind

POLL_S = 0.2


@dataclass(slots=True, kw_only=True)
class Waiting:
    """What a router still lacks."""

    node: Node
    control: BirdControl
    n_interior: int
    is_expected: Callable[[str], bool]
    """Whether a protocol can come up at all: its link is not cut, its neighbour runs."""
    missing: str = "BIRD has not started"

    async def look(self) -> bool:
        """Ask the router; say whether it lacks nothing.

        Asking also wakes it: after a session comes up BIRD 2.0 may sit on the first updates until
        a timer or a socket stirs.
        """
        try:
            protocols = await self.control.protocols()
            unsettled = [
                p.name
                for p in protocols.values()
                if not p.is_settled
                and not p.name.startswith(("anycast", "drain", "prepend", "any_", "drn_"))
                and self.is_expected(p.name)
            ]
            self.missing = f"not up: {', '.join(unsettled[:3])}" if unsettled else ""
            if not self.missing and self.n_interior:
                for version in (4, 6):
                    full = await self.control.full_neighbours(f"ospf{version}")
                    if full < self.n_interior:
                        self.missing = f"ospf{version}: {full} of {self.n_interior} adjacencies"
        except MachineError as error:
            self.missing = str(error).splitlines()[0]
        return not self.missing


def routers_to_await(
    plan: LabPlan,
    control: Callable[[str], BirdControl],
    nodes: Iterable[Node],
    is_expected: Callable[[Node, str], bool],
) -> list[Waiting]:
    """List the routers to wait for, with what each must reach."""
    return [
        Waiting(
            node=node,
            control=control(node.name),
            is_expected=partial(is_expected, node),
            n_interior=sum(
                link.kind is LinkKind.INTERIOR for link, _, _ in plan.links_of(node.name)
            )
            if node.kind is NodeKind.ROUTER
            else 0,
        )
        for node in nodes
    ]


async def until_quiet(
    routers: list[Waiting],
    last_change: Callable[[], float],
    *,
    quiet_s: float,
    deadline_s: float,
    tell: Callable[[int, int], None],
) -> None:
    """Wait until every router is settled and no forwarding table has changed for `quiet_s`.

    Parameters
    ----------
    last_change
        When a table last changed, on the monotonic clock.
    tell
        Hears how many routers are settled, of how many.

    Raises
    ------
    MachineError
        The deadline passed; names what is missing.
    """
    start = time.monotonic()
    waiting = list(routers)
    settled_at = start
    while True:
        states = await asyncio.gather(*(router.look() for router in waiting))
        before = len(waiting)
        waiting = [r for r, settled in zip(waiting, states, strict=True) if not settled]
        if before and not waiting:
            settled_at = time.monotonic()
        tell(len(routers) - len(waiting), len(routers))
        now = time.monotonic()
        if not waiting and now - max(last_change(), settled_at) >= quiet_s:
            return
        if now - start > deadline_s:
            what = (
                "; ".join(f"{r.node.name}: {r.missing}" for r in waiting[:5])
                or "forwarding tables still change"
            )
            raise MachineError(f"the lab's routing is not quiet after {deadline_s:.0f} s: {what}")
        if not waiting:  # keep waking them: a sleeping BIRD looks quiet
            await asyncio.gather(*(r.control.command("show status") for r in routers))
        await asyncio.sleep(POLL_S)
