"""The few messages of GoBGP's API that we send and read (GoBGP 3, `api/gobgp.proto`)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from ridgeline.agent.router import Stance, Wanted
from ridgeline.agent.routers.gobgp_grpc import (
    Fields,
    Grpc,
    bytes_of,
    decode,
    encode,
    messages_of,
    number_of,
    text_of,
)
from ridgeline.net.asn import Asn
from ridgeline.spec.model import Prefix

SERVICE: Final = "apipb.GobgpApi"
_TYPE: Final = "type.googleapis.com/apipb."
_GLOBAL, _ADJ_OUT = 0, 3  # TableType
_AS_SEQUENCE: Final = 2
_AT_ONCE: Final = 500
"""Paths in one message, which stays far below what gRPC takes (4 MB)."""
_GRACEFUL_SHUTDOWN: Final = 65535 << 16  # RFC 8326
_SESSION_STATES: Final = (
    *("Unknown", "Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One neighbour of gobgpd."""

    address: str
    asn: int
    local_asn: int
    state: str
    is_admin_down: bool
    hold_time: int
    graceful_restart: bool
    ttl_security: bool
    families: frozenset[int]
    """Address family numbers (AFI) of unicast."""

    @property
    def is_established(self) -> bool:
        return self.state == "Established"


@dataclass(frozen=True, slots=True)
class HeldPath:
    """A path that was put in by the API."""

    stance: Stance
    prepend: int


class Paths:
    """The paths of some prefixes at gobgpd.

    What goes to gobgpd a thousand at a time is written beforehand, and what comes back as it came
    the last time is not read again.
    """

    def __init__(self, grpc: Grpc, asn: Asn, prefixes: Iterable[Prefix]) -> None:
        self._grpc = grpc
        self._asn = asn
        self._withdrawal = {p: encode((3, _withdrawal(p))) for p in prefixes}
        self._filter = {p: encode((4, encode((1, str(p))))) for p in self._withdrawal}
        self._listed: dict[tuple[str, int], dict[bytes, tuple[Prefix, list[_Listed]]]] = {}

    async def withdraw(self, prefixes: Iterable[Prefix]) -> None:
        """Withdraw in one call; what is not there causes no UPDATE."""
        await self._change([self._withdrawal[p] for p in prefixes])

    async def announce(self, wanted: Mapping[Prefix, Wanted]) -> None:
        """Add and replace paths in one call."""
        await self._change([encode((3, _path(p, w, self._asn))) for p, w in wanted.items()])

    async def list_own(self, prefixes: Collection[Prefix]) -> dict[Prefix, HeldPath]:
        """Return the paths of these prefixes that this router itself originates."""
        listed = await self._list("", prefixes)
        return {p: path.held for p, paths in listed for path in paths if path.is_own}

    async def list_sent(self, neighbour: str, prefixes: Collection[Prefix]) -> dict[Prefix, Stance]:
        """Return what this neighbour is sent of these prefixes."""
        listed = await self._list(neighbour, prefixes)
        return {p: path.held.stance for p, paths in listed for path in paths if path.is_sent}

    async def _change(self, paths: list[bytes]) -> None:
        messages = [
            encode((1, _GLOBAL)) + b"".join(paths[start : start + _AT_ONCE])
            for start in range(0, len(paths), _AT_ONCE)
        ]
        if messages:
            await self._grpc.call(f"{SERVICE}/AddPathStream", *messages)

    async def _list(
        self, neighbour: str, prefixes: Collection[Prefix]
    ) -> list[tuple[Prefix, list["_Listed"]]]:
        """Ask what is sent to a neighbour, or for the global table if none is named."""
        found: list[tuple[Prefix, list[_Listed]]] = []
        for version in (4, 6):
            here = {p for p in prefixes if p.version == version}
            if not here:
                continue
            table = encode((1, _ADJ_OUT if neighbour else _GLOBAL), (2, neighbour))
            request = table + encode((3, _family(next(iter(here)))))
            request += b"".join(map(self._filter.__getitem__, here))
            seen = self._listed.setdefault((neighbour, version), {})
            if len(seen) > 4 * len(self._filter):  # mostly of the past
                seen.clear()
            for answer in await self._grpc.call(f"{SERVICE}/ListPath", request):
                entry = seen.get(answer) or _read_destination(answer)
                seen[answer] = entry
                if entry[0] in here:
                    found.append(entry)
        return found


async def list_peers(grpc: Grpc) -> tuple[Peer, ...]:
    """List the neighbours by address; gobgpd names them in an order of chance."""
    answers = await grpc.call(f"{SERVICE}/ListPeer", b"")
    peers = (_read_peer(decode(bytes_of(decode(answer), 1))) for answer in answers)
    return tuple(sorted(peers, key=lambda peer: peer.address))


async def global_asn(grpc: Grpc) -> int:
    (answer,) = await grpc.call(f"{SERVICE}/GetBgp", b"")
    return number_of(decode(bytes_of(decode(answer), 1)), 1)


async def disable_peer(grpc: Grpc, address: str, reason: str) -> None:
    await grpc.call(f"{SERVICE}/DisablePeer", encode((1, address), (2, reason)))


async def enable_peer(grpc: Grpc, address: str) -> None:
    await grpc.call(f"{SERVICE}/EnablePeer", encode((1, address)))


def _family(prefix: Prefix) -> bytes:
    return encode((1, 1 if prefix.version == 4 else 2), (2, 1))


def _any(kind: str, value: bytes) -> bytes:
    return encode((1, _TYPE + kind), (2, value))


def _nlri(prefix: Prefix) -> bytes:
    return _any("IPAddressPrefix", encode((1, prefix.prefixlen), (2, str(prefix.network_address))))


def _withdrawal(prefix: Prefix) -> bytes:
    return encode((1, _nlri(prefix)), (5, 1), (9, _family(prefix)))


def _path(prefix: Prefix, wanted: Wanted, asn: Asn) -> bytes:
    nlri = _nlri(prefix)
    # The unspecified next hop becomes the session's own address.
    if prefix.version == 4:
        next_hop = _any("NextHopAttribute", encode((1, "0.0.0.0")))
    else:
        reach = encode((1, _family(prefix)), (2, "::"), (3, nlri))
        next_hop = _any("MpReachNLRIAttribute", reach)
    attributes = [_any("OriginAttribute", b""), next_hop]
    if wanted.stance is Stance.DRAINED:
        if wanted.prepend:
            numbers = b"".join(encode((2, int(asn))) for _ in range(wanted.prepend))
            segment = encode((1, _AS_SEQUENCE)) + numbers
            attributes.append(_any("AsPathAttribute", encode((1, segment))))
        communities = encode((1, _GRACEFUL_SHUTDOWN))
        attributes.append(_any("CommunitiesAttribute", communities))
    of_path = [(2, attribute) for attribute in attributes]
    return encode((1, nlri), *of_path, (9, _family(prefix)))


@dataclass(frozen=True, slots=True)
class _Listed:
    """A path as `ListPath` has it."""

    held: HeldPath
    is_own: bool
    is_sent: bool


def _read_destination(answer: bytes) -> tuple[Prefix, list[_Listed]]:
    destination = decode(bytes_of(decode(answer), 1))
    return ip_network(text_of(destination, 1)), [
        _Listed(
            _read_path(path),
            is_own=text_of(path, 15) in {"", "<nil>"},  # neighbor_ip: nobody told us
            is_sent=not number_of(path, 12),  # filtered
        )
        for path in messages_of(destination, 2)
    ]


def _read_path(path: Fields) -> HeldPath:
    stance, prepend = Stance.ANNOUNCED, 0
    for attribute in messages_of(path, 2):
        kind, value = text_of(attribute, 1).removeprefix(_TYPE), decode(bytes_of(attribute, 2))
        if kind == "CommunitiesAttribute" and _GRACEFUL_SHUTDOWN in _numbers(value, 1):
            stance = Stance.DRAINED
        elif kind == "AsPathAttribute":
            prepend = sum(len(_numbers(segment, 2)) for segment in messages_of(value, 1))
    return HeldPath(stance, prepend)


def _numbers(fields: Fields, key: int) -> list[int]:
    """Return a repeated number, packed as proto3 does or not."""
    numbers: list[int] = []
    for value in fields.get(key, []):
        if isinstance(value, int):
            numbers.append(value)
            continue
        at = 0
        while at < len(value):
            number, shift = 0, 0
            while True:
                byte = value[at]
                number |= (byte & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if byte < 0x80:
                    break
            numbers.append(number)
    return numbers


def _read_peer(peer: Fields) -> Peer:
    conf, state = decode(bytes_of(peer, 2)), decode(bytes_of(peer, 5))
    timers = decode(bytes_of(decode(bytes_of(peer, 6)), 1))
    families = [
        number_of(decode(bytes_of(decode(bytes_of(afi_safi, 2)), 1)), 1)
        for afi_safi in messages_of(peer, 10)
    ]
    session = number_of(state, 13)
    return Peer(
        address=text_of(conf, 4) or text_of(state, 5),
        asn=number_of(conf, 5) or number_of(state, 6),
        local_asn=number_of(conf, 3) or number_of(state, 3),
        state=_SESSION_STATES[session] if session < len(_SESSION_STATES) else "Unknown",
        is_admin_down=bool(number_of(state, 15) == 1 or number_of(conf, 15)),
        hold_time=number_of(timers, 2),
        graceful_restart=bool(number_of(decode(bytes_of(peer, 9)), 1)),
        ttl_security=bool(number_of(decode(bytes_of(peer, 11)), 1)),
        families=frozenset(families),
    )
