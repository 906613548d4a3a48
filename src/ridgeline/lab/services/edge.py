"""The HTTP cache at a site, and the origin behind all of them."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ridgeline.lab.plan import NodeKind
from ridgeline.lab.services.base import Address, DaemonFiles, Place, of_kind, unicast, write_whole
from ridgeline.lab.services.fingerprints import edge_fingerprints
from ridgeline.lab.services.recursive import write_ticket_keys
from ridgeline.lab.steady import STEADY_FILE_BYTES, steady_bytes
from ridgeline.render.edge import EdgeSite, Origin, Shield, ShieldSite, TlsFiles
from ridgeline.render.identity import HEALTH_PATH
from ridgeline.render.nginx import render_nginx
from ridgeline.render.nginx_front import render_front
from ridgeline.render.origin import BIG_FILE, STEADY_FILE, render_origin
from ridgeline.render.varnish import render_varnish, varnish_command
from ridgeline.spec.model import EdgeEngine, Service, ServiceKind

BIG_FILE_BYTES: Final = 256 << 20
CACHE_MB: Final = 16
"""What a site's Varnish may hold in a rehearsal; it takes memory only for what it holds."""
_WELCOME: Final = "<!doctype html><title>Origin</title><p>A page from the origin of this lab.\n"


def edge(place: Place, service: Service) -> Iterator[DaemonFiles]:
    """Write the files of a site's HTTP cache, and say what runs it.

    Called again it writes them anew, with the secrets and certificates of now: a SIGHUP to the site's
    nginx then makes them count.
    """
    site = edge_site(place, service)
    is_varnish = service.engine is EdgeEngine.VARNISH
    render = (render_front, render_varnish) if is_varnish else (render_nginx,)
    # Who fetches for whom differs from site to site, and may: that it is the same shield may not.
    alike = replace(site, shield=None)
    texts = [*(one(alike) for one in render), f"shield: {' '.join(service.shield)}"]
    site = replace(site, fingerprints=edge_fingerprints(place, texts))
    configuration = Path(site.directory) / "nginx.conf"
    only = len(of_kind(place.spec, ServiceKind.HTTP_CACHE)) == 1
    suffix = "" if only else f"-{service.name}"
    if is_varnish:
        write_whole(configuration, render_front(site))
        vcl = configuration.with_name("site.vcl")
        write_whole(vcl, render_varnish(site))
        yield _nginx(configuration, f"nginx{suffix}")
        yield DaemonFiles(
            name=f"varnish{suffix}",
            argv=varnish_command(site, str(vcl), hurry=True),
            configuration=vcl,
        )
    else:
        write_whole(configuration, render_nginx(site))
        yield _nginx(configuration, f"nginx{suffix}")


def edge_folder(place: Place, service: Service) -> Path:
    """Return the folder of a site's HTTP cache: its configuration, sockets and pages."""
    return place.folder(f"nginx-{service.name}")


def edge_site(place: Place, service: Service) -> EdgeSite:
    """Gather what the renderers must know, writing the keys that they name."""
    folder = edge_folder(place, service)
    url = urlsplit(service.origin)
    behind = place.plan.node("origin")
    if behind.address4 is None:
        raise ValueError("the origin has no address")
    tls = None
    if service.tls is not None:
        files = place.certificate(service)
        tls = TlsFiles(
            certificate=str(files.certificate),
            key=str(files.key),
            ticket_keys=write_ticket_keys(place, folder),
        )
    return EdgeSite(
        identity=place.identity(),
        directory=str(folder),
        listen=service.addresses,
        origin=Origin(
            host=url.hostname or "origin",
            port=origin_port(service.origin),
            address=behind.address4,
        ),
        tls=tls,
        unicast=unicast(place.node),
        cache_mb=CACHE_MB if service.engine is EdgeEngine.VARNISH else 64,
        cache_cookies=service.cache_cookies,
        rate_limit=service.rate_limit,
        handoff=service.handoff,
        shield=_shield(place, service),
        # Without a master nginx cannot reload, and so not change its keys.
        single_process=tls is None,
    )


def _shield(place: Place, service: Service) -> Shield | None:
    servers: dict[str, Address] = {
        node.site: node.address4
        for node in place.plan.of_kind(NodeKind.SERVER)
        if node.address4 is not None
    }
    sites = tuple(
        ShieldSite(name=name, address=servers[name]) for name in service.shield if name in servers
    )
    if not sites:
        return None
    return Shield(sites=sites, clients=tuple(servers.values()))


def origin(place: Place) -> DaemonFiles:
    """Write the files of the web server that the caches fetch from."""
    folder = place.folder("origin")
    www = (Path(place.spec.file).parent / "www").resolve()
    if not (www / "index.html").is_file():
        www = place.folder("origin/www")
        (www / "index.html").write_text(_WELCOME)
    with (folder / BIG_FILE).open("wb") as big:
        big.truncate(BIG_FILE_BYTES)
    (folder / STEADY_FILE).write_bytes(steady_bytes(0, STEADY_FILE_BYTES))
    ports = {origin_port(s.origin) for s in of_kind(place.spec, ServiceKind.HTTP_CACHE)}
    configuration = folder / "nginx.conf"
    configuration.write_text(
        render_origin(str(folder), unicast(place.node), min(ports), str(www)),
    )
    return _nginx(configuration)


def origin_port(url: str) -> int:
    """Return the port that a spec's origin URL means."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _nginx(configuration: Path, name: str = "nginx") -> DaemonFiles:
    return DaemonFiles(
        name=name,
        argv=("nginx", "-e", "stderr", "-c", str(configuration)),
        configuration=configuration,
    )


async def answers_healthy(connection: socket.socket) -> None:
    """Ask an edge for its health page; OSError if it is not (yet) well.

    nginx takes connections before the Varnish behind it has compiled its policy.
    """
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, f"GET {HEALTH_PATH} HTTP/1.0\r\n\r\n".encode())
    status, _, _ = (await loop.sock_recv(connection, 4096)).partition(b"\r\n")
    if b" 200" not in status:
        raise OSError(f"its health page answers {status.decode(errors='replace')!r}")
