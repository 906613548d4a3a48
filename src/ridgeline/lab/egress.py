"""From which addresses a site asks others, for the firewalls and allow-lists of those others.

Never from an anycast address: the answer could reach another site, which never asked.
"""

from ridgeline.lab.plan import LabPlan, NodeKind
from ridgeline.lab.services.base import unicast
from ridgeline.spec.model import Service, ServiceKind


def egress_of(plan: LabPlan, site: str) -> dict[str, list[str]]:
    """List the source addresses of a site by service; only services that ask anybody are named.

    A resolver asks name servers, a cache the origin, a secondary name server the hidden primary.
    """
    server = next((node for node in plan.of_kind(NodeKind.SERVER) if node.site == site), None)
    if server is None:
        return {}
    addresses = [str(address) for address in unicast(server)]
    return {service.name: addresses for service in plan.spec.services if _asks(service)}


def _asks(service: Service) -> bool:
    kinds = {ServiceKind.RECURSIVE_DNS, ServiceKind.HTTP_CACHE}
    return service.kind in kinds or service.primary
