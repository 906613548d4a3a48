"""What the configuration of every Unbound has in common, a site's and a client's."""

from dataclasses import dataclass
from typing import Final

from ridgeline.render.quote import absolute_name, port_number, quote, quote_path, some
from ridgeline.spec.model import Address

ROOT_FILE: Final = "root.zone"
"""File in the directory to which the shell writes `render_root_zone`."""

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


def render_root_zone() -> str:
    """Write the root of a world in which nothing exists but what is configured."""
    return (
        "; Stands in for the DNS root: no name of the real Internet is ever asked for.\n"
        ". 60 IN SOA localhost. nobody.invalid. 1 3600 600 86400 60\n"
        ". 60 IN NS localhost.\n"
    )


def server_lines(
    directory: str, listen: tuple[Address, ...], port: int, *, user: str | None
) -> list[str]:
    """Open the server clause: one process in the foreground, small answers, a short memory."""
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


def local_lines(
    records: tuple[str, ...], ptr_records: tuple[tuple[Address, str], ...]
) -> list[str]:
    """Write records that are answered on the spot."""
    lines = [f"    local-data: {quoted_record(record)}" for record in records]
    for address, host in ptr_records:
        name = absolute_name(host, f"host name of {address}").rstrip(".")
        lines.append(f'    local-data-ptr: "{address} 60 {name}"')
    return lines


def stub_lines(stubs: tuple[StubZone, ...], *, keep: bool) -> list[str]:
    """Write the clauses of zones whose servers are given; `keep` caches their answers."""
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
    return lines


def root_lines(
    directory: str, forward: tuple[Address, ...], forward_port: int, *, keep: bool
) -> list[str]:
    """Write who is asked for all else: resolvers, or nobody."""
    if forward:
        port_number(forward_port, "port of the forwarder")
        lines = ["forward-zone:", "    name: ."]
        lines += [f"    forward-addr: {address}@{forward_port}" for address in forward]
        return lines + ([] if keep else ["    forward-no-cache: yes"])
    return [
        "auth-zone:",
        "    name: .",
        f"    zonefile: {quote_path(f'{directory}/{ROOT_FILE}', 'root zone')}",
        "    for-downstream: no",
        "    for-upstream: yes",
        "    fallback-enabled: no",
    ]


def quoted_record(text: str) -> str:
    """Quote a record, which may hold the double quotes of a TXT string itself."""
    if not text.strip():
        raise ValueError("a record is empty")
    if "'" in text or not text.isprintable():
        raise ValueError(f"record {text!r} holds an apostrophe or a control character")
    return f"'{text}'"
