"""The bytes that the BPF program and we must agree on: its maps, and a wrapped packet.

Pure. Everything here mirrors a struct of ``data/rescue.bpf.c``; a test compares the two.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network

PORT: Final = 6080
"""GUE over UDP (draft-ietf-intarea-gue, section 7)."""
TOKEN_BYTES: Final = 8
MAX_SITES: Final = 1024
MAX_HOPS: Final = 12
"""Sites that a packet may be sent to, one after another."""
MAX_ASKED: Final = MAX_HOPS + 1
"""Sites that are remembered per client prefix: one of them may be the site that looks."""
OVERHEAD4: Final = 20 + 8 + 40
"""Bytes that wrapping adds: IPv4, UDP, GUE with our part."""
OVERHEAD6: Final = 40 + 8 + 40
NO_QUIC: Final = 7
"""Config rotation bits that no connection ID of ours has (QUIC-LB, section 3.1)."""
_ONE_OCTET: Final = 256

_IPIP, _IPV6, _UDP = 4, 41, 17
_SECOND_NS: Final = 1_000_000_000
_SETTINGS: Final = struct.Struct("=8sQQIIIHH2s2sHH")
_SITE: Final = struct.Struct("=16s16sQQII")
_ORDER: Final = struct.Struct(f"=H{MAX_ASKED}H")
_GUE: Final = struct.Struct(f"!BBHBBBB8s{MAX_HOPS}H")
_GUE_FIRST: Final = 9
_VERSION: Final = 2
_MAPPED: Final = bytes(10) + b"\xff\xff"


class Counter(IntEnum):
    """What a site's program counts, in the order of its map."""

    OWN = 0
    """Segments of the site's own flows."""
    SENT = 1
    """Packets that belong elsewhere, wrapped here first."""
    SENT_ICMP = 2
    """Of these, ICMP errors that quote such a flow."""
    SENT_QUIC = 3
    """Of these, QUIC packets."""
    PASSED_ON = 4
    """Packets that came wrapped, are not this site's either, and went on to the next."""
    RESCUED = 5
    """Packets that came wrapped and found their flow here."""
    ORPHANS = 6
    """Packets of a flow that no site knows: left to the kernel, which answers RST."""
    LIMITED = 7
    """Packets dropped by the rate limit."""
    TOO_BIG = 8
    """Packets that do not fit when wrapped: answered with ICMP."""
    NARROW = 9
    """How often the path MTU to another site was lowered."""
    CLAMPED = 10
    """SYN-ACKs whose MSS was lowered."""
    REFUSED = 11
    """Packets to the tunnel's port that no site of ours made."""
    FAILED = 12
    """Packets that the kernel refused to change or send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the program of one site behaves."""

    token: bytes
    """`TOKEN_BYTES` that every wrapped packet carries and all sites share."""
    self_index: int
    n_sites: int
    rate: int
    """Wrapped packets a second that the site may send."""
    burst: int
    """And how many at once."""
    mtu: int = 1500
    quic_config: int = NO_QUIC
    quic_port: int = 443
    port: int = PORT

    def pack(self) -> bytes:
        """Make ``struct settings``."""
        cost = _SECOND_NS // self.rate if self.rate else 0
        return _SETTINGS.pack(
            self.token,
            cost,
            cost * self.burst,
            self.self_index,
            self.n_sites,
            self.mtu,
            self.quic_config,
            quic_site_bytes(self.n_sites),
            self.port.to_bytes(2, "big"),
            self.quic_port.to_bytes(2, "big"),
            self.mtu - OVERHEAD4 - 40,
            self.mtu - OVERHEAD6 - 60,
        )


def quic_site_bytes(n_sites: int) -> int:
    """Say how many octets of a QUIC connection ID name its site, after the first (QUIC-LB)."""
    return 1 if n_sites <= _ONE_OCTET else 2


def address_bytes(address: Address) -> bytes:
    """Make ``struct address``; IPv4 is mapped (RFC 4291, section 2.5.5.2)."""
    return address.packed if address.version == 6 else _MAPPED + address.packed


def client_key(prefix: Prefix) -> bytes:
    """Make ``struct client``, the key of the table of orders."""
    bits = prefix.prefixlen + (96 if prefix.version == 4 else 0)
    return struct.pack("=I", bits) + address_bytes(prefix.network_address)


EVERYBODY: Final = struct.pack("=I", 0) + bytes(16)
"""The key that matches every client."""


def order_value(sites: Sequence[int]) -> bytes:
    """Make ``struct order``: the sites to ask, first to last."""
    known = sites[:MAX_ASKED]
    return _ORDER.pack(len(known), *_filled(known, MAX_ASKED))


def site_value(four: Address | None, six: Address | None, mtu: int) -> bytes:
    """Make ``struct site`` of a site with these unicast addresses."""
    packed = [address_bytes(a) if a is not None else bytes(16) for a in (four, six)]
    return _SITE.pack(*packed, 0, 0, mtu, mtu)


def sum_counters(per_processor: bytes) -> dict[Counter, int]:
    """Add up the values of all processors: ``n_processors`` times eight bytes per counter."""
    n = len(per_processor) // (8 * len(Counter))
    values = struct.unpack(f"={n * len(Counter)}Q", per_processor)
    return {c: sum(values[c * n : (c + 1) * n]) for c in Counter}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """A packet on its way to another site, as seen on the wire from the GUE header on."""

    token: bytes
    at: int
    """Which of the hops it is on its way to."""
    hops: tuple[int, ...]
    inner: bytes
    """The packet as the client sent it, from its IP header on."""


def wrap(packet: Wrapped) -> bytes:
    """Write the payload of the UDP datagram."""
    protocol = _IPIP if packet.inner[0] >> 4 == 4 else _IPV6
    head = (_GUE_FIRST, protocol, 0, _VERSION, packet.at, len(packet.hops), 0)
    return _GUE.pack(*head, packet.token, *_filled(packet.hops, MAX_HOPS)) + packet.inner


def unwrap(payload: bytes) -> Wrapped:
    """Read the payload of a UDP datagram between sites.

    Raises
    ------
    ValueError
        It is not of our making.
    """
    if len(payload) < _GUE.size:
        raise ValueError(f"{len(payload)} bytes are too few for a wrapped packet")
    first, protocol, flags, version, at, n, _, token, *hops = _GUE.unpack_from(payload)
    if (first, flags, version) != (_GUE_FIRST, 0, _VERSION) or protocol not in (_IPIP, _IPV6):
        raise ValueError("not a wrapped packet of ours")
    if n > MAX_HOPS or at >= n:
        raise ValueError(f"on its way to hop {at} of {n}")
    return Wrapped(token=token, at=at, hops=tuple(hops[:n]), inner=payload[_GUE.size :])


def order_table(
    orders: Iterable[tuple[Prefix, Sequence[int]]], everybody: Sequence[int]
) -> dict[bytes, bytes]:
    """Make the table of orders; `everybody` is for clients of whom nothing is known."""
    table = {EVERYBODY: order_value(everybody)}
    table.update((client_key(prefix), order_value(sites)) for prefix, sites in orders)
    return table


def _filled(sites: Sequence[int], n: int) -> list[int]:
    return [*sites, *[0] * (n - len(sites))]
