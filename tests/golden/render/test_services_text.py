"""What the daemons of a site, of a client and of the origin read, whole.

After a change on purpose run ``python tests/golden/render/test_services_text.py --rewrite`` with the
package importable; then read what it wrote.
"""

import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from ridgeline.render.edge import EdgeSite, Origin, TlsFiles
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.knot import KnotSite, ZoneFile, render_knot, render_whoami_zone
from ridgeline.render.nginx import render_nginx
from ridgeline.render.origin import render_origin
from ridgeline.render.unbound import (
    DnsTls,
    RootServer,
    StubZone,
    UnboundSite,
    render_root_hints,
    render_root_zone,
    render_unbound,
)
from ridgeline.render.unbound_client import ClientResolver, render_client_resolver

FOLDER = Path(__file__).parent
NRT = SiteIdentity(site="nrt", network="example-anycast", domain="example-anycast.example")
UNICAST = (ip_address("198.18.0.10"), ip_address("2001:2::10"))
DNS = (ip_address("192.0.2.53"), ip_address("2001:db8:53::53"))
RESOLVER = (ip_address("192.0.2.1"), ip_address("2001:db8:53::1"))
WEB = (ip_address("192.0.2.80"), ip_address("2001:db8:53::80"))
STUBS = (StubZone(domain="example.test", addresses=DNS),)
ROOTS = (RootServer(name="a.names.test", addresses=UNICAST),)
HOPS = (
    (ip_address("198.18.0.1"), "ae1.cr1.nrt.tanuki.example"),
    (ip_address("2001:2::1"), "ae1.cr1.nrt.tanuki.example"),
)

TEXTS = {
    "knot.conf": render_knot(
        KnotSite(
            identity=NRT,
            directory="/run/lab/nrt/knot",
            listen=(*DNS, *UNICAST),
            zones=(ZoneFile(domain="example.test", path="/srv/zones/example.test.zone"),),
        )
    ),
    "whoami.zone": render_whoami_zone(NRT, DNS),
    "unbound.conf": render_unbound(
        UnboundSite(
            identity=NRT,
            directory="/run/lab/nrt/unbound",
            listen=RESOLVER,
            outgoing=UNICAST,
            roots=ROOTS,
            validate=True,
            trust_anchors=(f". IN DS 12345 13 2 {'ab' * 32}",),
            tls=DnsTls(
                certificate="/srv/tls/site.pem",
                key="/srv/tls/site.key",
                ticket_keys=("/srv/tls/ticket.now", "/srv/tls/ticket.before"),
            ),
        )
    ),
    "unbound-stubs.conf": render_unbound(
        UnboundSite(
            identity=NRT,
            directory="/run/lab/nrt/unbound",
            listen=RESOLVER,
            outgoing=UNICAST,
            stubs=STUBS,
            clients=(ip_network("198.18.0.0/15"), ip_network("2001:2::/48")),
        )
    ),
    "root.hints": render_root_hints(ROOTS),
    "client.conf": render_client_resolver(
        ClientResolver(directory="/run/lab/client", ptr_records=HOPS, forward=RESOLVER)
    ),
    "client-without-resolver.conf": render_client_resolver(
        ClientResolver(directory="/run/lab/client", ptr_records=HOPS, stubs=STUBS)
    ),
    "root.zone": render_root_zone(),
    "nginx.conf": render_nginx(
        EdgeSite(
            identity=NRT,
            directory="/run/lab/nrt/nginx",
            listen=WEB,
            origin=Origin(host="origin.example.test", port=8080, address=ip_address("198.18.0.99")),
            tls=TlsFiles(
                certificate="/srv/tls/site.pem",
                key="/srv/tls/site.key",
                ticket_keys=("/srv/tls/ticket.now", "/srv/tls/ticket.before"),
            ),
            unicast=UNICAST,
        )
    ),
    "origin.conf": render_origin("/run/lab/origin", (ip_address("198.18.0.99"),), 8080, "/srv/www"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_daemon_reads_this(name: str) -> None:
    assert TEXTS[name] == (FOLDER / name).read_text(encoding="utf-8")


def test_every_text_that_is_kept_is_still_written() -> None:
    kept = {file.name for file in FOLDER.iterdir() if file.suffix in {".conf", ".hints", ".zone"}}
    assert kept >= TEXTS.keys()


if __name__ == "__main__" and sys.argv[1:] == ["--rewrite"]:
    for name, text in TEXTS.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
