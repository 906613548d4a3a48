"""What a site's Knot and the hidden primary read, whole, where zones are sent.

After a change on purpose run ``python tests/golden/render/test_knot_fleet_text.py --rewrite`` with
the package importable; then read what it wrote.
"""

import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from ridgeline.render.identity import SiteIdentity
from ridgeline.render.knot import KnotSite, Transfer, ZoneFile, render_knot, render_whoami_files
from ridgeline.render.knot_primary import KnotPrimary, PrimaryZone, Secondary, render_knot_primary

FOLDER = Path(__file__).parent
NRT = SiteIdentity(site="nrt", network="example-anycast", domain="example-anycast.example")
UNICAST = (ip_address("198.18.0.10"), ip_address("2001:2::10"))
DNS = (ip_address("192.0.2.53"), ip_address("2001:db8:53::53"))
PRIMARY = (ip_address("198.18.0.90"), ip_address("2001:2::90"))
WHOAMI = render_whoami_files(NRT, DNS)

TEXTS = {
    "knot-fed.conf": render_knot(
        KnotSite(
            identity=NRT,
            directory="/run/lab/nrt/knot",
            listen=(*DNS, *UNICAST),
            zones=(ZoneFile(domain="static.test", path="/srv/zones/static.test.zone"),),
            transfer=Transfer(primary=PRIMARY, sources=UNICAST, tsig=bytes(range(32))),
            cookie_secrets=(bytes(range(16)), bytes(16)),
            rate_limit=500,
            unlimited=tuple(ip_network(address) for address in (*UNICAST, *PRIMARY)),
        )
    ),
    "knot-primary.conf": render_knot_primary(
        KnotPrimary(
            network="example-anycast",
            directory="/run/lab/primary/knot",
            listen=PRIMARY,
            sites=(
                Secondary(name="nrt", addresses=UNICAST),
                Secondary(name="lhr", addresses=(ip_address("198.18.0.11"),)),
            ),
            zones=(
                PrimaryZone(domain="example.test", path="/srv/example.test.zone", signed=True),
                PrimaryZone(domain="plain.test", path="/srv/plain.test.zone"),
            ),
            tsig=bytes(range(32)),
        )
    ),
    "client.whoami.zone": WHOAMI["client.whoami.zone"],
    "tcp.whoami.zone": WHOAMI["tcp.whoami.zone"],
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_daemon_reads_this(name: str) -> None:
    assert TEXTS[name] == (FOLDER / name).read_text(encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--rewrite"]:
    for name, text in TEXTS.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
