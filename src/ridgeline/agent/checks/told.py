"""Ask the local service what it serves: configuration, cache policy, certificate, serials of zones.

The facts have the names that `ridgeline probe consistency` gives them. What is not told is not
there: that a service answers at all is the business of other checks.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from typing import Final

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype

from ridgeline.agent.checks.base import local_socket
from ridgeline.agent.checks.plan import ExpectedCheck
from ridgeline.agent.checks.zones import read_soa
from ridgeline.render.fingerprint import CONFIG_NAME, LENGTH, SERIAL_FACT
from ridgeline.render.identity import TRACE_PATH
from ridgeline.spec.model import ServiceKind

CERTIFICATE: Final = "certificate"
_TRACED: Final = {"config": "configuration", "policy": "cache policy"}
_MAX_BYTES: Final = 64 << 10


async def ask_told(check: ExpectedCheck, names: Iterable[str], told: dict[str, str]) -> None:
    """Ask for the facts of these names; each goes into `told` when it is known.

    It may wait for ever for what does not come; the caller sets the deadline.
    """
    wanted = set(names)
    is_web = check.kind is ServiceKind.HTTP_CACHE
    asks = []
    if is_web and wanted & set(_TRACED.values()):
        asks.append(_ask_trace(check, told))
    if not is_web and wanted:
        zones = [name.removeprefix(SERIAL_FACT) for name in wanted if name.startswith(SERIAL_FACT)]
        asks.append(_ask_names(check, zones, told))
    if check.tls and CERTIFICATE in wanted:
        asks.append(_ask_certificate(check, told))
    async with asyncio.TaskGroup() as group:
        for ask in asks:
            group.create_task(ask)


async def _ask_names(check: ExpectedCheck, zones: list[str], told: dict[str, str]) -> None:
    questions = [dns.message.make_query(zone, "SOA", flags=0).to_wire()[2:] for zone in zones]
    questions.append(dns.message.make_query(CONFIG_NAME, "TXT", flags=0).to_wire()[2:])
    loop = asyncio.get_running_loop()
    missing = set(range(len(questions)))
    with suppress(OSError), local_socket(check.asks, socket.SOCK_DGRAM) as opened:
        opened.connect((str(check.asks), 53))
        for number, question in enumerate(questions):
            opened.send(number.to_bytes(2, "big") + question)
        while missing:
            wire = await loop.sock_recv(opened, 4096)
            number = int.from_bytes(wire[:2], "big")
            if number not in missing:
                continue
            missing.remove(number)
            if number < len(zones):
                said = read_soa(wire)
                if said is not None:
                    serial = said.serial
                    rcode = dns.rcode.to_text(dns.rcode.Rcode(said.rcode))
                    told[SERIAL_FACT + zones[number]] = rcode if serial is None else str(serial)
            else:
                told.update(_read_texts(wire))


def _read_texts(wire: bytes) -> dict[str, str]:
    """Read TXT records of the form ``name=value``."""
    try:
        answer = dns.message.from_wire(wire).answer
    except dns.exception.DNSException:
        return {}
    texts = [
        b"".join(record.strings).decode(errors="replace").partition("=")
        for rrset in answer
        if rrset.rdtype == dns.rdatatype.TXT
        for record in rrset
    ]
    return {name: value for name, equals, value in texts if equals}


async def _ask_trace(check: ExpectedCheck, told: dict[str, str]) -> None:
    request = f"GET {TRACE_PATH} HTTP/1.1\r\nHost: {_host(check)}\r\nConnection: close\r\n\r\n"
    loop = asyncio.get_running_loop()
    data = b""
    with suppress(OSError), local_socket(check.asks, socket.SOCK_STREAM) as opened:
        await loop.sock_connect(opened, (str(check.asks), 80))
        await loop.sock_sendall(opened, request.encode())
        while len(data) < _MAX_BYTES and (more := await loop.sock_recv(opened, 4096)):
            data += more
    for line in data.partition(b"\r\n\r\n")[2].decode(errors="replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and key in _TRACED:
            told[_TRACED[key]] = value


async def _ask_certificate(check: ExpectedCheck, told: dict[str, str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what it shows is compared with what all shall show
    port = 443 if check.kind is ServiceKind.HTTP_CACHE else 853
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        opened = local_socket(check.asks, socket.SOCK_STREAM)
        try:
            await loop.sock_connect(opened, (str(check.asks), port))
        except BaseException:
            opened.close()
            raise
        # From here on the socket is the transport's: who closed it would close another's later.
        _, writer = await asyncio.open_connection(
            sock=opened, ssl=context, server_hostname=check.host
        )
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
            told[CERTIFICATE] = sha256(der).hexdigest()[:LENGTH]
        finally:
            writer.transport.abort()


def _host(check: ExpectedCheck) -> str:
    return check.host or (f"[{check.asks}]" if check.asks.version == 6 else str(check.asks))
