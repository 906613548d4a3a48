"""Recursive DNS: Unbound at a site, and the small resolver that every client has."""

from pathlib import Path

from ridgeline.lab.names import host_names
from ridgeline.lab.services.base import DaemonFiles, Place, addresses_of, of_kind, unicast
from ridgeline.render.unbound import (
    ROOT_FILE,
    StubZone,
    UnboundSite,
    render_root_zone,
    render_unbound,
)
from ridgeline.render.unbound_client import ClientResolver, render_client_resolver
from ridgeline.spec.model import ServiceKind


def recursive(place: Place) -> DaemonFiles:
    """Write the files of a site's Unbound."""
    spec = place.spec
    folder = place.folder("unbound")
    where = addresses_of(of_kind(spec, ServiceKind.AUTHORITATIVE_DNS))
    (folder / ROOT_FILE).write_text(render_root_zone())
    return _unbound(
        folder,
        "unbound",
        render_unbound(
            UnboundSite(
                identity=place.identity(),
                directory=str(folder),
                listen=addresses_of(of_kind(spec, ServiceKind.RECURSIVE_DNS)),
                outgoing=unicast(place.node),
                stubs=tuple(StubZone(domain=z.domain, addresses=where) for z in place.zones),
            )
        ),
    )


def client_resolver(place: Place) -> DaemonFiles:
    """Give a client what every machine has: a stub resolver on 127.0.0.1.

    Names of hops it knows by itself, so that a traceroute shows names even while sites fail; all
    else it asks the anycast network, as a real client would.
    """
    folder = place.folder(f"resolver-{place.node.name}")
    (folder / ROOT_FILE).write_text(render_root_zone())
    spec = place.spec
    resolvers = addresses_of(of_kind(spec, ServiceKind.RECURSIVE_DNS))
    where = addresses_of(of_kind(spec, ServiceKind.AUTHORITATIVE_DNS))
    return _unbound(
        folder,
        "resolver",
        render_client_resolver(
            ClientResolver(
                directory=str(folder),
                ptr_records=tuple(host_names(place.plan).items()),
                forward=resolvers,
                stubs=()
                if resolvers or not where
                else tuple(StubZone(domain=z.domain, addresses=where) for z in place.zones),
            )
        ),
    )


def _unbound(folder: Path, name: str, text: str) -> DaemonFiles:
    configuration = folder / "unbound.conf"
    configuration.write_text(text)
    return DaemonFiles(
        name=name,
        argv=("unbound", "-d", "-p", "-c", str(configuration)),
        configuration=configuration,
    )
