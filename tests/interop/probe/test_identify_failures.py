"""Servers that misbehave, on this machine's loopback: each failure is called what it is."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import pytest

from ridgeline.probe.identifysockets import Asking, ask_tcp, ask_udp, ask_web, identify
from ridgeline.probe.identity import Answer, DnsQuestion, Outcome

QUESTION = DnsQuestion(name="id.server", is_chaos=True)
HERE = "127.0.0.1"
PATIENCE_S = 10.0
"""What takes milliseconds, on a machine with other work."""


def response(wire: bytes) -> dns.message.Message:
    made = dns.message.make_response(dns.message.from_wire(wire))
    made.answer.append(dns.rrset.from_text("id.server.", 0, "CH", "TXT", '"nrt"'))
    return made


@contextmanager
def udp_server(reply: Callable[[bytes], list[bytes]]) -> Iterator[int]:
    """Answer every datagram with what `reply` makes of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HERE, 0))

        def serve() -> None:
            while True:
                wire, sender = sock.recvfrom(4096)
                if wire == b"end":
                    return
                for answer in reply(wire):
                    sock.sendto(answer, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            sock.sendto(b"end", sock.getsockname())
            thread.join()


@contextmanager
def tcp_server(reply: Callable[[bytes], bytes], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answer each connection once with what `reply` makes of the first data, then close it."""
    listener = socket.create_server((HERE, 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            connection, _ = listener.accept()
            try:
                with (
                    connection,
                    tls.wrap_socket(connection, server_side=True) if tls else connection as stream,
                ):
                    data = stream.recv(4096)
                    if data:
                        stream.sendall(reply(data))
            except OSError:
                continue  # a client that gives up is part of the tests

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        with socket.create_connection(listener.getsockname()):
            pass
        thread.join()
        listener.close()


def asking(port: int, timeout: float = PATIENCE_S) -> Asking:
    return Asking(address=HERE, timeout=timeout, dns_port=port, http_port=port, tls_port=port)


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind((HERE, 0))
        return int(sock.getsockname()[1])


def over_udp(reply: Callable[[bytes], list[bytes]], timeout: float = PATIENCE_S) -> Answer:
    with udp_server(reply) as port:
        return asyncio.run(ask_udp(asking(port, timeout), QUESTION))[0]


def over_tcp(reply: Callable[[bytes], bytes], timeout: float = PATIENCE_S) -> Answer:
    with tcp_server(reply) as port:
        return asyncio.run(ask_tcp(asking(port, timeout), QUESTION))[0]


def over_http(reply: bytes) -> list[Answer]:
    with tcp_server(lambda _: reply) as port:
        return asyncio.run(ask_web(asking(port), tls=False))


def truncated(wire: bytes) -> list[bytes]:
    made = response(wire)
    made.answer.clear()
    made.flags |= dns.flags.TC
    return [made.to_wire()]


def test_a_good_answer_is_told_with_its_time() -> None:
    answer = over_udp(lambda wire: [response(wire).to_wire()])
    assert (answer.outcome, answer.value) == (Outcome.ANSWERED, "nrt")
    assert answer.rtt_ms is not None
    assert 0 < answer.rtt_ms < PATIENCE_S * 1000


def test_an_answer_with_another_number_is_not_believed() -> None:
    def forge(wire: bytes) -> list[bytes]:
        forged = response(wire)
        forged.answer = [dns.rrset.from_text("id.server.", 0, "CH", "TXT", '"evil"')]
        forged.id = (forged.id + 1) & 0xFFFF
        return [forged.to_wire(), b"x", response(wire).to_wire()]

    assert over_udp(forge).value == "nrt"


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (lambda _: [], Outcome.TIMEOUT),
        (lambda wire: [wire[:2] + b"garbage"], Outcome.MALFORMED),
        (lambda wire: [wire], Outcome.MALFORMED),
        (truncated, Outcome.TRUNCATED),
    ],
    ids=["silent", "garbled", "echoed", "truncated"],
)
def test_bad_answers_over_udp(reply: Callable[[bytes], list[bytes]], outcome: Outcome) -> None:
    timeout = 0.3 if outcome is Outcome.TIMEOUT else PATIENCE_S
    assert over_udp(reply, timeout=timeout).outcome is outcome


def test_a_closed_port_refuses_over_udp_and_tcp() -> None:
    at = asking(closed_port())
    assert asyncio.run(ask_udp(at, QUESTION))[0].outcome is Outcome.REFUSED
    assert asyncio.run(ask_tcp(at, QUESTION))[0].outcome is Outcome.REFUSED
    assert asyncio.run(ask_web(at, tls=False))[0].outcome is Outcome.REFUSED
    assert asyncio.run(ask_web(at, tls=True))[0].outcome is Outcome.REFUSED


def test_tcp_answers_are_read_whole_and_cut_ones_are_malformed() -> None:
    def whole(data: bytes) -> bytes:
        wire = response(data[2:]).to_wire()
        return len(wire).to_bytes(2, "big") + wire

    assert over_tcp(whole).value == "nrt"
    assert over_tcp(lambda data: whole(data)[:-4]).outcome is Outcome.MALFORMED
    assert over_tcp(lambda _: b"").outcome is Outcome.MALFORMED


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", Outcome.RATE_LIMITED),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", Outcome.REFUSED),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Outcome.NO_RECORD),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Outcome.MALFORMED),
        (b"", Outcome.MALFORMED),
    ],
)
def test_bad_answers_over_http(reply: bytes, outcome: Outcome) -> None:
    assert {answer.outcome for answer in over_http(reply)} == {outcome}


def test_an_endless_page_is_cut() -> None:
    answers = over_http(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000)
    assert answers[0].outcome is Outcome.NO_RECORD


def test_an_address_that_this_machine_cannot_reach_is_unreachable() -> None:
    # A made-up socket whose connection the kernel refuses for want of a route.
    def no_route(family: int, kind: int, protocol: int) -> socket.socket:
        raise OSError(101, "Network is unreachable")

    at = replace(asking(53), make=no_route)
    answers = asyncio.run(identify(at))
    assert {answer.outcome for answer in answers} == {Outcome.UNREACHABLE}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path_factory.mktemp("tls") / "site.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/O=Example/CN=edge.example.test"),
            *("-addext", "subjectAltName=DNS:nrt.example.test,DNS:*.example.test,IP:192.0.2.80"),
            *("-keyout", str(path), "-out", str(path.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def test_a_certificate_that_nobody_vouches_for_still_tells_its_names(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Served-By: nrt\r\n\r\nsite=nrt\n"
    with tcp_server(lambda _: page, context) as port:
        answers = asyncio.run(ask_web(replace(asking(port), host="www.example.test"), tls=True))
    by_way = {answer.way: answer.value for answer in answers}
    assert by_way["certificate"] == "edge.example.test nrt.example.test *.example.test"
    assert by_way["/.well-known/anycast-trace"] == "nrt"


def test_a_port_that_speaks_no_tls_is_malformed() -> None:
    with tcp_server(lambda _: b"220 mail.example ESMTP\r\n") as port:
        (answer,) = asyncio.run(ask_web(asking(port), tls=True))
    assert answer.outcome is Outcome.MALFORMED
    assert "TLS" in answer.detail
