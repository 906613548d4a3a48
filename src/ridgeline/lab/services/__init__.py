"""What answers at a site and at a client: the daemons to run on a node, with their files."""

from collections.abc import Iterator

from ridgeline.lab.plan import NodeKind
from ridgeline.lab.services.authoritative import authoritative
from ridgeline.lab.services.base import DaemonFiles, Place, of_kind
from ridgeline.lab.services.edge import edge, origin
from ridgeline.lab.services.primary import primary
from ridgeline.lab.services.recursive import client_resolver, recursive
from ridgeline.lab.services.tree import names
from ridgeline.spec.model import ServiceKind


def prepare(place: Place) -> Iterator[DaemonFiles]:
    """Write the files of what runs on a node besides BIRD, and say how to start it."""
    match place.node.kind:
        case NodeKind.SERVER:
            if of_kind(place.spec, ServiceKind.AUTHORITATIVE_DNS):
                yield authoritative(place)
            for service in of_kind(place.spec, ServiceKind.RECURSIVE_DNS):
                yield recursive(place, service)
            for service in of_kind(place.spec, ServiceKind.HTTP_CACHE):
                yield from edge(place, service)
        case NodeKind.CLIENT:
            yield client_resolver(place)
        case NodeKind.ORIGIN:
            yield origin(place)
        case NodeKind.PRIMARY:
            yield primary(place)
        case NodeKind.NAMES:
            yield names(place)
        case _:
            return
