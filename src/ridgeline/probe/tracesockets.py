"""A traceroute's hands: sockets that send probes with a hop limit and hear who answered.

No privilege is needed for UDP and TCP: the kernel hands the ICMP errors about a socket's own
packets to it (``IP_RECVERR``, ip(7)); for TCP since Linux 5.11. ICMP echoes need a ping socket
(icmp(7)) or a raw one. In each trace all probes share source, destination and both ports.
"""

import contextlib
import errno
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Final, Protocol

from ridgeline.errors import MachineError
from ridgeline.probe.icmp import (
    Echo,
    IcmpError,
    Version,
    describe_error,
    echo_request,
    is_hop_limit,
    is_port_unreachable,
    read_icmp,
    strip_ipv4,
)
from ridgeline.probe.sockets import (
    SO_TIMESTAMPNS,
    MakeSocket,
    arrival,
    error_word,
    family_of,
    keep_one_flow,
    open_echo_socket,
    open_socket,
    set_hop_limit,
)
from ridgeline.probe.tracecore import Heard, Reply

# <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>: Python names none of them.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")
_FROM_ICMP: Final = (2, 3)  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
_ROOM: Final = 2048
_UDP_PAYLOAD_BYTES: Final = 24


class TraceSocket(Protocol):
    """Sends the probes of one trace, and hears the answers."""

    def fileno(self) -> int: ...

    def send(self, ttl: int, sequence: int) -> str:
        """Send a probe; return why it could not be sent, or nothing."""

    def hear(self) -> list[Reply]:
        """Read every answer that has come; never wait."""

    def close(self) -> None: ...


class UdpTrace:
    """Probes by UDP; with a `query` each is that DNS query, and the target's answer is kept."""

    def __init__(
        self,
        address: str,
        port: int,
        *,
        query: bytes = b"",
        source_port: int = 0,
        make: MakeSocket = open_socket,
    ) -> None:
        self.answer: bytes | None = None
        """The target's answer to the DNS query."""
        self._version, self._address = _version(address), address
        self._rest = query[2:] if query else bytes(_UDP_PAYLOAD_BYTES - 2)
        self._base = int.from_bytes(os.urandom(2), "big")
        self._heard: list[Reply] = []
        self._socket = make(family_of(address), socket.SOCK_DGRAM, 0)
        _prepare(self._socket)
        _connect(self._socket, address, port, source_port)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, ttl: int, sequence: int) -> str:
        number = (self._base + sequence) & 0xFFFF
        set_hop_limit(self._socket, ttl)
        return _send(self._socket, struct.pack("!H", number) + self._rest, self._pending)

    def hear(self) -> list[Reply]:
        replies, self._heard = [*self._heard, *self._errors()], []
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_ROOM, 256)
            except BlockingIOError:
                return replies
            except OSError:
                replies += self._errors()
                continue
            if len(data) >= 2:
                # A reply of another shape still comes from the target.
                self.answer = data
                replies.append(
                    Reply(
                        sequence=self._number(data),
                        address=self._address,
                        heard=Heard.TARGET,
                        at=arrival(ancillary),
                    )
                )

    def close(self) -> None:
        self._socket.close()

    def _pending(self) -> None:
        self._heard += self._errors()

    def _errors(self) -> Iterator[Reply]:
        for kind, code, offender, quoted, at in _read_errors(self._socket, self._version):
            sequence = self._number(quoted) if len(quoted) >= 2 else None
            yield _reply(
                self._version, kind, code, offender, self._address, sequence=sequence, at=at
            )

    def _number(self, payload: bytes) -> int:
        return (int.from_bytes(payload[:2], "big") - self._base) & 0xFFFF


class IcmpTrace:
    """Probes by ICMP echo with one checksum, by which some routers tell flows apart."""

    def __init__(self, address: str, *, make: MakeSocket = open_socket) -> None:
        self._version, self._address = _version(address), address
        self._destination = ip_address(address).packed
        self._ident = int.from_bytes(os.urandom(2), "big") or 1
        self._heard: list[Reply] = []
        self._socket, self._is_raw = open_echo_socket(family_of(address), make)
        _prepare(self._socket, errors=not self._is_raw)
        if not self._is_raw:  # a raw one must hear the routers too
            _connect(self._socket, address, 0, 0)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, ttl: int, sequence: int) -> str:
        set_hop_limit(self._socket, ttl)
        # The words of the payload make up for the sequence number.
        payload = struct.pack("!HH", 0xFFFF - sequence, 0) + b"ridgeline" + bytes(11)
        packet = echo_request(self._version, self._ident, sequence, payload)
        if not self._is_raw:
            return _send(self._socket, packet, self._pending)
        try:
            self._socket.sendto(packet, (self._address, 0))
        except OSError as error:
            return error_word(error)
        return ""

    def hear(self) -> list[Reply]:
        replies, self._heard = self._heard, []
        if not self._is_raw:
            replies += self._errors()
        while True:
            try:
                data, ancillary, _, sender = self._socket.recvmsg(_ROOM, 256)
            except BlockingIOError:
                return replies
            except OSError:
                replies += self._errors()
                continue
            reply = self._read(data, str(sender[0]).partition("%")[0], arrival(ancillary))
            if reply is not None:
                replies.append(reply)

    def close(self) -> None:
        self._socket.close()

    def _pending(self) -> None:
        self._heard += self._errors()

    def _errors(self) -> Iterator[Reply]:
        for kind, code, offender, quoted, at in _read_errors(self._socket, self._version):
            sequence = int.from_bytes(quoted[6:8], "big") if len(quoted) >= 8 else None
            yield _reply(
                self._version, kind, code, offender, self._address, sequence=sequence, at=at
            )

    def _read(self, data: bytes, sender: str, at: float) -> Reply | None:
        try:
            if self._is_raw and self._version == 4:
                data = strip_ipv4(data)
            message = read_icmp(self._version, data)
            if isinstance(message, IcmpError):
                echo = read_icmp(self._version, message.quoted)
                if message.destination != self._destination or isinstance(echo, IcmpError):
                    return None
            else:
                echo = message
        except ValueError:
            return None  # somebody else's, or garbled: no answer to us
        if self._is_raw and echo.ident != self._ident:
            return None
        if isinstance(message, Echo):
            if not message.is_reply or sender != self._address:
                return None
            return Reply(sequence=echo.sequence, address=self._address, heard=Heard.TARGET, at=at)
        return _reply(
            self._version,
            message.type,
            message.code,
            sender,
            self._address,
            sequence=echo.sequence,
            at=at,
        )


class TcpTrace:
    """Probes by TCP connection attempts from one port, so one at a time."""

    def __init__(
        self, address: str, port: int, *, source_port: int = 0, make: MakeSocket = open_socket
    ) -> None:
        self._version, self._to, self._make = _version(address), (address, port), make
        self._socket: socket.socket | None = None
        self._heard: list[Reply] = []
        self._sequence = 0
        self._poll = select.epoll()
        # The port is held for as long as the trace lasts; the attempts share it.
        self._holder = make(family_of(address), socket.SOCK_STREAM, 0)
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._holder.bind(("", source_port))
        except OSError as error:
            raise MachineError(f"source port {source_port}: {error.strerror}") from None
        self._source_port = int(self._holder.getsockname()[1])

    def fileno(self) -> int:
        return self._poll.fileno()

    def send(self, ttl: int, sequence: int) -> str:
        self._drop()
        self._socket, self._sequence = self.open_flow(), sequence
        set_hop_limit(self._socket, ttl)
        problem = self._socket.connect_ex(self._to)
        if problem not in (0, errno.EINPROGRESS, errno.ECONNREFUSED):
            self._drop()
            return error_word(OSError(problem, os.strerror(problem)))
        # Even a refusal on this very machine is read from the socket like any other.
        self._poll.register(self._socket.fileno(), select.EPOLLOUT)
        return ""

    def open_flow(self) -> socket.socket:
        """Open a socket that will connect by the flow of the trace, for a question over it."""
        self._drop()
        sock = self._make(self._holder.family, socket.SOCK_STREAM, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _prepare(sock)
        sock.bind(("", self._source_port))
        return sock

    def hear(self) -> list[Reply]:
        sock = self._socket
        if sock is None or not self._poll.poll(0):
            return []
        replies = [
            self._reply_of(kind, code, offender, at)
            for kind, code, offender, _, at in _read_errors(sock, self._version)
        ]
        if not replies:
            problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            is_target = problem in (0, errno.ECONNREFUSED)
            note = error_word(OSError(problem, os.strerror(problem))) if problem else ""
            replies = [
                Reply(
                    sequence=self._sequence,
                    address=self._to[0],
                    heard=Heard.TARGET if is_target else Heard.REFUSED,
                    at=time.monotonic(),
                    note=note,
                )
            ]
        self._drop()
        return replies

    def close(self) -> None:
        self._drop()
        self._holder.close()
        self._poll.close()

    def _reply_of(self, kind: int, code: int, offender: str, at: float) -> Reply:
        to, sequence = self._to[0], self._sequence
        return _reply(self._version, kind, code, offender, to, sequence=sequence, at=at)

    def _drop(self) -> None:
        """Reset the last attempt, so that its port is free at once and the target forgets it."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._poll.unregister(self._socket.fileno())
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()
            self._socket = None


def _version(address: str) -> Version:
    return 6 if ":" in address else 4


def _prepare(sock: socket.socket, *, errors: bool = True) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if errors and sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    elif errors:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
    keep_one_flow(sock)


def _connect(sock: socket.socket, address: str, port: int, source_port: int) -> None:
    try:
        if source_port:
            sock.bind(("", source_port))
        sock.connect((address, port))
    except OSError as error:
        sock.close()
        raise MachineError(f"cannot send to {address}: {error_word(error)}") from None


def _send(sock: socket.socket, packet: bytes, read_pending: Callable[[], None]) -> str:
    """Send a packet; an error that waits in the socket belongs to an earlier one."""
    try:
        sock.send(packet)
    except OSError:
        read_pending()
    else:
        return ""
    try:
        sock.send(packet)
    except OSError as error:
        return error_word(error)
    return ""


def _read_errors(
    sock: socket.socket, version: Version
) -> Iterator[tuple[int, int, str, bytes, float]]:
    """Read a socket's queue of ICMP errors: (type, code, who says so, what is quoted, when)."""
    wanted = (
        (socket.IPPROTO_IP, _IP_RECVERR) if version == 4 else (socket.IPPROTO_IPV6, _IPV6_RECVERR)
    )
    while True:
        try:
            quoted, ancillary, _, _ = sock.recvmsg(_ROOM, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return
        for level, kind, data in ancillary:
            found = _read_extended_error(data) if (level, kind) == wanted else None
            if found is not None:
                yield (*found, quoted, arrival(ancillary))


def _read_extended_error(data: bytes) -> tuple[int, int, str] | None:
    """Read ``struct sock_extended_err`` and who sent the ICMP message: (type, code, address)."""
    if len(data) < _EXTENDED_ERROR.size + 2:
        return None
    _, origin, kind, code, *_ = _EXTENDED_ERROR.unpack_from(data)
    rest = data[_EXTENDED_ERROR.size :]
    family = int.from_bytes(rest[:2], sys.byteorder)
    if origin not in _FROM_ICMP:
        return None
    if family == socket.AF_INET and len(rest) >= 8:
        return kind, code, socket.inet_ntop(socket.AF_INET, rest[4:8])
    if family == socket.AF_INET6 and len(rest) >= 24:
        return kind, code, socket.inet_ntop(socket.AF_INET6, rest[8:24])
    return None


def _reply(
    version: Version,
    kind: int,
    code: int,
    offender: str,
    target: str,
    *,
    sequence: int | None,
    at: float,
) -> Reply:
    if is_hop_limit(version, kind, code):
        return Reply(sequence=sequence, address=offender, heard=Heard.HOP, at=at)
    note = describe_error(version, kind, code)
    arrived = offender == target and is_port_unreachable(version, kind, code)
    heard = Heard.TARGET if arrived else Heard.REFUSED
    return Reply(sequence=sequence, address=offender, heard=heard, at=at, note=note)
