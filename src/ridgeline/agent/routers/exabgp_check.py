"""What `agent check` looks at in ExaBGP, and the lines that mend it."""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ridgeline.agent.router import Finding, Observation, RouterSettings, Severity, Stance
from ridgeline.agent.routers.advice import family, ok
from ridgeline.agent.routers.findings import prefix_findings
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

Ask: TypeAlias = Callable[[Sequence[str]], Awaitable[list[list[str]]]]

_WHERE = "ExaBGP's configuration"


async def inspect_exabgp(
    ask: Ask,
    read_back: Callable[[], Awaitable[Observation]],
    settings: RouterSettings,
    prefixes: tuple[Prefix, ...],
    socket: str,
) -> tuple[Finding, ...]:
    """Look at everything that `Router.inspect` promises; change nothing."""
    try:
        version, sessions = await ask(["version", "show neighbor json"])
        seen = await read_back()
    except MachineError as error:
        helper = Path(__file__).with_name("exabgp_helper.py")
        return (
            Finding(
                severity=Severity.ERROR,
                what=str(error).splitlines()[0],
                why="the agent speaks to ExaBGP through a process that ExaBGP starts",
                lines=(
                    "process ridgeline {",
                    f"  run /usr/bin/python3 {helper} {socket};",
                    "  encoder text;",
                    "}",
                    "neighbor ADDRESS {",
                    "  api { processes [ ridgeline ]; }",
                    "}",
                ),
                where=f"{_WHERE}; its user must be able to write {Path(socket).parent}",
            ),
        )
    peers = [
        peer
        for peer in json.loads("".join(sessions[:-1]) or "[]")
        if not settings.neighbours or peer["peer"].get("address") in settings.neighbours
    ]
    return (
        ok(f"{version[0]} answers through its helper"),
        *_sessions(peers, settings),
        *_families(peers, prefixes),
        *_sent(peers, seen),
        *prefix_findings(prefixes, settings.asn),
        _dead_man(settings),
    )


def is_established(peer: Mapping[str, Any]) -> bool:
    """Read it of the state machine: `state` is ``down`` in the first second of a session."""
    return peer.get("fsm") == "ESTABLISHED"


def _sessions(peers: Sequence[Mapping[str, Any]], settings: RouterSettings) -> Iterator[Finding]:
    names = [peer["peer"].get("address") for peer in peers]
    for name in settings.neighbours:
        if name not in names:
            yield Finding(severity=Severity.ERROR, what=f"there is no neighbour {name}")
    if not peers and not settings.neighbours:
        yield Finding(
            severity=Severity.ERROR,
            what="there is no BGP session",
            why="nobody would hear an announcement",
            lines=("neighbor ADDRESS { ... }",),
            where=_WHERE,
        )
    for peer in peers:
        yield from _session(peer, settings)


def _session(peer: Mapping[str, Any], settings: RouterSettings) -> Iterator[Finding]:
    theirs, ours = peer["peer"], peer["local"]
    name = f"{theirs.get('address')} (AS{theirs.get('as')})"
    if is_established(peer):
        yield ok(f"session with {name} is established")
    else:
        yield Finding(
            severity=Severity.ERROR,
            what=f"session with {name} is {peer.get('fsm', peer.get('state'))}",
            why="nothing is announced to this neighbour",
        )
    if ours.get("as") not in {None, settings.asn}:
        yield Finding(
            severity=Severity.ERROR,
            what=f"towards {name} ExaBGP is AS{ours['as']}, the spec says AS{settings.asn}",
            lines=(f"local-as {settings.asn};",),
            where=f"{_WHERE}, in the neighbour",
        )
    if ours.get("capabilities", {}).get("graceful-restart"):
        yield Finding(
            severity=Severity.WARNING,
            what=f"graceful restart is offered to {name}",
            why="when ExaBGP dies, a neighbour that helps keeps its routes, and sends clients to "
            "a dead site for as long",
            lines=("capability { graceful-restart disable; }",),
            where=f"{_WHERE}, in the neighbour",
        )
    else:
        yield ok(f"graceful restart is not offered to {theirs.get('address')}")
    hold = ours.get("hold") or 180
    if hold > 10:
        yield Finding(
            severity=Severity.WARNING,
            what=f"no BFD with {name}: ExaBGP has none, and the hold time is {hold} s",
            why="a dead machine is noticed after the hold time only",
            lines=("hold-time 9;",),
            where=f"{_WHERE}, in the neighbour",
        )
    yield Finding(
        severity=Severity.NOTE,
        what=f"TTL security with {name} cannot be seen from here",
        why="without it, anybody who can reach port 179 may try to disturb the session (RFC 5082)",
        lines=("outgoing-ttl 255;", "incoming-ttl 255;"),
        where=f"{_WHERE}, in the neighbour, who must do the same",
    )


def _families(peers: Sequence[Mapping[str, Any]], prefixes: Sequence[Prefix]) -> Iterator[Finding]:
    for name in dict.fromkeys(f"{family(p)} unicast" for p in prefixes):
        if peers and not any(peer["local"].get("families", {}).get(name) for peer in peers):
            yield Finding(
                severity=Severity.ERROR,
                what=f"no session carries {name}",
                why=f"the {name[:4]} prefixes of this site reach nobody",
                lines=(f"family {{ {name}; }}",),
                where=f"{_WHERE}, in a neighbour",
            )


def _sent(peers: Sequence[Mapping[str, Any]], seen: Observation) -> Iterator[Finding]:
    for prefix, stance in seen.held.items():
        if stance is Stance.WITHDRAWN:
            continue
        for peer in peers:
            address = peer["peer"].get("address")
            carries = peer["local"].get("families", {}).get(f"{family(prefix)} unicast")
            if not is_established(peer) or not carries:
                continue
            if address in seen.exported.get(prefix, {}):
                yield ok(f"{prefix} is sent to {address}")
            else:
                yield Finding(
                    severity=Severity.ERROR,
                    what=f"{prefix} is held but not sent to {address}",
                    lines=("adj-rib-out true;", "api { processes [ ridgeline ]; }"),
                    where=f"{_WHERE}, in the neighbour",
                )


def _dead_man(settings: RouterSettings) -> Finding:
    patience = float(settings.options.get("patience", 1))
    if patience > 0:
        return ok(
            f"dead-man switch: the helper withdraws {patience:g} s after the agent's last beat"
        )
    return Finding(
        severity=Severity.WARNING,
        what="no dead-man switch: a killed agent leaves its announcements",
        why="if the service dies too, nothing withdraws until the agent is started again",
        lines=("router:", "  options: {patience: 1}"),
        where="agent.yaml",
    )
