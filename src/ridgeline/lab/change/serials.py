"""Which serial of a zone does a name server answer with? Asked often and cheaply, over UDP."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Self, TypeAlias

from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.watch.dnswire import SoaAnswer, read_soa, soa_query

Address: TypeAlias = IPv4Address | IPv6Address

POLL_S: Final = 0.005
_ANSWER_WITHIN_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a server should answer about a zone."""

    serial: int | None
    """None: that it does not serve the zone."""

    def holds(self, answer: SoaAnswer) -> bool:
        """Say whether an answer is it, or newer (RFC 1982)."""
        if self.serial is None:
            return not answer.authoritative
        return answer.serial is not None and is_at_least(answer.serial, self.serial)


def is_at_least(serial: int, other: int) -> bool:
    """Compare two serials (RFC 1982, section 3.2)."""
    return (serial - other) & 0xFFFFFFFF < 1 << 31


class SerialAsker:
    """One name server, asked from a node's own address: our own have no rate limit.

    Parameters
    ----------
    source
        Address of the node to ask from, of the family of `server`.
    """

    def __init__(self, namespace: NetworkNamespace, source: Address, server: Address) -> None:
        family = socket.AF_INET6 if server.version == 6 else socket.AF_INET
        with entered(namespace):
            self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind((str(source), 0))
        self._socket.connect((str(server), 53))
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def ask(self, domain: str) -> SoaAnswer | None:
        """Ask once; None: no answer in a quarter of a second."""
        loop = asyncio.get_running_loop()
        self._number = (self._number + 1) & 0xFFFF
        number = struct.pack("!H", self._number)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await loop.sock_sendall(self._socket, number + soa_query(domain)[2:])
                while True:
                    wire = await loop.sock_recv(self._socket, 4096)
                    if wire[:2] == number:
                        with suppress(ValueError):
                            return read_soa(wire)
        return None

    async def until(self, wanted: Mapping[str, Wanted], seen: dict[str, float]) -> None:
        """Ask until every zone is as wanted; ends only then, so the caller sets the deadline.

        Parameters
        ----------
        seen
            Gets, zone by zone, the time on the loop's clock at which it was.
        """
        loop = asyncio.get_running_loop()
        while True:
            for domain, want in wanted.items():
                if domain in seen:
                    continue
                answer = await self.ask(domain)
                if answer is not None and want.holds(answer):
                    seen[domain] = loop.time()
            if len(seen) == len(wanted):
                return
            await asyncio.sleep(POLL_S)
