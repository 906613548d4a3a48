"""GoBGP: paths over its gRPC API, about a millisecond from call to neighbour.

gobgpd forgets its paths when it ends: `read_back` shows it, and the agent says them again. Nothing
announces before the agent has looked at the service, which is what we want.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from ridgeline.agent.router import (
    Finding,
    Neighbour,
    Observation,
    RouterSettings,
    Severity,
    Stance,
    Wanted,
)
from ridgeline.agent.routers import gobgp_api as api
from ridgeline.agent.routers.advice import ok
from ridgeline.agent.routers.findings import prefix_findings
from ridgeline.agent.routers.gobgp_grpc import CallFailedError, Grpc, is_unknown_service
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

TARGET: Final = "127.0.0.1:50051"
ANSWER_WITHIN_S: Final = 3.0
_MOST_REASON: Final = 128
_WHERE: Final = "gobgpd.toml"


class GobgpRouter:
    """A `Router` (see `ridgeline.agent.router`)."""

    def __init__(self, settings: RouterSettings, prefixes: tuple[Prefix, ...]) -> None:
        self._settings = settings
        self._prefixes = prefixes
        self._grpc = Grpc(settings.socket or TARGET, seconds=ANSWER_WITHIN_S)
        self._paths = api.Paths(self._grpc, settings.asn, prefixes)
        self._shut: list[str] = []

    async def apply(self, wanted: Mapping[Prefix, Wanted]) -> tuple[str, ...]:
        try:
            await self._paths.withdraw(p for p, w in wanted.items() if w.stance is Stance.WITHDRAWN)
            others = {p: w for p, w in wanted.items() if w.stance is not Stance.WITHDRAWN}
            # GoBGP sends an UPDATE even for a path that replaces its like.
            held = await self._paths.list_own(others)
            await self._paths.announce(
                {p: w for p, w in others.items() if held.get(p) != _path_for(w)}
            )
        except CallFailedError as error:
            raise _refused(error) from error
        return ()

    async def read_back(self) -> Observation:
        try:
            peers = self._wanted_peers(await api.list_peers(self._grpc))
            own = await self._paths.list_own(self._prefixes)
            exported: dict[Prefix, dict[str, Stance]] = {}
            for peer in peers:
                if not peer.is_established:
                    continue
                sent = await self._paths.list_sent(peer.address, self._prefixes)
                for prefix, stance in sent.items():
                    exported.setdefault(prefix, {})[peer.address] = stance
        except CallFailedError as error:
            raise _refused(error) from error
        return Observation(
            held={p: own[p].stance if p in own else Stance.WITHDRAWN for p in self._prefixes},
            exported=exported,
            neighbours=tuple(
                Neighbour(
                    name=peer.address,
                    address=peer.address,
                    asn=peer.asn,
                    established=peer.is_established,
                    state="admin down" if peer.is_admin_down else peer.state,
                )
                for peer in peers
            ),
        )

    async def shut_sessions(self, reason: str) -> bool:
        text = " ".join(reason.split()).encode()[:_MOST_REASON].decode(errors="ignore")
        try:
            for peer in self._wanted_peers(await api.list_peers(self._grpc)):
                if not peer.is_admin_down:
                    self._shut.append(peer.address)
                    await api.disable_peer(self._grpc, peer.address, text)
        except CallFailedError as error:
            raise _refused(error) from error
        return bool(self._shut)

    async def open_sessions(self) -> None:
        try:
            while self._shut:
                await api.enable_peer(self._grpc, self._shut[-1])
                self._shut.pop()
        except CallFailedError as error:
            raise _refused(error) from error

    async def inspect(self) -> tuple[Finding, ...]:
        try:
            asn = await api.global_asn(self._grpc)
            all_peers = await api.list_peers(self._grpc)
            seen = await self.read_back()
        except CallFailedError as error:
            return (Finding(severity=Severity.ERROR, what=str(_refused(error))),)
        except MachineError as error:
            return (Finding(severity=Severity.ERROR, what=str(error)),)
        return tuple(self._judge(asn, self._wanted_peers(all_peers), seen))

    async def close(self) -> None:
        self._grpc.close()

    def _wanted_peers(self, peers: tuple[api.Peer, ...]) -> tuple[api.Peer, ...]:
        named = self._settings.neighbours
        if named:
            return tuple(p for p in peers if p.address in named)
        return tuple(p for p in peers if p.asn != p.local_asn)

    def _judge(self, asn: int, peers: tuple[api.Peer, ...], seen: Observation) -> Iterator[Finding]:
        if asn == self._settings.asn:
            yield ok(f"gobgpd answers at {self._settings.socket or TARGET}, AS{asn}")
        else:
            yield Finding(
                severity=Severity.ERROR,
                what=f"gobgpd is AS{asn}, the spec says AS{self._settings.asn}",
                lines=("[global.config]", f"  as = {self._settings.asn}"),
                where=_WHERE,
            )
        if not (self._settings.socket or "").startswith("unix:"):
            yield Finding(
                severity=Severity.WARNING,
                what="the API listens on TCP",
                why="whoever reaches the port commands the router: it asks for no password",
                lines=("gobgpd --api-hosts unix:///run/gobgpd/api.sock",),
                where="the unit of gobgpd; and `socket: unix:/run/gobgpd/api.sock` in agent.yaml",
            )
        for name in self._settings.neighbours:
            if not any(p.address == name for p in peers):
                yield Finding(severity=Severity.ERROR, what=f"there is no neighbour {name}")
        if not peers:
            yield Finding(
                severity=Severity.ERROR,
                what="there is no external BGP session",
                why="nobody would hear an announcement",
                lines=(
                    "[[neighbors]]",
                    "  [neighbors.config]",
                    '    neighbor-address = "ADDRESS"',
                    "    peer-as = ASN",
                ),
                where=_WHERE,
            )
        for peer in peers:
            yield from _judge_peer(peer)
        yield from self._judge_families(peers)
        yield from self._judge_sent(peers, seen)
        yield from prefix_findings(self._prefixes, self._settings.asn)
        yield self._dead_man()

    def _judge_families(self, peers: tuple[api.Peer, ...]) -> Iterator[Finding]:
        for version in dict.fromkeys(p.version for p in self._prefixes):
            afi, name = (1, "ipv4-unicast") if version == 4 else (2, "ipv6-unicast")
            if peers and not any(afi in peer.families for peer in peers):
                yield Finding(
                    severity=Severity.ERROR,
                    what=f"no session carries {name}",
                    why=f"the IPv{version} prefixes of this site reach nobody",
                    lines=(
                        "  [[neighbors.afi-safis]]",
                        "    [neighbors.afi-safis.config]",
                        f'      afi-safi-name = "{name}"',
                    ),
                    where=f"{_WHERE}, below the neighbour",
                )

    def _judge_sent(self, peers: tuple[api.Peer, ...], seen: Observation) -> Iterator[Finding]:
        for prefix, stance in seen.held.items():
            if stance is Stance.WITHDRAWN:
                continue
            afi = 1 if prefix.version == 4 else 2
            for peer in peers:
                if not peer.is_established or afi not in peer.families:
                    continue
                if peer.address in seen.exported.get(prefix, {}):
                    yield ok(f"{prefix} is sent to {peer.address}")
                else:
                    yield Finding(
                        severity=Severity.ERROR,
                        what=f"{prefix} is held but not sent to {peer.address}",
                        why="the export policy refuses it",
                        lines=("gobgp global policy", f"gobgp neighbor {peer.address} policy"),
                        where="run these to see which policy; accept the prefix in it",
                    )

    def _dead_man(self) -> Finding:
        withdrawals = "; ".join(
            f"gobgp global rib del {p} -a {'ipv4' if p.version == 4 else 'ipv6'}"
            for p in self._prefixes
        )
        return Finding(
            severity=Severity.WARNING,
            what="GoBGP has no dead-man switch: a killed agent leaves its announcements",
            why="if the service dies too, nothing withdraws until the agent is started again; "
            "with the lines below systemd withdraws when the agent fails or hangs",
            lines=(
                "[Service]",
                "WatchdogSec=1",
                "WatchdogSignal=SIGKILL",
                f"ExecStopPost=/bin/sh -c '[ \"$SERVICE_RESULT\" = success ] || {{ {withdrawals}; }}'",
            ),
            where="systemctl edit ridgeline-agent",
        )


def _path_for(wanted: Wanted) -> api.HeldPath:
    return api.HeldPath(wanted.stance, wanted.prepend if wanted.stance is Stance.DRAINED else 0)


def _judge_peer(peer: api.Peer) -> Iterator[Finding]:
    name = f"{peer.address} (AS{peer.asn})"
    if peer.is_established:
        yield ok(f"session with {name} is established")
    elif peer.is_admin_down:
        yield Finding(
            severity=Severity.ERROR,
            what=f"session with {name} is shut by an operator or an earlier drain",
            lines=(f"gobgp neighbor {peer.address} enable",),
        )
    else:
        yield Finding(
            severity=Severity.ERROR,
            what=f"session with {name} is {peer.state}",
            why="nothing is announced to this neighbour",
        )
    if peer.graceful_restart:
        yield Finding(
            severity=Severity.WARNING,
            what=f"graceful restart is offered to {name}",
            why="when gobgpd dies, a neighbour that helps keeps its routes, and sends clients to "
            "a dead site for as long",
            lines=("  [neighbors.graceful-restart.config]", "    enabled = false"),
            where=f"{_WHERE}, below the neighbour",
        )
    else:
        yield ok(f"graceful restart is not offered to {peer.address}")
    if not peer.ttl_security:
        yield Finding(
            severity=Severity.NOTE,
            what=f"no TTL security with {name}",
            why="anybody who can reach port 179 may try to disturb the session (RFC 5082)",
            lines=("  [neighbors.ttl-security.config]", "    enabled = true", "    ttl-min = 255"),
            where=f"{_WHERE}, agreed with the neighbour, who must do the same",
        )
    yield Finding(
        severity=Severity.WARNING,
        what=f"no BFD with {name}: GoBGP 3 has none",
        why=f"a dead machine is noticed after the hold time only ({peer.hold_time or 90} s)",
        lines=(
            "  [neighbors.timers.config]",
            "    hold-time = 9",
            "    keepalive-interval = 3",
        ),
        where=f"{_WHERE}, below the neighbour",
    )


def _refused(error: CallFailedError) -> MachineError:
    if is_unknown_service(error):
        return MachineError(
            f"gobgpd does not know {api.SERVICE}: {error}", hint="GoBGP 3 is needed (Debian has it)"
        )
    return MachineError(f"gobgpd refuses: {error}")
