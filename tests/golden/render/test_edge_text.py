"""What nginx and Varnish read where a site's edge is asked for more than the least, whole.

After a change on purpose run ``python tests/golden/render/test_edge_text.py --rewrite`` with the
package importable; then read what it wrote.
"""

import sys
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from ridgeline.render.edge import EdgeSite, Origin, Shield, ShieldSite, TlsFiles
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.nginx import render_nginx
from ridgeline.render.nginx_front import render_front
from ridgeline.render.varnish import VarnishPolicy, render_varnish

FOLDER = Path(__file__).parent
SITE = EdgeSite(
    identity=SiteIdentity(site="nrt", network="example-anycast", domain="example-anycast.example"),
    directory="/run/lab/nrt/edge",
    listen=(ip_address("192.0.2.80"), ip_address("2001:db8:53::80")),
    origin=Origin(host="origin.example.test", port=8080, address=ip_address("198.18.0.99")),
    tls=TlsFiles(
        certificate="/srv/tls/site.pem",
        key="/srv/tls/site.key",
        ticket_keys=("/srv/tls/ticket.0", "/srv/tls/ticket.1"),
    ),
    unicast=(ip_address("198.18.0.10"), ip_address("2001:2::10")),
    rate_limit=100,
    handoff=("/download/", "/live.v1/"),
    single_process=False,
)
SHIELD = Shield(
    sites=(
        ShieldSite(name="nrt", address=ip_address("198.18.0.10")),
        ShieldSite(name="lhr", address=ip_address("198.18.0.26")),
        ShieldSite(name="gru", address=ip_address("198.18.0.42")),
    ),
    clients=tuple(ip_address(f"198.18.0.{n}") for n in (10, 26, 42)),
)

TEXTS = {
    "nginx-shield.conf": render_nginx(replace(SITE, shield=SHIELD)),
    "front.conf": render_front(SITE),
    "front-shield.conf": render_front(replace(SITE, shield=SHIELD)),
    "site.vcl": render_varnish(SITE),
    "standards.vcl": render_varnish(SITE, VarnishPolicy(standards=True, probe_interval=0)),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_daemon_reads_this(name: str) -> None:
    assert TEXTS[name] == (FOLDER / name).read_text(encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--rewrite"]:
    for name, text in TEXTS.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
