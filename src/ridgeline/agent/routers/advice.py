"""Small helpers of the back-ends' findings."""

from ipaddress import IPv4Network

from ridgeline.agent.router import Finding, Severity
from ridgeline.spec.model import Prefix


def family(prefix: Prefix) -> str:
    """Return ``ipv4`` or ``ipv6``."""
    return "ipv4" if isinstance(prefix, IPv4Network) else "ipv6"


def ok(what: str) -> Finding:
    return Finding(severity=Severity.OK, what=what)
