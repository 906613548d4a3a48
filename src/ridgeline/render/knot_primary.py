"""Knot DNS as the hidden primary: holds the zones, signs them, and sends them to every site.

Clients never ask it. It lists its zones in a catalog (RFC 9432), so that a new zone needs no change
at a site; it tells the sites of each change (RFC 1996), and they fetch what differs (RFC 1995),
both signed with one key (RFC 8945).
"""

from dataclasses import dataclass
from typing import Final

from ridgeline.render._knot import (
    CATALOG_ZONE,
    CONNECTION_KEPT_S,
    TRANSFER_KEY,
    database_lines,
    file_line,
    key_lines,
    remote_lines,
    server_lines,
)
from ridgeline.render.quote import absolute_name, quote, quote_path
from ridgeline.spec.model import Address

PRIMARY: Final = "primary"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryZone:
    """A zone and the file that holds it."""

    domain: str
    path: str
    """Absolute. Its serial counts only while nothing later is in the journal."""
    signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Secondary:
    """A site, as the primary sees it."""

    name: str
    addresses: tuple[Address, ...]
    """Unicast, in the order in which they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnotPrimary:
    """All that the hidden primary must know."""

    network: str
    directory: str
    """Absolute; exists and is writable. Keys and journal live there: losing it is a key rollover."""
    listen: tuple[Address, ...]
    """Its own unicast addresses, from which it also speaks to the sites."""
    sites: tuple[Secondary, ...]
    zones: tuple[PrimaryZone, ...]
    tsig: bytes
    notifies: bool = True
    """Whether Knot itself tells the sites: one after the other, two round trips each, and until the
    last is told it reads no further change of the zone. False: whoever publishes tells them."""
    user: str | None = None
    port: int = 53


def render_knot_primary(primary: KnotPrimary) -> str:
    """Write ``knot.conf`` of the hidden primary; it holds a secret.

    Raises
    ------
    ValueError
        A path, name, address or key cannot stand in the file, or a zone stands there twice.
    """
    directory = quote_path(primary.directory, "directory")
    if not primary.sites:
        raise ValueError("the primary has no site to send zones to")
    named = ", ".join(quote(site.name, "site") for site in primary.sites)
    tell = (f"    notify: [{named}]",) if primary.notifies else ()
    fleet = [address for site in primary.sites for address in site.addresses]
    lines = [
        f"# Knot DNS, hidden primary of {primary.network}. Written by Ridgeline. Holds a secret.",
        *server_lines(
            name=PRIMARY,
            directory=primary.directory,
            listen=primary.listen,
            port=primary.port,
            user=primary.user,
            background_workers=2,
            tcp_idle_s=CONNECTION_KEPT_S + 10,  # the sites end it
        ),
        *database_lines(primary.directory, journal="1G", keys="100M", catalog="100M"),
        *key_lines(primary.tsig),
        "remote:",
        *(
            line
            for site in primary.sites
            for line in remote_lines(site.name, site.addresses, primary.listen, primary.port)
        ),
        "acl:",
        "  - id: sites",
        f"    address: [{', '.join(str(address) for address in fleet)}]",
        f"    key: {TRANSFER_KEY}",
        "    action: transfer",
        "policy:",
        "  - id: automatic",
        "    algorithm: ecdsap256sha256  # RFC 6605: small answers, which is what EDNS 1232 wants",
        "    single-type-signing: on  # one key; the parent's DS is all that a person must care for",
        "template:",
        "  - id: default",
        f"    storage: {directory}",
        "    acl: sites",
        *tell,
        "    zonefile-sync: -1",
        "    journal-content: all",
        "  - id: zone",
        f"    storage: {directory}",
        "    acl: sites",
        *tell,
        "    zonefile-load: difference-no-serial  # whoever edits need not count; what differs is sent",
        "    zonefile-sync: -1",
        "    journal-content: all",
        "    serial-policy: unixtime  # or one more than the last, where the time is not above it",
        "    catalog-role: member",
        f"    catalog-zone: {CATALOG_ZONE}",
        "zone:",
        f"  - domain: {CATALOG_ZONE}",
        "    catalog-role: generate",
    ]
    seen: set[str] = set()
    for zone in primary.zones:
        domain = absolute_name(zone.domain, "zone")
        if domain.lower() in seen:
            raise ValueError(f"zone {domain} stands twice at the primary")
        seen.add(domain.lower())
        lines += [f"  - domain: {domain}", "    template: zone", file_line(zone.path, domain)]
        if zone.signed:
            lines += ["    dnssec-signing: on", "    dnssec-policy: automatic"]
    return "\n".join(lines) + "\n"
