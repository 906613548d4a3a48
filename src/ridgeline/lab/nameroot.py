"""The running root of the DNS: started while routing settles, kept true to the network's zones.

A zone that the hidden primary signs is vouched for (DS, RFC 4034) as soon as the primary says with
which key: what an operator does once, by hand, at a registrar.
"""

import asyncio
import signal
import socket
import time
from contextlib import suppress
from typing import Final

from ridgeline.errors import MachineError
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.kernel.namespaces import entered
from ridgeline.lab.plan import Node, NodeKind
from ridgeline.lab.services.base import Address, of_kind, unicast
from ridgeline.lab.services.tree import names
from ridgeline.render.identity import WHOAMI_ZONE
from ridgeline.render.knot_tree import OUTSIDE
from ridgeline.spec.model import ServiceKind

KEYS_WITHIN_S: Final = 10.0
"""How long a server may take until it says with which keys its zone is signed."""
WARM_WITHIN_S: Final = 10.0
"""How long a site may take until it reaches the root; then its resolver starts cold."""
_POLL_S: Final = 0.02
_SECURE_ENTRY: Final = 0x0001


class NameRoot:
    """The tree's server of one lab; it does nothing where the lab has none."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._keys: dict[str, list[str]] = {}

    async def start(self) -> None:
        """Start the server, and return when it answers.

        Raises
        ------
        MachineError
            It, or the primary, does not answer.
        """
        node = self._node()
        if node is not None:
            await self._lead()
            self._fabric.start_services(node)
            await self._keys_at(node, ".")
            await self.warm()

    async def refresh(self) -> None:
        """Follow the network's zones, after some were published."""
        node = self._node()
        if node is not None and await self._lead():
            names(self._fabric.place(node))
            self._fabric.daemon(node.name, "knot").send(signal.SIGHUP)

    async def warm(self) -> None:
        """Let every site's resolver find its way to each zone, as one in service has long done.

        Each begins as soon as the root can be reached from its site: one that tries too early finds
        no key to trust, and remembers that for a minute. Nobody waits for the answers.
        """
        if self._node() is not None:
            servers = self._fabric.plan.of_kind(NodeKind.SERVER)
            await asyncio.gather(*(self._warm(server) for server in servers))

    async def _warm(self, server: Node) -> None:
        import dns.message

        fabric = self._fabric
        roots = fabric.tree.root.addresses if fabric.tree is not None else ()
        if not await self._reaches(server, roots[0]):
            return
        names = [*(zone.domain for zone in fabric.zones), OUTSIDE]
        questions = [dns.message.make_query(name, "SOA").to_wire() for name in names]
        for service in of_kind(fabric.plan.spec, ServiceKind.RECURSIVE_DNS):
            address = service.addresses[0]
            with self._socket(server, address) as asker:
                for question in questions:
                    asker.sendto(question, (str(address), 53))

    async def _reaches(self, server: Node, root: Address) -> bool:
        """Ask the root until it answers; say whether it did."""
        import dns.message

        loop = asyncio.get_running_loop()
        question = dns.message.make_query(".", "SOA", flags=0).to_wire()
        deadline = time.monotonic() + WARM_WITHIN_S
        with self._socket(server, root) as asker:
            while time.monotonic() < deadline:
                with suppress(OSError, TimeoutError):  # no route yet, or no answer
                    asker.sendto(question, (str(root), 53))
                    await asyncio.wait_for(loop.sock_recv(asker, 1), 0.4)
                    return True
                await asyncio.sleep(0.05)
        return False

    def _socket(self, node: Node, towards: Address) -> socket.socket:
        family = socket.AF_INET6 if towards.version == 6 else socket.AF_INET
        with entered(self._fabric.namespace(node.name)):
            return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def _node(self) -> Node | None:
        if self._fabric.tree is None:
            return None
        return next(self._fabric.plan.of_kind(NodeKind.NAMES), None)

    async def _lead(self) -> bool:
        """Make the tree delegate what the network holds now; say whether that changed anything."""
        tree = self._fabric.tree
        if tree is None:
            return False
        zones = {zone.domain: zone for zone in self._fabric.zones}
        primary = next(self._fabric.plan.of_kind(NodeKind.PRIMARY), None)
        signed = [zone.domain for zone in zones.values() if zone.dnssec and primary is not None]
        found = await asyncio.gather(*(self._keys_at(primary, d) for d in signed if primary))
        keys = dict(zip(signed, found, strict=True))
        gone = tree.delegated - zones.keys() - {WHOAMI_ZONE}
        changed = {d for d in zones if d not in tree.delegated or keys.get(d) != self._keys.get(d)}
        for domain in gone:
            tree.forget(domain)
        for domain in changed:
            tree.delegate(domain, keys.get(domain, ()))
        self._keys = keys
        return bool(gone or changed)

    async def _keys_at(self, node: Node, domain: str) -> list[str]:
        """Ask a name server with which keys a zone is signed, until it says so."""
        deadline = time.monotonic() + KEYS_WITHIN_S
        while True:
            found = await asyncio.to_thread(self._ask_keys, node, domain)
            if found:
                return found
            if time.monotonic() > deadline:
                raise MachineError(
                    f"{node.name} does not say with which keys zone {domain} is signed "
                    f"after {KEYS_WITHIN_S:.0f} s"
                )
            await asyncio.sleep(_POLL_S)

    def _ask_keys(self, node: Node, domain: str) -> list[str]:
        import dns.exception
        import dns.message
        import dns.query
        import dns.rdatatype

        query = dns.message.make_query(domain, "DNSKEY", flags=0)
        try:
            with entered(self._fabric.namespace(node.name)):
                answer = dns.query.tcp(query, str(unicast(node)[0]), timeout=2)
        except (OSError, dns.exception.DNSException):
            return []
        return sorted(
            key.to_text()
            for rrset in answer.answer
            if rrset.rdtype == dns.rdatatype.DNSKEY
            for key in rrset
            if key.flags & _SECURE_ENTRY
        )
