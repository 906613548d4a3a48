"""Tell all sites at once that a zone changed (NOTIFY, RFC 1996), signed as transfers are.

Knot 3.2 tells one site after another and waits two round trips for each, or five seconds for one
that is away; until the last is told it reads no further change of that zone. Over the oceans the
twentieth would hear of a change seconds after the first, and the next change seconds later still.
So a lab's primary tells nobody by itself, and whoever publishes does.
"""

import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.render.knot import TRANSFER_KEY

Address: TypeAlias = IPv4Address | IPv6Address


def notify(
    namespace: NetworkNamespace,
    source: Address,
    sites: Iterable[Address],
    domains: Iterable[str],
    tsig: bytes,
) -> None:
    """Send one datagram for each site and zone, from the primary's own address."""
    family = socket.AF_INET6 if source.version == 6 else socket.AF_INET
    with entered(namespace):
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with opened, suppress(OSError):
        opened.bind((str(source), 0))
        targets = [str(address) for address in sites if address.version == source.version]
        for wire in notifications(domains, tsig):
            for target in targets:
                opened.sendto(wire, (target, 53))


def notifications(domains: Iterable[str], tsig: bytes) -> Iterator[bytes]:
    """Write the message about each zone, signed as of now."""
    import dns.flags
    import dns.message
    import dns.opcode
    import dns.tsig

    key = dns.tsig.Key(TRANSFER_KEY, tsig, dns.tsig.HMAC_SHA256)
    for domain in domains:
        message = dns.message.make_query(domain, "SOA")
        message.set_opcode(dns.opcode.NOTIFY)
        message.flags = dns.flags.Flag.AA | message.flags & ~dns.flags.Flag.RD
        message.use_tsig(key, algorithm=dns.tsig.HMAC_SHA256)
        yield message.to_wire()
