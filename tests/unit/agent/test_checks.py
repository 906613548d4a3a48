"""The checks against real sockets of this machine's loopback."""

import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.rrset
import pytest

from ridgeline.agent.checks.dns import Question
from ridgeline.agent.checks.engine import Engine
from ridgeline.agent.checks.plan import (
    AddressCheck,
    Check,
    DnsCheck,
    ExecCheck,
    HttpCheck,
    PlannedCheck,
    ProcessCheck,
    TcpCheck,
)
from ridgeline.agent.checks.secure import certificate_end
from ridgeline.agent.health import Round

HERE = ip_address("127.0.0.1")
ELSEWHERE = ip_address("192.0.2.53")


PATIENCE_S = 10.0
"""What takes milliseconds, on a machine with other work."""


def plan(check: Check, timeout: float = PATIENCE_S, interval: float = 60.0) -> PlannedCheck:
    return PlannedCheck(
        name="it", service="it", check=check, interval=interval, timeout=timeout, rise=1, fall=1
    )


async def first_round(check: Check, within: float = PATIENCE_S) -> Round:
    found: asyncio.Future[Round] = asyncio.get_running_loop().create_future()

    def report(_: str, outcome: Round) -> None:
        if not found.done():
            found.set_result(outcome)

    engine = Engine([plan(check, within)], report, lambda: 0.0)
    engine.start()
    try:
        async with asyncio.timeout(60):
            return await found
    finally:
        engine.stop()


def look(check: Check, timeout: float = PATIENCE_S) -> Round:
    return asyncio.run(first_round(check, timeout))


async def served(
    answer: bytes, make: Callable[[int], Check], *, delay: float = 0.0, within: float = PATIENCE_S
) -> Round:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        await asyncio.sleep(delay)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, str(HERE), 0)
    async with server:
        outcome = await first_round(make(server.sockets[0].getsockname()[1]), within)
        await asyncio.sleep(delay)  # until the server has had its say
        return outcome


def http(port: int, **wishes: object) -> HttpCheck:
    return HttpCheck(address=HERE, port=port, host="example.test", **wishes)  # type: ignore[arg-type] # a test's shorthand


@pytest.mark.parametrize(
    ("answer", "wishes", "ok", "shared"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhello", {}, True, False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", {"status": (204,)}, True, False),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", {"body": "hell"}, True, False),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", {"body": "heaven"}, False, False),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", {}, False, True),
        (b"HTTP/1.1 500 No\r\n\r\n", {}, False, False),
        (b"SSH-2.0-OpenSSH_9.2\r\n", {}, False, False),
        (b"", {}, False, False),
    ],
)
def test_an_http_answer(answer: bytes, wishes: dict[str, object], ok: bool, shared: bool) -> None:
    outcome = asyncio.run(served(answer, lambda port: http(port, **wishes)))
    assert (outcome.ok, outcome.shared) == (ok, shared), outcome.reason


def test_an_http_server_that_is_too_slow() -> None:
    outcome = asyncio.run(served(b"HTTP/1.1 200 OK\r\n\r\n", http, delay=2, within=0.1))
    assert not outcome.ok
    assert outcome.reason == "no answer within 100 ms"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind((str(HERE), 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda port: TcpCheck(address=HERE, port=port),
        http,
        lambda port: DnsCheck(address=HERE, port=port, name=".", type="NS"),
        lambda port: DnsCheck(address=HERE, port=port, name=".", type="NS", transport="tcp"),
        lambda port: DnsCheck(address=HERE, port=port, name=".", type="NS", transport="tls"),
    ],
)
def test_where_nothing_listens_the_failure_is_told_at_once(make: Callable[[int], Check]) -> None:
    start = time.monotonic()
    outcome = look(make(closed_port()))
    assert not outcome.ok
    assert "nothing listens" in outcome.reason
    assert time.monotonic() - start < PATIENCE_S / 2


@pytest.mark.parametrize(
    "check",
    [
        AddressCheck(address=ELSEWHERE),
        TcpCheck(address=ELSEWHERE, port=80),
        DnsCheck(address=ELSEWHERE, name=".", type="NS"),
        DnsCheck(address=ELSEWHERE, name=".", type="NS", transport="tls"),
        HttpCheck(address=ELSEWHERE, host="example.test"),
    ],
)
def test_an_address_that_is_not_on_this_machine_is_never_asked(check: Check) -> None:
    outcome = look(check)
    assert not outcome.ok
    assert outcome.reason == "the address is not on this machine"


def test_an_address_that_is_on_this_machine() -> None:
    assert look(AddressCheck(address=HERE)).ok


def answer_to(query: bytes, **wishes: int) -> bytes:
    message = dns.message.make_response(dns.message.from_wire(query))
    message.flags |= dns.flags.AA
    message.set_rcode(dns.rcode.Rcode(wishes.get("rcode", 0)))
    if wishes.get("records", 1):
        name = message.question[0].name
        message.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.80"))
    return message.to_wire()


@pytest.mark.parametrize(
    ("wishes", "check", "ok", "reason"),
    [
        ({}, {}, True, "answers NOERROR"),
        ({}, {"flags": ("aa",)}, True, "answers NOERROR"),
        ({}, {"flags": ("aa", "ad")}, False, "the answer lacks the flag ad"),
        ({}, {"answer": r"^192\.0\.2\."}, True, "answers as expected"),
        ({}, {"answer": "203"}, False, "answers 192.0.2.80, and nothing of it is '203'"),
        ({"records": 0}, {}, False, "the answer is empty"),
        ({"rcode": 5}, {}, False, "answers REFUSED"),
        ({"rcode": 3, "records": 0}, {"rcodes": ("NXDOMAIN",)}, True, "answers NXDOMAIN"),
    ],
)
def test_a_dns_answer(
    wishes: dict[str, int], check: dict[str, tuple[str, ...]], ok: bool, reason: str
) -> None:
    made = DnsCheck(address=HERE, name="www.Example.test.", type="A", **check)  # type: ignore[arg-type] # a test's shorthand
    question = Question.of(made)
    outcome = question.judge(answer_to(b"\x12\x34" + question.tail, **wishes))
    assert (outcome.ok, outcome.reason) == (ok, reason)


def test_servfail_is_a_shared_failure_and_an_answer_to_another_question_none_at_all() -> None:
    question = Question.of(DnsCheck(address=HERE, name="a.test.", type="A"))
    other = Question.of(DnsCheck(address=HERE, name="b.test.", type="A"))
    query = b"\0\0" + question.tail
    assert question.judge(answer_to(query, rcode=2)).shared
    assert not other.judge(answer_to(query)).ok
    assert not question.judge(query).ok
    for length in range(12 + question.n_question):
        assert not question.judge(answer_to(query)[:length]).ok


def udp_server(
    reply: Callable[[bytes], bytes],
) -> Callable[[], Awaitable[tuple[int, Callable[[], None]]]]:
    async def start() -> tuple[int, Callable[[], None]]:
        class Server(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = transport

            def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
                cast("asyncio.DatagramTransport", self.transport).sendto(reply(data), addr)

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Server, local_addr=(str(HERE), 0))
        return transport.get_extra_info("sockname")[1], transport.close

    return start


def test_dns_over_udp_and_an_answer_with_another_id() -> None:
    async def run(reply: Callable[[bytes], bytes], within: float) -> Round:
        port, close = await udp_server(reply)()
        try:
            check = DnsCheck(address=HERE, port=port, name="a.test.", type="A")
            return await first_round(check, within)
        finally:
            close()

    assert asyncio.run(run(answer_to, PATIENCE_S)).ok
    forged = asyncio.run(run(lambda q: bytes([q[0] ^ 1]) + answer_to(q)[1:], 0.1))
    assert forged.reason == "no answer within 100 ms"


def test_dns_over_tcp() -> None:
    question = Question.of(DnsCheck(address=HERE, name="a.test.", type="A"))
    wire = answer_to(b"\0\0" + question.tail)
    outcome = asyncio.run(
        served(
            len(wire).to_bytes(2, "big") + wire,
            lambda p: DnsCheck(address=HERE, port=p, name="a.test.", type="A", transport="tcp"),
        )
    )
    assert outcome.ok


def script(tmp_path: Path, text: str) -> ExecCheck:
    path = tmp_path / "check.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return ExecCheck(command=(str(path),))


def test_a_program_that_succeeds_or_fails_with_its_last_words(tmp_path: Path) -> None:
    assert look(script(tmp_path, "exit 0")).ok
    outcome = look(script(tmp_path, "echo one; echo zone is stale >&2; exit 3"))
    assert outcome.reason == "ends with status 3: zone is stale"
    assert "cannot be run" in look(ExecCheck(command=("/no/such/check",))).reason


def test_a_program_that_forks_ignores_sigterm_and_hangs_is_killed_whole(tmp_path: Path) -> None:
    marker = tmp_path / "pids"
    text = f"trap '' TERM; (trap '' TERM; echo $$ >> {marker}; sleep 60) & sleep 60"
    outcome = look(script(tmp_path, text), timeout=0.2)
    assert "no answer within 200 ms" in outcome.reason
    wait_for_no_children(tmp_path)


def test_what_a_program_leaves_behind_is_killed_too(tmp_path: Path) -> None:
    assert look(
        script(
            tmp_path,
            f"(exec {sys.executable} -c 'import time; time.sleep(60)' {tmp_path}) & exit 0",
        )
    ).ok
    wait_for_no_children(tmp_path)


def test_a_program_that_prints_100_megabytes_is_ended(tmp_path: Path) -> None:
    start = time.monotonic()
    outcome = look(script(tmp_path, "head -c 100000000 /dev/zero; sleep 60"))
    assert "printed more than 64 kB" in outcome.reason
    assert time.monotonic() - start < PATIENCE_S / 2


def wait_for_no_children(folder: Path) -> None:
    """What was killed takes a moment to be gone."""
    deadline = time.monotonic() + PATIENCE_S
    while left := children_with(str(folder)):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def children_with(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if word in line and "pytest" not in line:
            found.append(line)
    return found


def test_the_end_of_a_process_is_told_between_rounds(tmp_path: Path) -> None:
    async def run() -> tuple[list[Round], float]:
        process = await asyncio.create_subprocess_exec("sleep", "60")
        pidfile = tmp_path / "pid"
        pidfile.write_text(f"{process.pid}\n")
        found: list[Round] = []
        told = asyncio.Event()

        def report(_: str, outcome: Round) -> None:
            found.append(outcome)
            if not outcome.ok:
                told.set()

        engine = Engine([plan(ProcessCheck(pidfile=str(pidfile)))], report, lambda: 0.0)
        engine.start()
        while not found:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
        killed = time.monotonic()
        process.kill()
        async with asyncio.timeout(PATIENCE_S):
            await told.wait()
        took = time.monotonic() - killed
        engine.stop()
        await process.wait()
        return found, took

    found, took = asyncio.run(run())
    assert [outcome.ok for outcome in found] == [True, False]
    assert found[-1].final
    assert took < PATIENCE_S, "the next round comes after a minute"


def test_a_dead_process_that_nobody_has_collected_does_not_count_as_running(tmp_path: Path) -> None:
    import subprocess

    process = subprocess.Popen(["true"])
    pidfile = tmp_path / "pid"
    pidfile.write_text(f"{process.pid}\n")
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    outcome = look(ProcessCheck(pidfile=str(pidfile)))
    process.wait()
    assert (outcome.ok, outcome.final) == (False, True)


def test_when_a_certificate_ends(tmp_path: Path) -> None:
    import shutil
    import ssl
    import subprocess

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 20"
    files = ["-subj", "/CN=example.test", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *files], cwd=tmp_path, check=True, capture_output=True)
    der = ssl.PEM_cert_to_DER_cert((tmp_path / "cert.pem").read_text())
    left = certificate_end(der) - datetime.now(UTC)
    assert 19 <= left.days <= 20
    with pytest.raises(ValueError, match="this is no X"):
        certificate_end(der[:40])

    async def serve(expiry: float) -> Round:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, str(HERE), 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await first_round(http(port, tls=True, expiry=expiry))

    assert asyncio.run(serve(7 * 86400.0)).ok
    assert "the certificate ends" in asyncio.run(serve(30 * 86400.0)).reason


def test_a_check_that_cannot_even_begin_says_so_each_time_and_blames_no_service() -> None:
    said: list[Round] = []

    async def run() -> None:
        thrice = asyncio.Event()

        def report(_: str, outcome: Round) -> None:
            said.append(outcome)
            if len(said) == 3:
                thrice.set()

        engine = Engine([plan(ExecCheck(command=("no\0name",)), interval=0.01)], report)
        engine.start()
        try:
            await asyncio.wait_for(thrice.wait(), PATIENCE_S)
        finally:
            engine.stop()

    asyncio.run(run())
    assert all(not outcome.ok and outcome.shared for outcome in said)
    assert said[0].reason == "the check itself failed: ValueError: embedded null byte"
