"""Discs on the globe: an answer within so many milliseconds came from within so many kilometres.

Places are unit vectors and distances are compared by their cosine, which costs a tenth of a
haversine: an enumeration makes half a million such comparisons.
"""

from dataclasses import dataclass
from math import acos, cos, pi, radians, sin
from typing import Final, TypeAlias

from ridgeline.net.place import EARTH_RADIUS_KM, FIBRE_KM_PER_MS

Vector: TypeAlias = tuple[float, float, float]

KM_PER_RTT_MS: Final = FIBRE_KM_PER_MS / 2
"""How far away an answer can have come from, at most, per millisecond of round trip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """Where the answering site must be, as one vantage point saw it."""

    vantage_point: str
    lat: float
    lon: float
    rtt_ms: float

    @property
    def radius_km(self) -> float:
        """Light in fibre cannot come from farther."""
        return self.rtt_ms * KM_PER_RTT_MS


def unit_vector(lat: float, lon: float) -> Vector:
    """Turn degrees into a point on the unit sphere."""
    phi, theta = radians(lat), radians(lon)
    flat = cos(phi)
    return flat * cos(theta), flat * sin(theta), sin(phi)


def cosine(a: Vector, b: Vector) -> float:
    """Cosine of the angle between two places: 1 for the same place."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def distance_km(a: Vector, b: Vector) -> float:
    """Great-circle distance between two places."""
    return EARTH_RADIUS_KM * acos(max(-1.0, min(1.0, cosine(a, b))))


def reach(km: float) -> float:
    """Cosine at that distance: places are nearer if their cosine is larger."""
    return cos(min(pi, km / EARTH_RADIUS_KM))
