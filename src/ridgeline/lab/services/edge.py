"""The HTTP cache at a site, and the origin behind all of them."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ridgeline.lab.services.base import DaemonFiles, Place, of_kind, unicast
from ridgeline.render.edge import EdgeSite, Origin, TlsFiles
from ridgeline.render.nginx import render_nginx
from ridgeline.render.origin import BIG_FILE, render_origin
from ridgeline.spec.model import Service, ServiceKind

BIG_FILE_BYTES: Final = 256 << 20
_WELCOME: Final = "<!doctype html><title>Origin</title><p>A page from the origin of this lab.\n"


def edge(place: Place, service: Service) -> DaemonFiles:
    """Write the files of a site's HTTP cache."""
    folder = place.folder(f"nginx-{service.name}")
    url = urlsplit(service.origin)
    behind = place.plan.node("origin")
    if behind.address4 is None:
        raise ValueError("the origin has no address")
    tls = None
    if service.tls is not None:
        files = place.certificate(service)
        tls = TlsFiles(certificate=str(files.certificate), key=str(files.key))
    configuration = folder / "nginx.conf"
    configuration.write_text(
        render_nginx(
            EdgeSite(
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
            )
        )
    )
    return _nginx(configuration)


def origin(place: Place) -> DaemonFiles:
    """Write the files of the web server that the caches fetch from."""
    folder = place.folder("origin")
    www = (Path(place.spec.file).parent / "www").resolve()
    if not (www / "index.html").is_file():
        www = place.folder("origin/www")
        (www / "index.html").write_text(_WELCOME)
    with (folder / BIG_FILE).open("wb") as big:
        big.truncate(BIG_FILE_BYTES)
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


def _nginx(configuration: Path) -> DaemonFiles:
    return DaemonFiles(
        name="nginx",
        argv=("nginx", "-e", "stderr", "-c", str(configuration)),
        configuration=configuration,
    )
