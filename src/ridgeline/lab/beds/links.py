"""Two hosts and many links between them: the smallest lab, to test and measure links with.

The far host answers pings in its kernel, so a round trip here is two passes of the link and no
process's reaction time.
"""

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Final

from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.netlink import LOOPBACK, Batch, VethEnd
from ridgeline.lab.links.delay import LinkPlan, LinkShape, Wires

_FIRST_INDEX: Final = 10
_FOUR: Final = int(IPv4Address("198.18.0.0"))  # RFC 2544
_SIX: Final = int(IPv6Address("2001:2::"))  # RFC 5180
_SYSCTLS: Final = {
    "net.ipv4.ping_group_range": "0 0",
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv4.icmp_msgs_per_sec": 1_000_000,
}
_ECHO_REQUEST: Final = {socket.AF_INET: 8, socket.AF_INET6: 128}  # RFC 792, RFC 4443
_PROTOCOL: Final = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_SO_TIMESTAMPNS: Final = 35


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPair:
    """Hosts a and b; link number k is interface ``l{k}`` on both, its name is ``l{k}``."""

    a: NetworkNamespace
    b: NetworkNamespace
    wires: Wires
    n_links: int

    def link(self, number: int) -> str:
        return f"l{number}"

    def index(self, number: int) -> int:
        """Interface index of a link, the same on both hosts."""
        return _FIRST_INDEX + number

    def address(self, number: int, end: int, *, ipv6: bool = False) -> str:
        """Address of end 0 (host a) or 1 (host b) of a link."""
        return str((_six if ipv6 else _four)(number, end).ip)


@contextmanager
def host_pair(wires: Wires, shapes: Sequence[LinkShape]) -> Iterator[HostPair]:
    """Build two hosts with a link of each shape between them; closes `wires` at the end too."""
    with wires:
        a, b = NetworkNamespace.create(_SYSCTLS), NetworkNamespace.create(_SYSCTLS)
        try:
            pair = HostPair(a=a, b=b, wires=wires, n_links=len(shapes))
            wires.build(
                [
                    LinkPlan(
                        name=pair.link(number),
                        a=_end(pair, number, 0),
                        b=_end(pair, number, 1),
                        shape=shape,
                    )
                    for number, shape in enumerate(shapes)
                ]
            )
            for end, host in enumerate((a, b)):
                _configure(host, end, len(shapes))
            wait_for_links(pair, up=True)
            yield pair
        finally:
            a.close()
            b.close()


def wait_for_links(
    pair: HostPair, *, up: bool, links: Sequence[int] | None = None, seconds: float = 30.0
) -> float:
    """Wait until both hosts have noticed that these links are up, or down; how long it took."""
    numbers = range(pair.n_links) if links is None else links
    began = time.monotonic()
    with Batch(pair.a) as a, Batch(pair.b) as b:
        while True:
            seen = [batch.links()[pair.index(number)] for batch in (a, b) for number in numbers]
            took = time.monotonic() - began
            if all(link.running is up for link in seen):
                return took
            if took > seconds:
                state = ", ".join(f"{link.name} {link.running}" for link in seen)
                raise TimeoutError(f"links are not {'up' if up else 'down'}: {state}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pings:
    """What came back."""

    sent: int
    answers: tuple[tuple[int, float], ...]
    """Link and round trip in ms, by the kernel's time stamps, in the order of arrival."""

    @property
    def rtts_ms(self) -> list[float]:
        return [rtt_ms for _, rtt_ms in self.answers]


def ping(
    pair: HostPair,
    *,
    links: Sequence[int] | None = None,
    per_second: float = 10.0,
    seconds: float = 1.0,
    patience: float = 2.0,
    size: int = 16,
    ipv6: bool = False,
) -> Pings:
    """Ping from a to b over all links at once, evenly spread, `per_second` on each link."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    numbers = range(pair.n_links) if links is None else links
    with entered(pair.a):
        sockets = [
            socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _PROTOCOL[family])
            for _ in numbers
        ]
    poll = select.poll()
    by_fd: dict[int, tuple[int, socket.socket]] = {}
    for number, sock in zip(numbers, sockets, strict=True):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        sock.connect((pair.address(number, 1, ipv6=ipv6), 0))
        poll.register(sock, select.POLLIN)
        by_fd[sock.fileno()] = number, sock
    header = struct.pack("!BBHHH", _ECHO_REQUEST[family], 0, 0, 0, 0)
    padding = bytes(max(0, size - 16))
    n_pings = round(per_second * seconds * len(sockets))
    step = seconds / n_pings
    began = time.monotonic()
    sent, answers = 0, list[tuple[int, float]]()
    try:
        while time.monotonic() < began + seconds + patience and len(answers) < n_pings:
            while sent < n_pings and began + sent * step <= time.monotonic():
                stamp = struct.pack("=q", time.time_ns())
                sockets[sent % len(sockets)].send(header + stamp + padding)
                sent += 1
            pause = began + sent * step - time.monotonic() if sent < n_pings else 0.01
            for fd, _ in poll.poll(max(0.0, pause * 1000)):
                number, sock = by_fd[fd]
                answers.extend((number, rtt_ms) for rtt_ms in _read_rtts(sock))
    finally:
        for sock in sockets:
            sock.close()
    return Pings(sent=sent, answers=tuple(answers))


def tcp_bits_per_second(pair: HostPair, *, seconds: float, ipv6: bool = False) -> float:
    """Push zeros from a to b over link 0 for a while; count what arrives."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    with entered(pair.b):
        listener = socket.socket(family, socket.SOCK_STREAM)
    with entered(pair.a):
        sender = socket.socket(family, socket.SOCK_STREAM)
    with listener, sender:
        listener.bind((pair.address(0, 1, ipv6=ipv6), 5001))
        listener.listen()
        sender.settimeout(30)
        sender.connect(listener.getsockname()[:2])
        receiver, _ = listener.accept()
        until = time.monotonic() + seconds
        thread = threading.Thread(target=_push, args=(sender, until))
        thread.start()
        got, buffer = 0, bytearray(1 << 20)
        with receiver:
            receiver.settimeout(seconds)
            with suppress(TimeoutError):
                while time.monotonic() < until:
                    got += receiver.recv_into(buffer)
        thread.join()
    return got * 8 / seconds


def _push(sender: socket.socket, until: float) -> None:
    zeros = bytes(1 << 20)
    try:
        while time.monotonic() < until:
            sender.send(zeros)
    except OSError:  # the receiver has seen enough
        return


def _read_rtts(sock: socket.socket) -> Iterator[float]:
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(70_000, 64)
        except BlockingIOError:
            return
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        (stamp,) = struct.unpack_from("=q", data, 8)
        yield (seconds * 1_000_000_000 + nanoseconds - stamp) / 1e6


def _end(pair: HostPair, number: int, end: int) -> VethEnd:
    return VethEnd(
        name=pair.link(number),
        namespace=(pair.a, pair.b)[end],
        index=pair.index(number),
        mac=_mac(number, end),
    )


def _configure(host: NetworkNamespace, end: int, n_links: int) -> None:
    with Batch(host) as batch:
        batch.up(LOOPBACK)
        for number in range(n_links):
            index = _FIRST_INDEX + number
            batch.up(index)
            for make in (_four, _six):
                batch.address(index, make(number, end))
                batch.neighbour(index, make(number, 1 - end).ip, _mac(number, 1 - end))


def _four(number: int, end: int) -> IPv4Interface:
    return IPv4Interface((_FOUR + 2 * number + end, 31))


def _six(number: int, end: int) -> IPv6Interface:
    return IPv6Interface((_SIX + 2 * number + end, 127))


def _mac(number: int, end: int) -> bytes:
    return struct.pack("!HI", 0x0200, 2 * number + end)  # locally administered (IEEE 802)
