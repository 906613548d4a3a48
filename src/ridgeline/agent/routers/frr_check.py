"""What `agent check` looks at in FRR, and the lines that mend it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ridgeline.agent.router import Finding, RouterSettings, Severity
from ridgeline.agent.routers.advice import family, ok
from ridgeline.agent.routers.findings import prefix_findings
from ridgeline.agent.routers.frr_vty import Vty
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix


async def inspect_frr(
    vty: Vty,
    settings: RouterSettings,
    prefixes: Sequence[Prefix],
    *,
    bgp: str,
    vrf: str,
    file: Path,
) -> tuple[Finding, ...]:
    """Look at everything that `Router.inspect` promises; change nothing."""
    try:
        version = (await vty.show("show version")).splitlines()[0]
        running = await vty.show("show running-config")
        if not re.search(rf"^{re.escape(bgp)}$", running, re.MULTILINE):
            return (_no_bgp(running, bgp),)
        (neighbours,) = await vty.show_json(f"show bgp{vrf} neighbors json")
        shows = [f"show bgp{vrf} {family(p)} unicast {p} json" for p in prefixes]
        routes = await vty.show_json(*shows)
    except MachineError as error:
        return (Finding(severity=Severity.ERROR, what=str(error)),)
    ours = {
        name: of
        for name, of in neighbours.items()
        if isinstance(of, dict)
        and (name in settings.neighbours if settings.neighbours else of.get("nbrExternalLink"))
    }
    held = {p: r for p, r in zip(prefixes, routes, strict=True) if _own_path(r)}
    return (
        ok(version),
        *_sessions(ours, settings, bgp),
        *_families(ours, prefixes, bgp),
        _import_check(running, held, prefixes, bgp),
        *_policy(ours, bgp),
        *_accepted(held, ours),
        *_communities(ours, bgp),
        *_timers(ours, bgp),
        _graceful_restart(ours, running, bgp),
        *_bfd(ours, bgp),
        *_ttl(ours, running, bgp),
        *prefix_findings(tuple(prefixes), settings.asn),
        _start_up(file, prefixes),
        _dead_man(running, settings, prefixes, bgp),
    )


def _no_bgp(running: str, bgp: str) -> Finding:
    there = re.findall(r"^router bgp .*$", running, re.MULTILINE)
    return Finding(
        severity=Severity.ERROR,
        what=f"FRR has no `{bgp}`, but {', '.join(there) or 'no BGP at all'}",
        why="the agent does not create BGP instances",
        lines=(bgp, " neighbor ADDRESS remote-as ASN"),
        where="/etc/frr/frr.conf",
    )


def _sessions(ours: Mapping[str, Any], settings: RouterSettings, bgp: str) -> Iterator[Finding]:
    for name in settings.neighbours:
        if name not in ours:
            yield Finding(
                severity=Severity.ERROR,
                what=f"there is no neighbour {name}",
                lines=(bgp, f" neighbor {name} remote-as ASN"),
                where="/etc/frr/frr.conf",
            )
    if not ours and not settings.neighbours:
        yield Finding(
            severity=Severity.ERROR,
            what="there is no external BGP session",
            why="nobody would hear an announcement",
            lines=(bgp, " neighbor ADDRESS remote-as ASN"),
            where="/etc/frr/frr.conf",
        )
    for name, of in ours.items():
        state = of.get("bgpState", "unknown")
        if state == "Established":
            yield ok(f"session with {name} (AS{of.get('remoteAs')}) is established")
        else:
            reason = of.get("lastResetDueTo", "")
            yield Finding(
                severity=Severity.ERROR,
                what=f"session with {name} (AS{of.get('remoteAs')}) is {state}: {reason}",
                why="nothing is announced to this neighbour",
            )


def _families(ours: Mapping[str, Any], prefixes: Sequence[Prefix], bgp: str) -> Iterator[Finding]:
    for name in dict.fromkeys(family(p) for p in prefixes):
        key = f"{name}Unicast"
        if not any(key in of.get("addressFamilyInfo", {}) for of in ours.values()):
            first = next(iter(ours), "ADDRESS")
            yield Finding(
                severity=Severity.ERROR,
                what=f"no session carries {name} unicast",
                why=f"the {name} prefixes of this site reach nobody",
                lines=(bgp, f" address-family {name} unicast", f"  neighbor {first} activate"),
                where="/etc/frr/frr.conf",
            )


def _import_check(
    running: str, held: Mapping[Prefix, Any], prefixes: Sequence[Prefix], bgp: str
) -> Finding:
    if "no bgp network import-check" in running:
        return ok("`network` needs no other route (no bgp network import-check)")
    invalid = [p for p, route in held.items() if not _own_path(route).get("valid")]
    if held and not invalid and len(held) == len(prefixes):
        return ok("`network` finds its route in the routing table (bgp network import-check)")
    return Finding(
        severity=Severity.ERROR if invalid else Severity.WARNING,
        what=f"import-check is on, and {_names(invalid or prefixes)} may have no route to check",
        why="FRR announces a `network` only while the routing table has the very prefix",
        lines=(bgp, " no bgp network import-check"),
        where="/etc/frr/frr.conf, unless the dead-man switch below needs it",
    )


def _policy(ours: Mapping[str, Any], bgp: str) -> Iterator[Finding]:
    for name, of in ours.items():
        for key, info in of.get("addressFamilyInfo", {}).items():
            if "outboundEbgpRequiresPolicy" not in info:
                continue
            short = key.removesuffix("Unicast")
            yield Finding(
                severity=Severity.ERROR,
                what=f"to {name}, {short}: everything is discarded for want of a policy (RFC 8212)",
                why="FRR sends nothing to an external neighbour without an outbound route map",
                lines=(
                    f"{'ip' if short == 'ipv4' else 'ipv6'} prefix-list ANYCAST permit PREFIX",
                    "route-map ANYCAST-OUT permit 10",
                    f" match {'ip' if short == 'ipv4' else 'ipv6'} address prefix-list ANYCAST",
                    bgp,
                    f" address-family {short} unicast",
                    f"  neighbor {name} route-map ANYCAST-OUT out",
                ),
                where="/etc/frr/frr.conf",
            )


def _accepted(held: Mapping[Prefix, Any], ours: Mapping[str, Any]) -> Iterator[Finding]:
    up = {name for name, of in ours.items() if of.get("bgpState") == "Established"}
    for prefix, route in held.items():
        able = {n for n in up if f"{family(prefix)}Unicast" in ours[n].get("addressFamilyInfo", {})}
        sent = able & set(route.get("advertisedTo", {}))
        if sent:
            yield ok(f"{prefix} is sent to {', '.join(sorted(sent))}")
        for name in sorted(able - sent):
            out = ours[name]["addressFamilyInfo"][f"{family(prefix)}Unicast"].get(
                "routeMapForOutgoingAdvertisements", ""
            )
            yield Finding(
                severity=Severity.ERROR,
                what=f"{prefix} is held but not sent to {name}",
                why=f"the outbound policy {out or 'of the neighbour'} refuses it",
                lines=(f"ip prefix-list ANYCAST permit {prefix}",)
                if prefix.version == 4
                else (f"ipv6 prefix-list ANYCAST permit {prefix}",),
                where=f"what route-map {out or '... out'} matches",
            )


def _communities(ours: Mapping[str, Any], bgp: str) -> Iterator[Finding]:
    for name, of in ours.items():
        for key, info in of.get("addressFamilyInfo", {}).items():
            sent = str(info.get("commAttriSentToNbr", ""))
            if "tandard" in sent or "all" in sent.lower():
                continue
            yield Finding(
                severity=Severity.WARNING,
                what=f"to {name}: standard communities are not sent",
                why="the neighbour cannot see that a prefix is drained (RFC 8326)",
                lines=(
                    bgp,
                    f" address-family {key.removesuffix('Unicast')} unicast",
                    f"  neighbor {name} send-community",
                ),
                where="/etc/frr/frr.conf",
            )


def _timers(ours: Mapping[str, Any], bgp: str) -> Iterator[Finding]:
    for name, of in ours.items():
        wait = int(of.get("minBtwnAdvertisementRunsTimerMsecs", 0))
        if wait:
            yield Finding(
                severity=Severity.WARNING,
                what=f"to {name}: updates wait up to {wait / 1000:g} s",
                why="a withdrawal waits as long",
                lines=(bgp, f" neighbor {name} advertisement-interval 0"),
                where="/etc/frr/frr.conf",
            )


def _graceful_restart(ours: Mapping[str, Any], running: str, bgp: str) -> Finding:
    offered = [
        name
        for name, of in ours.items()
        if "advertised" in str(of.get("neighborCapabilities", {}).get("gracefulRestartCapability"))
    ]
    if not offered or re.search(r"^ bgp graceful-restart-disable$", running, re.MULTILINE):
        return ok("graceful restart is not offered: a dead router's routes go at once")
    return Finding(
        severity=Severity.WARNING,
        what=f"graceful restart is offered to {', '.join(offered)}",
        why="when this router dies, a neighbour that helps may keep its routes for minutes "
        "(123 s were seen), and clients are sent to a dead site",
        lines=(bgp, " bgp graceful-restart-disable"),
        where="/etc/frr/frr.conf; then `clear bgp *` at a quiet time",
    )


def _bfd(ours: Mapping[str, Any], bgp: str) -> Iterator[Finding]:
    for name, of in ours.items():
        info = of.get("peerBfdInfo")
        if info:
            yield ok(f"BFD with {name}: {info.get('status', 'configured')}")
            continue
        hold = int(of.get("bgpTimerHoldTimeMsecs", of.get("bgpTimerConfiguredHoldTimeMsecs", 0)))
        yield Finding(
            severity=Severity.WARNING,
            what=f"no BFD with {name}",
            why=f"a dead machine is noticed after the hold time only ({hold / 1000:g} s)",
            lines=(
                bgp,
                f" neighbor {name} bfd",
                f" neighbor {name} bfd check-control-plane-failure",
            ),
            where="/etc/frr/frr.conf, with bfdd=yes in /etc/frr/daemons",
        )


def _ttl(ours: Mapping[str, Any], running: str, bgp: str) -> Iterator[Finding]:
    for name in ours:
        if re.search(rf"^ neighbor {re.escape(name)} ttl-security ", running, re.MULTILINE):
            yield ok(f"TTL security with {name}")
        else:
            yield Finding(
                severity=Severity.NOTE,
                what=f"no TTL security with {name}",
                why="anybody who can reach port 179 may try to disturb the session (RFC 5082)",
                lines=(bgp, f" neighbor {name} ttl-security hops 1"),
                where="/etc/frr/frr.conf, agreed with the neighbour, who must do the same",
            )


def _start_up(file: Path, prefixes: Sequence[Prefix]) -> Finding:
    try:
        text = file.read_text(errors="replace")
    except OSError as error:
        return Finding(
            severity=Severity.NOTE,
            what=f"{file} cannot be read: {error.strerror}",
            why="a `network` line there would announce at FRR's start, healthy or not",
        )
    found = [
        p for p in prefixes if re.search(rf"^\s*network {re.escape(str(p))}\b", text, re.MULTILINE)
    ]
    if not found:
        return ok(f"{file} announces nothing by itself")
    return Finding(
        severity=Severity.WARNING,
        what=f"{file} itself announces {_names(found)}",
        why="after a restart FRR announces before the agent has looked at the service",
        lines=tuple(f"no network {p}" for p in found),
        where="remove the `network` lines from the file; the agent says them when it is time",
    )


def _dead_man(
    running: str, settings: RouterSettings, prefixes: Sequence[Prefix], bgp: str
) -> Finding:
    bound = "no bgp network import-check" not in running
    if bound and settings.bfd:
        return ok("dead-man switch: `network` depends on a route in the routing table")
    hop = settings.bfd or "10.255.53.2"
    return Finding(
        severity=Severity.WARNING,
        what="no dead-man switch: a killed agent leaves its announcements",
        why="if the service dies too, nothing withdraws until the agent is started again",
        lines=(
            *(
                f"ip route {p} {hop} ridgeline0"
                if p.version == 4
                else f"ipv6 route {p} fdbf:d::2 ridgeline0"
                for p in prefixes
            ),
            bgp,
            " bgp network import-check",
        ),
        where="/etc/frr/frr.conf, with the device of docs/how-to/dead-man.md; "
        "add `bfd` to the routes if this FRR takes it",
    )


def _own_path(route: Mapping[str, Any]) -> Mapping[str, Any]:
    for path in route.get("paths", []):
        if path.get("sourced") and path.get("local"):
            return path  # type: ignore[no-any-return] # from JSON
    return {}


def _names(prefixes: Sequence[Prefix]) -> str:
    return ", ".join(map(str, prefixes))
