"""What commands ask of a lab about sessions: hold some through an event, turn rescue on and off."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.change.draining import drain
from ridgeline.lab.change.faults import How, SiteFaults
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.flows.measure import ASKING, Wish, measure_flows
from ridgeline.lab.flows.model import HANG_S
from ridgeline.lab.lookup import Lookup
from ridgeline.lab.rescuers import RATE, Rescuers
from ridgeline.lab.server import Tell

Act = Callable[[], Awaitable[None]]


class SessionVerbs:
    """The verbs ``sessions`` and ``rescue`` of one lab."""

    def __init__(
        self, fabric: Fabric, faults: SiteFaults, lookup: Lookup, turn: asyncio.Lock
    ) -> None:
        self._fabric = fabric
        self._faults = faults
        self._lookup = lookup
        self._turn = turn
        self.rescuers = Rescuers(fabric)

    async def begin_rescue(self) -> None:
        """Turn rescue on because the spec asks for it; a lab that cannot is a lab all the same."""
        try:
            await self.rescuers.start()
        except MachineError as error:
            self.rescuers.problem = error

    async def rescue(self, request: dict[str, Any], _: Tell) -> dict[str, Any]:
        """Turn rescue on or off, or just say what it has done."""
        async with self._turn:
            match request.get("turn"):
                case "on":
                    rate = request.get("rate")
                    await self.rescuers.start(
                        rate=RATE if rate is None else int(rate),
                        quic=bool(request.get("quic")),
                        cost=bool(request.get("cost")),
                    )
                case "off":
                    self.rescuers.stop()
        return {"schema": "ridgeline.rescue/1", **self.rescuers.describe()}

    async def sessions(self, request: dict[str, Any], tell: Tell) -> dict[str, Any]:
        """Hold sessions open while something happens to a site; say how many lived."""
        event, site = str(request.get("event") or "fail"), self._lookup.site(str(request["site"]))
        wish = Wish(
            clients=tuple(self._lookup.vantage(request.get("from"))),
            n=int(request.get("n") or 1000),
            asking=int(request.get("asking") or ASKING),
            quic=bool(request.get("quic")),
            ipv6=bool(request.get("ipv6")),
            watch_s=float(request.get("watch") or 6.0),
            hang_s=float(request.get("hang") or HANG_S),
        )
        async with self._turn:
            stages: list[dict[str, Any]] = []
            how, act = self._act(event, site, request, stages, tell)
            document = await measure_flows(
                self._fabric,
                wish,
                {"event": event, "site": site, "how": how},
                act,
                tell=tell,
            )
            await self.rescuers.learn()
        more = {"stages": stages} if stages else {}
        return {**document, **more, "rescue": self.rescuers.describe()}

    def _act(
        self,
        event: str,
        site: str,
        request: dict[str, Any],
        stages: list[dict[str, Any]],
        tell: Tell,
    ) -> tuple[str, Act]:
        is_well = site not in self._faults.broken and site not in self._faults.drained
        if event == "heal":
            if is_well:
                raise InputError(f"site {site} is well: it announces and nothing is broken")
            return "heal", lambda: self._faults.heal(site)
        if not is_well:
            raise InputError(f"site {site} does not announce; mend it first: ridgeline lab heal")
        if event == "fail":
            how = How(request.get("how") or "withdraw")
            return how.value, lambda: self._faults.fail(site, how)
        if event == "drain":
            grace_s = float(request.get("grace") or 0.0)

            async def act() -> None:
                stages.extend(
                    await drain(self._fabric, self._faults, site, grace_s=grace_s, tell=tell)
                )

            return "drain", act
        raise InputError(f"no event {event!r}: fail, drain or heal")
