"""Zones that tell a client who answers and how it was seen; each site has its own, never sent.

====================================  ==========================================================
``whoami.anycast.test.`` TXT          the site (also at ``site.``)
``config.whoami.anycast.test.`` TXT   the fingerprint of the configuration, where one is given
``client.whoami.anycast.test.``       A or AAAA: the address that the question came from
``tcp.whoami.anycast.test.`` TXT      the site, over TCP alone: over UDP every answer is truncated
====================================  ==========================================================

A resolver's address and its ability to use TCP decide what an operator can do for its users; a TXT
record that names the transport itself is more than Knot 3.2 offers.
"""

from typing import Final

from ridgeline.render.identity import WHOAMI_ZONE, SiteIdentity
from ridgeline.render.quote import some
from ridgeline.spec.model import Address

WHOAMI_FILE: Final = "whoami.zone"
CLIENT_ZONE: Final = f"client.{WHOAMI_ZONE}"
TCP_ZONE: Final = f"tcp.{WHOAMI_ZONE}"
LOCAL_ZONES: Final = (
    (WHOAMI_ZONE, WHOAMI_FILE, ""),
    (CLIENT_ZONE, "client.whoami.zone", "mod-whoami"),
    (TCP_ZONE, "tcp.whoami.zone", "mod-noudp"),
)
"""Domain, file in the site's directory, and Knot's module that makes its answers."""


def render_whoami_files(
    identity: SiteIdentity, addresses: tuple[Address, ...], configuration: str = ""
) -> dict[str, str]:
    """Write all of a site's own zones: file name -> text."""
    return {
        WHOAMI_FILE: render_whoami_zone(identity, addresses, configuration),
        "client.whoami.zone": _child(CLIENT_ZONE, ""),
        "tcp.whoami.zone": _child(TCP_ZONE, f'@     TXT   "{identity.site}"'),
    }


def render_whoami_zone(
    identity: SiteIdentity, addresses: tuple[Address, ...], configuration: str = ""
) -> str:
    """Write the zone whose TXT record, at its apex and at ``site``, names the site; never cached.

    A `configuration` is the fingerprint that ``config`` tells (see `ridgeline.render.fingerprint`).
    """
    hosts = [
        f"ns    {'A   ' if address.version == 4 else 'AAAA'}  {address}"
        for address in some(addresses, WHOAMI_ZONE)
    ]
    return "\n".join(
        [
            f"$ORIGIN {WHOAMI_ZONE}",
            "$TTL 0",
            "@     SOA   ns hostmaster 1 3600 600 86400 0",
            "@     NS    ns",
            *hosts,
            f'@     TXT   "{identity.site}"',
            f'site  TXT   "{identity.site}"',
            *([f'config TXT  "configuration={configuration}"'] if configuration else []),
            "client NS   ns",
            "tcp   NS    ns",
            "",
        ]
    )


def _child(zone: str, record: str) -> str:
    return "\n".join(
        [
            f"$ORIGIN {zone}",
            "$TTL 0",
            f"@     SOA   ns.{WHOAMI_ZONE} hostmaster.{WHOAMI_ZONE} 1 3600 600 86400 0",
            f"@     NS    ns.{WHOAMI_ZONE}",
            *([record] if record else []),
            "",
        ]
    )
