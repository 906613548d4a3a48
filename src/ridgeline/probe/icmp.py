"""ICMP messages, made and read: RFC 792, RFC 4443; how much an error quotes, RFC 1812.

Everything read here comes from strangers: whatever the bytes are, the answer is a message or a
`ValueError`.
"""

import struct
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Version: TypeAlias = Literal[4, 6]

ECHO_REQUEST: Final[dict[Version, int]] = {4: 8, 6: 128}
ECHO_REPLY: Final[dict[Version, int]] = {4: 0, 6: 129}
TIME_EXCEEDED: Final[dict[Version, int]] = {4: 11, 6: 3}
UNREACHABLE: Final[dict[Version, int]] = {4: 3, 6: 1}
_PORT_UNREACHABLE: Final[dict[Version, int]] = {4: 3, 6: 4}
_ECHO: Final = struct.Struct("!BBHHH")
_IPV6_HEADER_BYTES: Final = 40

_WORDS: Final[dict[tuple[Version, int, int], str]] = {
    (4, 3, 0): "network unreachable",
    (4, 3, 1): "host unreachable",
    (4, 3, 2): "protocol unreachable",
    (4, 3, 3): "port unreachable",
    (4, 3, 4): "packet too big",
    (4, 3, 5): "source route failed",
    (4, 3, 6): "network unknown",
    (4, 3, 7): "host unknown",
    (4, 3, 9): "network prohibited",
    (4, 3, 10): "host prohibited",
    (4, 3, 13): "filtered",  # communication administratively prohibited, RFC 1812
    (4, 11, 0): "hop limit reached",
    (4, 11, 1): "fragments lost",
    (6, 1, 0): "network unreachable",
    (6, 1, 1): "filtered",
    (6, 1, 2): "beyond scope of source",
    (6, 1, 3): "host unreachable",
    (6, 1, 4): "port unreachable",
    (6, 1, 5): "source address filtered",
    (6, 1, 6): "route rejected",
    (6, 2, 0): "packet too big",
    (6, 3, 0): "hop limit reached",
    (6, 3, 1): "fragments lost",
}


@dataclass(frozen=True, slots=True)
class Echo:
    """An echo request or reply."""

    is_reply: bool
    ident: int
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class IcmpError:
    """A router or host says that a packet did not get through, and quotes its beginning."""

    type: int
    code: int
    protocol: int
    """Protocol of the quoted packet (next header in IPv6)."""
    destination: bytes
    """Where the quoted packet was going: 4 or 16 bytes."""
    quoted: bytes
    """The quoted packet from its transport header on; 8 bytes or more, if the quoter is decent."""


def is_hop_limit(version: Version, kind: int, code: int) -> bool:
    """Say whether an error means that the packet ran out of hops."""
    return kind == TIME_EXCEEDED[version] and code == 0


def is_port_unreachable(version: Version, kind: int, code: int) -> bool:
    """Say whether an error means that the packet arrived and found nobody at that port."""
    return kind == UNREACHABLE[version] and code == _PORT_UNREACHABLE[version]


def describe_error(version: Version, kind: int, code: int) -> str:
    """Give an error in words: ``host unreachable``, ``filtered``..."""
    return _WORDS.get((version, kind, code), f"ICMP type {kind} code {code}")


def checksum(data: bytes) -> int:
    """Compute the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(version: Version, ident: int, sequence: int, payload: bytes) -> bytes:
    """Make an echo request; the kernel fills in the checksum of an ICMPv6 message itself."""
    header = _ECHO.pack(ECHO_REQUEST[version], 0, 0, ident, sequence)
    if version == 6:
        return header + payload
    return _ECHO.pack(ECHO_REQUEST[4], 0, checksum(header + payload), ident, sequence) + payload


def strip_ipv4(packet: bytes) -> bytes:
    """Return what a raw IPv4 socket received without its IP header.

    Raises
    ------
    ValueError
        It is no whole IPv4 header.
    """
    length = (packet[0] & 0x0F) * 4 if packet else 0
    if not packet or packet[0] >> 4 != 4 or length < 20 or len(packet) < length:
        raise ValueError("no IPv4 header")
    return packet[length:]


def read_icmp(version: Version, message: bytes) -> Echo | IcmpError:
    """Read an ICMP message, from its type byte on.

    Raises
    ------
    ValueError
        It is cut off, or neither an echo nor an error.
    """
    if len(message) < _ECHO.size:
        raise ValueError("an ICMP message has at least 8 bytes")
    kind, code, _, ident, sequence = _ECHO.unpack_from(message)
    if kind in (ECHO_REQUEST[version], ECHO_REPLY[version]):
        return Echo(kind == ECHO_REPLY[version], ident, sequence, message[_ECHO.size :])
    errors = (3, 11, 12) if version == 4 else (1, 2, 3, 4)
    if kind not in errors:
        raise ValueError(f"ICMP type {kind} is neither an echo nor an error")
    return _read_error(version, kind, code, message[_ECHO.size :])


def _read_error(version: Version, kind: int, code: int, packet: bytes) -> IcmpError:
    if version == 4:
        rest = strip_ipv4(packet)
        return IcmpError(kind, code, packet[9], packet[16:20], rest)
    if len(packet) < _IPV6_HEADER_BYTES or packet[0] >> 4 != 6:
        raise ValueError("no IPv6 header is quoted")
    return IcmpError(kind, code, packet[6], packet[24:40], packet[_IPV6_HEADER_BYTES:])
