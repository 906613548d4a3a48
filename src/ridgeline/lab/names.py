"""Host names of the lab's interfaces, as operators name theirs: interface, place, network.

``ae3.cr1.nrt.tanuki.example`` is interface 3 of the core router in Tokyo of the network tanuki:
who reads a traceroute learns the city and the operator, and so the data centre.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from ridgeline.lab.plan import LabPlan, Node, NodeKind

Address: TypeAlias = IPv4Address | IPv6Address

DOMAIN: Final = "example"

_HOP = re.compile(
    r"(?:(?P<port>[a-z0-9-]+)\.)?(?P<router>(?:cr|edge|srv|gw)\d+)\.(?P<place>[a-z0-9-]+)\.(?P<network>[a-z0-9-]+)\.example\.?$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HopName:
    """What a host name tells."""

    place: str
    network: str


def host_names(plan: LabPlan) -> dict[Address, str]:
    """Name every address of the lab that may show up in a traceroute."""
    names: dict[Address, str] = {}
    for node in plan.nodes:
        base = f"{_device(node)}.{_place(node)}.{_label(node.network)}.{DOMAIN}"
        names[node.loopback4] = names[node.loopback6] = f"lo0.{base}"
        if node.kind not in {NodeKind.ROUTER, NodeKind.EDGE}:
            for own in (node.address4, node.address6):
                if own is not None:
                    names[own] = base
    for link in plan.links:
        for end in (link.a, link.b):
            node = plan.node(end.node)
            if node.kind in {NodeKind.ROUTER, NodeKind.EDGE}:
                device = f"{_device(node)}.{_place(node)}.{_label(node.network)}.{DOMAIN}"
                port = end.interface.replace("eth", "ae")
                names[end.address4.ip] = names[end.address6.ip] = f"{port}.{device}"
    for service in plan.spec.services:
        for address in service.addresses:
            names[address] = f"{_label(service.name)}.anycast.{_label(plan.spec.network)}.{DOMAIN}"
    return names


def read_host_name(name: str) -> HopName | None:
    """Read place and network from a router's host name; None if it tells neither."""
    match = _HOP.match(name.lower())
    return match and HopName(place=match["place"], network=match["network"])


def _device(node: Node) -> str:
    return {
        NodeKind.ROUTER: "cr1",
        NodeKind.EDGE: "edge1",
        NodeKind.SERVER: "srv1",
        NodeKind.CLIENT: "gw2",
        NodeKind.ORIGIN: "srv1",
        NodeKind.PRIMARY: "srv1",
        NodeKind.NAMES: "srv1",
    }[node.kind]


def _place(node: Node) -> str:
    return _label(node.site or node.place.code or "nowhere")


def _label(text: str) -> str:
    """Make one DNS label of a name (RFC 1035, section 2.3.1)."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63] or "x"
