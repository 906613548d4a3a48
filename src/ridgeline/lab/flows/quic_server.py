"""The process that speaks QUIC at every site of a lab: ``python -m ridgeline.lab.flows.quic_server``.

It reads a `QuicPlan` from its first line of input, says ``{"ready": n}``, and echoes what comes on
any stream until its input ends. Its connection IDs name their site as draft-ietf-quic-load-balancers
says (plaintext): three bits of configuration, here 0; the site's number; a nonce. aioquic does all
the rest, and is not among what Ridgeline installs by itself.
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from aioquic.asyncio.server import QuicServer
from aioquic.quic import connection as engine
from aioquic.quic.configuration import QuicConfiguration
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates

from ridgeline.lab.flows.quic_sites import ALPN, QuicPlan, parse_quic_plan
from ridgeline.lab.flows.run import first_line, say
from ridgeline.lab.kernel.namespaces import entered

ID_BYTES: Final = 8
_IDLE_S: Final = 60.0
_site: ContextVar[bytes] = ContextVar("site")
"""The number of the site whose packet is being looked at."""


class SiteServer(QuicServer):
    """The connections of one site."""

    def __init__(self, number: bytes, **options: Any) -> None:
        super().__init__(**options)
        self._number = number

    def datagram_received(self, data: bytes | str, addr: Any) -> None:
        with _at_site(self._number):
            super().datagram_received(data, addr)


@contextmanager
def _at_site(number: bytes) -> Iterator[None]:
    token = _site.set(number)
    try:
        yield
    finally:
        _site.reset(token)


def _urandom(n_bytes: int) -> bytes:
    """Stand in for `os.urandom`, by which aioquic makes connection IDs."""
    nonce, number = os.urandom(n_bytes), _site.get(b"")
    if n_bytes != ID_BYTES or not number:
        return nonce
    return bytes([ID_BYTES - 1]) + number + nonce[1 + len(number) :]


def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def answer() -> None:
        while data := await reader.read(1 << 12):
            writer.write(data)

    task = asyncio.get_running_loop().create_task(answer())
    _echoing.add(task)
    task.add_done_callback(_echoing.discard)


_echoing: Final[set[asyncio.Task[None]]] = set()


async def run(plan: QuicPlan, stop_fd: int) -> None:
    """Serve until `stop_fd` has been closed at its other end."""
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=[ALPN],
        connection_id_length=ID_BYTES,
        idle_timeout=_IDLE_S,
    )
    chain = load_pem_x509_certificates(plan.certificate.encode())
    configuration.certificate, *configuration.certificate_chain = chain
    configuration.private_key = load_pem_private_key(plan.key.encode(), password=None)
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    family = socket.AF_INET6 if ":" in plan.address else socket.AF_INET
    for namespace, number in plan.sites:
        with entered(namespace):
            sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.bind((plan.address, plan.port))
        name = number.to_bytes(plan.site_bytes, "big")
        make = partial(SiteServer, name, configuration=configuration, stream_handler=_echo)
        await loop.create_datagram_endpoint(make, sock=sock)
    loop.add_reader(stop_fd, stopped.set)
    say({"ready": len(plan.sites)})
    await stopped.wait()


def main() -> None:
    engine.os = SimpleNamespace(urandom=_urandom)  # type: ignore[assignment,attr-defined]  # it has no generator of its own to set
    asyncio.run(run(parse_quic_plan("".join(first_line(0))), 0))


if __name__ == "__main__":
    main()
