"""DNS over UDP for any number of checks on two sockets, one for each address family.

Every query names the address that it is sent to as its own source (IP_PKTINFO, RFC 3542, section
6.2), so the kernel refuses it unless the address is on this machine. ICMP errors are collected from
the sockets' error queues (IP_RECVERR): a dead server is noticed at once, not after a timeout.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from ridgeline.agent.checks.base import Done, failed
from ridgeline.agent.checks.dns import Question
from ridgeline.agent.checks.plan import DnsCheck
from ridgeline.agent.health import Round

_IP_RECVERR: Final = 11
_IP_PKTINFO: Final = 8
_IPV6_RECVERR: Final = 25
_IPV6_PKTINFO: Final = 50
_READ_AT_ONCE: Final = 256
_BUFFER_BYTES: Final = 1 << 20


class DatagramPool:
    """The two sockets and the questions that are out."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._out: dict[int, UdpDnsChecker] = {}
        self._next = 0

    def send(self, checker: "UdpDnsChecker") -> int:
        """Send a question; return its ID."""
        for _ in range(1 << 16):
            self._next = (self._next * 25173 + 13849) & 0xFFFF  # visits every ID once
            if self._next not in self._out:
                break
        number = self._next
        wire = number.to_bytes(2, "big") + checker.question.tail
        opened = self._socket(checker.version)
        try:
            opened.sendmsg((wire,), checker.source, 0, checker.target)
        except ConnectionRefusedError:
            self._read(opened)  # somebody else's error was waiting
            opened.sendmsg((wire,), checker.source, 0, checker.target)
        self._out[number] = checker
        return number

    def forget(self, number: int) -> None:
        self._out.pop(number, None)

    def catch_up(self) -> None:
        """Read what has come, before anybody says that it has not."""
        for opened in self._sockets.values():
            self._read(opened)

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for opened in self._sockets.values():
            loop.remove_reader(opened)
            opened.close()
        self._sockets.clear()

    def _socket(self, version: int) -> socket.socket:
        opened = self._sockets.get(version)
        if opened is None:
            family = socket.AF_INET6 if version == 6 else socket.AF_INET
            opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            if version == 6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                opened.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            asyncio.get_running_loop().add_reader(opened, self._read, opened)
            self._sockets[version] = opened
        return opened

    def _read(self, opened: socket.socket) -> None:
        receive: Callable[[int], tuple[bytes, Any]] = opened.recvfrom
        for _ in range(_READ_AT_ONCE):
            try:
                wire, source = receive(4096)
            except BlockingIOError:
                return
            except OSError:
                self._read_errors(opened)
                continue
            if len(wire) < 12:
                continue
            number = wire[0] << 8 | wire[1]
            checker = self._out.get(number)
            if checker is not None and source[:2] == checker.target[:2]:
                del self._out[number]
                checker.answered(wire)

    def _read_errors(self, opened: socket.socket) -> None:
        """Match ICMP errors with the queries that they quote."""
        while True:
            try:
                wire, ancillary, _, source = opened.recvmsg(512, 256, socket.MSG_ERRQUEUE)
            except OSError:
                return
            number = int.from_bytes(wire[:2], "big")
            checker = self._out.get(number)
            if checker is None or source[:2] != checker.target[:2]:
                continue
            for _, _, data in ancillary:
                if len(data) >= 4:
                    del self._out[number]
                    checker.refused(struct.unpack_from("=I", data)[0])
                    break


class UdpDnsChecker:
    """One question over UDP."""

    def __init__(self, check: DnsCheck, pool: DatagramPool) -> None:
        self.question = Question.of(check)
        self.version = check.address.version
        self.target = (str(check.address), check.port)
        packed = check.address.packed
        self.source: tuple[tuple[int, int, bytes], ...]
        if self.version == 4:
            info = struct.pack("=I4s4s", 0, packed, bytes(4))
            self.source = ((socket.IPPROTO_IP, _IP_PKTINFO, info),)
        else:
            info = struct.pack("=16sI", packed, 0)
            self.source = ((socket.IPPROTO_IPV6, _IPV6_PKTINFO, info),)
        self._pool = pool
        self._done: Done | None = None
        self._number = -1

    def begin(self, done: Done) -> None:
        self._done = done
        try:
            self._number = self._pool.send(self)
        except OSError as error:
            self._end(failed(error))

    def answered(self, wire: bytes) -> None:
        self._end(self.question.judge(wire))

    def refused(self, number: int) -> None:
        self._end(failed(OSError(number or errno.ECONNREFUSED, "")))

    def abandon(self, reason: str) -> Round:
        ended: list[Round] = []
        self._done = ended.append
        self._pool.catch_up()
        self._done = None
        self._pool.forget(self._number)
        return ended[0] if ended else Round(ok=False, reason=reason)

    def close(self) -> None:
        self._pool.forget(self._number)

    def _end(self, outcome: Round) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome)
