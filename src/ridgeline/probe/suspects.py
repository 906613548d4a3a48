"""Vantage points that cannot be where they say, or cannot have measured what they say.

Light has no opinion on routing: an anycast site may be next door to one host and unheard of by its
neighbour. So a vantage point is suspected only for what no routing can explain, or, where the
answering site is not known, for being alone against a crowd of neighbours.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import degrees, isfinite
from typing import Final

from ridgeline.net.place import EARTH_RADIUS_KM
from ridgeline.probe.discs import (
    KM_PER_RTT_MS,
    Vector,
    cosine,
    distance_km,
    reach,
    unit_vector,
)
from ridgeline.probe.vantage import VantagePoint

_N_SMALLEST: Final = 12  # discs of a site that each other disc is held against
_SAME_PLACE_KM: Final = 100.0
_NEIGHBOUR_KM: Final = 150.0
_CROWD: Final = 10
_SLOWER: Final = 10.0
_SLOWER_MS: Final = 30.0
_ALONE_MS: Final = 10.0  # a slower answer says too little about its place to contradict anybody


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A vantage point left out of an enumeration."""

    vantage_point: str
    lat: float
    lon: float
    rtt_ms: float
    reason: str


def suspect(vp: VantagePoint, reason: str) -> Suspect:
    """Suspect a vantage point."""
    return Suspect(vantage_point=vp.name, lat=vp.lat, lon=vp.lon, rtt_ms=vp.rtt_ms, reason=reason)


def find_suspects(vantage_points: Sequence[VantagePoint]) -> tuple[Suspect, ...]:
    """Return the vantage points whose location or time cannot be right, in their order."""
    reasons: dict[int, str] = {}
    for i, vp in enumerate(vantage_points):
        reason = _impossible(vp)
        if reason:
            reasons[i] = reason
    _find_twice_placed(vantage_points, reasons)
    _find_contradicted(vantage_points, reasons)
    return tuple(suspect(vp, reasons[i]) for i, vp in enumerate(vantage_points) if i in reasons)


class Crowd:
    """All vantage points by latitude, to ask whether one stands alone among its neighbours."""

    def __init__(self, placed: Iterable[tuple[VantagePoint, Vector]]) -> None:
        self._neighbours = sorted((vp.lat, where, vp.rtt_ms, vp.name) for vp, where in placed)
        self._lats = [neighbour[0] for neighbour in self._neighbours]

    def objection(self, vp: VantagePoint) -> str:
        """Say why one at a site's door cannot be: a crowd of neighbours, all far from any site."""
        if vp.rtt_ms > _ALONE_MS:
            return ""
        margin = degrees(_NEIGHBOUR_KM / EARTH_RADIUS_KM)
        first = bisect_left(self._lats, vp.lat - margin)
        last = bisect_right(self._lats, vp.lat + margin)
        here, near = unit_vector(vp.lat, vp.lon), reach(_NEIGHBOUR_KM)
        least = max(_SLOWER * vp.rtt_ms, vp.rtt_ms + _SLOWER_MS)
        others = []
        for _, where, rtt, name in self._neighbours[first:last]:
            if name != vp.name and cosine(here, where) >= near:
                if rtt < least:
                    return ""
                others.append(rtt)
        if len(others) < _CROWD:
            return ""
        return (
            f"all {len(others)} others within {_NEIGHBOUR_KM:.0f} km of it "
            f"are {min(others):g} ms or more from any site"
        )


def _impossible(vp: VantagePoint) -> str:
    if not (isfinite(vp.lat) and isfinite(vp.lon)) or abs(vp.lat) > 90 or abs(vp.lon) > 180:
        return f"{vp.lat:g}, {vp.lon:g} is no place on Earth"
    if vp.lat == 0 and vp.lon == 0:
        return "0, 0 is open sea: what is written where the place is not known"
    if not isfinite(vp.rtt_ms) or vp.rtt_ms <= 0:
        return f"{vp.rtt_ms:g} ms is no round-trip time"
    return ""


def _find_twice_placed(vantage_points: Sequence[VantagePoint], reasons: dict[int, str]) -> None:
    named: dict[str, list[int]] = defaultdict(list)
    for i, vp in enumerate(vantage_points):
        if i not in reasons:
            named[vp.name].append(i)
    for same in named.values():
        if len(same) == 1:
            continue
        places = [unit_vector(vantage_points[i].lat, vantage_points[i].lon) for i in same]
        farthest = max((distance_km(places[0], place) for place in places), default=0.0)
        if farthest > _SAME_PLACE_KM:
            for i in same:
                reasons[i] = f"it is said to be in two places {farthest:.0f} km apart"


def _find_contradicted(vantage_points: Sequence[VantagePoint], reasons: dict[int, str]) -> None:
    """Find discs of one site that have no place in common with most other discs of it.

    One site is one place, and every disc that it answered has to hold it.
    """
    of_site: dict[str, list[int]] = defaultdict(list)
    for i, vp in enumerate(vantage_points):
        if vp.site and i not in reasons:
            of_site[vp.site].append(i)
    where = {
        i: unit_vector(vantage_points[i].lat, vantage_points[i].lon)
        for members in of_site.values()
        for i in members
    }
    for site, members in of_site.items():
        members.sort(key=lambda i: vantage_points[i].rtt_ms)
        smallest = members[:_N_SMALLEST]
        conflicts: dict[int, set[int]] = defaultdict(set)
        for i in members:
            for j in smallest:
                radius = (vantage_points[i].rtt_ms + vantage_points[j].rtt_ms) * KM_PER_RTT_MS
                if i != j and cosine(where[i], where[j]) < reach(radius):
                    conflicts[i].add(j)
                    conflicts[j].add(i)
        while conflicts:
            worst = max(conflicts, key=lambda i: (len(conflicts[i]), -i))
            against = conflicts.pop(worst)
            if len(against) < 2:
                break  # one against one: nobody knows which of the two is wrong
            reasons[worst] = (
                f"no place is in reach of it and of {len(against)} others that {site} answered"
            )
            for other in against:
                conflicts[other].discard(worst)
            conflicts = defaultdict(set, {i: c for i, c in conflicts.items() if c})
