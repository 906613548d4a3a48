"""The bytes of rtnetlink messages: request bodies, and what the kernel answers.

No socket here: `ridgeline.lab.kernel.netlink` sends and receives. Constants keep the kernel's names
(netlink(7), rtnetlink(7), <linux/rtnetlink.h>, <linux/if_link.h>).
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import Final

from ridgeline.lab.kernel.namespaces import NetworkNamespace

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

LOOPBACK: Final = 1
"""Index of ``lo`` in every namespace."""

NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
SOL_NETLINK: Final = 270
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11

RTM_NEWLINK: Final = 16
RTM_DELLINK: Final = 17
RTM_GETLINK: Final = 18
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_NEWROUTE: Final = 24
RTM_DELROUTE: Final = 25
RTM_GETROUTE: Final = 26
RTM_NEWNEIGH: Final = 28
RTM_NEWQDISC: Final = 36
RTMGRP_IPV4_ROUTE: Final = 0x40
RTMGRP_IPV6_ROUTE: Final = 0x400
RTPROT_STATIC: Final = 4
RTPROT_BIRD: Final = 12

_NLM_F_CAPPED: Final = 0x100
_NLM_F_ACK_TLVS: Final = 0x200
_NLMSGERR_ATTR_MSG: Final = 1
_NLA_F_NESTED: Final = 0x8000
_NLA_TYPE_MASK: Final = 0x3FFF
_IFF_UP: Final = 0x1
_IFF_RUNNING: Final = 0x40
_IFF_LOWER_UP: Final = 0x10000
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_NUM_TX_QUEUES: Final = 31
_IFLA_NUM_RX_QUEUES: Final = 32
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_VETH_INFO_PEER: Final = 1
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_F_NODAD: Final = 0x02
_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_NUD_PERMANENT: Final = 0x80
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_PREFSRC: Final = 7
_RTA_MULTIPATH: Final = 9
_RTA_VIA: Final = 18
_RTM_F_CLONED: Final = 0x200
_RTNH_F_ONLINK: Final = 4
_RT_TABLE_MAIN: Final = 254
_RT_SCOPE_UNIVERSE: Final = 0
_RT_SCOPE_LINK: Final = 253
_RT_SCOPE_NOWHERE: Final = 255

_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # length, type
_LINK: Final = struct.Struct("=BBHiII")  # family, -, type, index, flags, change
_ADDRESS: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_NEIGHBOUR: Final = struct.Struct("=BBHiHBB")  # family, -, -, index, state, flags, type
_ROUTE: Final = struct.Struct(
    "=BBBBBBBBI"
)  # family, dst, src, tos, table, proto, scope, type, flags
_NEXT_HOP: Final = struct.Struct("=HBBi")  # length, flags, hops, index
_U32: Final = struct.Struct("=I")
_I32: Final = struct.Struct("=i")


class RouteKind(IntEnum):
    """What a route does with a packet (rtm_type)."""

    UNICAST = 1
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class VethEnd:
    """One end of a pair of virtual Ethernet interfaces."""

    name: str
    namespace: int | NetworkNamespace
    index: int
    """Interface index in its namespace; chosen by us, so that nobody has to look it up.

    Where the two ends have the same number the kernel takes a veth for an ordinary interface, and
    tells of a lost carrier only once a second (linkwatch): give them different ones.
    """
    mac: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface, as the kernel describes it."""

    index: int
    name: str
    mac: bytes
    mtu: int
    up: bool
    """Set up by the administrator."""
    carrier: bool
    """Set up on the other side too (IFF_LOWER_UP)."""
    running: bool
    """Up, with carrier, and the kernel has taken note: packets pass (IFF_RUNNING)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of the main table."""

    destination: Network
    gateway: Address | None
    """The first next hop's, where there are several."""
    index: int | None
    """Of the interface; None where packets go nowhere."""
    protocol: int
    """Who installed it: `RTPROT_BIRD`, `RTPROT_STATIC`..."""
    kind: RouteKind
    metric: int


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """Put a header before `body`, and padding behind it."""
    header = _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0)
    return header + body + bytes(-len(body) % 4)


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield type, flags, sequence and body of each message in what one recv returned."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def attribute(kind: int, data: bytes) -> bytes:
    """Make one type-length-value field, padded to four bytes."""
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def nested(kind: int, *fields: bytes) -> bytes:
    """Make a field that holds fields."""
    return attribute(kind | _NLA_F_NESTED, b"".join(fields))


def attributes(data: bytes, at: int = 0) -> dict[int, bytes]:
    """Read the fields that start at offset `at`, by type."""
    found = {}
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _NLA_TYPE_MASK] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def parse_error(flags: int, body: bytes) -> tuple[int, str]:
    """Read an answer: its error number (0: done) and the kernel's own words, where it has any."""
    number = -_I32.unpack_from(body)[0]
    if not flags & _NLM_F_ACK_TLVS:
        return number, ""
    request_bytes = _HEADER.size if flags & _NLM_F_CAPPED else _U32.unpack_from(body, 4)[0]
    text = attributes(body, 4 + ((request_bytes + 3) & ~3)).get(_NLMSGERR_ATTR_MSG, b"")
    return number, text.rstrip(b"\0").decode(errors="replace")


def link_body(
    index: int, *, up: bool | None = None, name: str | None = None, master: int | None = None
) -> bytes:
    change = 0 if up is None else _IFF_UP
    body = _LINK.pack(0, 0, 0, index, _IFF_UP if up else 0, change)
    if name is not None:
        body += attribute(_IFLA_IFNAME, name.encode() + b"\0")
    if master is not None:
        body += attribute(_IFLA_MASTER, _U32.pack(master))
    return body


def bridge_body(index: int, name: str) -> bytes:
    kind = nested(_IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, b"bridge"))
    return link_body(index, name=name) + kind


def veth_body(a: VethEnd, b: VethEnd, mtu: int | None) -> bytes:
    peer = attribute(_VETH_INFO_PEER, link_body(b.index, name=b.name) + _veth_fields(b, mtu))
    return (
        link_body(a.index, name=a.name)
        + _veth_fields(a, mtu)
        + nested(_IFLA_LINKINFO, attribute(_IFLA_INFO_KIND, b"veth"), nested(_IFLA_INFO_DATA, peer))
    )


def address_body(index: int, interface: Interface) -> bytes:
    flags = _IFA_F_NODAD if interface.version == 6 else 0
    length = interface.network.prefixlen
    return (
        _ADDRESS.pack(_family(interface), length, flags, _RT_SCOPE_UNIVERSE, index)
        + attribute(_IFA_LOCAL, interface.packed)
        + attribute(_IFA_ADDRESS, interface.packed)
    )


def neighbour_body(index: int, address: Address, mac: bytes) -> bytes:
    return (
        _NEIGHBOUR.pack(_family(address), 0, 0, index, _NUD_PERMANENT, 0, 0)
        + attribute(_NDA_DST, address.packed)
        + attribute(_NDA_LLADDR, mac)
    )


def route_query(family: int) -> bytes:
    return _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)


def route_body(
    destination: Network,
    *,
    gateway: Address | None = None,
    index: int | None = None,
    source: Address | None = None,
    metric: int | None = None,
    kind: RouteKind = RouteKind.UNICAST,
    onlink: bool = False,
    deletes: bool = False,
) -> bytes:
    if deletes:
        scope = _RT_SCOPE_NOWHERE  # in a deletion: whatever the scope is
    elif kind is RouteKind.UNICAST and gateway is None:
        scope = _RT_SCOPE_LINK
    else:
        scope = _RT_SCOPE_UNIVERSE
    body = _ROUTE.pack(
        _family(destination),
        destination.prefixlen,
        0,
        0,
        _RT_TABLE_MAIN,
        0 if deletes else RTPROT_STATIC,
        scope,
        kind,
        _RTNH_F_ONLINK if onlink else 0,
    )
    if destination.prefixlen:
        body += attribute(_RTA_DST, destination.network_address.packed)
    if gateway is not None:
        body += attribute(_RTA_GATEWAY, gateway.packed)
    if index is not None:
        body += attribute(_RTA_OIF, _U32.pack(index))
    if source is not None:
        body += attribute(_RTA_PREFSRC, source.packed)
    if metric is not None:
        body += attribute(_RTA_PRIORITY, _U32.pack(metric))
    return body


def parse_link(body: bytes) -> Link:
    _, _, _, index, flags, _ = _LINK.unpack_from(body)
    fields = attributes(body, _LINK.size)
    return Link(
        index=index,
        name=fields[_IFLA_IFNAME].rstrip(b"\0").decode(),
        mac=fields.get(_IFLA_ADDRESS, b""),
        mtu=_U32.unpack(fields[_IFLA_MTU])[0],
        up=bool(flags & _IFF_UP),
        carrier=bool(flags & _IFF_LOWER_UP),
        running=bool(flags & _IFF_RUNNING),
    )


def parse_route(body: bytes) -> Route | None:
    """Read a route; None for what the kernel keeps for itself (local, broadcast, cached)."""
    family, length, _, _, table, protocol, _, kind, flags = _ROUTE.unpack_from(body)
    is_ours = table == _RT_TABLE_MAIN and not flags & _RTM_F_CLONED and kind in _ROUTE_KINDS
    if family not in (socket.AF_INET, socket.AF_INET6) or not is_ours:
        return None
    fields = attributes(body, _ROUTE.size)
    if _RTA_MULTIPATH in fields:
        hops = fields[_RTA_MULTIPATH]
        size, _, _, first = _NEXT_HOP.unpack_from(hops)
        fields |= {_RTA_OIF: _I32.pack(first)} | attributes(hops[:size], _NEXT_HOP.size)
    packed = fields.get(_RTA_DST, bytes(4 if family == socket.AF_INET else 16))
    make = IPv4Network if family == socket.AF_INET else IPv6Network
    index = _U32.unpack(fields[_RTA_OIF])[0] if _RTA_OIF in fields else None
    return Route(
        destination=make((packed, length)),
        gateway=_gateway(fields),
        index=index if kind == RouteKind.UNICAST else None,  # IPv6 names lo for the other kinds
        protocol=protocol,
        kind=RouteKind(kind),
        metric=_U32.unpack(fields[_RTA_PRIORITY])[0] if _RTA_PRIORITY in fields else 0,
    )


_ROUTE_KINDS: Final = frozenset(map(int, RouteKind))


def _veth_fields(end: VethEnd, mtu: int | None) -> bytes:
    fd = end.namespace if isinstance(end.namespace, int) else end.namespace.fd
    # One queue each: the default is one per processor, which only costs time and memory here.
    one = _U32.pack(1)
    fields = attribute(_IFLA_NET_NS_FD, _U32.pack(fd))
    fields += attribute(_IFLA_NUM_TX_QUEUES, one) + attribute(_IFLA_NUM_RX_QUEUES, one)
    if end.mac is not None:
        fields += attribute(_IFLA_ADDRESS, end.mac)
    if mtu is not None:
        fields += attribute(_IFLA_MTU, _U32.pack(mtu))
    return fields


def _gateway(fields: dict[int, bytes]) -> Address | None:
    if _RTA_GATEWAY in fields:
        return ip_address(fields[_RTA_GATEWAY])
    if _RTA_VIA in fields:  # IPv4 through an IPv6 neighbour (RFC 8950)
        return ip_address(fields[_RTA_VIA][2:])
    return None


def _family(address: Address | Interface | Network) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
