"""What a map shows: clients and sites, as the caller sees them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeAlias

SiteLook: TypeAlias = Literal["announced", "drained", "down", "planned"]
Emphasis: TypeAlias = Literal["", "moved", "unreached"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMark:
    """A client, or all clients of one city: a dot in the colour of its site."""

    code: str
    """City code, e.g. ``nrt``."""
    city: str
    """Name in full; may be empty."""
    lat: float
    """Degrees north; NaN for a client that is nowhere: counted, not drawn."""
    lon: float
    weight: float = 1.0
    """Area of the dot, and share in the legend."""
    site: str | None
    """Name of the answering site; None: no answer."""
    rtt_ms: float | None = None
    certainty: str = "certain"
    """``certain``, ``likely`` or ``possible``; the last two are drawn paler."""
    note: str = ""
    """One remark, e.g. ``not the nearest: cdg is 3,900 km nearer``; the dot gets a ring."""
    emphasis: Emphasis = ""
    """``moved`` stands out; ``unreached`` is an empty ring."""
    was: str | None = None
    """Site that answered before, drawn as a dashed line."""

    @property
    def answered_by(self) -> str | None:
        return None if self.emphasis == "unreached" else self.site

    @property
    def moved_from(self) -> str | None:
        """The site of before, where it is another one."""
        return self.was if self.was != self.answered_by else None

    @property
    def is_uncertain(self) -> bool:
        return self.certainty in ("likely", "possible")

    @property
    def has_place(self) -> bool:
        return _is_place(self.lat, self.lon)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteMark:
    """A site: a diamond with its name and share."""

    name: str
    city: str
    lat: float
    lon: float
    state: SiteLook = "announced"

    @property
    def has_place(self) -> bool:
        return _is_place(self.lat, self.lon)


def _is_place(lat: float, lon: float) -> bool:
    return isfinite(lat) and isfinite(lon) and abs(lat) <= 90.0


def shares_of(clients: Sequence[ClientMark]) -> dict[str | None, float]:
    """Each site's share of the clients by weight; under None the share without an answer."""
    total = sum(max(c.weight, 0.0) for c in clients)
    shares: dict[str | None, float] = defaultdict(float)
    for client in clients:
        shares[client.answered_by] += max(client.weight, 0.0) / total if total else 0.0
    return dict(shares)


def median_rtts(clients: Sequence[ClientMark]) -> dict[str, float]:
    """Each site's median round trip, weighted, over the clients that have one."""
    rtts: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for client in clients:
        site, rtt = client.answered_by, client.rtt_ms
        if site is not None and rtt is not None and isfinite(rtt):
            rtts[site].append((rtt, max(client.weight, 0.0)))
    return {site: _weighted_median(values) for site, values in rtts.items()}


def _weighted_median(values: list[tuple[float, float]]) -> float:
    half, seen = sum(weight for _, weight in values) / 2.0, 0.0
    ranked = sorted(values)
    for value, weight in ranked:
        seen += weight
        if seen >= half:
            return value
    return ranked[-1][0]
