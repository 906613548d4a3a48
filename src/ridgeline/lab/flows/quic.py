"""A QUIC session of `run`: one stream, over which the same is asked again and again."""

import asyncio
import socket
import ssl
from typing import Final

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from ridgeline.lab.flows.quic_sites import ALPN
from ridgeline.lab.kernel.namespaces import entered

_IDLE_S: Final = 60.0
"""For how long the client itself is patient; what hangs is counted long before."""


class QuicTalk:
    """An open connection to whichever site answers."""

    def __init__(self, protocol: QuicConnectionProtocol, transport: asyncio.BaseTransport) -> None:
        self._protocol = protocol
        self._transport = transport
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: bytes) -> None:
        """Send something and wait until it has come back."""
        if self._stream is None:
            self._stream = await self._protocol.create_stream()
        reader, writer = self._stream
        writer.write(question)
        if await reader.readexactly(len(question)) != question:
            raise ValueError("not what was sent")

    def close(self) -> None:
        """Forget it, without a word to the other side."""
        self._transport.close()


async def open_quic(namespace: int, address: str, port: int) -> QuicTalk:
    """Connect from a network namespace."""
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=[ALPN],
        server_name=address,
        verify_mode=ssl.CERT_NONE,  # what is measured is whether the session lives
        idle_timeout=_IDLE_S,
    )
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with entered(namespace):
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.bind(("", 0))
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: QuicConnectionProtocol(QuicConnection(configuration=configuration)), sock=sock
    )
    try:
        # As the kernel writes the sender of an answer: aioquic compares the two.
        protocol.connect((address, port, 0, 0) if family == socket.AF_INET6 else (address, port))
        await protocol.wait_connected()
    except BaseException:
        transport.close()
        raise
    return QuicTalk(protocol, transport)
