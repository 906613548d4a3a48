"""Whole edges of a test: nginx, and Varnish behind it where asked, on loopback."""

import http.client
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from ridgeline.render.edge import EdgeSite, Origin
from ridgeline.render.identity import HEALTH_PATH, SiteIdentity
from ridgeline.render.nginx import render_nginx
from ridgeline.render.nginx_front import render_front
from ridgeline.render.varnish import VarnishPolicy, render_varnish, varnish_command

from .daemons import HTTP_PORT, TLS_PORT, Daemons, need

ENGINES = ("nginx", "varnish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client got."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def cache(self) -> str:
        """What Cache-Status says last, after the cache's name and without the time left."""
        said = str(self.headers["Cache-Status"]).rpartition(", ")[2].partition("; ")[2]
        return said.partition("; ttl=")[0]


@contextmanager
def edge_folder() -> Iterator[Path]:
    """Make a folder whose name is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="rl-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def edge_site(
    folder: Path, address: IPv4Address, origin: IPv4Address, *, name: str = "nrt"
) -> EdgeSite:
    """Describe a site on a loopback address."""
    directory = folder / name
    directory.mkdir()
    return EdgeSite(
        identity=SiteIdentity(
            site=name, network="example-anycast", domain="example-anycast.example"
        ),
        directory=str(directory),
        listen=(address,),
        origin=Origin(host="origin.example.test", port=HTTP_PORT, address=origin),
        unicast=(IPv4Address(int(address) + 100),),
        port=HTTP_PORT,
        tls_port=TLS_PORT,
        cache_mb=16,
    )


def start_edge(
    daemons: Daemons, site: EdgeSite, engine: str, policy: VarnishPolicy | None = None
) -> None:
    """Start a site and wait until it is healthy."""
    folder = Path(site.directory)
    configuration = folder / "nginx.conf"
    if engine == "varnish":
        need("varnishd", "gcc")
        vcl = folder / "site.vcl"
        vcl.write_text(render_varnish(site, policy or VarnishPolicy(probe_interval=0)))
        configuration.write_text(render_front(site))
        daemons.start(*varnish_command(site, str(vcl), hurry=True), ready=lambda: True)
    else:
        configuration.write_text(render_nginx(site))
    daemons.start(
        *("nginx", "-e", "stderr", "-c", str(configuration)),
        ready=healthy(site.listen[0]),
        within=15,
    )


def healthy(address: object) -> Callable[[], bool]:
    """Say whether a site's health page answers."""

    def asked() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}:{HTTP_PORT}{HEALTH_PATH}", timeout=1):
                return True
        except (OSError, http.client.HTTPException):
            return False

    return asked


def fetch(
    address: object,
    path: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    port: int = HTTP_PORT,
) -> Answer:
    """Make one request, for www.example.test unless the headers say otherwise."""
    connection = http.client.HTTPConnection(str(address), port, timeout=10)
    try:
        said = {"Host": "www.example.test"} | (headers or {})
        connection.request(method, path, body=body, headers=said)
        answer = connection.getresponse()
        return Answer(status=answer.status, headers=answer.headers, body=answer.read())
    finally:
        connection.close()


def say(address: object, text: bytes, *, wait: float = 1.0) -> bytes:
    """Send bytes as they are and return all that comes back until the edge closes, or says no more."""
    with socket.create_connection((str(address), HTTP_PORT), timeout=wait) as line:
        line.sendall(text)
        got = b""
        try:
            while data := line.recv(65536):
                got += data
                line.settimeout(0.15)  # nginx lingers: the rest is there at once or never
        except TimeoutError:
            pass
        return got
