"""Places on the globe, and how far light in fibre needs between them."""

from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt
from typing import Final

EARTH_RADIUS_KM: Final = 6371.0088  # mean radius, IUGG
FIBRE_KM_PER_MS: Final = 199.86  # light in fibre, c / 1.5
PATH_STRETCH: Final = 1.46  # fibre detour over the great circle, fitted on 29,826 city pairs
ACCESS_RTT_MS: Final = 2.0  # a client's access line, there and back


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A city, named by a short code (IATA where there is one)."""

    code: str
    """Lower case, e.g. ``nrt``."""
    city: str
    country: str
    """ISO 3166-1 alpha-2, upper case; empty where unknown."""
    lat: float
    """Degrees north."""
    lon: float
    """Degrees east."""


def great_circle_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Distance over the surface, in kilometres (haversine, degrees in)."""
    p1, p2 = radians(lat1), radians(lat2)
    h = sin((p2 - p1) / 2) ** 2 + cos(p1) * cos(p2) * sin(radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(h)))


def one_way_ms(distance_km: float) -> float:
    """One-way delay of a fibre between places so far apart over the great circle."""
    return distance_km * PATH_STRETCH / FIBRE_KM_PER_MS
