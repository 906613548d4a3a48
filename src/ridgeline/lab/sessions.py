"""What each router of a lab is told: the plan's links as BGP, OSPF and BFD sessions."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from ridgeline.lab.plan import End, LabPlan, Link, LinkKind, Node, NodeKind
from ridgeline.render.bird import (
    Announcement,
    BirdRouter,
    EbgpSession,
    IbgpSession,
    Interior,
    Role,
    Seed,
    ServerSession,
)
from ridgeline.spec.model import SiteState


def router_config(plan: LabPlan, node: Node, *, log: str) -> BirdRouter:
    """Say what a node's BIRD is told."""
    spec = plan.spec
    ours = node.kind in {NodeKind.EDGE, NodeKind.SERVER}
    site = spec.site(node.site) if node.site else None
    originates = site is not None and plan.origin_node(site.name) == node.name
    networks = plan.networks.get(node.name, ())
    ebgp: list[EbgpSession] = []
    server: ServerSession | None = None
    interior: list[Interior] = []
    for link, here, there in plan.links_of(node.name):
        other = plan.node(there.node)
        if link.kind is LinkKind.INTERIOR:
            interior.append(Interior(interface=here.interface, cost=link.cost))
        elif link.kind in {LinkKind.EXTERIOR, LinkKind.UPLINK}:
            ebgp.append(_session(plan, node, other, link, here, there))
        elif NodeKind.SERVER in {node.kind, other.kind}:
            server = ServerSession(
                local4=here.address4.ip,
                local6=here.address6.ip,
                remote4=there.address4.ip,
                is_server=node.kind is NodeKind.SERVER,
            )
    return BirdRouter(
        asn=node.asn,
        loopback4=node.loopback4,
        loopback6=node.loopback6,
        log=log,
        networks=networks,
        anycast=spec.prefixes if ours else (),
        originates=originates,
        drained=site is not None and site.state is SiteState.DRAINED,
        ebgp=tuple(ebgp),
        ibgp=tuple(_ibgp_sessions(plan, node)),
        interior=tuple(interior),
        seeds=tuple(_seeds(plan, node)),
        server=server,
    )


def ibgp_name(neighbour: str) -> str:
    """Name the BIRD protocol of an iBGP session: ``ibgp_tanuki_nrt``."""
    return f"ibgp_{_identifier(neighbour)}"


def ebgp_name(role: Role, neighbour: str, interface: str) -> str:
    """Name the BIRD protocol of a session with another network: ``provider_tanuki_nrt_eth0``.

    Two links may join the same two routers: the interface tells their sessions apart.
    """
    return f"{role.value}_{_identifier(neighbour)}_{interface}"


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


_OPPOSITE: Final = {
    Role.PROVIDER: Role.CUSTOMER,
    Role.CUSTOMER: Role.PROVIDER,
    Role.PEER: Role.PEER,
}


def _session(
    plan: LabPlan, node: Node, other: Node, link: Link, here: End, there: End
) -> EbgpSession:
    if link.role is None:
        raise ValueError(f"link {link.index} joins two networks and has no role")
    role = link.role if here is link.a else _OPPOSITE[link.role]
    announcements = None
    if node.kind is NodeKind.EDGE:
        announcements = tuple(
            Announcement(prefix=prefix, prepend=upstream.prepend, communities=upstream.communities)
            for upstream in plan.spec.site(node.site).upstreams
            if upstream.asn == other.asn
            for prefix in upstream.prefixes
        )
    return EbgpSession(
        name=ebgp_name(role, other.name, here.interface),
        role=role,
        asn=other.asn,
        local4=here.address4.ip,
        local6=here.address6.ip,
        remote4=there.address4.ip,
        passive=here is link.b,
        bfd=link.bfd,
        announcements=announcements,
    )


def _interior_links(plan: LabPlan, node: Node) -> Iterator[tuple[Link, Node, End]]:
    for link, _, there in plan.links_of(node.name):
        if link.kind is LinkKind.INTERIOR:
            yield link, plan.node(there.node), there


def _ibgp_sessions(plan: LabPlan, node: Node) -> Iterator[IbgpSession]:
    """Pair with every router of the network; the links are a full mesh, and so are the sessions."""
    for _, other, _ in _interior_links(plan, node):
        yield IbgpSession(
            name=ibgp_name(other.name),
            remote4=other.loopback4,
            passive=node.name > other.name,
        )


def _seeds(plan: LabPlan, node: Node) -> Iterator[Seed]:
    """Point at each loopback over the direct link, at OSPF's own cost for it.

    On the sphere no detour is shorter than the direct link, so OSPF will say the same, but for a
    kilometre that rounding may save on a detour.
    """
    for link, other, there in _interior_links(plan, node):
        yield Seed(prefix=IPv4Network(other.loopback4), gateway=there.address4.ip, metric=link.cost)
        yield Seed(prefix=IPv6Network(other.loopback6), gateway=there.address6.ip, metric=link.cost)
