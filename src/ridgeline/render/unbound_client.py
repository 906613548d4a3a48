"""The small resolver of a client: Unbound, for every program that reads ``/etc/resolv.conf`` there.

It never asks the real Internet's root servers: without a forwarder the root zone is a local file
(the idea of RFC 8806) that delegates nothing, so a name of the world outside does not exist.
"""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Final

from ridgeline.render._unbound import (
    StubZone,
    local_lines,
    root_lines,
    server_lines,
    stub_lines,
)
from ridgeline.render.identity import WHOAMI_ZONE
from ridgeline.render.quote import absolute_name
from ridgeline.spec.model import Address, Prefix

_LOOPBACK: Final[tuple[Address, ...]] = (ip_address("127.0.0.1"), ip_address("::1"))
_HERE: Final[tuple[Prefix, ...]] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientResolver:
    """All that a client's resolver must know."""

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
        *server_lines(client.directory, client.listen, client.port, user=None),
        *(f"    access-control: {prefix} allow" for prefix in _HERE),
        '    module-config: "iterator"',
        "    hide-identity: yes  # the client is no site",
        "    hide-version: yes",
        "    msg-cache-size: 64k",
        "    rrset-cache-size: 128k",
        "    outgoing-range: 64",
        "    num-queries-per-thread: 32",
        *local_lines(client.local_data, client.ptr_records),
        "remote-control:",
        "    control-enable: no",
        *stub_lines(stubs, keep=False),
        *root_lines(client.directory, client.forward, client.forward_port, keep=False),
    ]
    return "\n".join(lines) + "\n"
