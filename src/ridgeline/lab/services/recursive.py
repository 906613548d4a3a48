"""Recursive DNS: Unbound at a site, and the small resolver that every client has."""

import ssl
from dataclasses import replace
from pathlib import Path

from ridgeline.errors import InputError
from ridgeline.lab.material.certificates import CertificateFiles
from ridgeline.lab.material.secrets import write_private
from ridgeline.lab.names import host_names
from ridgeline.lab.services.base import (
    DaemonFiles,
    Place,
    addresses_of,
    of_kind,
    unicast,
    write_whole,
)
from ridgeline.lab.services.fingerprints import config_record
from ridgeline.render.unbound import (
    HINTS_FILE,
    ROOT_FILE,
    DnsTls,
    StubZone,
    UnboundSite,
    render_root_hints,
    render_root_zone,
    render_unbound,
)
from ridgeline.render.unbound_client import ClientResolver, render_client_resolver
from ridgeline.spec.model import Service, ServiceKind


def recursive(place: Place, service: Service) -> DaemonFiles:
    """Write the files of a site's Unbound."""
    spec = place.spec
    folder = resolver_folder(place, service)
    tree = place.tree
    stubs: tuple[StubZone, ...] = ()
    if tree is None:
        where = addresses_of(of_kind(spec, ServiceKind.AUTHORITATIVE_DNS))
        stubs = (StubZone(domain=".", addresses=where),)  # the network holds the root itself
        (folder / ROOT_FILE).write_text(render_root_zone())
    else:
        (folder / HINTS_FILE).write_text(render_root_hints((tree.root,)))
    site = UnboundSite(
        identity=place.identity(),
        directory=str(folder),
        listen=service.addresses,
        outgoing=unicast(place.node),
        stubs=stubs,
        roots=(tree.root,) if tree else (),
        validate=service.dnssec and tree is not None,
        trust_anchors=(tree.trust_anchor,) if tree else (),
        clients=service.clients,
        rate_limit=service.rate_limit,
        tls=_tls(place, service, folder),
    )
    told = config_record(place, render_unbound(site))
    return _unbound(folder, folder.name, render_unbound(replace(site, local_data=(told,))))


def resolver_folder(place: Place, service: Service) -> Path:
    """Return the folder of a site's Unbound, which has the daemon's name."""
    first = of_kind(place.spec, ServiceKind.RECURSIVE_DNS)[0]
    return place.folder("unbound" if service.name == first.name else f"unbound-{service.name}")


def write_ticket_keys(place: Place, folder: Path) -> tuple[str, ...]:
    """Write the session ticket keys that all sites share, newest first; return the files."""
    files = [folder / f"ticket-{number}.key" for number in range(len(place.secrets.ticket_keys))]
    for file, key in zip(files, place.secrets.ticket_keys, strict=True):
        write_private(file, key)
    for dropped in set(folder.glob("ticket-*.key")) - set(files):
        dropped.unlink()
    return tuple(str(file) for file in files)


def _tls(place: Place, service: Service, folder: Path) -> DnsTls | None:
    if service.tls is None:
        return None
    files = place.certificate(service)
    base = Path(place.spec.file).parent
    check_pair(files, base / service.tls.certificate, base / service.tls.key)
    return DnsTls(
        certificate=str(files.certificate),
        key=str(files.key),
        ticket_keys=write_ticket_keys(place, folder),
    )


def check_pair(files: CertificateFiles, certificate: Path, key: Path) -> None:
    """See that the key is the certificate's; Unbound's own words would not name the author's files.

    Raises
    ------
    InputError
        Names the file that is wrong, or both where they do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: b"")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InputError(f"{key} is not the key of the certificate in {certificate}") from None
        try:
            ssl.create_default_context(cafile=str(files.certificate))
        except ssl.SSLError:
            raise InputError(f"{certificate} holds no certificate in PEM form") from None
        raise InputError(
            f"{key} holds no private key in PEM form, or it needs a password: "
            "a server that starts by itself cannot be asked for one"
        ) from None


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
    write_whole(configuration, text)
    return DaemonFiles(
        name=name,
        argv=("unbound", "-d", "-p", "-c", str(configuration)),
        configuration=configuration,
    )
