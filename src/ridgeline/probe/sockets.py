"""Sockets that a probe may open: what needs which privilege, and the one command that grants it."""

import errno
import shutil
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from ridgeline.errors import MachineError

MakeSocket: TypeAlias = Callable[[int, int, int], socket.socket]
"""(family, type, protocol) -> socket; one that opens sockets elsewhere makes a vantage point."""

SO_TIMESTAMPNS: Final = 35
_IPV6_AUTOFLOWLABEL: Final = 70
_MAX_AGE_S: Final = 5.0

ERROR_WORDS: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ENETUNREACH: "no route",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "network down",
    errno.EACCES: "filtered",
    errno.EPERM: "filtered",
    errno.ETIMEDOUT: "timeout",
    errno.EADDRNOTAVAIL: "no such source address",
    errno.EMSGSIZE: "packet too big",
    errno.EINVAL: "not possible from here",
}


def open_socket(family: int, kind: int, protocol: int) -> socket.socket:
    """Open a socket here."""
    return socket.socket(family, kind, protocol)


def error_word(error: OSError) -> str:
    """Give an error in a word or two, the same everywhere."""
    number = error.errno or 0
    return ERROR_WORDS.get(number) or (error.strerror or type(error).__name__).lower()


def family_of(address: str) -> socket.AddressFamily:
    """Tell the socket family of an address in text."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def open_echo_socket(family: int, make: MakeSocket = open_socket) -> tuple[socket.socket, bool]:
    """Open a socket for ICMP echoes: (socket, whether it is raw).

    Raises
    ------
    MachineError
        Neither ping sockets nor raw sockets are allowed; the hint grants them.
    """
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    try:
        return make(family, socket.SOCK_DGRAM, protocol), False
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT):
            raise MachineError(f"cannot open a ping socket: {error_word(error)}") from None
    try:
        return make(family, socket.SOCK_RAW, protocol), True
    except PermissionError:
        raise MachineError(
            "this user may not send ICMP echoes: net.ipv4.ping_group_range leaves its group out",
            hint='sudo sysctl -w net.ipv4.ping_group_range="0 2147483647", '
            "or use --method dns, udp or tcp, which need no privilege",
        ) from None


def open_raw_icmp(family: int, make: MakeSocket = open_socket) -> socket.socket:
    """Open a raw ICMP socket.

    Raises
    ------
    MachineError
        This process lacks CAP_NET_RAW; the hint grants it.
    """
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    try:
        return make(family, socket.SOCK_RAW, protocol)
    except PermissionError:
        program = shutil.which(sys.executable) or sys.executable
        raise MachineError(
            "echoes from an anycast address need a raw socket, and this process has no CAP_NET_RAW",
            hint=f"sudo setcap cap_net_raw+ep {Path(program).resolve()}",
        ) from None


def keep_one_flow(sock: socket.socket) -> None:
    """Stop the kernel from giving each IPv6 socket a flow label of its own (RFC 6437)."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_AUTOFLOWLABEL, 0)


def set_hop_limit(sock: socket.socket, ttl: int) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


def arrival(ancillary: list[tuple[int, int, bytes]]) -> float:
    """Say when a packet just read had arrived, on the monotonic clock, from the kernel's stamp.

    The stamp is of the wall clock, which may step: only its age is used, and only a credible one.
    """
    now = time.monotonic()
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= 16:
            seconds, nanoseconds = struct.unpack_from("=qq", data)
            age = time.time() - (seconds + nanoseconds / 1e9)
            return now - age if 0 <= age < _MAX_AGE_S else now
    return now
