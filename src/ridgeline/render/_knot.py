"""What every ``knot.conf`` of ours has in common, and how a secret stands in one."""

import base64
from collections.abc import Iterable, Iterator
from typing import Final

from ridgeline.render.identity import VERSION
from ridgeline.render.quote import fits_a_socket, port_number, quote, quote_path, some
from ridgeline.spec.model import Address

CONTROL_SOCKET: Final = "knot.sock"
CATALOG_ZONE: Final = "catalog.anycast.test."
"""The zone that lists the zones (RFC 9432); hidden: only sites may transfer it."""
TRANSFER_KEY: Final = "transfer."
CONNECTION_KEPT_S: Final = 600
"""How long a site keeps its connection to the primary: a change then needs one round trip less."""
TSIG_BYTES: Final = 32
"""Of HMAC-SHA256: its output's length, below which a key should not be (RFC 8945, section 10)."""


def server_lines(
    *,
    name: str,
    directory: str,
    listen: Iterable[Address],
    port: int,
    user: str | None,
    background_workers: int = 1,
    tcp_idle_s: int = 10,
    extra: Iterable[str] = (),
) -> Iterator[str]:
    """Write the sections ``server``, ``control`` and ``log``."""
    where = quote_path(directory, "directory")
    socket = fits_a_socket(f"{directory}/{CONTROL_SOCKET}", "control socket")
    number = port_number(port, "DNS port")
    yield from (
        "server:",
        f"    rundir: {where}",
        *([f"    user: {quote(user, 'user')}"] if user else []),
        f"    identity: {quote(name, 'site')}  # CH TXT id.server, hostname.bind (RFC 4892)",
        f"    nsid: 0x{name.encode().hex()}  # the same (RFC 5001); in hexadecimal, since Knot may take text for it",
        f'    version: "{VERSION}"',
        *(f"    listen: {address}@{number}" for address in some(listen, "listen")),
        "    udp-workers: 1",
        "    tcp-workers: 1",
        f"    background-workers: {background_workers}",
        "    udp-max-payload: 1232  # no fragments: an ICMP error may reach another site",
        f"    tcp-idle-timeout: {tcp_idle_s}",
        "    tcp-io-timeout: 500",
        *(f"    {line}" for line in extra),
        "control:",
        f"    listen: {quote_path(socket, 'control socket')}",
        "log:",
        "  - target: stderr",
        "    any: info",
    )


def database_lines(
    directory: str, *, journal: str, keys: str = "5M", catalog: str = "5M"
) -> Iterator[str]:
    """Write the section ``database``; sizes are limits, and files take what they hold."""
    yield from (
        "database:",
        f"    storage: {quote_path(directory, 'directory')}",
        f"    journal-db-max-size: {journal}",
        f"    kasp-db-max-size: {keys}",
        "    timer-db-max-size: 5M",
        f"    catalog-db-max-size: {catalog}",
    )


def key_lines(tsig: bytes) -> Iterator[str]:
    """Write the key of the transfers.

    Raises
    ------
    ValueError
        It has another size.
    """
    if len(tsig) != TSIG_BYTES:
        raise ValueError(f"the key of zone transfers has {len(tsig)} bytes and needs {TSIG_BYTES}")
    yield from (
        "key:",
        f"  - id: {TRANSFER_KEY}",
        "    algorithm: hmac-sha256",
        f"    secret: {base64.b64encode(tsig).decode('ascii')}",
    )


def remote_lines(
    name: str, addresses: Iterable[Address], sources: Iterable[Address], port: int
) -> Iterator[str]:
    """Write a ``remote``: its addresses in the order in which they are tried, and ours to it."""
    yield from (
        f"  - id: {quote(name, 'remote')}",
        f"    address: [{', '.join(f'{a}@{port}' for a in some(addresses, name))}]",
        f"    via: [{', '.join(str(a) for a in some(sources, 'via'))}]",
        f"    key: {TRANSFER_KEY}",
    )


def file_line(path: str, domain: str) -> str:
    """Write a zone's ``file``: Knot expands ``%s`` and its like in file names."""
    return f"    file: {quote_path(path.replace('%', '%%'), f'file of zone {domain}')}"
