"""What `agent check` says of the prefixes whichever router announces them."""

from collections.abc import Iterator
from typing import Final

from ridgeline.agent.router import Finding, Severity
from ridgeline.net.asn import Asn
from ridgeline.spec.model import Prefix

_LONGEST: Final = {4: 24, 6: 48}


def prefix_findings(prefixes: tuple[Prefix, ...], asn: Asn) -> Iterator[Finding]:
    """Length that the Internet takes (RFC 7454, section 6.1.3), and the ROA that it must have."""
    for prefix in prefixes:
        most = _LONGEST[prefix.version]
        if prefix.prefixlen > most:
            yield Finding(
                severity=Severity.WARNING,
                what=f"{prefix} is longer than /{most}",
                why="most networks do not accept it, so most clients will not reach it",
                lines=(f"announce the /{most} that holds it",),
                where="ridgeline.yaml, prefixes",
            )
        yield Finding(
            severity=Severity.NOTE,
            what=f"{prefix}: this machine cannot see its ROA",
            why="without one, or with maxLength below the prefix's length, networks that validate "
            "(RFC 6811) drop the announcement",
            lines=(f"ROA: AS{asn}, {prefix}, maxLength {prefix.prefixlen}",),
            where="your RIR's portal",
        )
