"""How many TCP flows a host has open on given addresses: the kernel's own list (sock_diag(7))."""

import socket
import struct
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from ridgeline.errors import MachineError
from ridgeline.lab.kernel import rtnetlink as rt
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered

Address: TypeAlias = IPv4Address | IPv6Address

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
# ESTABLISHED, and the states in which data may still be on its way to the client.
_ESTABLISHED, _FIN_WAIT1, _CLOSE_WAIT, _LAST_ACK = 1, 4, 8, 9
_OPEN: Final = 1 << _ESTABLISHED | 1 << _FIN_WAIT1 | 1 << _CLOSE_WAIT | 1 << _LAST_ACK
_REQUEST: Final = struct.Struct("=BBBxI48x")
_ANSWER: Final = struct.Struct("=BBBx2s2s16s16s")


def count_flows(namespace: NetworkNamespace, addresses: Collection[Address]) -> int:
    """Count the open TCP flows of clients with `addresses` in a namespace.

    Raises
    ------
    MachineError
        The kernel does not tell.
    """
    ours = set(addresses)
    return sum(here in ours and there not in ours for here, there in open_flows(namespace))


def open_flows(namespace: NetworkNamespace) -> Iterator[tuple[Address, Address]]:
    """List the two ends of each open TCP flow."""
    with entered(namespace):
        diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    with diag:
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _OPEN)
            flags = rt.NLM_F_REQUEST | rt.NLM_F_DUMP
            diag.send(rt.message(_SOCK_DIAG_BY_FAMILY, flags, 1, body))
            yield from _answers(diag)


def _answers(diag: socket.socket) -> Iterator[tuple[Address, Address]]:
    while True:
        for kind, _, _, body in rt.messages(diag.recv(1 << 18)):
            if kind == rt.NLMSG_DONE:
                return
            if kind == rt.NLMSG_ERROR:
                raise MachineError("the kernel does not list its sockets (sock_diag)")
            family, _, _, _, _, here, there = _ANSWER.unpack_from(body)
            size = 4 if family == socket.AF_INET else 16
            yield ip_address(here[:size]), ip_address(there[:size])
