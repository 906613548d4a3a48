"""Vantage points with the round-trip time that each measured to one address."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class VantagePoint:
    """Where somebody measured from, and the smallest round-trip time seen there."""

    name: str
    lat: float
    """Degrees north."""
    lon: float
    """Degrees east."""
    rtt_ms: float
    site: str = ""
    """The site that answered, where it was asked; empty: not known. Enumeration does not use it
    to find sites, only to find vantage points that cannot be where they say."""


def fastest(measured: Iterable[VantagePoint]) -> list[VantagePoint]:
    """Keep the smallest round-trip time of each vantage point that was measured several times.

    One that is said to be in two places stays twice.
    """
    best: dict[tuple[str, float, float, str], VantagePoint] = {}
    for vp in measured:
        key = (vp.name, vp.lat, vp.lon, vp.site)
        if key not in best or vp.rtt_ms < best[key].rtt_ms:
            best[key] = vp
    return list(best.values())


def without_site(vp: VantagePoint) -> VantagePoint:
    """Forget which site answered."""
    return replace(vp, site="")
