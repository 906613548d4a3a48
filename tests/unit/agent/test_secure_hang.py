"""A TLS round that is cut off costs its own check, and no other."""

import asyncio
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from ridgeline.agent.checks.plan import HttpCheck
from ridgeline.agent.checks.secure import TlsChecker
from ridgeline.agent.health import Round
from ridgeline.lab.material.certificates import Authority


def test_a_round_cut_off_when_hands_are_just_shaken_leaves_its_descriptor_alone(
    tmp_path: Path,
) -> None:
    """The kernel gives a closed descriptor to the next socket: nobody may still read from it."""
    address = ip_address("127.0.0.1")
    files = Authority("test").sign(["a.test"], [address]).write(tmp_path, "a")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    heard: list[Round] = []
    problems: list[str] = []

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def cut_off(turns: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(str(context)))
        server = await asyncio.start_server(silent, str(address), 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        checker = TlsChecker(HttpCheck(address=address, port=port, tls=True, host="a.test"))
        checker.begin(heard.append)
        for _ in range(turns):
            await asyncio.sleep(0)
        checker.abandon("too late")
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        others = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(4)]
        try:
            for other in others:
                loop.add_reader(other, lambda: None)  # refused where a transport claims it
                loop.remove_reader(other)
        finally:
            for other in others:
                other.close()

    for turns in range(1, 60):  # one of them is when the handshake has just ended
        asyncio.run(cut_off(turns))
    assert heard == []
    assert problems == []
