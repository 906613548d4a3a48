"""Knot DNS 3.2 or later, the authoritative engine of one site.

Everything is in the foreground, logs to stderr and keeps its few files in one directory. Without a
``user:`` line Knot stays who it is, which a user namespace with a single uid requires.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ridgeline.render._knot import (
    CATALOG_ZONE,
    CONNECTION_KEPT_S,
    CONTROL_SOCKET,
    TRANSFER_KEY,
    database_lines,
    file_line,
    key_lines,
    remote_lines,
    server_lines,
)
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.knot_whoami import (
    LOCAL_ZONES,
    WHOAMI_FILE,
    render_whoami_files,
    render_whoami_zone,
)
from ridgeline.render.quote import absolute_name, quote_path, some
from ridgeline.spec.model import Address, Prefix
from ridgeline.spec.secrets import DNS_COOKIE_BYTES

__all__ = [
    "CATALOG_ZONE",
    "CONTROL_SOCKET",
    "RATE_LIMIT",
    "TRANSFER_KEY",
    "WHOAMI_FILE",
    "KnotSite",
    "Transfer",
    "ZoneFile",
    "render_knot",
    "render_whoami_files",
    "render_whoami_zone",
]

RATE_LIMIT: Final = 200
"""Like answers per second to one client network; a resolver that caches needs a few."""
RATE_SLIP: Final = 2
"""Every second answer above the limit is truncated, so that a true client can come back by TCP."""
_RATE_BUCKETS: Final = 65_537
"""Client networks that are told apart; 1.5 MB at most, where Knot's default takes 9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFile:
    """A zone and the file that holds it."""

    domain: str
    path: str
    """Absolute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Where the zones of the catalog come from."""

    primary: tuple[Address, ...]
    """Unicast addresses of the hidden primary, in the order in which they are tried."""
    sources: tuple[Address, ...]
    """This site's unicast addresses: from an anycast one, the answer might reach another site."""
    tsig: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class KnotSite:
    """All that one site's Knot must know."""

    identity: SiteIdentity
    directory: str
    """Absolute; exists and is writable. Holds the files of `render_whoami_files` and, while Knot
    runs, `CONTROL_SOCKET`."""
    listen: tuple[Address, ...]
    """Anycast service addresses and the site's unicast address; they may appear later (IP_FREEBIND)."""
    zones: tuple[ZoneFile, ...]
    """Zones whose files are here, besides the site's own (`LOCAL_ZONES`)."""
    transfer: Transfer | None = None
    """None: every zone is a file."""
    cookie_secrets: tuple[bytes, ...] = ()
    """Shared by all sites, newest first; Knot 3.2 knows one and takes the first. Empty: no cookies."""
    rate_limit: int = RATE_LIMIT
    unlimited: tuple[Prefix, ...] = ()
    """Networks without a rate limit: the fleet's own."""
    user: str | None = None
    """``user`` or ``user:group`` to become; None stays who started it."""
    port: int = 53


def render_knot(site: KnotSite) -> str:
    """Write ``knot.conf``; it holds secrets if it knows any.

    Raises
    ------
    ValueError
        A path, name, address or secret cannot stand in the file, or a zone stands there twice.
    """
    name = site.identity.site
    directory = quote_path(site.directory, "directory")
    transfer = site.transfer
    modules = ["mod-rrl/answers"]
    if site.cookie_secrets:
        modules.insert(0, "mod-cookies/fleet")
    return "\n".join(
        [
            f"# Knot DNS at site {name} of {site.identity.network}. Written by Ridgeline.",
            *server_lines(
                name=name,
                directory=site.directory,
                listen=site.listen,
                port=site.port,
                user=site.user,
                extra=(
                    ("remote-pool-limit: 4", f"remote-pool-timeout: {CONNECTION_KEPT_S}")
                    if transfer
                    else ()
                ),
            ),
            *database_lines(
                site.directory,
                journal="1G" if transfer else "1M",
                catalog="100M" if transfer else "5M",
            ),
            *(_transfer_lines(transfer, site.port) if transfer else ()),
            *_module_lines(site),
            "template:",
            "  - id: default",
            f"    storage: {directory}",
            f"    global-module: [{', '.join(modules)}]",
            "    zonefile-load: whole  # the file is the truth: nothing is journaled or written back",
            "    zonefile-sync: -1",
            "    journal-content: none",
            *(_template_lines(directory) if transfer else ()),
            "zone:",
            *_zone_lines(site),
            *(_catalog_lines() if transfer else ()),
            "",
        ]
    )


def _module_lines(site: KnotSite) -> Iterator[str]:
    if site.cookie_secrets:
        for secret in site.cookie_secrets:
            if len(secret) != DNS_COOKIE_BYTES:
                raise ValueError(
                    f"a secret of DNS cookies has {len(secret)} bytes and needs {DNS_COOKIE_BYTES}"
                )
        yield from (
            "mod-cookies:  # RFC 7873, RFC 9018: a cookie of one site is good at every other",
            "  - id: fleet",
            f"    secret: 0x{site.cookie_secrets[0].hex()}",
            "    badcookie-slip: 1  # whoever comes with an old one is always told the new one",
        )
    if site.rate_limit < 1:
        raise ValueError(f"a rate limit of {site.rate_limit} answers a second answers nobody")
    yield from (
        "mod-rrl:  # clients with a good cookie, and TCP, are never limited",
        "  - id: answers",
        f"    rate-limit: {site.rate_limit}",
        f"    slip: {RATE_SLIP}",
        f"    table-size: {_RATE_BUCKETS}",
    )
    if site.unlimited:
        yield f"    whitelist: [{', '.join(str(network) for network in site.unlimited)}]"


def _transfer_lines(transfer: Transfer, port: int) -> Iterator[str]:
    yield from key_lines(transfer.tsig)
    yield "remote:"
    yield from remote_lines("primary", transfer.primary, transfer.sources, port)
    yield from (
        "acl:",
        "  - id: primary",
        f"    address: [{', '.join(str(a) for a in some(transfer.primary, 'primary'))}]",
        f"    key: {TRANSFER_KEY}",
        "    action: notify",
    )


def _template_lines(directory: str) -> Iterator[str]:
    yield from (
        "  - id: zone  # of the catalog",
        f"    storage: {directory}",
        "    master: primary",
        "    acl: primary",
        "    zonefile-load: none  # the journal is the zone's memory across a restart",
        "    zonefile-sync: -1",
        "    journal-content: all",
        "    refresh-max-interval: 60  # a NOTIFY that got lost costs a minute, not the SOA's hours",
        "    retry-max-interval: 5",
    )


def _catalog_lines() -> Iterator[str]:
    yield from (
        f"  - domain: {CATALOG_ZONE}",
        "    template: zone",
        "    catalog-role: interpret",
        "    catalog-template: zone",
    )


def _zone_lines(site: KnotSite) -> Iterator[str]:
    seen: set[str] = set()
    own = [
        (ZoneFile(domain=domain, path=f"{site.directory}/{file}"), module)
        for domain, file, module in LOCAL_ZONES
    ]
    for zone, module in _with_modules(own, site.zones):
        domain = absolute_name(zone.domain, "zone")
        if domain.lower() in seen:
            raise ValueError(f"zone {domain} stands twice at site {site.identity.site}")
        seen.add(domain.lower())
        yield f"  - domain: {domain}"
        yield file_line(zone.path, domain)
        if module:
            yield f"    module: {module}"


def _with_modules(
    own: Iterable[tuple[ZoneFile, str]], others: Iterable[ZoneFile]
) -> Iterator[tuple[ZoneFile, str]]:
    yield from own
    for zone in others:
        yield zone, ""
