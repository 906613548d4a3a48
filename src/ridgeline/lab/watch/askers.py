"""The prober's hands: sockets that ask one question again and again, and read who answered.

Nothing here blocks, and nothing here decides when to ask: `ridgeline.lab.watch.prober` does.
"""

import errno
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Any, Final, Literal

from ridgeline.lab.kernel.namespaces import entered
from ridgeline.lab.watch.dnswire import identity_query, read_identity

_SOURCE_PORTS: Final = 32
"""Per question: enough that a stateful or hashing path sees many flows, as from a resolver."""
_TCP_SOCKETS_AHEAD: Final = 32
_REMEMBERED_ANSWERS: Final = 4096
_SERVED_BY: Final = b"x-served-by"
_ERRORS: Final = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EACCES: "prohibited",
    errno.ETIMEDOUT: "timeout",
}

Row = list[Any]
"""A sample under way: [when sent in s, site, round trip in ms, error]; becomes a `Sample`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing that one client asks, again and again."""

    client: str
    service: str
    namespace: int
    """Descriptor of the client's network namespace."""
    kind: Literal["dns", "http"]
    address: str
    port: int
    name: str = "."
    """dns: the name to ask for; http: the host."""
    type: str = "SOA"
    """dns only."""
    recursion: bool = False
    """dns only."""
    cookie: str = ""
    """dns only: client and server cookie (RFC 7873) in hexadecimal."""
    path: str = "/"
    """http only."""


class Poll:
    """epoll, with a function for each descriptor, and waits exact to microseconds."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._actions: dict[int, Callable[[int], None]] = {}

    def add(self, fd: int, events: int, action: Callable[[int], None]) -> None:
        self._actions[fd] = action
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        if self._actions.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def wait(self, seconds: float) -> None:
        """Wait for events, at most so long, and act on each."""
        # epoll.poll itself rounds up to milliseconds.
        if select.select((self._epoll,), (), (), max(0.0, seconds))[0]:
            for fd, events in self._epoll.poll(0):
                action = self._actions.get(fd)  # an earlier action may have closed it
                if action is not None:
                    action(events)


class DnsAsker:
    """Asks one question by UDP from a rotating set of source ports."""

    def __init__(self, question: Question, timeout: float, poll: Poll) -> None:
        self.question = question
        self.rows: list[Row] = []
        self._timeout_ms = timeout * 1000
        query = identity_query(
            question.name,
            question.type,
            recursion=question.recursion,
            cookie=bytes.fromhex(question.cookie),
        )
        self._query = query[2:]
        self._waiting: dict[int, int] = {}
        self._known: dict[bytes, tuple[str | None, str | None]] = {}
        self._last: dict[int, int] = {}
        self._to = (question.address, question.port)
        family = _family(question.address)
        with entered(question.namespace):
            self._sockets = [
                socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                for _ in range(_SOURCE_PORTS)
            ]
        self._connected = [False] * _SOURCE_PORTS
        for slot, sock in enumerate(self._sockets):
            poll.add(sock.fileno(), select.EPOLLIN, partial(self._receive, slot))

    def ask(self, now: float) -> None:
        number = len(self.rows)
        row: Row = [now, None, None, None]
        self.rows.append(row)
        slot = number % _SOURCE_PORTS
        sock = self._sockets[slot]
        try:
            if not self._connected[slot]:
                sock.connect(self._to)
                self._connected[slot] = True
            packet = struct.pack("!H", number & 0xFFFF) + self._query
            try:
                sock.send(packet)
            except ConnectionRefusedError as error:  # told only now, about the query before
                self._blame(slot, error)
                sock.send(packet)
        except OSError as error:
            row[3] = _error_word(error)
            return
        self._last[slot] = number
        self._waiting[number & 0xFFFF] = number

    def expire(self, now: float) -> None:
        """Nothing to give up: a datagram costs nothing while it is waited for."""

    def _receive(self, slot: int, _: int) -> None:
        sock = self._sockets[slot]
        now = time.monotonic()
        while True:
            try:
                wire = sock.recv(4096)
            except BlockingIOError:
                return
            except OSError as error:
                self._blame(slot, error)
                return
            number = self._waiting.pop(int.from_bytes(wire[:2], "big"), None)
            if number is None:
                continue
            row = self.rows[number]
            rtt_ms = (now - row[0]) * 1000
            if rtt_ms <= self._timeout_ms:
                row[1], row[3] = self._who(wire[2:])
                row[2] = rtt_ms

    def _blame(self, slot: int, error: OSError) -> None:
        """Charge an ICMP error to the last query that left by this port."""
        number = self._last.get(slot)
        if number is not None and self._waiting.pop(number & 0xFFFF, None) is not None:
            self.rows[number][3] = _error_word(error)

    def _who(self, rest: bytes) -> tuple[str | None, str | None]:
        """Site and error of an answer; `rest` is all but the ID, so that it is often the same."""
        found = self._known.get(rest)
        if found is None:
            try:
                rcode, nsid = read_identity(b"\0\0" + rest)
            except ValueError:
                found = (None, "garbled")
            else:
                found = (nsid, None if rcode == "NOERROR" else rcode)
                if nsid is None and rcode == "NOERROR":
                    found = (None, "nameless")
            if len(self._known) >= _REMEMBERED_ANSWERS:
                self._known.clear()
            self._known[rest] = found
        return found


class HttpAsker:
    """Fetches one page, over a new connection each time."""

    def __init__(self, question: Question, timeout: float, poll: Poll) -> None:
        self.question = question
        self.rows: list[Row] = []
        self._timeout = timeout
        self._poll = poll
        self._to = (question.address, question.port)
        self._ahead: list[socket.socket] = []
        self._open: deque[_Fetch] = deque()
        host = f"[{question.name}]" if ":" in question.name else question.name
        self._request = (
            f"GET {question.path} HTTP/1.1\r\nHost: {host}\r\n"
            "User-Agent: ridgeline-prober\r\nConnection: close\r\n\r\n"
        ).encode()

    def ask(self, now: float) -> None:
        row: Row = [now, None, None, None]
        self.rows.append(row)
        sock = self._take_socket()
        problem = sock.connect_ex(self._to)
        if problem not in (0, errno.EINPROGRESS):
            row[3] = _error_word(OSError(problem, ""))
            sock.close()
            return
        fetch = _Fetch(sock, row, self._request, self._poll)
        self._open.append(fetch)

    def expire(self, now: float) -> None:
        """Give up connections that have had their time."""
        while self._open and (self._open[0].done or self._open[0].row[0] < now - self._timeout):
            self._open.popleft().finish("timeout")

    def _take_socket(self) -> socket.socket:
        if not self._ahead:
            family = _family(self.question.address)
            with entered(self.question.namespace):
                self._ahead = [
                    socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                    for _ in range(_TCP_SOCKETS_AHEAD)
                ]
        return self._ahead.pop()


class _Fetch:
    """One connection under way."""

    __slots__ = ("_answer", "_poll", "_request", "_socket", "done", "row")

    def __init__(self, sock: socket.socket, row: Row, request: bytes, poll: Poll) -> None:
        self.row = row
        self.done = False
        self._socket = sock
        self._request = request
        self._answer = b""
        self._poll = poll
        poll.add(sock.fileno(), select.EPOLLOUT, self._continue)

    def finish(self, error: str | None) -> None:
        if self.done:
            return
        self.done = True
        if self.row[2] is None and self.row[3] is None:
            self.row[3] = error
        self._poll.forget(self._socket.fileno())
        self._socket.close()

    def _continue(self, _: int) -> None:
        try:
            if self._request:
                problem = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if problem:
                    self.finish(_error_word(OSError(problem, "")))
                    return
                self._socket.send(self._request)
                self._request = b""
                self._poll.change(self._socket.fileno(), select.EPOLLIN)
                return
            data = self._socket.recv(65536)
        except OSError as error:
            self.finish(_error_word(error))
            return
        if not data:
            self.finish("empty")
        elif self.row[2] is None:
            self._answer += data
            head, end, _body = self._answer.partition(b"\r\n\r\n")
            if end:
                self.row[1], self.row[3] = read_head(head)
                self.row[2] = (time.monotonic() - self.row[0]) * 1000


def read_head(head: bytes) -> tuple[str | None, str | None]:
    """Site and error of an HTTP answer (RFC 9112, section 2.1)."""
    status, *fields = head.split(b"\r\n")
    words = status.split(None, 2)
    code = words[1].decode("latin-1") if len(words) > 1 else ""
    if not words or not words[0].startswith(b"HTTP/") or not code.isdigit():
        return None, "garbled"
    site = None
    for line in fields:
        field, _, value = line.partition(b":")
        if field.lower() == _SERVED_BY:
            site = value.strip().decode("latin-1")
    if not 200 <= int(code) < 300:
        return site, f"http-{code}"
    return site, None if site else "nameless"


def _error_word(error: OSError) -> str:
    number = error.errno or 0
    return _ERRORS.get(number, errno.errorcode.get(number, "failed").lower())


def _family(address: str) -> int:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
