"""What `agent check` says of the prefixes themselves, whichever router announces them."""

from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Final

from ridgeline.agent.router import Finding, Severity
from ridgeline.net.asn import Asn
from ridgeline.spec.model import Prefix

_LONGEST: Final = {4: 24, 6: 48}  # what networks accept from each other (RFC 7454, section 6.1.3)


def length_finding(prefixes: Iterable[Prefix]) -> Finding:
    """Say whether other networks will accept prefixes of this length."""
    long = [p for p in prefixes if p.prefixlen > _LONGEST[p.version]]
    if not long:
        return Finding(severity=Severity.OK, what="no prefix is longer than /24 or /48")
    return Finding(
        severity=Severity.WARNING,
        what=f"longer than /24 or /48: {', '.join(map(str, long))}",
        why="most networks refuse such routes from other networks (RFC 7454, section 6.1.3)",
    )


def roa_finding(prefixes: Iterable[Prefix], asn: Asn) -> Finding:
    """Say which ROA each prefix needs; whether it exists cannot be seen from here."""
    return Finding(
        severity=Severity.NOTE,
        what="route origin validation: not visible from this router",
        why="a route that no ROA allows is dropped by networks that validate (RFC 6811)",
        lines=tuple(f"ROA: {p}, origin AS{asn}, maxLength {p.prefixlen}" for p in prefixes),
        where="your RIR's portal, if these ROAs do not exist (RFC 9319: no longer maxLength)",
    )


def family(prefix: Prefix) -> str:
    """Return ``ipv4`` or ``ipv6``."""
    return "ipv4" if isinstance(prefix, IPv4Network) else "ipv6"


def ok(what: str) -> Finding:
    return Finding(severity=Severity.OK, what=what)
