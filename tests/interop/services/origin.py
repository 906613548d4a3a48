"""An origin that says what a test wants and remembers what it was asked."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address


@dataclass(slots=True, kw_only=True)
class Page:
    """What the origin answers on one path."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"hello\n"
    status: int = 200
    takes: float = 0
    """Seconds until it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that reached the origin."""

    method: str
    path: str
    headers: Message
    source: str


class ScriptedOrigin:
    """Pages by path, and every request in order."""

    def __init__(self, address: IPv4Address, port: int) -> None:
        self.address = address
        self.port = port
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self._server: ThreadingHTTPServer | None = None
        self._lines: list[socket.socket] = []

    def paths(self) -> list[str]:
        return [request.path for request in self.asked]

    def up(self) -> None:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                origin._lines.append(self.connection)

            def answer(self) -> None:
                origin.asked.append(
                    Asked(
                        method=self.command,
                        path=self.path,
                        headers=self.headers,
                        source=self.client_address[0],
                    )
                )
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                page = origin.pages.get(self.path.partition("?")[0]) or Page(status=404)
                time.sleep(page.takes)
                tag = page.headers.get("ETag")
                fresh = tag is not None and self.headers.get("If-None-Match") == tag
                self.send_response(304 if fresh else page.status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                if not fresh:
                    self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                if not fresh and self.command != "HEAD":
                    self.wfile.write(page.body)

            do_GET = do_HEAD = do_POST = answer  # noqa: N815 - the base class looks for these names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
                pass

        self._server = ThreadingHTTPServer((str(self.address), self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            for line in self._lines:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
            self._lines.clear()


@contextlib.contextmanager
def running_origin(address: IPv4Address, port: int) -> Iterator[ScriptedOrigin]:
    origin = ScriptedOrigin(address, port)
    origin.up()
    try:
        yield origin
    finally:
        origin.down()
