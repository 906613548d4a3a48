"""What a lab tells of its services, for programs that ask them: `lab status` carries it."""

from typing import Any
from urllib.parse import urlsplit

from ridgeline.lab.material.zonefiles import Zone
from ridgeline.lab.plan import LabPlan, NodeKind


def describe_services(plan: LabPlan, zones: tuple[Zone, ...]) -> dict[str, Any]:
    """List the services: kind, addresses, whether they speak TLS, host, zones."""
    return {
        service.name: {
            "kind": service.kind.value,
            "addresses": [str(address) for address in service.addresses],
            "tls": service.tls is not None,
            "host": urlsplit(service.origin).hostname or "",
            "zones": [zone.domain for zone in zones] if service.zones else [],
            "shielded": bool(service.shield),
        }
        for service in plan.spec.services
    }


def own_addresses(plan: LabPlan, site: str) -> list[str]:
    """List the addresses of a site's server that are not anycast."""
    return [
        str(address)
        for node in plan.of_kind(NodeKind.SERVER)
        if node.site == site
        for address in (node.address4, node.address6)
        if address is not None
    ]
