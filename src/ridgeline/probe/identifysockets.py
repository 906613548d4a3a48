"""Ask an address in every way who it is; each question is bounded in time and never raises."""

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ridgeline.probe.certificate import certificate_names
from ridgeline.probe.identity import (
    CERTIFICATE,
    NSID,
    TRACE_PATHS,
    WHOAMI,
    Answer,
    DnsQuestion,
    Outcome,
    dns_questions,
    read_head,
    read_http,
)
from ridgeline.probe.sockets import (
    SO_TIMESTAMPNS,
    MakeSocket,
    arrival,
    error_word,
    family_of,
    open_socket,
)

_TRIES: Final = 2
_MAX_BODY: Final = 64 * 1024
_OUTCOMES: Final = {
    errno.ECONNREFUSED: Outcome.REFUSED,
    errno.ENETUNREACH: Outcome.UNREACHABLE,
    errno.EHOSTUNREACH: Outcome.UNREACHABLE,
    errno.ENETDOWN: Outcome.UNREACHABLE,
    errno.EACCES: Outcome.UNREACHABLE,
    errno.EPERM: Outcome.UNREACHABLE,
    errno.ETIMEDOUT: Outcome.TIMEOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Whom to ask and how."""

    address: str
    host: str = ""
    """Name for HTTP and TLS; empty: the address."""
    timeout: float = 2.0
    names: tuple[str, ...] = (WHOAMI,)
    """TXT names that tell who answers."""
    dns_port: int = 53
    http_port: int = 80
    tls_port: int = 443
    make: MakeSocket = open_socket

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4


async def identify(asking: Asking, kinds: Iterable[str] = ("dns", "http", "tls")) -> list[Answer]:
    """Ask in every way of these kinds at once; the answers in a fixed order."""
    wanted = set(kinds)
    jobs = []
    if "dns" in wanted:
        questions = dns_questions(asking.names)
        jobs += [ask_dns(asking, questions, "udp"), ask_dns(asking, questions, "tcp")]
    if "http" in wanted:
        jobs.append(ask_web(asking, tls=False))
    if "tls" in wanted:
        jobs.append(ask_web(asking, tls=True))
    gathered = await asyncio.gather(*jobs)
    return [answer for answers in gathered for answer in answers]


async def ask_dns(asking: Asking, questions: Sequence[DnsQuestion], transport: str) -> list[Answer]:
    """Ask questions over UDP or TCP; the NSID, which comes with each, is told once."""
    ask = ask_udp if transport == "udp" else ask_tcp
    pairs = await asyncio.gather(*(ask(asking, question) for question in questions))
    nsids = [nsid for _, nsid in pairs]
    best = next((a for a in nsids if a.outcome is Outcome.ANSWERED), nsids[0] if nsids else None)
    return [*([best] if best is not None else []), *(answer for answer, _ in pairs)]


async def ask_udp(asking: Asking, question: DnsQuestion) -> tuple[Answer, Answer]:
    """Ask one question over UDP: (its answer, the NSID)."""
    problem: OSError = TimeoutError()
    for _ in range(_TRIES):
        try:
            wire, rtt_ms = await _exchange(asking, question)
        except (OSError, TimeoutError) as error:
            problem = error
            if not isinstance(error, TimeoutError):
                break
        else:
            return question.answer(wire, transport="udp", version=asking.version, rtt_ms=rtt_ms)
    return _both(asking, question, "udp", problem)


async def _exchange(asking: Asking, question: DnsQuestion) -> tuple[bytes, float]:
    number = os.urandom(2)
    query = question.wire(int.from_bytes(number, "big"))
    with asking.make(family_of(asking.address), socket.SOCK_DGRAM, 0) as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.connect((asking.address, asking.dns_port))
        async with asyncio.timeout(asking.timeout):
            sent = time.monotonic()
            sock.send(query)
            while True:
                await _readable(sock)
                wire, ancillary, *_ = sock.recvmsg(65535, 256)
                if wire[:2] == number:  # anything else was not asked for
                    return wire, (arrival(ancillary) - sent) * 1000


async def _readable(sock: socket.socket) -> None:
    """Wait for a packet or an error; the kernel notes when it came."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock)


async def ask_tcp(
    asking: Asking, question: DnsQuestion, *, sock: socket.socket | None = None
) -> tuple[Answer, Answer]:
    """Ask one question over TCP (RFC 7766), or over a connection that is given."""
    try:
        async with asyncio.timeout(asking.timeout):
            reader, writer, _ = await _connect(asking, asking.dns_port, sock=sock)
            try:
                number = int.from_bytes(os.urandom(2), "big")
                query = question.wire(number)
                sent = time.monotonic()
                writer.write(len(query).to_bytes(2, "big") + query)
                wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                rtt_ms = (time.monotonic() - sent) * 1000
            finally:
                writer.close()
    except asyncio.IncompleteReadError:
        cut = Outcome.MALFORMED, "the connection ended before the answer"
        return _pair(asking, question, "tcp", *cut)
    except (OSError, TimeoutError) as error:
        return _both(asking, question, "tcp", error)
    return question.answer(wire, transport="tcp", version=asking.version, rtt_ms=rtt_ms)


async def ask_web(asking: Asking, *, tls: bool, sock: socket.socket | None = None) -> list[Answer]:
    """Ask over HTTP for the pages that tell who serves them, until one does; and the certificate."""
    transport = "tls" if tls else "http"
    found: list[Answer] = []
    for path in TRACE_PATHS:
        try:
            async with asyncio.timeout(asking.timeout * (2 if tls else 1)):
                data, names, rtt_ms = await _fetch(asking, path, tls=tls, sock=sock)
        except (OSError, TimeoutError) as error:
            outcome, detail = _describe(error)
            found.append(_answer(asking, path, transport, outcome, detail=detail))
            return found
        sock = None
        if names and not any(answer.way == CERTIFICATE for answer in found):
            found.append(
                _answer(asking, CERTIFICATE, transport, Outcome.ANSWERED, value=" ".join(names))
            )
        answers = read_http(
            data, path=path, transport=transport, version=asking.version, rtt_ms=rtt_ms
        )
        ways = {answer.way for answer in found}
        found += [answer for answer in answers if answer.way not in ways]
        if any(a.way == path and a.outcome is Outcome.ANSWERED for a in answers):
            break
    return found


async def _fetch(
    asking: Asking, path: str, *, tls: bool, sock: socket.socket | None
) -> tuple[bytes, tuple[str, ...], float]:
    """Fetch one page: (the answer as it came, names in the certificate, round trip in ms)."""
    port = asking.tls_port if tls else asking.http_port
    reader, writer, names = await _connect(asking, port, tls=tls, sock=sock)
    try:
        bracketed = f"[{asking.address}]" if asking.version == 6 else asking.address
        host = asking.host or bracketed
        sent = time.monotonic()
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ridgeline\r\n"
            "Accept: text/plain\r\nConnection: close\r\n\r\n".encode()
        )
        data, rtt_ms = b"", 0.0
        while len(data) < _MAX_BODY:
            part = await reader.read(_MAX_BODY)
            rtt_ms = rtt_ms or (time.monotonic() - sent) * 1000
            data += part
            if not part or _is_whole(data):
                break
    finally:
        writer.close()
    return data, names, rtt_ms


def _is_whole(data: bytes) -> bool:
    try:
        head, body = read_head(data)
    except ValueError:
        return False
    length = head.fields.get("content-length", "")
    return length.isascii() and length.isdigit() and len(body) >= int(length[:9])


async def _connect(
    asking: Asking, port: int, *, tls: bool = False, sock: socket.socket | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, tuple[str, ...]]:
    loop = asyncio.get_running_loop()
    mine = sock or asking.make(family_of(asking.address), socket.SOCK_STREAM, 0)
    try:
        mine.setblocking(False)
        await loop.sock_connect(mine, (asking.address, port))
        if not tls:
            return (*await asyncio.open_connection(sock=mine), ())
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the question is who answers, not who may
        name = asking.host or asking.address
        streams = await asyncio.open_connection(sock=mine, ssl=context, server_hostname=name)
    except BaseException:
        mine.close()
        raise
    shown = streams[1].get_extra_info("ssl_object")
    der = shown.getpeercert(binary_form=True) if shown is not None else None
    try:
        return (*streams, certificate_names(der) if der else ())
    except ValueError:
        return (*streams, ())


def _describe(error: BaseException) -> tuple[Outcome, str]:
    if isinstance(error, ssl.SSLError):
        return Outcome.MALFORMED, f"no TLS: {error.reason or 'garbled'}"
    if isinstance(error, TimeoutError) and not error.errno:
        return Outcome.TIMEOUT, ""
    if not isinstance(error, OSError):
        return Outcome.FAILED, type(error).__name__
    return _OUTCOMES.get(error.errno or 0, Outcome.FAILED), error_word(error)


def _both(
    asking: Asking, question: DnsQuestion, transport: str, error: BaseException
) -> tuple[Answer, Answer]:
    return _pair(asking, question, transport, *_describe(error))


def _pair(
    asking: Asking, question: DnsQuestion, transport: str, outcome: Outcome, detail: str
) -> tuple[Answer, Answer]:
    return (
        _answer(asking, question.way, transport, outcome, detail=detail),
        _answer(asking, NSID, transport, outcome, detail=detail),
    )


def _answer(
    asking: Asking,
    way: str,
    transport: str,
    outcome: Outcome,
    *,
    value: str | None = None,
    detail: str = "",
) -> Answer:
    return Answer(
        way=way,
        transport=transport,
        version=asking.version,
        outcome=outcome,
        value=value,
        detail=detail,
    )
