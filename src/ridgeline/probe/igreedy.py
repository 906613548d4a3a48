"""iGreedy, as published: the method that ours is measured against, in the same run.

Cicalese et al., "Latency-Based Anycast Geolocation: Algorithms, Software, and Data Sets", IEEE
JSAC 34(6), 2016. Discs are taken smallest first, each that overlaps none taken before; the smallest
that has no city yet gets the largest city inside it and shrinks to that city; and so on until
nothing new appears.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ridgeline.net.place import Place
from ridgeline.probe.discs import Vector, distance_km, unit_vector
from ridgeline.probe.vantage import VantagePoint

KM_PER_RTT_MS: Final = 299_792.458 / 1.52 / 1000 / 2  # the authors' refractive index of fibre
CITY_RADIUS_KM: Final = 0.1


@dataclass(frozen=True, slots=True)
class Airport:
    """A candidate: iGreedy places sites at airports and weighs them by their city's people."""

    place: Place
    people: int


@dataclass(frozen=True, slots=True)
class Found:
    """A site that iGreedy enumerates."""

    vantage_point: VantagePoint
    place: Place | None
    """None: no airport is inside the disc."""


@dataclass(slots=True)
class _Disc:
    where: Vector
    radius_km: float
    is_placed: bool
    source: VantagePoint


def igreedy(vantage_points: Sequence[VantagePoint], airports: Sequence[Airport]) -> list[Found]:
    """Enumerate and place sites."""
    ordered = [
        (unit_vector(vp.lat, vp.lon), vp.rtt_ms * KM_PER_RTT_MS, vp)
        for vp in sorted(vantage_points, key=lambda vp: vp.rtt_ms)
    ]
    cities = [(unit_vector(a.place.lat, a.place.lon), a) for a in airports]
    chosen: list[_Disc] = []
    found: list[Found] = []
    while True:
        for where, radius, vp in ordered:
            if all(distance_km(where, d.where) > radius + d.radius_km for d in chosen):
                chosen.append(_Disc(where, radius, False, vp))
        chosen.sort(key=lambda d: d.radius_km)
        for disc in chosen:
            if disc.is_placed:
                continue
            disc.is_placed = True
            city = _largest_inside(disc, cities)
            found.append(Found(disc.source, None if city is None else city.place))
            if city is not None:
                disc.where = unit_vector(city.place.lat, city.place.lon)
                disc.radius_km = CITY_RADIUS_KM
                break
        else:
            return found


def _largest_inside(disc: _Disc, cities: list[tuple[Vector, Airport]]) -> Airport | None:
    best = None
    for where, airport in cities:
        if airport.people > (best.people if best else 0) and (
            distance_km(disc.where, where) < disc.radius_km
        ):
            best = airport
    return best
