"""Is BIRD set up so that the agent can do its work? Every answer comes with the lines to add."""

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ridgeline.agent.router import (
    Finding,
    Neighbour,
    Observation,
    RouterSettings,
    Severity,
    Stance,
)
from ridgeline.agent.routers.bird_socket import BirdSocket, RefusalError
from ridgeline.agent.routers.bird_text import (
    ANNOUNCE,
    DRAIN,
    ProtocolLine,
    parse_protocols,
    protocol_name,
)
from ridgeline.agent.routers.findings import prefix_findings
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

_LONG_HOLD_S: Final = 30
_CONF: Final = "bird.conf"


@dataclass(frozen=True, slots=True)
class _Session:
    neighbour: Neighbour
    text: str
    """``show protocols all`` of it."""

    def carries(self, prefix: Prefix) -> bool:
        return f"Channel ipv{prefix.version}" in self.text


class Inspected(Protocol):
    """What is read of a BIRD router (`ridgeline.agent.routers.bird.BirdRouter`) to inspect it."""

    settings: RouterSettings
    prefixes: tuple[Prefix, ...]
    include: Path
    socket: BirdSocket
    gateways: dict[int, str]

    async def read_back(self) -> Observation: ...


async def inspect_bird(router: Inspected) -> tuple[Finding, ...]:
    """Look at everything; an unreachable BIRD is the only finding then."""
    try:
        version = (await router.socket.command("show status"))[0]
    except MachineError as error:
        reason, _, hint = str(error).partition("\n  fix: ")
        return (
            Finding(
                severity=Severity.ERROR,
                what=reason,
                why="the agent can neither announce nor withdraw",
                lines=(hint,) if hint else (),
            ),
        )
    found = [Finding(severity=Severity.OK, what=f"{version} answers at {router.socket.path}")]
    try:
        found += [f async for f in _look(router)]
    except MachineError as error:
        found.append(Finding(severity=Severity.ERROR, what=str(error), why="the check stops here"))
    return tuple(found)


async def _look(router: Inspected) -> AsyncIterator[Finding]:
    configuration, finding = await _configuration(router.socket)
    yield finding
    protocols = parse_protocols(await router.socket.command("show protocols"))
    for finding in _include(router, set(protocols)):
        yield finding
    observation = await router.read_back()
    sessions = [
        _Session(n, "\n".join(await router.socket.command(f'show protocols all "{n.name}"')))
        for n in observation.neighbours
        if n.name in protocols
    ]
    if not observation.neighbours:
        yield _no_session(router)
    bfd = await _bfd_sessions(router.socket) if "BFD" in _kinds(protocols) else None
    for session in sessions:
        for finding in _session(session, bfd, configuration, router.settings):
            yield finding
    for neighbour in observation.neighbours:
        if neighbour.name not in protocols:
            yield Finding(
                severity=Severity.ERROR,
                what=f"there is no BGP protocol {neighbour.name}",
                why="agent.yaml names it under `router: {neighbours: ...}`",
            )
    for finding in _exports(router, observation, sessions):
        yield finding
    yield _dead_man(router)
    for finding in prefix_findings(router.prefixes, router.settings.asn):
        yield finding


def _kinds(protocols: Mapping[str, ProtocolLine]) -> set[str]:
    return {protocol.kind for protocol in protocols.values()}


async def _configuration(socket: BirdSocket) -> tuple[str, Finding]:
    """Let BIRD check its own files: it says where they are, and whether they are right."""
    try:
        lines = await socket.command("configure check")
    except RefusalError as error:
        mistake = error.lines[-1] if error.lines else str(error)
        return "", Finding(
            severity=Severity.ERROR,
            what=f"BIRD would refuse its configuration: {mistake}",
            why="the agent still toggles the routes, but BIRD will not start again with this file",
        )
    found = re.search(r"Reading configuration from (\S+)", "\n".join(lines))
    path = found[1] if found else _CONF
    return _text_of(Path(path)), Finding(severity=Severity.OK, what=f"{path} is right")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _include(router: Inspected, names: set[str]) -> Iterator[Finding]:
    line = f'include "{router.include}";'
    needed = {f"{k}{protocol_name(p)}" for p in router.prefixes for k in (ANNOUNCE, DRAIN)}
    if needed <= names:
        yield Finding(
            severity=Severity.OK,
            what=f"{router.include} is included: {len(needed)} protocols any_* and drn_*",
        )
    else:
        yield Finding(
            severity=Severity.ERROR,
            what=f"BIRD has {len(needed & names)} of the {len(needed)} protocols of the agent",
            why="nothing can be announced; the agent writes the file itself when it runs",
            lines=(line,),
            where=_CONF,
        )
    folder = router.include.parent
    if not os.access(folder, os.W_OK):
        yield Finding(
            severity=Severity.WARNING,
            what=f"{folder} cannot be written by this user",
            why="without the file, a restart of BIRD or `configure` brings an old stance back",
            lines=(f"install -d -o ridgeline -g bird -m 0750 {folder}",),
        )


def _no_session(router: Inspected) -> Finding:
    asn = router.settings.asn
    return Finding(
        severity=Severity.ERROR,
        what="BIRD has no external BGP session",
        why="there is nobody to announce to",
        lines=(
            "protocol bgp upstream1 {",
            f"  local as {asn}; neighbor 198.51.100.1 as 64511;   # the upstream's address and ASN",
            "  bfd yes; graceful restart off; ttl security on;",
            f'  ipv4 {{ import none; export where proto ~ "{ANNOUNCE}*" || proto ~ "{DRAIN}*"; }};',
            "}",
        ),
        where=_CONF,
    )


def _session(
    session: _Session, bfd: str | None, configuration: str, settings: RouterSettings
) -> Iterator[Finding]:
    neighbour, text = session.neighbour, session.text
    who = f"{neighbour.name} (AS{neighbour.asn}, {neighbour.address})"
    if neighbour.established:
        yield Finding(severity=Severity.OK, what=f"{who} is established")
    else:
        error = re.search(r"Last error: +(.*)", text)
        yield Finding(
            severity=Severity.ERROR,
            what=f"{who} is {neighbour.state or 'down'}" + (f": {error[1]}" if error else ""),
            why="this neighbour hears nothing of the prefixes",
        )
    own = re.search(r"Local AS: +([0-9]+)", text)
    if own and int(own[1]) != settings.asn:
        yield Finding(
            severity=Severity.ERROR,
            what=f"{who}: BIRD is AS{own[1]} there, the spec says AS{settings.asn}",
            why="the prefixes would have another origin than the spec and the ROA say",
            lines=(f"local as {settings.asn};",),
            where=f"{_CONF}, protocol bgp {neighbour.name}",
        )
    local = text.partition("Local capabilities")[2].partition("Neighbor capabilities")[0]
    restart = re.search(r"Restart time: +([0-9]+)", local)
    if restart:
        yield Finding(
            severity=Severity.WARNING,
            what=f"{who}: graceful restart is on, {restart[1]} s (RFC 4724)",
            why="if BIRD or the machine dies, the neighbour keeps the dead route for so long",
            lines=("graceful restart off;",),
            where=f"{_CONF}, protocol bgp {neighbour.name}",
        )
    yield from _liveness(session, bfd, who)
    is_internal = "Session:          internal" in text
    body = _protocol_text(configuration, neighbour.name)
    if body and not is_internal and "ttl security" not in body:
        yield Finding(
            severity=Severity.NOTE,
            what=f"{who}: no TTL security (RFC 5082)",
            why="hosts far away can send packets that reach the session",
            lines=("ttl security on;   # the neighbour must do the same",),
            where=f"{_CONF}, protocol bgp {neighbour.name}",
        )


def _liveness(session: _Session, bfd: str | None, who: str) -> Iterator[Finding]:
    """BFD, or else how long a silent death goes unnoticed."""
    has_bfd = (
        bfd is not None and bool(session.neighbour.address) and session.neighbour.address in bfd
    )
    if has_bfd:
        yield Finding(severity=Severity.OK, what=f"{who}: BFD watches the session")
        return
    hold = re.search(r"Hold timer: +[0-9.]+/([0-9]+)", session.text)
    if hold and int(hold[1]) > _LONG_HOLD_S:
        yield Finding(
            severity=Severity.WARNING,
            what=f"{who}: no BFD, and a hold time of {hold[1]} s",
            why="if this machine dies silently, its clients are lost for so long",
            lines=("bfd yes;   # with `protocol bfd { }` in the file; or:", "hold time 9;"),
            where=f"{_CONF}, protocol bgp {session.neighbour.name}",
        )


def _exports(
    router: Inspected, observation: Observation, sessions: Sequence[_Session]
) -> Iterator[Finding]:
    export = f'export where proto ~ "{ANNOUNCE}*" || proto ~ "{DRAIN}*";'
    for prefix in router.prefixes:
        established = {
            session.neighbour.name
            for session in sessions
            if session.neighbour.established and session.carries(prefix)
        }
        sent = observation.exported.get(prefix, {})
        held = observation.held[prefix]
        if held is Stance.WITHDRAWN:
            if sent:
                yield Finding(
                    severity=Severity.ERROR,
                    what=f"{prefix} is withdrawn here, and still goes to {', '.join(sorted(sent))}",
                    why="another protocol of this BIRD has a route for it",
                )
            continue
        silent = sorted(established - set(sent))
        if not established:
            if any(session.neighbour.established for session in sessions):
                yield Finding(
                    severity=Severity.ERROR,
                    what=f"{prefix} is {held.value} here, and no session carries its family",
                    why="it reaches nobody",
                    lines=(f"ipv{prefix.version} {{ import none; {export} }};",),
                    where=f"{_CONF}, in a BGP protocol",
                )
        elif not silent:
            yield Finding(
                severity=Severity.OK, what=f"{prefix} is {held.value} to {', '.join(sorted(sent))}"
            )
        elif len(silent) == len(established):
            yield Finding(
                severity=Severity.ERROR,
                what=f"{prefix} is {held.value} here, and goes to no neighbour",
                why="the export filters reject it",
                lines=(export,),
                where=f"{_CONF}, in the channels of the BGP protocols",
            )
        else:
            yield Finding(
                severity=Severity.NOTE,
                what=f"{prefix} does not go to {', '.join(silent)}",
                why="fine if the spec's `upstreams` say so",
            )


def _dead_man(router: Inspected) -> Finding:
    if router.gateways:
        ends = ", ".join(router.gateways.values())
        return Finding(
            severity=Severity.OK,
            what=f"dead-man switch: the routes live while their next hop does: {ends}",
        )
    return Finding(
        severity=Severity.WARNING,
        what="dead-man switch: none",
        why="if the agent is killed and then the service dies, the route stays",
        lines=(
            'router: {bfd: "10.255.53.2"}',
            'dead_man: {kind: bfd, interface: ridgeline0, addresses: ["10.255.53.2,10.255.53.1"]}',
        ),
        where="agent.yaml; docs/how-to/dead-man.md has the device and BIRD's part",
    )


async def _bfd_sessions(socket: BirdSocket) -> str:
    try:
        return "\n".join(await socket.command("show bfd sessions"))
    except RefusalError:
        return ""


def _protocol_text(configuration: str, name: str) -> str:
    """Return the text of one protocol, as far as its closing brace; empty if not found."""
    found = re.search(rf"protocol\s+bgp\s+{re.escape(name)}\b[^{{]*{{", configuration)
    if not found:
        return ""
    depth, at = 1, found.end()
    while depth and at < len(configuration):
        depth += {"{": 1, "}": -1}.get(configuration[at], 0)
        at += 1
    return configuration[found.start() : at]
