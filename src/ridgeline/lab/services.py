"""What answers at a site and at a client: the daemons to run on a node, with their files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from ridgeline.lab.names import host_names
from ridgeline.lab.plan import LabPlan, Node, NodeKind
from ridgeline.lab.zones import Zone
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.knot import WHOAMI_FILE, KnotSite, ZoneFile, render_knot, render_whoami_zone
from ridgeline.render.nginx import NginxSite, Origin, TlsFiles, render_nginx
from ridgeline.render.origin import BIG_FILE, render_origin
from ridgeline.render.unbound import (
    ROOT_FILE,
    ClientResolver,
    StubZone,
    UnboundSite,
    render_client_resolver,
    render_root_zone,
    render_unbound,
)
from ridgeline.spec.model import Service, ServiceKind, Spec

Address: TypeAlias = IPv4Address | IPv6Address

BIG_FILE_BYTES: Final = 256 << 20
_WELCOME: Final = "<!doctype html><title>Origin</title><p>A page from the origin of this lab.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFiles:
    """A daemon that is ready to start."""

    name: str
    argv: tuple[str, ...]
    configuration: Path


def prepare(
    plan: LabPlan, node: Node, zones: tuple[Zone, ...], directory: Path
) -> Iterator[DaemonFiles]:
    """Write the files of what runs on a node besides BIRD, and say how to start it."""
    match node.kind:
        case NodeKind.SERVER:
            yield from _server(plan, node, zones, directory)
        case NodeKind.CLIENT:
            yield _resolver(plan, node, zones, directory)
        case NodeKind.ORIGIN:
            yield _origin(plan, node, directory)
        case _:
            return


def anycast_addresses(spec: Spec) -> tuple[Address, ...]:
    """List every address that a server of the spec must hold."""
    return tuple(dict.fromkeys(a for service in spec.services for a in service.addresses))


def unicast(node: Node) -> tuple[Address, ...]:
    """List the addresses of a host that are its own."""
    return tuple(a for a in (node.address4, node.address6) if a is not None)


def _of_kind(spec: Spec, kind: ServiceKind) -> list[Service]:
    return [service for service in spec.services if service.kind is kind]


def _addresses(services: Iterable[Service]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(a for service in services for a in service.addresses))


def _identity(plan: LabPlan, node: Node) -> SiteIdentity:
    return SiteIdentity(
        site=node.site, network=plan.spec.network, domain=f"{plan.spec.network}.example"
    )


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _server(
    plan: LabPlan, node: Node, zones: tuple[Zone, ...], directory: Path
) -> Iterator[DaemonFiles]:
    spec = plan.spec
    authoritative = _of_kind(spec, ServiceKind.AUTHORITATIVE_DNS)
    recursive = _of_kind(spec, ServiceKind.RECURSIVE_DNS)
    caches = _of_kind(spec, ServiceKind.HTTP_CACHE)
    if authoritative:
        yield _knot(plan, node, _addresses(authoritative), zones, _folder(directory, "knot"))
    if recursive:
        folder = _folder(directory, "unbound")
        where = _addresses(authoritative)
        (folder / ROOT_FILE).write_text(render_root_zone())
        yield _unbound(
            folder,
            "unbound",
            render_unbound(
                UnboundSite(
                    identity=_identity(plan, node),
                    directory=str(folder),
                    listen=_addresses(recursive),
                    outgoing=unicast(node),
                    stubs=tuple(StubZone(domain=z.domain, addresses=where) for z in zones),
                )
            ),
        )
    for cache in caches:
        yield _cache(plan, node, cache, _folder(directory, f"nginx-{cache.name}"))


def _knot(
    plan: LabPlan,
    node: Node,
    addresses: tuple[Address, ...],
    zones: tuple[Zone, ...],
    folder: Path,
) -> DaemonFiles:
    identity = _identity(plan, node)
    (folder / "db").mkdir(exist_ok=True)
    (folder / WHOAMI_FILE).write_text(render_whoami_zone(identity, addresses))
    files = []
    for zone in zones:
        copy = folder / f"{zone.domain}zone"
        copy.write_bytes(zone.path.read_bytes())
        files.append(ZoneFile(domain=zone.domain, path=str(copy)))
    configuration = folder / "knot.conf"
    configuration.write_text(
        render_knot(
            KnotSite(
                identity=identity,
                directory=str(folder),
                listen=(*addresses, *unicast(node)),
                zones=tuple(files),
            )
        )
    )
    return DaemonFiles(
        name="knot",
        argv=("knotd", "-c", str(configuration)),
        configuration=configuration,
    )


def _unbound(folder: Path, name: str, text: str) -> DaemonFiles:
    configuration = folder / "unbound.conf"
    configuration.write_text(text)
    return DaemonFiles(
        name=name,
        argv=("unbound", "-d", "-p", "-c", str(configuration)),
        configuration=configuration,
    )


def _cache(plan: LabPlan, node: Node, service: Service, folder: Path) -> DaemonFiles:
    url = urlsplit(service.origin)
    origin = plan.node("origin")
    if origin.address4 is None:
        raise ValueError("the origin has no address")
    base = Path(plan.spec.file).parent.resolve()
    tls = None
    if service.tls is not None:
        certificate, key = base / service.tls.certificate, base / service.tls.key
        tls = TlsFiles(certificate=str(certificate), key=str(key))
    configuration = folder / "nginx.conf"
    configuration.write_text(
        render_nginx(
            NginxSite(
                identity=_identity(plan, node),
                directory=str(folder),
                listen=service.addresses,
                origin=Origin(
                    host=url.hostname or "origin",
                    port=origin_port(service.origin),
                    address=origin.address4,
                ),
                tls=tls,
                unicast=unicast(node),
            )
        )
    )
    return _nginx(configuration)


def _nginx(configuration: Path) -> DaemonFiles:
    return DaemonFiles(
        name="nginx",
        argv=("nginx", "-e", "stderr", "-c", str(configuration)),
        configuration=configuration,
    )


def origin_port(url: str) -> int:
    """Return the port that a spec's origin URL means."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _origin(plan: LabPlan, node: Node, directory: Path) -> DaemonFiles:
    folder = _folder(directory, "origin")
    www = (Path(plan.spec.file).parent / "www").resolve()
    if not (www / "index.html").is_file():
        www = _folder(folder, "www")
        (www / "index.html").write_text(_WELCOME)
    with (folder / BIG_FILE).open("wb") as big:
        big.truncate(BIG_FILE_BYTES)
    ports = {origin_port(s.origin) for s in _of_kind(plan.spec, ServiceKind.HTTP_CACHE)}
    configuration = folder / "nginx.conf"
    configuration.write_text(
        render_origin(str(folder), unicast(node), min(ports), str(www)),
    )
    return _nginx(configuration)


def _resolver(plan: LabPlan, node: Node, zones: tuple[Zone, ...], directory: Path) -> DaemonFiles:
    """Give a client what every machine has: a stub resolver on 127.0.0.1.

    Names of hops it knows by itself, so that a traceroute shows names even while sites fail; all
    else it asks the anycast network, as a real client would.
    """
    folder = _folder(directory, f"resolver-{node.name}")
    (folder / ROOT_FILE).write_text(render_root_zone())
    spec = plan.spec
    recursive = _addresses(_of_kind(spec, ServiceKind.RECURSIVE_DNS))
    where = _addresses(_of_kind(spec, ServiceKind.AUTHORITATIVE_DNS))
    return _unbound(
        folder,
        "resolver",
        render_client_resolver(
            ClientResolver(
                directory=str(folder),
                ptr_records=tuple(host_names(plan).items()),
                forward=recursive,
                stubs=()
                if recursive or not where
                else tuple(StubZone(domain=z.domain, addresses=where) for z in zones),
            )
        ),
    )
