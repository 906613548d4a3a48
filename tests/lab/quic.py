"""QUIC on a node of a lab, by aioquic: servers whose connection IDs name their site.

quic.py serve ADDRESS SITE CERTIFICATE KEY   echo; SITE is the site's number
quic.py talk ADDRESS                         says, line by line, how many echoes came
quic.py certificate CERTIFICATE KEY          signs itself one
"""

import asyncio
import datetime as dt
import os
import ssl
import sys
from pathlib import Path
from types import SimpleNamespace

from aioquic.asyncio.client import connect
from aioquic.asyncio.server import serve
from aioquic.quic import connection as engine
from aioquic.quic.configuration import QuicConfiguration

PORT = 443
ID_BYTES = 8


def name_site(number: int) -> None:
    """Make connection IDs as draft-ietf-quic-load-balancers says: config 0, the site, a nonce."""

    def urandom(n: int) -> bytes:
        nonce = os.urandom(n)
        return bytes([ID_BYTES - 1, number]) + nonce[2:] if n == ID_BYTES else nonce

    engine.os = SimpleNamespace(urandom=urandom)  # type: ignore[assignment,attr-defined]  # it has no generator of its own to set


async def serve_echo(address: str, number: str, certificate: str, key: str) -> None:
    name_site(int(number))
    configuration = QuicConfiguration(
        is_client=False, alpn_protocols=["echo"], connection_id_length=ID_BYTES
    )
    configuration.load_cert_chain(certificate, key)

    def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def run() -> None:
            while data := await reader.read(100):
                writer.write(data)

        tasks.append(asyncio.create_task(run()))

    tasks: list[asyncio.Task[None]] = []
    await serve(address, PORT, configuration=configuration, stream_handler=echo)
    say("ready")
    await asyncio.Event().wait()


async def talk(address: str) -> None:
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=["echo"], verify_mode=ssl.CERT_NONE, idle_timeout=60.0
    )
    async with connect(address, PORT, configuration=configuration) as protocol:
        reader, writer = await protocol.create_stream()
        n = 0
        while True:
            writer.write(b"12345678")
            await reader.readexactly(8)
            n += 1
            say(n)
            await asyncio.sleep(0.1)


def certificate(certificate_file: str, key_file: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    Path(certificate_file).write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    Path(key_file).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "certificate":
        certificate(*words)
    else:
        asyncio.run(serve_echo(*words) if what == "serve" else talk(*words))
