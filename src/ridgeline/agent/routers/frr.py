"""FRR: `network` statements over bgpd's own vty, read back as JSON.

A drained prefix is ``network P route-map RIDGELINE-DRAIN-n``, which replaces the plain statement in
one UPDATE. FRR holds every change back for 50 ms (`bgp_process_main_queue`), no shorter.

Nothing is written to FRR's files: after a restart of bgpd, or an operator's `frr-reload`, the
statements are gone, `read_back` shows it, and the agent says them again.
"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ridgeline.agent.router import (
    Finding,
    Neighbour,
    Observation,
    RouterSettings,
    Stance,
    Wanted,
)
from ridgeline.agent.routers.advice import family
from ridgeline.agent.routers.frr_check import inspect_frr
from ridgeline.agent.routers.frr_vty import Vty
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

SOCKET: Final = "/run/frr/bgpd.vty"
FILE: Final = "/etc/frr/frr.conf"
ANSWER_WITHIN_S: Final = 3.0
_ROUTE_MAP: Final = "RIDGELINE-DRAIN"
_SAID_BY_US: Final = "ridgeline: "
_MOST_REASON: Final = 128 - len(_SAID_BY_US)  # what FRR's command line takes (RFC 8203)
_GRACEFUL: Final = frozenset({"gracefulShutdown", "graceful-shutdown", "65535:0"})
_PROCESSED_WITHIN_S: Final = 0.5
_NOT_THERE: Final = "Can't find static route"


class FrrRouter:
    """A `Router` (see `ridgeline.agent.router`).

    Options: ``vrf`` (name of the VRF; none), ``file`` (the start-up configuration to look at).
    """

    def __init__(self, settings: RouterSettings, prefixes: tuple[Prefix, ...]) -> None:
        self._settings = settings
        self._prefixes = prefixes
        self._vty = Vty(settings.socket or SOCKET, seconds=ANSWER_WITHIN_S)
        vrf = settings.options.get("vrf", "")
        self._vrf = f" vrf {vrf}" if vrf else ""
        self._bgp = f"router bgp {settings.asn}{self._vrf}"

    async def apply(self, wanted: Mapping[Prefix, Wanted]) -> tuple[str, ...]:
        await self._require_bgp()
        prepends = {w.prepend for w in wanted.values() if w.stance is Stance.DRAINED}
        await self._make_route_maps(prepends)
        last: list[Prefix] = []
        for name in ("ipv4", "ipv6"):
            here = {p: w for p, w in wanted.items() if family(p) == name}
            order = sorted(here, key=lambda p: here[p].stance is not Stance.WITHDRAWN)
            if order:
                inside = (self._bgp, f"address-family {name} unicast")
                commands = [_statement(p, here[p]) for p in order]
                await self._vty.configure(inside, commands, tolerate=_NOT_THERE)
                last.append(order[-1])
        for prefix in last:
            await self._wait_processed(prefix)
        return ()

    async def _wait_processed(self, prefix: Prefix) -> None:
        """Wait until bgpd has taken a change from its queue, so that `read_back` shows no past."""
        show = f"show bgp{self._vrf} {family(prefix)} unicast {prefix} json"
        loop = asyncio.get_running_loop()
        until = loop.time() + _PROCESSED_WITHIN_S
        while loop.time() < until:
            (route,) = await self._vty.show_json(show)
            paths = route.get("paths", [])
            if not any(path.get("processScheduled") or path.get("removed") for path in paths):
                return
            await asyncio.sleep(0.01)

    async def read_back(self) -> Observation:
        neighbours = self._wanted_neighbours(await self._ask_neighbours())
        shows = [f"show bgp{self._vrf} {family(p)} unicast {p} json" for p in self._prefixes]
        held: dict[Prefix, Stance] = {}
        exported: dict[Prefix, dict[str, Stance]] = {}
        routes = await self._vty.show_json(*shows)
        for prefix, route in zip(self._prefixes, routes, strict=True):
            held[prefix], sent = _read_route(route, prefix)
            to = {n.name: sent for n in neighbours if n.name in route.get("advertisedTo", {})}
            if to:
                exported[prefix] = to
        return Observation(held=held, exported=exported, neighbours=neighbours)

    async def shut_sessions(self, reason: str) -> bool:
        await self._require_bgp()
        text = (_SAID_BY_US + " ".join(reason.split())[:_MOST_REASON]).strip()
        neighbours = self._wanted_neighbours(await self._ask_neighbours())
        commands = [f"neighbor {n.name} shutdown message {text}" for n in neighbours]
        await self._vty.configure((self._bgp,), commands)
        return bool(commands)

    async def open_sessions(self) -> None:
        running = await self._vty.show("show running-config")
        ours = re.findall(
            rf"^ neighbor (\S+) shutdown message {re.escape(_SAID_BY_US)}", running, re.MULTILINE
        )
        if ours:
            commands = [f"no neighbor {name} shutdown" for name in ours]
            await self._vty.configure((self._bgp,), commands)

    async def inspect(self) -> tuple[Finding, ...]:
        return await inspect_frr(
            self._vty,
            self._settings,
            self._prefixes,
            bgp=self._bgp,
            vrf=self._vrf,
            file=Path(self._settings.options.get("file", FILE)),
        )

    async def close(self) -> None:
        self._vty.close()

    async def _require_bgp(self) -> None:
        """Refuse to create a BGP instance: `router bgp` in FRR does so silently."""
        running = await self._vty.show("show running-config")
        if not re.search(rf"^{re.escape(self._bgp)}$", running, re.MULTILINE):
            there = re.findall(r"^router bgp .*$", running, re.MULTILINE)
            raise MachineError(
                f"FRR has no `{self._bgp}`, but {', '.join(there) or 'no BGP at all'}",
                hint="the spec's `asn` and the router must agree; see `ridgeline agent check`",
            )

    async def _make_route_maps(self, prepends: set[int]) -> None:
        """Make the route maps that are missing; touching one that exists would refresh it."""
        for prepend in sorted(prepends):
            name = f"{_ROUTE_MAP}-{prepend}"
            if "permit" in await self._vty.show(f"show route-map {name}"):
                continue
            commands = ["set community graceful-shutdown additive"]
            if prepend:
                path = " ".join([str(self._settings.asn)] * prepend)
                commands.append(f"set as-path prepend {path}")
            await self._vty.configure((f"route-map {name} permit 10",), commands)

    async def _ask_neighbours(self) -> dict[str, Any]:
        (answer,) = await self._vty.show_json(f"show bgp{self._vrf} neighbors json")
        return {name: of for name, of in answer.items() if isinstance(of, dict)}

    def _wanted_neighbours(self, all_of_them: Mapping[str, Any]) -> tuple[Neighbour, ...]:
        named = self._settings.neighbours
        return tuple(
            Neighbour(
                name=name,
                address=name,
                asn=int(of.get("remoteAs", 0)),
                established=of.get("bgpState") == "Established",
                state=str(of.get("bgpState", "")),
            )
            for name, of in all_of_them.items()
            if (name in named if named else of.get("nbrExternalLink"))
        )


def _statement(prefix: Prefix, wanted: Wanted) -> str:
    match wanted.stance:
        case Stance.ANNOUNCED:
            return f"network {prefix}"
        case Stance.DRAINED:
            return f"network {prefix} route-map {_ROUTE_MAP}-{wanted.prepend}"
        case Stance.WITHDRAWN:
            return f"no network {prefix}"


def _read_route(route: Mapping[str, Any], prefix: Prefix) -> tuple[Stance, Stance]:
    """Return what we hold and what is sent of ``show bgp ... PREFIX json``."""
    if route.get("prefix") != str(prefix):  # FRR answers with the longest match
        return Stance.WITHDRAWN, Stance.ANNOUNCED
    held = Stance.WITHDRAWN
    sent = Stance.ANNOUNCED
    for path in route.get("paths", []):
        communities = set(path.get("community", {}).get("list", []))
        stance = Stance.DRAINED if communities & _GRACEFUL else Stance.ANNOUNCED
        if path.get("sourced") and path.get("local") and not path.get("removed"):
            held = stance
        if path.get("bestpath", {}).get("overall"):
            sent = stance
    return held, sent
