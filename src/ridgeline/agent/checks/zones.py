"""Does the local name server serve what the fleet serves? A zone that is old here is wrong here.

Each round asks the local instance and every peer (the hidden primary, or other sites' own
addresses) for the SOA record of each zone, and compares serials (RFC 1982).

=========================================  ====================================================
a zone is not served, or is older           fails: clients are told what is no longer true
no peer answers                             fails as a *shared* input: drains, never withdraws
either, but all was well within the grace   passes: a transfer takes its time
=========================================  ====================================================

There is no grace before the first good round: a site that starts with old zones never announces them.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Final

import dns.exception
import dns.message
import dns.rdatatype

from ridgeline.agent.checks.base import Done, failed, local_socket
from ridgeline.agent.checks.plan import ZonesCheck
from ridgeline.agent.health import Round
from ridgeline.spec.model import Address

_HEADER: Final = struct.Struct("!HHHHHH")
_RESPONSE_AND_AA: Final = 0x8400
_SERVFAIL: Final = 2
_BUFFER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says of one zone."""

    rcode: int
    serial: int | None
    """None: no authoritative SOA record."""


@dataclass(slots=True)
class Heard:
    """What was heard in one round."""

    local: dict[int, Said] = field(default_factory=dict)
    """By the zone's number."""
    peers: dict[int, list[Said]] = field(default_factory=dict)
    n_peers: int = 0
    """Peers that said anything."""


def is_older(serial: int, other: int) -> bool:
    """Compare two serials (RFC 1982, section 3.2)."""
    return serial != other and (other - serial) & 0xFFFFFFFF < 1 << 31


def judge_zones(zones: tuple[str, ...], heard: Heard, *, well_for: float, grace: float) -> Round:
    """Say what a round means.

    Parameters
    ----------
    well_for
        Seconds since a round in which every zone was as new as the fleet's; infinity: never.
    """
    late = ""
    for number, zone in enumerate(zones):
        said = heard.local.get(number)
        if said is None:
            return Round(ok=False, reason=f"no answer about zone {zone}")
        newest = _newest(s.serial for s in heard.peers.get(number, ()) if s.serial is not None)
        if said.serial is None:
            # SERVFAIL: it has the zone, expired: nobody gave it a new one, so others lack it too.
            # A zone that no peer has either is the primary's affair.
            nobody = heard.n_peers > 0 and newest is None
            shared = said.rcode == _SERVFAIL or nobody
            return Round(ok=False, reason=f"zone {zone} is not served", shared=shared)
        if newest is not None and is_older(said.serial, newest):
            late = late or f"zone {zone} has serial {said.serial}, the fleet's is {newest}"
    patience = f" ({well_for:.0f} s ago all was well)" if well_for < inf else ""
    if late:
        return Round(ok=well_for <= grace, reason=late + patience)
    if not heard.n_peers:
        reason = "no peer tells how new its zones are"
        return Round(ok=well_for <= grace, reason=reason + patience, shared=True)
    return Round(ok=True, reason=f"{len(zones)} zones are as new as the fleet's")


def _newest(serials: Iterable[int]) -> int | None:
    newest: int | None = None
    for serial in serials:
        if newest is None or is_older(newest, serial):
            newest = serial
    return newest


def is_well(heard: Heard, zones: tuple[str, ...]) -> bool:
    """Say whether a round proves that every zone is as new as the fleet's."""
    return heard.n_peers > 0 and judge_zones(zones, heard, well_for=inf, grace=0).ok


class ZonesChecker:
    """One round after another; sockets live for a round."""

    def __init__(self, check: ZonesCheck, clock: Callable[[], float] | None = None) -> None:
        self._check = check
        self._clock = clock
        self.well_at = -inf
        """When all was well; whoever takes over after a reload takes this over too."""
        self._queries = [
            dns.message.make_query(zone, dns.rdatatype.SOA).to_wire()[2:] for zone in check.zones
        ]
        self._done: Done | None = None
        self._sockets: dict[socket.socket, int] = {}
        """Socket -> answers still to come."""
        self._peers_heard: set[socket.socket] = set()
        self._local: socket.socket | None = None
        self._heard = Heard()

    def begin(self, done: Done) -> None:
        self._done, self._heard, self._peers_heard = done, Heard(), set()
        check = self._check
        try:
            self._local = local_socket(check.address, socket.SOCK_DGRAM)
            self._ask(self._local, check.address)
        except OSError as error:
            self._end(failed(error))
            return
        for peer in check.peers:
            family = socket.AF_INET6 if peer.version == 6 else socket.AF_INET
            try:
                opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            except OSError:
                continue
            try:
                self._ask(opened, peer)
            except OSError:  # no route there: as silent as one that does not answer
                self._forget(opened)

    def abandon(self, reason: str) -> Round:
        for opened in list(self._sockets):
            self._receive(opened)
        self._done = None
        self.close()
        return self._verdict() if self._heard.local else Round(ok=False, reason=reason)

    def close(self) -> None:
        for opened in list(self._sockets):
            self._forget(opened)
        self._local = None

    def _ask(self, opened: socket.socket, server: Address) -> None:
        self._sockets[opened] = len(self._queries)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        opened.connect((str(server), self._check.port))
        asyncio.get_running_loop().add_reader(opened, self._readable, opened)
        for number, tail in enumerate(self._queries):
            opened.send(number.to_bytes(2, "big") + tail)

    def _readable(self, opened: socket.socket) -> None:
        self._receive(opened)
        if not self._sockets and self._done is not None:
            self._end(self._verdict())

    def _receive(self, opened: socket.socket) -> None:
        while opened in self._sockets:
            try:
                wire = opened.recv(4096)
            except BlockingIOError:
                return
            except OSError as error:
                is_local = opened is self._local
                self._forget(opened)
                if is_local and self._done is not None:
                    self._end(failed(error))
                return
            self._take(opened, wire)

    def _take(self, opened: socket.socket, wire: bytes) -> None:
        number = int.from_bytes(wire[:2], "big")
        if number >= len(self._queries):
            return
        said = read_soa(wire)
        if said is None:
            return
        if opened is self._local:
            self._heard.local[number] = said
        else:
            if opened not in self._peers_heard:
                self._peers_heard.add(opened)
                self._heard.n_peers += 1
            self._heard.peers.setdefault(number, []).append(said)
        self._sockets[opened] -= 1
        if not self._sockets[opened]:
            self._forget(opened)

    def _forget(self, opened: socket.socket) -> None:
        self._sockets.pop(opened, None)
        asyncio.get_running_loop().remove_reader(opened)
        opened.close()

    def _verdict(self) -> Round:
        now = (self._clock or asyncio.get_running_loop().time)()
        zones = self._check.zones
        if is_well(self._heard, zones):
            self.well_at = now
        return judge_zones(zones, self._heard, well_for=now - self.well_at, grace=self._check.grace)

    def _end(self, outcome: Round) -> None:
        done, self._done = self._done, None
        self.close()
        if done is not None:
            done(outcome)


def read_soa(wire: bytes) -> Said | None:
    """Read an answer about a zone; None: it is none."""
    try:
        _, flags, *_ = _HEADER.unpack_from(wire)
        if not flags & 0x8000:
            return None
        message = dns.message.from_wire(wire)
    except (struct.error, dns.exception.DNSException):
        return None
    serials = [
        record.serial
        for rrset in message.answer
        if rrset.rdtype == dns.rdatatype.SOA
        for record in rrset
    ]
    complete = flags & _RESPONSE_AND_AA == _RESPONSE_AND_AA and not flags & 0xF
    return Said(flags & 0xF, serials[0] if complete and serials else None)
