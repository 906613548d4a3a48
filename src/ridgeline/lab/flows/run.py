"""The process that holds sessions open from the lab's clients: ``python -m ridgeline.lab.flows.run``.

It reads a `FlowPlan` from its first line of input, opens everything, says ``{"open": n}``, and goes
on until its input ends; then it says what became of each session (see `model`).
"""

import asyncio
import contextlib
import gc
import json
import os
import resource
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from ridgeline.lab.flows.model import FlowPlan, Held, parse_plan
from ridgeline.lab.kernel.namespaces import entered
from ridgeline.lab.steady import steady_bytes
from ridgeline.lab.watch.dnswire import identity_query
from ridgeline.render.identity import TRACE_PATH, WHOAMI_ZONE
from ridgeline.render.origin import STEADY_FILE

TICK_S: Final = 1.0
ASK_EVERY_S: Final = 0.5
_OPEN_WITHIN_S: Final = 20.0
_AT_ONCE: Final = 100
"""Connections being opened at the same time: a listener's queue is finite."""
_RECEIVE_BUFFER: Final = 1
"""The least that the kernel gives (2304 bytes): what it holds back soon runs out."""
_QUESTION: Final = b"ridgeline"
_LAST_DATA_AT: Final = 52
"""Where ``tcpi_last_data_recv`` stands in ``struct tcp_info``: milliseconds."""


class Session:
    """One connection, and what is known of it."""

    def __init__(self, held: Held, namespace: int) -> None:
        self.held = held
        self.namespace = namespace
        self.site: str | None = None
        self.n_bytes = 0
        self.last: float | None = None
        self.opened: float | None = None
        self.ended: float | None = None
        self.how = "open"
        self.connection: socket.socket | None = None
        self.settled = asyncio.Event()
        """Open, or failed to."""

    def end(self, how: str) -> None:
        """Note how it ended; the first word counts."""
        if self.ended is None:
            self.ended, self.how = time.monotonic(), how

    def took(self, n_bytes: int) -> None:
        """Note that something came."""
        self.n_bytes += n_bytes
        self.last = time.monotonic()
        self.opened = self.opened or self.last

    def look(self) -> None:
        """Ask the kernel when data came last: a slow reader knows it late."""
        if self.ended is None and self.connection is not None:
            info = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            (ago_ms,) = struct.unpack_from("=I", info, _LAST_DATA_AT)
            self.last = time.monotonic() - ago_ms / 1000

    def row(self) -> dict[str, Any]:
        """Give the fields of a `flows.Flow`."""
        self.look()
        return {
            "client": self.held.client,
            "kind": self.held.kind,
            "address": self.held.address,
            "site": self.site,
            "n_bytes": self.n_bytes,
            "last": self.last,
            "opened": self.opened,
            "ended": self.ended,
            "how": self.how,
        }


async def hold(session: Session, opening: asyncio.Semaphore) -> None:
    """Open a session and keep it until it ends or the task is cancelled."""
    try:
        await _WORK.get(session.held.kind, converse)(session, opening)
    except (ConnectionResetError, BrokenPipeError):
        session.end("reset")
    except (OSError, EOFError, ValueError, asyncio.IncompleteReadError) as error:
        session.end("closed" if isinstance(error, EOFError) else f"refused: {error}")
    finally:
        session.settled.set()


async def download(session: Session, opening: asyncio.Semaphore) -> None:
    """Read a long answer slowly."""
    held, loop = session.held, asyncio.get_running_loop()
    address, port, path = held.address, held.port, held.path
    async with opening:
        while True:
            sock = await _connect(session, address, port)
            request = f"GET {path} HTTP/1.1\r\nHost: {held.host}\r\nConnection: close\r\n\r\n"
            await loop.sock_sendall(sock, request.encode())
            head, body = await _head(sock)
            status = head[0].split(None, 2)[1]
            fields = _fields(head)
            session.site = session.site or fields.get("x-served-by")
            if status != "307":
                break
            sock.close()
            where = urlsplit(fields["location"])
            address = (where.hostname or address).strip("[]")
            port = where.port or port
            path = where.path or path
    if not status.startswith("2"):
        sock.close()
        raise ValueError(f"HTTP status {status}")
    length = int(fields.get("content-length", -1))
    is_steady = path == f"/{STEADY_FILE}"
    _take(session, body, is_steady=is_steady)
    session.settled.set()
    session.connection = sock
    began, share = time.monotonic(), max(512, int(held.bytes_per_s * TICK_S))
    with sock:
        while session.n_bytes != length:
            ahead = session.n_bytes / held.bytes_per_s - (time.monotonic() - began)
            await asyncio.sleep(max(0.0, ahead))
            data = await loop.sock_recv(sock, share)
            if not data:
                raise EOFError
            _take(session, data, is_steady=is_steady)
    session.end("complete")


def _take(session: Session, data: bytes, *, is_steady: bool) -> None:
    if is_steady and data != steady_bytes(session.n_bytes, session.n_bytes + len(data)):
        session.end("corrupt")
        raise ValueError("not the bytes of this file at this place")
    session.took(len(data))


async def converse(session: Session, opening: asyncio.Semaphore) -> None:
    """Ask again and again over one connection."""
    held = session.held
    async with opening:
        sock = await _connect(session, held.address, held.port)
        tls = _context() if held.kind == "dns-over-tls" else None
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=(held.host or held.address) if tls else None
        )
    try:
        while True:
            if held.kind == "keep-alive":
                await _ask_http(session, reader, writer)
            else:
                await _ask_dns(session, reader, writer)
            session.settled.set()
            await asyncio.sleep(ASK_EVERY_S)
    finally:
        writer.transport.abort()


async def converse_quic(session: Session, opening: asyncio.Semaphore) -> None:
    """Ask again and again over one QUIC connection."""
    from ridgeline.lab.flows.quic import open_quic

    async with opening:
        talk = await open_quic(session.namespace, session.held.address, session.held.port)
    try:
        while True:
            await talk.ask(_QUESTION)
            session.took(len(_QUESTION))
            session.settled.set()
            await asyncio.sleep(ASK_EVERY_S)
    finally:
        talk.close()


_WORK: Final = {"download": download, "handoff": download, "quic": converse_quic}


async def _ask_http(
    session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(f"GET {TRACE_PATH} HTTP/1.1\r\nHost: {session.held.host}\r\n\r\n".encode())
    raw = await reader.readuntil(b"\r\n\r\n")
    fields = _fields(raw.decode("latin-1").split("\r\n"))
    body = await reader.readexactly(int(fields.get("content-length", 0)))
    session.site = session.site or fields.get("x-served-by")
    session.took(len(raw) + len(body))


async def _ask_dns(
    session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    query = b"\0\0" + identity_query(WHOAMI_ZONE, "TXT", recursion=True)[2:]
    writer.write(struct.pack("!H", len(query)) + query)  # RFC 7766, section 8
    (n_bytes,) = struct.unpack("!H", await reader.readexactly(2))
    session.took(2 + len(await reader.readexactly(n_bytes)))


async def _connect(session: Session, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entered(session.namespace):
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _head(sock: socket.socket) -> tuple[list[str], bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        part = await asyncio.get_running_loop().sock_recv(sock, 2048)
        if not part:
            raise EOFError
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


def _fields(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines[1:])
    return {name.lower(): value.strip() for name, _, value in pairs}


def _context() -> ssl.SSLContext:
    """Encrypt, and ask for no certificate: what is measured is whether the session lives."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def run(plan: FlowPlan, stop_fd: int) -> None:
    """Hold everything until `stop_fd` has been closed at its other end."""
    sessions = [Session(held, held.namespace) for held in plan.held for _ in range(held.n)]
    opening = asyncio.Semaphore(_AT_ONCE)
    tasks = [asyncio.create_task(hold(session, opening)) for session in sessions]
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_reader(stop_fd, stopped.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_OPEN_WITHIN_S):
            for session in sessions:
                await session.settled.wait()
    say({"open": sum(session.last is not None for session in sessions)})
    await stopped.wait()
    rows = [session.row() for session in sessions]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    say({"flows": rows, "cpu_s": used.ru_utime + used.ru_stime})


def main() -> None:
    plan = parse_plan("".join(first_line(0)))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.disable()
    asyncio.run(run(plan, 0))


def first_line(fd: int) -> Iterator[str]:
    """Read to the end of the line, with no buffer that would swallow what follows."""
    while True:
        part = os.read(fd, 1 << 20).decode()
        yield part
        if not part or part.endswith("\n"):
            return


def say(document: object) -> None:
    """Tell the process that started us."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
