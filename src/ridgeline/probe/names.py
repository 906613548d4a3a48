"""Host names of addresses, asked of the machine's resolvers without holding anything up.

A small stub of its own, because the resolver to ask may be in another namespace than this process.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import dns.exception
import dns.message
import dns.rdatatype
import dns.reversename

from ridgeline.probe.identity import clean
from ridgeline.probe.sockets import MakeSocket, family_of, open_socket

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_AT_ONCE: Final = 16
_TRIES: Final = 2
_MAX_KEPT: Final = 4096


def machine_resolvers(path: Path = _RESOLV_CONF) -> tuple[str, ...]:
    """Read the addresses of the resolvers that this machine uses (resolv.conf(5))."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    found = (w[1].partition("%")[0] for w in words if len(w) > 1 and w[0] == "nameserver")
    return tuple(address for address in found if _is_address(address))


class HostNames:
    """Looks names up, each address once."""

    def __init__(
        self,
        resolvers: Sequence[str] | None = None,
        *,
        timeout: float = 1.0,
        make: MakeSocket = open_socket,
    ) -> None:
        self._resolvers = machine_resolvers() if resolvers is None else tuple(resolvers)
        self._timeout, self._make = timeout, make
        self._tasks: dict[str, asyncio.Task[str | None]] = {}
        self._known: dict[str, str | None] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def find(self, address: str) -> str | None:
        """Return the name if it is known."""
        return self._known.get(address)

    def look_up(self, address: str) -> None:
        """Begin to look for the name, unless that was done."""
        is_new = address not in self._known and address not in self._tasks
        if is_new and self._resolvers and len(self._tasks) + len(self._known) < _MAX_KEPT:
            self._tasks[address] = asyncio.create_task(self._look_up(address))

    async def finish(self) -> None:
        """Wait for the look-ups under way; each takes a bounded time."""
        await asyncio.gather(*self._tasks.values())

    async def close(self) -> None:
        """Give up what is still under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look_up(self, address: str) -> str | None:
        name: str | None = None
        async with self._turn:
            for attempt in range(_TRIES):
                resolver = self._resolvers[attempt % len(self._resolvers)]
                try:
                    async with asyncio.timeout(self._timeout):
                        name = await self._ask(resolver, address)
                    break
                except (OSError, TimeoutError):
                    continue
        self._known[address] = name
        del self._tasks[address]
        return name

    async def _ask(self, resolver: str, address: str) -> str | None:
        loop = asyncio.get_running_loop()
        question = dns.reversename.from_address(address)
        query = dns.message.make_query(
            question, dns.rdatatype.PTR, id=int.from_bytes(os.urandom(2), "big")
        )
        with self._make(family_of(resolver), socket.SOCK_DGRAM, 0) as sock:
            sock.setblocking(False)
            sock.connect((resolver, 53))
            await loop.sock_sendall(sock, query.to_wire())
            while True:
                wire = await loop.sock_recv(sock, 4096)
                try:
                    message = dns.message.from_wire(wire, ignore_trailing=True)
                except (dns.exception.DNSException, ValueError):
                    continue  # garbled or forged: the true answer may still come
                if query.is_response(message):
                    return _first_name(message)


def _first_name(message: dns.message.Message) -> str | None:
    for rrset in message.answer:
        for record in rrset:
            if record.rdtype == dns.rdatatype.PTR:
                return clean(record.to_text().encode()).rstrip(".") or None
    return None


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False
