"""How BFD packets reach the router: a tunnel device of our own, or UDP sockets.

A router on the same machine takes no next hop that is one of the machine's own addresses. So the
agent answers on a persistent TUN device, which its user may attach to without any privilege: the
far end of that device is an address that exists in this process alone.

RFC 5881: UDP port 3784, a source port from 49152 on, TTL or hop limit 255 both ways.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Protocol, TypeAlias

from ridgeline.errors import MachineError

Address: TypeAlias = IPv4Address | IPv6Address

BFD_PORT: Final = 3784
_FIRST_SOURCE_PORT: Final = 49152
_TTL: Final = 255  # RFC 5881, section 5 (RFC 5082: nobody beyond the link can send it)
_PRECEDENCE: Final = 0xC0  # network control, as routers mark it

_TUNSETIFF: Final = 0x400454CA  # <linux/if_tun.h>
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IP_RECVTTL: Final = 12  # <linux/in.h>
_IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 51, 52  # <linux/in6.h>


class BfdLink(Protocol):
    """Carries BFD payloads to and from neighbours."""

    def fileno(self) -> int: ...

    def send(self, payload: bytes, *, local: Address, peer: Address) -> None:
        """Send; a full or absent link drops the packet, as links do."""

    def receive(self) -> Iterator[tuple[Address, Address, bytes]]:
        """Yield (local, peer, payload) of what has arrived, unspoofable by TTL."""

    def close(self) -> None: ...


class TunLink:
    """A persistent TUN device, on which this process is the host at the other end."""

    def __init__(self, device: str, *, source_port: int = _FIRST_SOURCE_PORT) -> None:
        self._port = source_port
        require_device(device)
        try:
            self._fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise MachineError(f"cannot open /dev/net/tun: {error.strerror}") from error
        try:
            request = struct.pack("16sH22x", device.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(self._fd, _TUNSETIFF, request)
        except OSError as error:
            os.close(self._fd)
            reason = (
                "another process has it: is a second agent running?"
                if error.errno == errno.EBUSY
                else f"{error.strerror}; it must belong to the user {user_name()}"
            )
            raise MachineError(f"cannot attach to the device {device!r}: {reason}") from error

    def fileno(self) -> int:
        return self._fd

    def send(self, payload: bytes, *, local: Address, peer: Address) -> None:
        packet = render_datagram(payload, source=local, target=peer, source_port=self._port)
        try:
            os.write(self._fd, packet)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EIO, errno.ENOBUFS}:  # EIO: device is down
                raise

    def receive(self) -> Iterator[tuple[Address, Address, bytes]]:
        while True:
            try:
                packet = os.read(self._fd, 2048)
            except BlockingIOError:
                return
            if (found := parse_datagram(packet)) is not None:
                yield found

    def close(self) -> None:
        os.close(self._fd)


class UdpLink:
    """Ordinary sockets, for a router on another machine of the same link."""

    def __init__(self, local: Address, *, source_port: int = _FIRST_SOURCE_PORT) -> None:
        self._local = local
        self._is_six = isinstance(local, IPv6Address)
        family = socket.AF_INET6 if self._is_six else socket.AF_INET
        self._in = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._out = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if self._is_six:
                self._in.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
                self._out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _TTL)
            else:
                self._in.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
                self._out.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)
                self._out.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _PRECEDENCE)
            self._in.bind((str(local), BFD_PORT))
            self._out.bind((str(local), _free_port(source_port)))
        except OSError as error:
            self.close()
            raise MachineError(
                f"cannot take UDP port {BFD_PORT} of {local} for BFD: {error.strerror}",
                hint="is another BFD daemon on this address? BIRD: `strict bind yes` in its bfd",
            ) from error

    def fileno(self) -> int:
        return self._in.fileno()

    def send(self, payload: bytes, *, local: Address, peer: Address) -> None:  # noqa: ARG002 - the socket is bound to it
        try:
            self._out.sendto(payload, (str(peer), BFD_PORT))
        except OSError:  # no route, no buffer, refused: the detection time deals with it
            return

    def receive(self) -> Iterator[tuple[Address, Address, bytes]]:
        while True:
            try:
                data, ancillary, _, source = self._in.recvmsg(2048, 64)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of an earlier packet
                continue
            hops = [
                value for _, kind, value in ancillary if kind in {socket.IP_TTL, _IPV6_HOPLIMIT}
            ]
            if hops and int.from_bytes(hops[0][:4], "little") == _TTL:
                yield self._local, ip_address(source[0].split("%")[0]), data

    def close(self) -> None:
        self._in.close()
        self._out.close()


def require_device(device: str) -> None:
    """See that there is such a device, without attaching to it.

    Raises
    ------
    MachineError
        There is none.
    """
    try:
        socket.if_nametoindex(device)
    except OSError:
        raise MachineError(
            f"there is no network device {device!r} for the dead-man switch",
            hint=f"ip tuntap add dev {device} mode tun user {user_name()}",
        ) from None


def render_datagram(
    payload: bytes, *, source: Address, target: Address, source_port: int = _FIRST_SOURCE_PORT
) -> bytes:
    """Write a UDP datagram with its IP header (RFC 768, RFC 791, RFC 8200)."""
    length = 8 + len(payload)
    pseudo = source.packed + target.packed + struct.pack("!II", length, socket.IPPROTO_UDP)
    udp = struct.pack("!HHH", source_port, BFD_PORT, length)
    checksum = _checksum(pseudo + udp + bytes(2) + payload) or 0xFFFF
    udp += struct.pack("!H", checksum) + payload
    if isinstance(source, IPv6Address):
        head = struct.pack("!IHBB", 6 << 28 | _PRECEDENCE << 20, length, socket.IPPROTO_UDP, _TTL)
        return head + source.packed + target.packed + udp
    head = struct.pack(
        "!BBHHHBB", 0x45, _PRECEDENCE, 20 + length, 0, 0x4000, _TTL, socket.IPPROTO_UDP
    )
    addresses = source.packed + target.packed
    return head + struct.pack("!H", _checksum(head + bytes(2) + addresses)) + addresses + udp


def parse_datagram(packet: bytes) -> tuple[Address, Address, bytes] | None:
    """Return (local, peer, payload) of a single-hop BFD datagram to us; None for anything else."""
    if len(packet) < 28:
        return None
    version = packet[0] >> 4
    local: Address
    peer: Address
    if version == 4:
        header = (packet[0] & 0x0F) * 4
        (fragment,) = struct.unpack_from("!H", packet, 6)
        protocol, hops = packet[9], packet[8]
        peer, local = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
        if fragment & 0x3FFF:
            return None
    elif version == 6 and len(packet) >= 48:
        header, protocol, hops = 40, packet[6], packet[7]
        peer, local = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    else:
        return None
    if protocol != socket.IPPROTO_UDP or hops != _TTL or len(packet) < header + 8:
        return None
    _, port, length = struct.unpack_from("!HHH", packet, header)
    if port != BFD_PORT or not 8 <= length <= len(packet) - header:
        return None
    return local, peer, packet[header + 8 : header + length]


def _checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _free_port(first: int) -> int:
    return first + os.getpid() % (65536 - first)


def user_name() -> str:
    """Name the user of this process."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
