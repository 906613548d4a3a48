"""Rescue in a lab: a program at every site's server, told where clients land (see `rescue`)."""

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, TypeAlias

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.fabric import FIRST_INDEX, Fabric
from ridgeline.lab.kernel.netlink import Batch
from ridgeline.lab.kernel.rtnetlink import RTM_NEWLINK, attribute, link_body
from ridgeline.lab.plan import Node, NodeKind
from ridgeline.lab.rescue import libbpf
from ridgeline.lab.rescue.order import Catchments
from ridgeline.lab.rescue.program import SiteRescue
from ridgeline.lab.rescue.tables import (
    MAX_ASKED,
    MAX_SITES,
    NO_QUIC,
    TOKEN_BYTES,
    Counter,
    Settings,
    order_table,
)
from ridgeline.lab.services.base import anycast_addresses

Prefix: TypeAlias = IPv4Network | IPv6Network

RATE: Final = 20_000
"""Wrapped packets a second that a site may send, unless told otherwise."""
_BURST_S: Final = 0.1
_IFLA_GSO_MAX_SEGS: Final = 40
_ONE_SEGMENT: Final = attribute(_IFLA_GSO_MAX_SEGS, struct.pack("=I", 1))
_MANY_SEGMENTS: Final = attribute(_IFLA_GSO_MAX_SEGS, struct.pack("=I", 65_535))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    node: Node
    program: SiteRescue
    settings: Settings


class Rescuers:
    """The rescue of all sites of one lab."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._plan = fabric.plan
        self._sites = tuple(node.site for node in fabric.plan.of_kind(NodeKind.EDGE))
        self._number = {site: number for number, site in enumerate(self._sites)}
        self._catchments = Catchments(self._sites, most=MAX_ASKED)
        self._running: dict[str, _Running] = {}
        self._timer: int | None = None
        self.problem: MachineError | None = None
        """Why it is off although the spec asks for it."""

    @property
    def is_on(self) -> bool:
        return bool(self._running)

    async def start(self, *, rate: int = RATE, quic: bool = False, cost: bool = False) -> None:
        """Attach the program at every site.

        Parameters
        ----------
        rate
            Packets a second that a site may send on.
        quic
            Whether QUIC connection IDs here name the site.
        cost
            Whether the kernel is to time the programs, which itself costs a little.

        Raises
        ------
        InputError
            The lab has no servers, or too many sites.
        MachineError
            The kernel refuses it.
        """
        servers = list(self._plan.of_kind(NodeKind.SERVER))
        if not servers:
            raise InputError("no site runs a service in this lab, so there is nothing to rescue")
        if len(self._sites) > MAX_SITES:
            raise InputError(f"rescue knows at most {MAX_SITES:,} sites; this lab has more")
        self.stop()
        await self._look()
        unicast = {self._number[n.site]: (n.address4, n.address6) for n in servers}
        services, orders = anycast_addresses(self._plan.spec), self._orders()
        token = hashlib.blake2b(
            self._fabric.secrets.tsig, digest_size=TOKEN_BYTES, person=b"ridgelinerescue"
        ).digest()
        try:
            for node in servers:
                settings = Settings(
                    token=token,
                    self_index=self._number[node.site],
                    n_sites=len(self._sites),
                    rate=rate,
                    burst=max(1, int(rate * _BURST_S)),
                    quic_config=0 if quic else NO_QUIC,
                )
                edge = f"edge.{node.site}"
                index = self._interface(node.name, edge)
                namespace = self._fabric.namespace(node.name)
                program = SiteRescue(namespace, index, n_sites=len(self._sites))
                self._segments(node, _ONE_SEGMENT)
                program.start(settings, unicast, services, orders)
                self._running[node.site] = _Running(node=node, program=program, settings=settings)
            if cost:
                self._timer = libbpf.measure_cost()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Detach it everywhere."""
        for running in self._running.values():
            running.program.stop()
            self._segments(running.node, _MANY_SEGMENTS)
        self._running.clear()
        if self._timer is not None:
            os.close(self._timer)
            self._timer = None

    async def learn(self) -> None:
        """Look where every client's packets go now, and tell the sites; nothing while it is off."""
        if not self._running:
            return
        await self._look()
        orders = self._orders()
        for running in self._running.values():
            running.program.set_orders(orders)

    async def _look(self) -> None:
        for prefix in reversed(self._plan.spec.prefixes):  # the first prefix has the last word
            routes = await self._fabric.best_routes(str(prefix))
            now: dict[Prefix, str] = {}
            for client, network in self._client_networks(prefix.version):
                route = routes.get(self._fabric.router_of(client.name))
                if route and route["site"]:
                    now[network] = route["site"]
            self._catchments.learn(now)

    def set_rate(self, rate: int) -> None:
        """Change how many packets a second a site may send on."""
        for site, running in self._running.items():
            settings = replace(running.settings, rate=rate, burst=max(1, int(rate * _BURST_S)))
            running.program.set_settings(settings)
            self._running[site] = replace(running, settings=settings)

    def describe(self) -> dict[str, Any]:
        """Say whether it is on, and what each site has counted."""
        return {
            "on": self.is_on,
            **({"problem": str(self.problem)} if self.problem and not self.is_on else {}),
            "sites": {
                site: {
                    "rate": running.settings.rate,
                    **(_cost(running.program) if self._timer is not None else {}),
                    **{c.name.lower(): n for c, n in running.program.counters().items()},
                }
                for site, running in self._running.items()
            },
        }

    def _orders(self) -> dict[bytes, bytes]:
        def numbers(sites: Iterable[str]) -> list[int]:
            return [self._number[site] for site in sites]

        orders = self._catchments.orders().items()
        return order_table(
            [(prefix, numbers(sites)) for prefix, sites in orders],
            everybody=numbers(self._catchments.everybody()),
        )

    def _client_networks(self, version: int) -> Iterator[tuple[Node, Prefix]]:
        for client in self._plan.clients:
            for _, here, _ in self._plan.links_of(client.name):
                yield client, (here.address4 if version == 4 else here.address6).network

    def _interface(self, node: str, other: str) -> int:
        """Return the index of a node's interface towards a neighbour."""
        return next(
            index
            for link, _, _ in self._plan.links_of(node)
            for index in (FIRST_INDEX + 2 * link.index, FIRST_INDEX + 2 * link.index + 1)
            if self._fabric.neighbour(node, index) == other
        )

    def _segments(self, node: Node, most: bytes) -> None:
        """Let a site's router cut what it sends to the server into single segments, or no more.

        A network card would do so on the wire. Here nothing does, and our relay cannot carry a
        wrapped packet that stands for several.
        """
        edge = f"edge.{node.site}"
        index = self._interface(edge, node.name)
        with Batch(self._fabric.namespace(edge)) as batch:
            batch.request(RTM_NEWLINK, 0, link_body(index) + most, "set segments of %s", edge)


def _cost(program: SiteRescue) -> dict[str, float]:
    nanoseconds, packets = program.cost()
    return {"timed": packets, "ns_per_packet": round(nanoseconds / packets, 1) if packets else 0.0}


def prometheus(document: dict[str, Any]) -> str:
    """Write what `Rescuers.describe` says in Prometheus' text format."""
    lines = [
        "# HELP ridgeline_rescue_packets_total What the rescue programs of the sites have seen.",
        "# TYPE ridgeline_rescue_packets_total counter",
    ]
    names = [c.name.lower() for c in Counter]
    for site, counted in document["sites"].items():
        lines += [
            f'ridgeline_rescue_packets_total{{site="{site}",what="{name}"}} {counted[name]}'
            for name in names
        ]
    return "\n".join(lines) + "\n"
