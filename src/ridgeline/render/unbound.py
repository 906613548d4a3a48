"""Unbound 1.17 or later: the recursive engine of a site, and the small resolver of a client.

Neither ever asks the real Internet's root servers: without a forwarder the root zone is a local
file (the idea of RFC 8806) that delegates nothing, so a name of the world outside does not exist.
"""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
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
from ridgeline.spec.model import Address, Prefix

ROOT_FILE: Final = "root.zone"
"""File in the directory to which the shell writes `render_root_zone`."""
CONTROL_SOCKET: Final = "unbound.sock"

_EVERYONE: Final[tuple[Prefix, ...]] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_LOOPBACK: Final[tuple[Address, ...]] = (ip_address("127.0.0.1"), ip_address("::1"))
_HERE: Final[tuple[Prefix, ...]] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_UNROUTED: Final = (
    "\n".join(  # zones that Unbound holds empty, and that a rehearsal's servers may hold
        f"    local-zone: {zone} nodefault"
        for zone in (
            "test.",  # RFC 6761
            "2.0.192.in-addr.arpa.",  # RFC 5737
            "100.51.198.in-addr.arpa.",
            "113.0.203.in-addr.arpa.",
            "8.b.d.0.1.0.0.2.ip6.arpa.",  # RFC 3849
        )
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StubZone:
    """A zone and the servers to ask for it, whoever the root says holds it."""

    domain: str
    addresses: tuple[Address, ...]
    port: int = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class UnboundSite:
    """All that one site's Unbound must know."""

    identity: SiteIdentity
    directory: str
    """Absolute; exists and is writable. Holds `ROOT_FILE` unless there is a forwarder."""
    listen: tuple[Address, ...]
    """Anycast service addresses and the site's unicast address; they may appear later."""
    outgoing: tuple[Address, ...]
    """Unicast source addresses of recursion; from anycast the answers could reach another site."""
    stubs: tuple[StubZone, ...]
    ptr_records: tuple[tuple[Address, str], ...] = ()
    local_data: tuple[str, ...] = ()
    """Records in zone-file form: ``origin.example.test. 60 IN A 198.18.0.9``."""
    forward: tuple[Address, ...] = ()
    """Resolvers for whatever no stub covers; none: nothing exists there."""
    clients: tuple[Prefix, ...] = _EVERYONE
    """Who may ask; everyone else is refused."""
    validate: bool = False
    """DNSSEC validation (RFC 4035), from `trust_anchors` down."""
    trust_anchors: tuple[str, ...] = ()
    """DS or DNSKEY records in zone-file form."""
    cache_mb: int = 4
    user: str | None = None
    port: int = 53
    forward_port: int = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientResolver:
    """The resolver on a client, for every program that reads ``/etc/resolv.conf`` there."""

    directory: str
    """Absolute; exists and is writable. Holds `ROOT_FILE` unless there is a forwarder."""
    ptr_records: tuple[tuple[Address, str], ...]
    """Host names of routers' addresses, answered on the spot: a traceroute must not wait."""
    forward: tuple[Address, ...] = ()
    """The network's anycast resolver, if it has one."""
    stubs: tuple[StubZone, ...] = ()
    """Otherwise its authoritative servers; `WHOAMI_ZONE` joins them of itself."""
    local_data: tuple[str, ...] = ()
    listen: tuple[Address, ...] = _LOOPBACK
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
    if site.cache_mb < 1:
        raise ValueError(f"site {name}: a cache of {site.cache_mb} MB holds nothing")
    socket = fits_a_socket(f"{site.directory}/{CONTROL_SOCKET}", "control socket")
    whoami = tuple(f'{label}{WHOAMI_ZONE} 0 IN TXT "{name}"' for label in ("", "site."))
    lines = [
        f"# Unbound at site {name} of {site.identity.network}. Written by Ridgeline.",
        *_server(site.directory, site.listen, site.port, user=site.user),
        *(f"    outgoing-interface: {address}" for address in site.outgoing),
        *(f"    access-control: {prefix} allow" for prefix in site.clients),
        f'    module-config: "{"validator iterator" if site.validate else "iterator"}"',
        *(f"    trust-anchor: {_record(anchor)}" for anchor in site.trust_anchors),
        f"    identity: {quote(name, 'site')}  # CH TXT id.server, hostname.bind (RFC 4892)",
        f'    nsid: "ascii_{name}"  # RFC 5001',
        f'    version: "{VERSION}"',
        f"    msg-cache-size: {site.cache_mb}m",
        f"    rrset-cache-size: {2 * site.cache_mb}m  # as Unbound's authors advise: twice the other",
        "    outgoing-range: 1024",
        "    num-queries-per-thread: 512",
        "    prefetch: yes",
        "    qname-minimisation: yes  # RFC 9156",
        "    deny-any: yes  # RFC 8482",
        "    minimal-responses: yes",
        f"    local-zone: {WHOAMI_ZONE} static",
        *_local((*whoami, *site.local_data), site.ptr_records),
        "remote-control:",
        "    control-enable: yes",
        f"    control-interface: {quote_path(socket, 'control socket')}",
        "    control-use-cert: no",
        *_upstreams(site.directory, site.stubs, site.forward, site.forward_port, keep=True),
    ]
    return "\n".join(lines) + "\n"


def render_client_resolver(client: ClientResolver) -> str:
    """Write a client's ``unbound.conf``.

    It keeps nothing from the network: each look-up shows which site answers now.

    Raises
    ------
    ValueError
        Something cannot stand in the file.
    """
    stubs = client.stubs
    if stubs and WHOAMI_ZONE not in {absolute_name(s.domain, "stub zone").lower() for s in stubs}:
        every = tuple(dict.fromkeys(address for stub in stubs for address in stub.addresses))
        stubs = (*stubs, StubZone(domain=WHOAMI_ZONE, addresses=every, port=stubs[0].port))
    lines = [
        "# Unbound on a client. Written by Ridgeline.",
        *_server(client.directory, client.listen, client.port, user=None),
        *(f"    access-control: {prefix} allow" for prefix in _HERE),
        '    module-config: "iterator"',
        "    hide-identity: yes  # the client is no site",
        "    hide-version: yes",
        "    msg-cache-size: 64k",
        "    rrset-cache-size: 128k",
        "    outgoing-range: 64",
        "    num-queries-per-thread: 32",
        *_local(client.local_data, client.ptr_records),
        "remote-control:",
        "    control-enable: no",
        *_upstreams(client.directory, stubs, client.forward, client.forward_port, keep=False),
    ]
    return "\n".join(lines) + "\n"


def render_root_zone() -> str:
    """Write the root of a world in which nothing exists but what is configured."""
    return (
        "; Stands in for the DNS root: no name of the real Internet is ever asked for.\n"
        ". 60 IN SOA localhost. nobody.invalid. 1 3600 600 86400 60\n"
        ". 60 IN NS localhost.\n"
    )


def _server(
    directory: str, listen: tuple[Address, ...], port: int, *, user: str | None
) -> list[str]:
    port_number(port, "DNS port")
    return [
        "server:",
        f"    directory: {quote_path(directory, 'directory')}",
        '    chroot: ""',
        f"    username: {quote(user or '', 'user')}",
        '    pidfile: ""',
        "    do-daemonize: no",
        "    use-syslog: no",
        "    log-time-ascii: yes",
        "    verbosity: 1",
        "    num-threads: 1",
        "    ip-freebind: yes  # start before the address exists",
        *(f"    interface: {address}@{port}" for address in some(listen, "listen")),
        "    edns-buffer-size: 1232  # no fragments: an ICMP error may reach another site",
        "    max-udp-size: 1232",
        "    tcp-idle-timeout: 10000",
        "    edns-tcp-keepalive: yes  # RFC 7828",
        "    edns-tcp-keepalive-timeout: 10000",
        "    # Forget quickly how long a server was away: with the default of 900 s an outage that BGP",
        "    # mends in milliseconds lives on for minutes in this resolver's back-off.",
        "    infra-host-ttl: 1",
        "    do-not-query-localhost: no",
        "    unblock-lan-zones: yes  # private and documentation space is the rehearsal's Internet",
        _UNROUTED,
    ]


def _local(records: tuple[str, ...], ptr_records: tuple[tuple[Address, str], ...]) -> list[str]:
    lines = [f"    local-data: {_record(record)}" for record in records]
    for address, host in ptr_records:
        name = absolute_name(host, f"host name of {address}").rstrip(".")
        lines.append(f'    local-data-ptr: "{address} 60 {name}"')
    return lines


def _upstreams(
    directory: str,
    stubs: tuple[StubZone, ...],
    forward: tuple[Address, ...],
    forward_port: int,
    *,
    keep: bool,
) -> list[str]:
    lines: list[str] = []
    seen: set[str] = set()
    for stub in stubs:
        domain = absolute_name(stub.domain, "stub zone")
        if domain.lower() in seen:
            raise ValueError(f"stub zone {domain} stands twice")
        seen.add(domain.lower())
        port = port_number(stub.port, f"port of stub zone {domain}")
        lines += ["stub-zone:", f"    name: {domain}"]
        lines += [
            f"    stub-addr: {address}@{port}"
            for address in some(stub.addresses, f"stub zone {domain}")
        ]
        lines += [] if keep else ["    stub-no-cache: yes"]
    if forward:
        port_number(forward_port, "port of the forwarder")
        lines += ["forward-zone:", "    name: ."]
        lines += [f"    forward-addr: {address}@{forward_port}" for address in forward]
        lines += [] if keep else ["    forward-no-cache: yes"]
    else:
        lines += [
            "auth-zone:",
            "    name: .",
            f"    zonefile: {quote_path(f'{directory}/{ROOT_FILE}', 'root zone')}",
            "    for-downstream: no",
            "    for-upstream: yes",
            "    fallback-enabled: no",
        ]
    return lines


def _record(text: str) -> str:
    """Quote a record, which may hold the double quotes of a TXT string itself."""
    if not text.strip():
        raise ValueError("a record is empty")
    if "'" in text or not text.isprintable():
        raise ValueError(f"record {text!r} holds an apostrophe or a control character")
    return f"'{text}'"
