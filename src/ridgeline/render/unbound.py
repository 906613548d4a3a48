"""Unbound 1.17 or later: the recursive engine of a site.

It walks down from the root servers that it is given and never asks the real Internet's: without
any, the root zone is a local file (the idea of RFC 8806) that delegates nothing, so a name of the
world outside does not exist.

What every site does alike: it validates (RFC 4033), asks no more than it must (RFC 9156, RFC 8198),
answers from an expired cache rather than not at all (RFC 8767), and never sends a large answer to
an address that may be forged (RFC 5358).
"""

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from ridgeline.render._unbound import (
    ROOT_FILE,
    StubZone,
    local_lines,
    quoted_record,
    render_root_zone,
    root_lines,
    server_lines,
    stub_lines,
)
from ridgeline.render.identity import VERSION, WHOAMI_ZONE, SiteIdentity
from ridgeline.render.quote import (
    absolute_name,
    fits_a_socket,
    port_number,
    quote,
    quote_path,
    some,
)
from ridgeline.spec.model import Address, Prefix

__all__ = [
    "CONTROL_SOCKET",
    "HINTS_FILE",
    "OPEN_RATE_LIMIT",
    "ROOT_FILE",
    "DnsTls",
    "RootServer",
    "StubZone",
    "UnboundSite",
    "render_root_hints",
    "render_root_zone",
    "render_unbound",
]

HINTS_FILE: Final = "root.hints"
"""File in the directory to which the shell writes `render_root_hints`."""
CONTROL_SOCKET: Final = "unbound.sock"
OPEN_RATE_LIMIT: Final = 200
"""Queries a second from one address where nobody was named who may ask.

A person's busy browser asks some tens; 200 answers of 1232 bytes are 2 Mbit/s at whoever's address
was forged.
"""
_STALE_AFTER_MS: Final = 1800  # RFC 8767, section 5: the client response timer
_STALE_FOR_S: Final = 86_400  # ... the maximum stale timer: a day, of 1 to 3
_STALE_TTL_S: Final = 30  # ... section 4

_EVERYONE: Final[tuple[Prefix, ...]] = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RootServer:
    """A server of the root zone."""

    name: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsTls:
    """DNS over TLS (RFC 7858) and over HTTPS (RFC 8484), both with the same certificate."""

    certificate: str
    """Chain (PEM), absolute."""
    key: str
    ticket_keys: tuple[str, ...] = ()
    """Files of 80 bytes, newest first, the same at every site: a session begun at one resumes at
    another (RFC 5077; RFC 8446, section 4.6.1). Each the owner's alone."""
    tls_port: int = 853
    https_port: int = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class UnboundSite:
    """All that one site's Unbound must know."""

    identity: SiteIdentity
    directory: str
    """Absolute; exists and is writable. Holds `HINTS_FILE` where there are root servers, and
    `ROOT_FILE` where nothing else leads to the root."""
    listen: tuple[Address, ...]
    """Anycast service addresses and the site's unicast address; they may appear later."""
    outgoing: tuple[Address, ...]
    """Unicast source addresses of recursion; from anycast the answers could reach another site."""
    stubs: tuple[StubZone, ...] = ()
    roots: tuple[RootServer, ...] = ()
    """Where recursion begins."""
    ptr_records: tuple[tuple[Address, str], ...] = ()
    local_data: tuple[str, ...] = ()
    """Records in zone-file form: ``origin.example.test. 60 IN A 198.18.0.9``."""
    forward: tuple[Address, ...] = ()
    """Resolvers for whatever no stub covers; without them, and without roots: nothing exists."""
    clients: tuple[Prefix, ...] = ()
    """Who may ask; everyone else is refused. Empty: everyone, at `OPEN_RATE_LIMIT`."""
    rate_limit: int | None = None
    """Queries a second from one address, more are dropped; None: no limit for named clients."""
    validate: bool = False
    """DNSSEC validation (RFC 4035), from `trust_anchors` down."""
    trust_anchors: tuple[str, ...] = ()
    """DS or DNSKEY records in zone-file form."""
    tls: DnsTls | None = None
    cache_mb: int = 4
    tcp_clients: int = 100
    """Connections at once, for each address and each of TCP, TLS and HTTPS; 5 KB each, used or not."""
    user: str | None = None
    port: int = 53
    forward_port: int = 53


def render_unbound(site: UnboundSite) -> str:
    """Write a site's ``unbound.conf``.

    Raises
    ------
    ValueError
        Something cannot stand in the file, or validation is asked for without a trust anchor.
    """
    name = site.identity.site
    if site.validate and not site.trust_anchors:
        raise ValueError(f"site {name}: validation without a trust anchor would validate nothing")
    if site.tcp_clients < 1:
        raise ValueError(f"site {name}: {site.tcp_clients} connections would leave UDP alone")
    if site.cache_mb < 1:
        raise ValueError(f"site {name}: a cache of {site.cache_mb} MB holds nothing")
    socket = fits_a_socket(f"{site.directory}/{CONTROL_SOCKET}", "control socket")
    whoami = tuple(f'{label}{WHOAMI_ZONE} 0 IN TXT "{name}"' for label in ("", "site."))
    lines = [
        f"# Unbound at site {name} of {site.identity.network}. Written by Ridgeline.",
        *server_lines(site.directory, site.listen, site.port, user=site.user),
        *(f"    outgoing-interface: {address}" for address in site.outgoing),
        *_who_may_ask(site),
        "    # Debian's default adds subnetcache, which silently disables prefetch and serve-expired.",
        f'    module-config: "{"validator iterator" if site.validate else "iterator"}"',
        *_trust(site),
        f"    identity: {quote(name, 'site')}  # CH TXT id.server, hostname.bind (RFC 4892)",
        f'    nsid: "ascii_{name}"  # RFC 5001',
        f'    version: "{VERSION}"',
        f"    msg-cache-size: {site.cache_mb}m",
        f"    rrset-cache-size: {2 * site.cache_mb}m  # as Unbound's authors advise: twice the other",
        "    outgoing-range: 1024",
        "    num-queries-per-thread: 512",
        f"    incoming-num-tcp: {site.tcp_clients}  # on each listening socket",
        *(
            [f"    root-hints: {quote_path(f'{site.directory}/{HINTS_FILE}', 'root hints')}"]
            if site.roots
            else []
        ),
        *_resolution(),
        *(_tls(site.tls, site.listen) if site.tls else ()),
        f"    local-zone: {WHOAMI_ZONE} static",
        *local_lines((*whoami, *site.local_data), site.ptr_records),
        "remote-control:",
        "    control-enable: yes",
        f"    control-interface: {quote_path(socket, 'control socket')}",
        "    control-use-cert: no",
        *stub_lines(site.stubs, keep=True),
        *_root(site),
    ]
    return "\n".join(lines) + "\n"


def render_root_hints(roots: tuple[RootServer, ...]) -> str:
    """Write where the root servers are, for `HINTS_FILE`."""
    lines = []
    for root in roots:
        name = absolute_name(root.name, "root server")
        lines.append(f". 3600000 IN NS {name}")
        for address in some(root.addresses, f"root server {name}"):
            kind = "A" if address.version == 4 else "AAAA"
            lines.append(f"{name} 3600000 IN {kind} {address}")
    return "\n".join(lines) + "\n"


def _who_may_ask(site: UnboundSite) -> list[str]:
    clients = site.clients or _EVERYONE
    limit = site.rate_limit
    if limit is None and not site.clients:
        limit = OPEN_RATE_LIMIT
    if limit is not None and limit < 1:
        raise ValueError(f"a rate limit of {limit} queries a second would answer nobody")
    own = [a for a in site.listen if not any(a in c for c in clients if c.version == a.version)]
    return [
        *(f"    access-control: {prefix} allow" for prefix in clients),
        *(f"    access-control: {a}/{a.max_prefixlen} allow  # its own health" for a in own),
        *(
            [
                f"    ip-ratelimit: {limit}  # a second, from one address; forged ones gain no more",
                "    ip-ratelimit-factor: 0  # beyond the limit nothing, not every tenth",
            ]
            if limit is not None
            else []
        ),
        "    deny-any: yes  # RFC 8482",
        "    minimal-responses: yes",
    ]


def _trust(site: UnboundSite) -> list[str]:
    if not site.validate:
        return []
    return [
        *(f"    trust-anchor: {quoted_record(anchor)}" for anchor in site.trust_anchors),
        "    harden-dnssec-stripped: yes",
        "    aggressive-nsec: yes  # RFC 8198",
        "    val-log-level: 2  # the reason, in the log and in the Extended DNS Error",
    ]


def _resolution() -> list[str]:
    return [
        "    prefetch: yes",
        "    prefetch-key: yes",
        "    serve-expired: yes  # RFC 8767",
        f"    serve-expired-client-timeout: {_STALE_AFTER_MS}",
        f"    serve-expired-ttl: {_STALE_FOR_S}",
        f"    serve-expired-reply-ttl: {_STALE_TTL_S}",
        "    ede: yes  # RFC 8914",
        "    ede-serve-expired: yes",
        "    qname-minimisation: yes  # RFC 9156",
        "    harden-glue: yes",
        "    harden-below-nxdomain: yes  # RFC 8020",
        "    harden-large-queries: yes",
        "    harden-short-bufsize: yes",
        "    unwanted-reply-threshold: 10000000  # so many forged answers empty the cache",
        "    extended-statistics: yes",
    ]


def _tls(tls: DnsTls, listen: tuple[Address, ...]) -> list[str]:
    dot, doh = (port_number(p, "port of DNS over TLS") for p in (tls.tls_port, tls.https_port))
    if dot == doh:
        raise ValueError(f"DNS over TLS and DNS over HTTPS cannot both have port {dot}")
    return [
        *(f"    interface: {address}@{dot}" for address in listen),
        *(f"    interface: {address}@{doh}" for address in listen),
        f"    tls-port: {dot}  # RFC 7858",
        f"    https-port: {doh}  # RFC 8484",
        f"    tls-service-pem: {quote_path(tls.certificate, 'certificate')}",
        f"    tls-service-key: {quote_path(tls.key, 'key')}",
        *(f"    tls-session-ticket-keys: {quote_path(k, 'ticket key')}" for k in tls.ticket_keys),
        "    pad-responses: yes  # RFC 8467",
    ]


def _root(site: UnboundSite) -> list[str]:
    if not site.forward and (site.roots or any(stub.domain == "." for stub in site.stubs)):
        return []
    return root_lines(site.directory, site.forward, site.forward_port, keep=True)
