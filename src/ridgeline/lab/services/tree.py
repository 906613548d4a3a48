"""The server of the rehearsal's root of the DNS."""

from collections.abc import Iterable

from ridgeline.lab.material.nametree import NameTree
from ridgeline.lab.material.zonefiles import Zone
from ridgeline.lab.plan import LabPlan, NodeKind
from ridgeline.lab.services.base import (
    Address,
    DaemonFiles,
    Place,
    addresses_of,
    of_kind,
    unicast,
)
from ridgeline.render.identity import WHOAMI_ZONE
from ridgeline.render.knot_tree import render_knot_tree
from ridgeline.spec.model import ServiceKind


def name_tree(plan: LabPlan, zones: Iterable[Zone]) -> NameTree | None:
    """Make the tree of a lab; None if the lab has no server for it, or holds the root itself."""
    node = next(plan.of_kind(NodeKind.NAMES), None)
    domains = [zone.domain for zone in zones]
    if node is None or "." in domains:
        return None
    authority = addresses_of(of_kind(plan.spec, ServiceKind.AUTHORITATIVE_DNS))
    tree = NameTree(server=unicast(node), authority=authority, hosts=_hosts(plan))
    for domain in [*domains, WHOAMI_ZONE] if authority else []:
        tree.delegate(domain)
    return tree


def names(place: Place) -> DaemonFiles:
    """Write the files of the tree's server."""
    if place.tree is None:
        raise ValueError("this lab has no tree of names")
    folder = place.folder("names")
    configuration = folder / "knot.conf"
    files = place.tree.write(folder)
    configuration.write_text(
        render_knot_tree(directory=str(folder), listen=unicast(place.node), zones=files)
    )
    return DaemonFiles(
        name="knot", argv=("knotd", "-c", str(configuration)), configuration=configuration
    )


def _hosts(plan: LabPlan) -> dict[str, tuple[Address, ...]]:
    """Name the services by their anycast addresses and the sites' servers by their own."""
    domain = f"{plan.spec.network}.example."
    hosts = {f"{node.site}.{domain}": unicast(node) for node in plan.of_kind(NodeKind.SERVER)}
    for service in plan.spec.services:
        hosts[f"{service.name}.{domain}"] = service.addresses
        hosts[f"{service.name}.anycast.{domain}"] = service.addresses
    return hosts
