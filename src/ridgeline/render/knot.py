"""Knot DNS 3.2 or later, the authoritative engine of one site.

Everything is in the foreground, logs to stderr and keeps its few files in one directory. Without a
``user:`` line Knot stays who it is, which a user namespace with a single uid requires.
"""

from dataclasses import dataclass
from typing import Final

from ridgeline.render.identity import VERSION, WHOAMI_ZONE, SiteIdentity
from ridgeline.render.quote import (
    absolute_name,
    fits_a_socket,
    port_number,
    quote,
    quote_path,
    some,
)
from ridgeline.spec.model import Address

WHOAMI_FILE: Final = "whoami.zone"
"""File in the site's directory to which the shell writes `render_whoami_zone`."""
CONTROL_SOCKET: Final = "knot.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFile:
    """A zone and the file that holds it."""

    domain: str
    path: str
    """Absolute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnotSite:
    """All that one site's Knot must know."""

    identity: SiteIdentity
    directory: str
    """Absolute; exists and is writable. Holds `WHOAMI_FILE` and, while Knot runs, `CONTROL_SOCKET`."""
    listen: tuple[Address, ...]
    """Anycast service addresses and the site's unicast address; they may appear later (IP_FREEBIND)."""
    zones: tuple[ZoneFile, ...]
    """Zones besides `WHOAMI_ZONE`, which every site has."""
    user: str | None = None
    """``user`` or ``user:group`` to become; None stays who started it."""
    port: int = 53


def render_knot(site: KnotSite) -> str:
    """Write ``knot.conf``.

    Raises
    ------
    ValueError
        A path, name or address cannot stand in the file, or a zone stands there twice.
    """
    name = site.identity.site
    directory = quote_path(site.directory, "directory")
    socket = fits_a_socket(f"{site.directory}/{CONTROL_SOCKET}", "control socket")
    port = port_number(site.port, "DNS port")
    lines = [
        f"# Knot DNS at site {name} of {site.identity.network}. Written by Ridgeline.",
        "server:",
        f"    rundir: {directory}",
        *([f"    user: {quote(site.user, 'user')}"] if site.user else []),
        f"    identity: {quote(name, 'site')}  # CH TXT id.server, hostname.bind (RFC 4892)",
        f"    nsid: 0x{name.encode().hex()}  # the same (RFC 5001); in hexadecimal, since Knot may take text for it",
        f'    version: "{VERSION}"',
        *(f"    listen: {address}@{port}" for address in some(site.listen, "listen")),
        "    udp-workers: 1",
        "    tcp-workers: 1",
        "    background-workers: 1",
        "    udp-max-payload: 1232  # no fragments: an ICMP error may reach another site",
        "    tcp-idle-timeout: 10",
        "    tcp-io-timeout: 500",
        "control:",
        f"    listen: {quote_path(socket, 'control socket')}",
        "log:",
        "  - target: stderr",
        "    any: info",
        "database:",
        f"    storage: {directory}",
        "    journal-db-max-size: 1M",
        "    kasp-db-max-size: 5M",
        "    timer-db-max-size: 1M",
        "    catalog-db-max-size: 5M",
        "template:",
        "  - id: default",
        f"    storage: {directory}",
        "    zonefile-load: whole  # the file is the truth: nothing is journaled or written back",
        "    zonefile-sync: -1",
        "    journal-content: none",
        "zone:",
    ]
    seen: set[str] = set()
    own = ZoneFile(domain=WHOAMI_ZONE, path=f"{site.directory}/{WHOAMI_FILE}")
    for zone in (own, *site.zones):
        domain = absolute_name(zone.domain, "zone")
        if domain.lower() in seen:
            raise ValueError(f"zone {domain} stands twice at site {name}")
        seen.add(domain.lower())
        path = zone.path.replace("%", "%%")  # Knot expands %s and its like in file names
        lines += [
            f"  - domain: {domain}",
            f"    file: {quote_path(path, f'file of zone {domain}')}",
        ]
    return "\n".join(lines) + "\n"


def render_whoami_zone(identity: SiteIdentity, addresses: tuple[Address, ...]) -> str:
    """Write the zone whose TXT record, at its apex and at ``site``, names the site; never cached."""
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
            "",
        ]
    )
