"""Checks over one TCP connection to the local server: TCP alone, HTTP/1.1, DNS over TCP.

Raw sockets on the event loop instead of streams: a thousand a second take half the processor time.
"""

import asyncio
import errno
import re
import socket
from collections.abc import Callable
from typing import Final

from ridgeline.agent.checks.base import Done, failed, local_socket
from ridgeline.agent.checks.dns import Question
from ridgeline.agent.checks.plan import DnsCheck, HttpCheck, TcpCheck
from ridgeline.agent.health import Round
from ridgeline.spec.model import Address

MAX_BYTES: Final = 64 << 10
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_CONNECTING: Final = (0, errno.EINPROGRESS)

Read = Callable[[bytes, bool], Round | None]
"""(everything so far, whether that is all) -> the verdict, or None: more is needed."""


class StreamChecker:
    """Connects, says one thing, and reads until there is a verdict."""

    def __init__(self, address: Address, port: int, request: bytes, read: Read) -> None:
        self._address = address
        self._target = (str(address), port)
        self._request = request
        self._read = read
        self._socket: socket.socket | None = None
        self._done: Done | None = None
        self._data = b""
        self._asked = False

    def begin(self, done: Done) -> None:
        self._done, self._data, self._asked = done, b"", False
        try:
            self._socket = local_socket(self._address, socket.SOCK_STREAM)
        except OSError as error:
            self._end(failed(error))
            return
        number = self._socket.connect_ex(self._target)
        if number not in _CONNECTING:
            self._end(failed(OSError(number, "")))
            return
        # On the loopback the connection mostly stands already: try, and wait only if it does not.
        if not self._say(self._socket):
            asyncio.get_running_loop().add_writer(self._socket, self._writable, self._socket)

    def abandon(self, reason: str) -> Round:
        ended: list[Round] = []
        self._done = ended.append
        if self._socket is not None and self._asked:
            self._receive(self._socket)  # what has come in time counts
        self._done = None
        self.close()
        return ended[0] if ended else Round(ok=False, reason=reason)

    def close(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(opened)
            loop.remove_writer(opened)
            opened.close()

    def _writable(self, opened: socket.socket) -> None:
        asyncio.get_running_loop().remove_writer(opened)
        number = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._end(failed(OSError(number, "")))
        elif not self._say(opened):
            self._end(Round(ok=False, reason="connected, but nothing can be sent"))

    def _say(self, opened: socket.socket) -> bool:
        """Send the request and wait for the answer; False: not connected yet."""
        if not self._request:
            return self._connected(opened)
        try:
            opened.send(self._request)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in {errno.ENOTCONN, errno.EAGAIN}:
                return False
            self._end(failed(error))
            return True
        self._asked = True
        asyncio.get_running_loop().add_reader(opened, self._receive, opened)
        return True

    def _connected(self, opened: socket.socket) -> bool:
        try:
            opened.getpeername()
        except OSError:
            number = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not number:
                return False
            self._end(failed(OSError(number, "")))
            return True
        self._end(Round(ok=True, reason="takes connections"))
        return True

    def _receive(self, opened: socket.socket) -> None:
        try:
            data = opened.recv(MAX_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(failed(error))
            return
        self._data += data
        is_all = not data or len(self._data) >= MAX_BYTES
        verdict = self._read(self._data, is_all)
        if verdict is not None:
            self._end(verdict)
        elif is_all:
            self._end(Round(ok=False, reason="the answer ends too early"))

    def _end(self, outcome: Round) -> None:
        self.close()
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


def tcp_checker(check: TcpCheck) -> StreamChecker:
    """Make the check that only connects."""
    return StreamChecker(check.address, check.port, b"", lambda _data, _is_all: None)


def http_request(check: HttpCheck) -> bytes:
    """Write the request."""
    return (
        f"GET {check.path} HTTP/1.1\r\nHost: {check.host}\r\n"
        "User-Agent: ridgeline-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    ).encode()


def http_reader(check: HttpCheck) -> Read:
    """Make the eyes for the answer."""
    wanted = frozenset(check.status)
    body = check.body.encode()

    def read(data: bytes, is_all: bool) -> Round | None:
        found = _STATUS.match(data)
        if found is None:
            if len(data) < 12 and not is_all:
                return None
            reason = "the answer is not HTTP/1.1" if data else "closed without an answer"
            return Round(ok=False, reason=reason)
        status = int(found[1])
        if status not in wanted:
            # 502 and 504 come from a cache that lives and cannot reach what it caches.
            return Round(ok=False, reason=f"answers {status}", shared=status in {502, 504})
        _, end, content = data.partition(b"\r\n\r\n")
        if body in content and (body or end or is_all):
            return Round(ok=True, reason=f"answers {status}")
        if is_all:
            return Round(ok=False, reason=f"answers {status}, without {check.body!r}")
        return None

    return read


def http_checker(check: HttpCheck) -> StreamChecker:
    """Make the check of a plain HTTP server."""
    return StreamChecker(check.address, check.port, http_request(check), http_reader(check))


def dns_request(question: Question) -> bytes:
    """Write the query with its length (RFC 1035, section 4.2.2)."""
    return (len(question.tail) + 2).to_bytes(2, "big") + b"\0\0" + question.tail


def dns_reader(question: Question) -> Read:
    """Make the eyes for the answer."""

    def read(data: bytes, _is_all: bool) -> Round | None:
        if len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
            return None
        return question.judge(data[2 : 2 + int.from_bytes(data[:2], "big")])

    return read


def dns_checker(check: DnsCheck) -> StreamChecker:
    """Make the check of DNS over TCP."""
    question = Question.of(check)
    return StreamChecker(check.address, check.port, dns_request(question), dns_reader(question))
