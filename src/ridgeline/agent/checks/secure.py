"""Checks inside TLS: HTTPS and DNS over TLS (RFC 7858), and when the certificate ends.

The certificate's chain is not verified: the check is of this server, by its address, and what a
client would think of the name is another question. Its end is looked at where asked for.
"""

import asyncio
import ssl
from datetime import UTC, datetime
from typing import Final

from ridgeline.agent.checks.base import Done, failed, local_socket
from ridgeline.agent.checks.dns import Question
from ridgeline.agent.checks.plan import DnsCheck, HttpCheck
from ridgeline.agent.checks.stream import (
    MAX_BYTES,
    Read,
    dns_reader,
    dns_request,
    http_reader,
    http_request,
)
from ridgeline.agent.health import Round

_SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17
_VERSION: Final = 0xA0


class TlsChecker:
    """One conversation inside TLS, in a task of its own."""

    def __init__(self, check: DnsCheck | HttpCheck) -> None:
        self._check = check
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._expiry = 0.0
        self._request: bytes
        self._read: Read
        if isinstance(check, HttpCheck):
            self._request, self._read = http_request(check), http_reader(check)
            self._expiry = check.expiry
        else:
            question = Question.of(check)
            self._request, self._read = dns_request(question), dns_reader(question)
        self._task: asyncio.Task[None] | None = None

    def begin(self, done: Done) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(done))

    def abandon(self, reason: str) -> Round:
        self.close()
        return Round(ok=False, reason=reason)

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, done: Done) -> None:
        try:
            outcome = await self._converse()
        except ssl.SSLError as error:
            outcome = Round(ok=False, reason=f"TLS: {error.reason or error}")
        except OSError as error:
            outcome = failed(error)
        done(outcome)

    async def _converse(self) -> Round:
        import socket

        check = self._check
        loop = asyncio.get_running_loop()
        opened = local_socket(check.address, socket.SOCK_STREAM)
        try:
            await loop.sock_connect(opened, (str(check.address), check.port))
        except BaseException:
            opened.close()
            raise
        # From here on the socket is the transport's: who closed it would close another's later.
        name = check.host if isinstance(check, HttpCheck) else None
        reader, writer = await asyncio.open_connection(
            sock=opened, ssl=self._context, server_hostname=name or "", limit=MAX_BYTES
        )
        try:
            ends = self._look_at_certificate(writer)
            if ends is not None:
                return ends
            writer.write(self._request)
            data = b""
            while True:
                more = await reader.read(MAX_BYTES)
                data += more
                verdict = self._read(data, not more or len(data) >= MAX_BYTES)
                if verdict is not None:
                    return verdict
                if not more or len(data) >= MAX_BYTES:
                    return Round(ok=False, reason="the answer ends too early")
        finally:
            writer.transport.abort()

    def _look_at_certificate(self, writer: asyncio.StreamWriter) -> Round | None:
        if not self._expiry:
            return None
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        ends = certificate_end(der)
        left = (ends - datetime.now(UTC)).total_seconds()
        if left >= self._expiry:
            return None
        return Round(ok=False, reason=f"the certificate ends {ends:%Y-%m-%d %H:%M} UTC")


def certificate_end(der: bytes) -> datetime:
    """Read when an X.509 certificate ends (RFC 5280, section 4.1: Validity, notAfter).

    Raises
    ------
    ValueError
        It is no certificate.
    """
    try:
        _, outer, _ = _value(der, 0)
        _, body, _ = _value(outer, 0)
        at = 0
        if body[0] == _VERSION:
            _, _, at = _value(body, at)
        for _ in range(3):  # serial number, signature algorithm, issuer
            _, _, at = _value(body, at)
        _, validity, _ = _value(body, at)
        _, _, at = _value(validity, 0)
        tag, text, _ = _value(validity, at)
    except IndexError:
        raise ValueError("this is no X.509 certificate") from None
    form = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text.decode("ascii"), form).replace(tzinfo=UTC)


def _value(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Read one DER element: (tag, contents, where the next one starts)."""
    tag, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        n = length & 0x7F
        length = int.from_bytes(data[at : at + n], "big")
        at += n
    if at + length > len(data):
        raise IndexError(at)
    return tag, data[at : at + length], at + length
