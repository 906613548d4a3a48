"""When is a site's zone too old? The judgement as a table, and the checker on real sockets."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from math import inf

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from ridgeline.agent.checks.plan import ZonesCheck
from ridgeline.agent.checks.zones import Heard, Said, ZonesChecker, is_older, judge_zones
from ridgeline.agent.health import Round

ZONES = ("example.test.", "other.test.")
REFUSED, SERVFAIL = 5, 2


def heard(local: list[int | None], *peers: list[int | None], rcode: int = REFUSED) -> Heard:
    def said(serial: int | None) -> Said:
        return Said(rcode if serial is None else 0, serial)

    return Heard(
        local={number: said(serial) for number, serial in enumerate(local)},
        peers={number: [said(peer[number]) for peer in peers] for number in range(len(ZONES))},
        n_peers=len(peers),
    )


@pytest.mark.parametrize(
    ("what", "well_for", "ok", "shared"),
    [
        (heard([7, 3], [7, 3]), inf, True, False),
        (heard([8, 3], [7, 3]), inf, True, False),  # newer than a peer: the peer is late
        (heard([7, 3], [8, 3]), inf, False, False),  # never well: no grace
        (heard([7, 3], [8, 3]), 5, True, False),
        (heard([7, 3], [8, 3]), 11, False, False),
        (heard([7, 3], [6, 3], [9, 3]), 11, False, False),  # the newest of the peers counts
        (heard([7, None], [7, 3]), 5, False, False),  # not served: no grace
        (heard([7, None], [7, None]), 5, False, True),  # nobody has it
        (heard([7, None], [7, 3], rcode=SERVFAIL), 5, False, True),  # expired
        (heard([7, 3]), 5, True, False),
        (heard([7, 3]), 11, False, True),  # no peer answers: drains, never withdraws
        (heard([7, 3]), inf, False, True),
        (heard([0, 3], [2**32 - 1, 3]), inf, True, False),  # RFC 1982: 0 follows 4294967295
        (heard([2**32 - 1, 3], [0, 3]), inf, False, False),
    ],
)
def test_a_round_means(what: Heard, well_for: float, *, ok: bool, shared: bool) -> None:
    outcome = judge_zones(ZONES, what, well_for=well_for, grace=10)
    assert (outcome.ok, outcome.shared and not outcome.ok) == (ok, shared)


def test_the_reason_names_zone_and_serials() -> None:
    outcome = judge_zones(ZONES, heard([7, 3], [7, 9]), well_for=inf, grace=10)
    assert outcome.reason == "zone other.test. has serial 3, the fleet's is 9"


def test_serials_are_compared_around_the_circle() -> None:
    assert is_older(1, 2)
    assert is_older(2**32 - 1, 0)
    assert not is_older(0, 2**32 - 1)
    assert not is_older(5, 5)


class NameServer:
    """Answers SOA questions on the loopback with the serials that it is told."""

    def __init__(self, address: str, port: int) -> None:
        self.serials: dict[str, int] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                wire, client = self._socket.recvfrom(4096)
            except OSError:
                return
            if not wire:
                return
            answer = dns.message.make_response(dns.message.from_wire(wire))
            name = str(answer.question[0].name)
            if name in self.serials:
                answer.flags |= dns.flags.AA
                soa = f"ns.{name} h.{name} {self.serials[name]} 1 1 1 1"
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SOA", soa))
            else:
                answer.set_rcode(dns.rcode.REFUSED)
            self._socket.sendto(answer.to_wire(), client)

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


@pytest.fixture
def here() -> Iterator[NameServer]:
    server = NameServer("127.0.0.1", 0)
    yield server
    server.close()


@pytest.fixture
def peer(here: NameServer) -> Iterator[NameServer]:
    server = NameServer("127.0.0.2", here.port)
    yield server
    server.close()


def rounds(checker: ZonesChecker, count: int = 1) -> list[Round]:
    """Run rounds of at most 0.3 s, as the engine does."""

    async def run() -> list[Round]:
        found = []
        for _ in range(count):
            done: asyncio.Future[Round] = asyncio.get_running_loop().create_future()
            checker.begin(done.set_result)
            try:
                found.append(await asyncio.wait_for(asyncio.shield(done), 0.3))
            except TimeoutError:
                found.append(checker.abandon("no answer within 300 ms"))
        checker.close()
        return found

    return asyncio.run(run())


def check(port: int, *peers: str) -> ZonesCheck:
    return ZonesCheck(
        address=ip_address("127.0.0.1"),
        zones=ZONES,
        peers=tuple(ip_address(p) for p in peers or ("127.0.0.2",)),
        grace=10,
        port=port,
    )


def test_a_site_that_starts_with_an_old_zone_fails_at_once(
    here: NameServer, peer: NameServer
) -> None:
    here.serials = dict.fromkeys(ZONES, 1)
    peer.serials = {ZONES[0]: 1, ZONES[1]: 2}
    (outcome,) = rounds(ZonesChecker(check(here.port), clock=lambda: 0))
    assert not outcome.ok
    assert not outcome.shared


def test_a_change_has_the_grace_to_arrive(here: NameServer, peer: NameServer) -> None:
    now = 100.0
    here.serials, peer.serials = dict.fromkeys(ZONES, 1), dict.fromkeys(ZONES, 1)
    checker = ZonesChecker(check(here.port), clock=lambda: now)
    assert rounds(checker)[0].ok
    peer.serials = dict.fromkeys(ZONES, 2)
    now = 109.0
    assert rounds(checker)[0].ok
    now = 111.0
    assert not rounds(checker)[0].ok
    here.serials = dict.fromkeys(ZONES, 2)
    assert rounds(checker)[0].ok


def test_silent_peers_are_an_input_that_all_sites_share(here: NameServer) -> None:
    here.serials = dict.fromkeys(ZONES, 1)
    (outcome,) = rounds(ZonesChecker(check(here.port, "127.0.0.3"), clock=lambda: 0))
    assert (outcome.ok, outcome.shared) == (False, True)


def test_a_silent_local_server_is_the_sites_own_failure(here: NameServer, peer: NameServer) -> None:
    peer.serials = dict.fromkeys(ZONES, 1)
    port = here.port
    here.close()
    (outcome,) = rounds(ZonesChecker(check(port), clock=lambda: 0))
    assert (outcome.ok, outcome.shared) == (False, False)
    assert outcome.reason == "refused: nothing listens there"
