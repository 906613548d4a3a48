"""An address that the kernel removes by itself unless it is refreshed (rtnetlink(7)).

The lifetime counts in the kernel: it ends whether the agent was killed, stopped, or hangs. Needs
CAP_NET_ADMIN.
"""

import os
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final, TypeAlias

from ridgeline.errors import MachineError

Interface: TypeAlias = IPv4Interface | IPv6Interface

_RTM_NEWADDR, _RTM_DELADDR = 20, 21  # <linux/rtnetlink.h>
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400  # <linux/netlink.h>
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO = 1, 2, 6  # <linux/if_addr.h>
_IFA_F_NODAD: Final = 0x02
_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")


class AddressLease:
    """Gives addresses of one interface a lifetime."""

    def __init__(self, interface: str) -> None:
        try:
            self._index = socket.if_nametoindex(interface)
        except OSError:
            raise MachineError(
                f"there is no interface {interface!r} for the dead-man lease",
                hint=f"ip link add {interface} type dummy; ip link set {interface} up",
            ) from None
        self._interface = interface
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._socket.settimeout(1.0)
        self._sequence = 0

    def refresh(self, address: Interface, seconds: int) -> None:
        """Add the address, or let it live for so long from now.

        Raises
        ------
        MachineError
            The kernel refuses.
        """
        lifetime = struct.pack("=IIII", seconds, seconds, 0, 0)
        self._ask(_RTM_NEWADDR, _REPLACE | _CREATE, address, lifetime)

    def remove(self, address: Interface) -> None:
        """Remove the address now.

        Raises
        ------
        MachineError
            The kernel refuses.
        """
        self._ask(_RTM_DELADDR, 0, address, b"")

    def close(self) -> None:
        self._socket.close()

    def _ask(self, kind: int, flags: int, address: Interface, lifetime: bytes) -> None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        body = struct.pack(
            "=BBBBI", family, address.network.prefixlen, _IFA_F_NODAD, 0, self._index
        )
        packed = address.ip.packed
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        if lifetime:
            body += _attribute(_IFA_CACHEINFO, lifetime)
        self._sequence += 1
        length = _HEADER.size + len(body)
        try:
            self._socket.send(
                _HEADER.pack(length, kind, _REQUEST | _ACK | flags, self._sequence, 0) + body
            )
            answer = self._socket.recv(4096)
        except OSError as error:
            raise MachineError(f"the kernel does not answer for {address}: {error}") from error
        _, kind_back, _, _, _ = _HEADER.unpack_from(answer)
        number = -struct.unpack_from("=i", answer, _HEADER.size)[0] if kind_back == _ERROR else 0
        if number:
            raise MachineError(
                f"the kernel refuses {address} on {self._interface}: {os.strerror(number)}",
                hint="the agent needs CAP_NET_ADMIN for `dead_man: {kind: lease}`",
            )


def is_here(address: IPv4Address | IPv6Address) -> bool:
    """Whether the kernel takes an address as this machine's own."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as opened:
        try:
            opened.bind((str(address), 0))
        except OSError:
            return False
    return True


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)
