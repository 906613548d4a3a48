"""rtnetlink in batches: many requests in one message, answers only where something failed.

A socket belongs to the namespace in which it was opened, for ever: a `Batch` goes on configuring
its namespace after the thread has left it. Only the last request of a message asks for an
acknowledgement; the kernel carries requests out in order and always answers a failed one, so one
answer confirms hundreds of requests (netlink(7), rtnetlink(7)).
"""

import errno
import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from ridgeline.errors import MachineError
from ridgeline.lab.kernel import rtnetlink as rt
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.rtnetlink import (
    LOOPBACK,
    RTPROT_BIRD,
    RTPROT_STATIC,
    Address,
    Interface,
    Link,
    Network,
    Route,
    RouteKind,
    VethEnd,
)

__all__ = [
    "LOOPBACK",
    "RTPROT_BIRD",
    "RTPROT_STATIC",
    "Batch",
    "Link",
    "Route",
    "RouteEvent",
    "RouteEvents",
    "RouteKind",
    "VethEnd",
]

_MESSAGE_BYTES: Final = 96 * 1024
_RECEIVE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteEvent:
    """One change of a routing table."""

    time: float
    """Seconds, CLOCK_MONOTONIC, when it was read."""
    added: bool
    destination: Network
    gateway: Address | None
    index: int | None
    protocol: int


class Batch:
    """Requests for one namespace, kept until `flush` carries them out in order.

    Bound to the namespace in which it is created, or to the one that `namespace` names. As a
    context manager it flushes and closes at the end.
    """

    def __init__(self, namespace: int | NetworkNamespace | None = None) -> None:
        self._socket = _open_route_socket(namespace)
        self._socket.setsockopt(rt.SOL_NETLINK, rt.NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(rt.SOL_NETLINK, rt.NETLINK_EXT_ACK, 1)
        self._waiting: list[_Request] = []
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    def __len__(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        self._socket.close()

    def veth(self, a: VethEnd, b: VethEnd, *, mtu: int | None = None) -> None:
        """Make a pair of interfaces, each directly in its namespace, both still down."""
        flags = rt.NLM_F_CREATE | rt.NLM_F_EXCL
        what = "add link %s - %s"
        self.request(rt.RTM_NEWLINK, flags, rt.veth_body(a, b, mtu), what, a.name, b.name)

    def bridge(self, index: int, name: str) -> None:
        """Make a bridge in this namespace, still down and without ports."""
        flags = rt.NLM_F_CREATE | rt.NLM_F_EXCL
        self.request(rt.RTM_NEWLINK, flags, rt.bridge_body(index, name), "add bridge %s", name)

    def enslave(self, index: int, bridge: int) -> None:
        """Make an interface a port of a bridge."""
        body = rt.link_body(index, master=bridge)
        what = "make interface %s a port of bridge %s"
        self.request(rt.RTM_NEWLINK, 0, body, what, index, bridge)

    def up(self, index: int) -> None:
        self.request(rt.RTM_NEWLINK, 0, rt.link_body(index, up=True), "set interface %s up", index)

    def down(self, index: int) -> None:
        body = rt.link_body(index, up=False)
        self.request(rt.RTM_NEWLINK, 0, body, "set interface %s down", index)

    def rename(self, index: int, name: str) -> None:
        body = rt.link_body(index, name=name)
        self.request(rt.RTM_NEWLINK, 0, body, "rename interface %s to %s", index, name)

    def delete_link(self, index: int) -> None:
        """Remove an interface, and its peer if it is a veth."""
        self.request(rt.RTM_DELLINK, 0, rt.link_body(index), "delete interface %s", index)

    def address(self, index: int, interface: Interface) -> None:
        """Add an address; IPv6 without duplicate address detection, so usable at once."""
        flags = rt.NLM_F_CREATE | rt.NLM_F_EXCL
        body = rt.address_body(index, interface)
        what = "add address %s to interface %s"
        self.request(rt.RTM_NEWADDR, flags, body, what, interface, index)

    def delete_address(self, index: int, interface: Interface) -> None:
        body = rt.address_body(index, interface)
        what = "delete address %s from interface %s"
        self.request(rt.RTM_DELADDR, 0, body, what, interface, index)

    def neighbour(self, index: int, address: Address, mac: bytes) -> None:
        """Fix the neighbour's MAC for good: no ARP, no ND, no share of the host-wide gc_thresh3."""
        flags = rt.NLM_F_CREATE | rt.NLM_F_REPLACE
        body = rt.neighbour_body(index, address, mac)
        what = "set neighbour %s on interface %s"
        self.request(rt.RTM_NEWNEIGH, flags, body, what, address, index)

    def route(
        self,
        destination: Network,
        *,
        gateway: Address | None = None,
        index: int | None = None,
        source: Address | None = None,
        metric: int | None = None,
        kind: RouteKind = RouteKind.UNICAST,
        onlink: bool = False,
    ) -> None:
        """Add a route to the main table, or replace the one of the same metric.

        Parameters
        ----------
        index
            Interface; needed without `gateway`, and for a link-local one.
        source
            Preferred source address of packets that this machine sends.
        onlink
            Trust that `gateway` is a neighbour although no connected prefix covers it.
        """
        if kind is RouteKind.UNICAST and gateway is None and index is None:
            raise ValueError(f"a route to {destination} needs a gateway or an interface index")
        body = rt.route_body(
            destination,
            gateway=gateway,
            index=index,
            source=source,
            metric=metric,
            kind=kind,
            onlink=onlink,
        )
        if kind is RouteKind.UNICAST:
            how = f"via {gateway}" if gateway is not None else f"through interface {index}"
        else:
            how = kind.name.lower()
        flags = rt.NLM_F_CREATE | rt.NLM_F_REPLACE
        self.request(rt.RTM_NEWROUTE, flags, body, "add route %s %s", destination, how)

    def delete_route(
        self,
        destination: Network,
        *,
        gateway: Address | None = None,
        index: int | None = None,
        metric: int | None = None,
        kind: RouteKind = RouteKind.UNICAST,
    ) -> None:
        body = rt.route_body(
            destination, gateway=gateway, index=index, metric=metric, kind=kind, deletes=True
        )
        self.request(rt.RTM_DELROUTE, 0, body, "delete route %s", destination)

    def request(self, kind: int, flags: int, body: bytes, what: str, *names: object) -> None:
        """Add any rtnetlink request; ``what % names`` tells the user what failed."""
        self._waiting.append(_Request(kind, flags, body, what, names))

    def flush(self, *, ignore: Collection[int] = ()) -> None:
        """Carry out what is waiting, in order; a failure does not stop the requests after it.

        Parameters
        ----------
        ignore
            Error numbers that do not count, such as ``errno.EEXIST``.

        Raises
        ------
        MachineError
            Names the first request that failed, with the kernel's reason, and how many did.
        """
        waiting, self._waiting = self._waiting, []
        failures: list[str] = []
        for part in _parts(waiting):
            first = self._sequence + 1
            self._send(part)
            for sequence, number, reason in self._answers():
                if number and number not in ignore:
                    failed = part[sequence - first]
                    failures.append(_refusal(failed.what % failed.names, number, reason))
        if failures:
            more = f" (and {len(failures) - 1} more requests failed)" if len(failures) > 1 else ""
            raise MachineError(failures[0] + more)

    def links(self) -> dict[int, Link]:
        """List every interface of the namespace, by index."""
        bodies = self._dump(rt.RTM_GETLINK, rt.link_body(0), "list interfaces")
        return {link.index: link for link in map(rt.parse_link, bodies)}

    def routes(self) -> list[Route]:
        """List the main tables, IPv4 and IPv6, without what the kernel keeps for local delivery."""
        return [
            route
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in self._dump(rt.RTM_GETROUTE, rt.route_query(family), "list routes")
            if (route := rt.parse_route(body)) is not None
        ]

    def _send(self, part: "list[_Request]") -> None:
        message = bytearray()
        for at, (kind, flags, body, _, _) in enumerate(part, start=1):
            self._sequence += 1
            wants = rt.NLM_F_REQUEST | (rt.NLM_F_ACK if at == len(part) else 0)
            message += rt.message(kind, flags | wants, self._sequence, body)
        self._socket.send(message)

    def _answers(self) -> Iterator[tuple[int, int, str]]:
        """Yield sequence, error number and reason of each answer, up to the last request's."""
        while True:
            for kind, flags, sequence, body in rt.messages(self._socket.recv(_RECEIVE_BYTES)):
                if kind == rt.NLMSG_ERROR:
                    yield sequence, *rt.parse_error(flags, body)
                    if sequence == self._sequence:
                        return

    def _dump(self, kind: int, body: bytes, what: str) -> Iterator[bytes]:
        self._sequence += 1
        flags = rt.NLM_F_REQUEST | rt.NLM_F_DUMP
        self._socket.send(rt.message(kind, flags, self._sequence, body))
        while True:
            for answer, marks, sequence, part in rt.messages(self._socket.recv(_RECEIVE_BYTES)):
                if sequence != self._sequence:
                    continue
                if answer == rt.NLMSG_DONE:
                    return
                if answer == rt.NLMSG_ERROR:
                    raise MachineError(_refusal(what, *rt.parse_error(marks, part)))
                yield part


class RouteEvents:
    """Every change of the routes of a namespace, as it happens, for a poll loop.

    Attributes
    ----------
    lost
        The kernel had to drop events (ENOBUFS): what was read so far is not all.
    """

    def __init__(self, namespace: int | NetworkNamespace | None = None) -> None:
        groups = rt.RTMGRP_IPV4_ROUTE | rt.RTMGRP_IPV6_ROUTE
        self._socket = _open_route_socket(namespace, groups)
        self._socket.setblocking(False)
        self.lost = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> list[RouteEvent]:
        """Take what happened since the last call; empty when nothing did."""
        events: list[RouteEvent] = []
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return events
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost = True
                continue
            now = time.monotonic()
            for kind, _, _, body in rt.messages(data):
                if kind not in (rt.RTM_NEWROUTE, rt.RTM_DELROUTE):
                    continue
                route = rt.parse_route(body)
                if route is not None:
                    events.append(
                        RouteEvent(
                            time=now,
                            added=kind == rt.RTM_NEWROUTE,
                            destination=route.destination,
                            gateway=route.gateway,
                            index=route.index,
                            protocol=route.protocol,
                        )
                    )


class _Request(NamedTuple):
    kind: int
    flags: int
    body: bytes
    what: str
    names: tuple[object, ...]


def _open_route_socket(namespace: int | NetworkNamespace | None, groups: int = 0) -> socket.socket:
    with nullcontext() if namespace is None else entered(namespace):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _MESSAGE_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        sock.bind((0, groups))
    except BaseException:
        sock.close()
        raise
    return sock


def _parts(waiting: list[_Request]) -> Iterator[list[_Request]]:
    """Cut into runs that fit in one message."""
    part: list[_Request] = []
    size = 0
    for request in waiting:
        needed = 20 + len(request.body)
        if part and size + needed > _MESSAGE_BYTES:
            yield part
            part, size = [], 0
        part.append(request)
        size += needed
    if part:
        yield part


def _refusal(what: str, number: int, reason: str) -> str:
    detail = f" ({reason})" if reason else ""
    return f"the kernel refused to {what}: {os.strerror(number)}{detail}"
