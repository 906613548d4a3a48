"""Do the ten surfaces that name a site agree, while sites fail and heal?

Every client asks all ten at once, again and again. A round in which they differ is a disagreement
unless a route change passed through it: then the client's rounds before and after it name one site
each, not the same, and the round names no third.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1])]

import dns.edns
import dns.exception
import dns.message
import dns.rdataclass
import dns.rdatatype
from results import figure

from ridgeline.app.lab import bring_up
from ridgeline.app.probe_lab import LabPoint, LabPoints
from ridgeline.lab.control import take_down
from ridgeline.render.identity import TRACE_PATH, WHOAMI_ZONE

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo" / "ridgeline.yaml"
DNS, RESOLVER, WEB = "192.0.2.53", "192.0.2.1", "192.0.2.80"
PATIENCE_S = 1.0
EVENTS = (("lhr", "withdraw"), ("nrt", "link"), ("gru", "crash"), ("iad", "withdraw"))

Ask = Callable[[LabPoint], Awaitable[str | None]]


@dataclass
class Tally:
    """What was seen."""

    answers: int = 0
    unanswered: int = 0
    moved: int = 0
    """Rounds through which a route change passed."""
    disagreements: list[str] = field(default_factory=list)


def nsid(message: dns.message.Message) -> str | None:
    for option in message.options:
        if isinstance(option, dns.edns.NSIDOption):
            return option.nsid.decode()
    return None


def text(message: dns.message.Message) -> str | None:
    for rrset in message.answer:
        if rrset.rdtype == dns.rdatatype.TXT:
            return b"".join(rrset[0].strings).decode()
    return None


def dns_surface(
    server: str, name: str, read: Callable[[dns.message.Message], str | None], **query: Any
) -> Ask:
    question = dns.message.make_query(name, query.pop("rdtype", "TXT"), **query)
    if read is nsid:
        question.use_edns(0, options=[dns.edns.NSIDOption(b"")])
    tail = question.to_wire()[2:]

    async def ask(client: LabPoint) -> str | None:
        loop = asyncio.get_running_loop()
        with client.make(socket.AF_INET, socket.SOCK_DGRAM, 0) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (server, 53))
            head = secrets.token_bytes(2)
            await loop.sock_sendall(sock, head + tail)
            while not (wire := await loop.sock_recv(sock, 4096)).startswith(head):
                pass
        return read(dns.message.from_wire(wire))

    return ask


def http_surface(path: str, read: Callable[[str], str | None]) -> Ask:
    request = f"GET {path} HTTP/1.1\r\nHost: www.example.test\r\nConnection: close\r\n\r\n".encode()

    async def ask(client: LabPoint) -> str | None:
        loop = asyncio.get_running_loop()
        with client.make(socket.AF_INET, socket.SOCK_STREAM, 0) as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, (WEB, 80))
            await loop.sock_sendall(sock, request)
            answer = b""
            while data := await loop.sock_recv(sock, 1 << 16):
                answer += data
        return read(answer.decode("latin-1"))

    return ask


def after(mark: str, stop: str) -> Callable[[str], str | None]:
    """Read what stands between a mark, in any case, and what ends it."""

    def read(answer: str) -> str | None:
        at = answer.lower().find(mark)
        return answer[at + len(mark) :].split(stop, 1)[0].strip() if at >= 0 else None

    return read


SURFACES: dict[str, Ask] = {
    "dns NSID": dns_surface(DNS, "example.test", nsid, rdtype="SOA"),
    "dns id.server": dns_surface(DNS, "id.server", text, rdclass=dns.rdataclass.CH),
    "dns hostname.bind": dns_surface(DNS, "hostname.bind", text, rdclass=dns.rdataclass.CH),
    "dns whoami": dns_surface(DNS, WHOAMI_ZONE, text),
    "resolver NSID": dns_surface(RESOLVER, "example.test", nsid, rdtype="SOA"),
    "resolver id.server": dns_surface(RESOLVER, "id.server", text, rdclass=dns.rdataclass.CH),
    "resolver whoami": dns_surface(RESOLVER, WHOAMI_ZONE, text),
    "web X-Served-By": http_surface("/", after("\r\nx-served-by:", "\r\n")),
    "web anycast-trace": http_surface(TRACE_PATH, after("\r\n\r\nsite=", "\n")),
    "web Cache-Status": http_surface("/", after("\r\ncache-status:", ".")),
}


async def one(ask: Ask, client: LabPoint) -> str | None:
    with contextlib.suppress(OSError, TimeoutError, dns.exception.DNSException):
        async with asyncio.timeout(PATIENCE_S):
            return await ask(client)
    return None


async def watch(client: LabPoint, stop: asyncio.Event, tally: Tally) -> None:
    """Ask all surfaces round after round, and judge each round by its neighbours."""
    rounds: list[dict[str, str | None]] = []
    while not stop.is_set():
        sites = await asyncio.gather(*(one(ask, client) for ask in SURFACES.values()))
        rounds.append(dict(zip(SURFACES, sites, strict=True)))
        tally.answers += sum(site is not None for site in sites)
        tally.unanswered += sites.count(None)
    named = [{site for site in each.values() if site} for each in rounds]
    for at, sites_named in enumerate(named):
        if len(sites_named) < 2:
            continue
        before = next((s for s in reversed(named[:at]) if len(s) == 1), None)
        later = next((s for s in named[at + 1 :] if len(s) == 1), None)
        if before and later and before != later and sites_named == before | later:
            tally.moved += 1
        else:
            tally.disagreements.append(f"{client.name}: {rounds[at]}")


async def sample(points: LabPoints, wanted: int) -> Tally:
    tally, stop = Tally(), asyncio.Event()
    watching = [asyncio.create_task(watch(client, stop, tally)) for client in points.clients()]

    async def break_and_mend() -> None:
        while tally.answers < wanted:
            for site, how in EVENTS:
                await asyncio.to_thread(points.ask, "fail", site=site, how=how)
                await asyncio.to_thread(points.ask, "heal", site=site)
                print(f"  {tally.answers:,} answers", file=sys.stderr, flush=True)
                if tally.answers >= wanted:
                    return

    await break_and_mend()
    stop.set()
    await asyncio.gather(*watching)
    return tally


@contextmanager
def lab() -> Iterator[LabPoints]:
    name = f"bench-{os.getpid()}"
    bring_up(str(EXAMPLE), internet="builtin:demo", name=name, progress=lambda _: None)
    try:
        points = LabPoints(name)
        with contextlib.closing(points):
            yield points
    finally:
        take_down(name)


def figures(wanted: int = 100_000) -> dict[str, dict[str, Any]]:
    assert all(ip_address(server).is_private for server in (DNS, RESOLVER, WEB))
    with lab() as points:
        tally = asyncio.run(sample(points, wanted))
    for line in tally.disagreements[:10]:
        print(line, file=sys.stderr)
    return {
        "surfaces_compared": figure(len(SURFACES), "surfaces", at_least=10),
        "surfaces_answers": figure(tally.answers, "answers", at_least=wanted),
        "surfaces_unanswered": figure(tally.unanswered, "answers"),
        "surfaces_rounds_moved": figure(tally.moved, "rounds"),
        "surfaces_disagreements": figure(len(tally.disagreements), "rounds", at_most=0),
    }


if __name__ == "__main__":
    from results import publish

    sys.exit(
        0 if publish("services-surfaces", figures(int((sys.argv[1:] or ["100000"])[0]))) else 1
    )
