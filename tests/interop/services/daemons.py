"""Starting daemons for a test, waiting until they answer, and ending each by its pid."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from tests.freezing import freeze

Address = IPv4Address | IPv6Address
_PORT = 10000 + 3 * (os.getpid() % 7000)  # ::1 is one for all test processes
DNS_PORT = _PORT
HTTP_PORT = _PORT + 1
TLS_PORT = _PORT + 2


def own_address(number: int) -> IPv4Address:
    """Return a loopback address that no other test process uses."""
    return IPv4Address(f"127.{1 + (os.getpid() >> 8) % 200}.{os.getpid() & 255}.{number}")


LOOPBACK6 = ip_address("::1")


def need(*programs: str) -> None:
    """Skip the test where a program is missing."""
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")


class Daemons:
    """The daemons of one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def start(
        self, *argv: str, ready: Callable[[], bool], within: float = 30
    ) -> subprocess.Popen[bytes]:
        """Start a program and wait until it is ready."""
        need(argv[0])
        log = self._folder / f"output-{len(self._running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self._running.append(process)
        deadline = time.monotonic() + within
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                ended = process.returncode
                pytest.fail(f"{argv} (status {ended}) is not ready:\n{log.read_text()}")
            time.sleep(0.005)
        return process

    def output(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a program has printed so far."""
        return (self._folder / f"output-{self._running.index(process)}.log").read_text()

    def freeze(self, process: subprocess.Popen[bytes]) -> None:
        """Stop a program; return when all its threads have stopped."""
        freeze(process)

    def end(self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
        """End a program, by force if it must be."""
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def end_all(self) -> None:
        for process in self._running:
            self.end(process)


@contextlib.contextmanager
def running_daemons(folder: Path) -> Iterator[Daemons]:
    daemons = Daemons(folder)
    try:
        yield daemons
    finally:
        daemons.end_all()


def ask(
    server: Address,
    name: str,
    rdtype: str = "A",
    *,
    rdclass: str = "IN",
    port: int = DNS_PORT,
    payload: int = 1232,
    tcp: bool = False,
    flags: int = dns.flags.RD,
    timeout: float = 3,
) -> dns.message.Message:
    """Ask one DNS question, with NSID (RFC 5001)."""
    query = dns.message.make_query(
        name,
        rdtype,
        rdclass,
        flags=flags,
        use_edns=0,
        payload=payload,
        options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")],
    )
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, str(server), timeout=timeout, port=port)


def answers_dns(server: Address, port: int = DNS_PORT) -> Callable[[], bool]:
    """Say whether anything answers there."""

    def asked() -> bool:
        try:
            ask(server, "id.server.", "TXT", rdclass="CH", port=port, timeout=0.5)
        except (OSError, dns.exception.DNSException):
            return False
        return True

    return asked


def answers_tcp(server: Address, port: int = HTTP_PORT) -> Callable[[], bool]:
    """Say whether a connection is accepted there."""

    def connected() -> bool:
        try:
            socket.create_connection((str(server), port), timeout=1).close()
        except OSError:
            return False
        return True

    return connected


def texts(answer: dns.message.Message) -> list[str]:
    """Return the data of the answer section's records, without the names."""
    return [str(record) for rrset in answer.answer for record in rrset]


def nsid(answer: dns.message.Message) -> bytes:
    """Return the identity in the answer's NSID option; empty if it has none."""
    for option in answer.options:
        if option.otype == dns.edns.OptionType.NSID:
            return option.to_wire() or b""
    return b""


def sentence(answer: dns.message.Message) -> str:
    """Return the response code's name."""
    return dns.rcode.to_text(answer.rcode())
