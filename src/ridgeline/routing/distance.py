"""Great-circle distances between many places at once."""

import numpy as np
from numpy.typing import NDArray

from ridgeline.net.place import EARTH_RADIUS_KM

Degrees = NDArray[np.float64]


def distances_km(lat1: Degrees, lon1: Degrees, lat2: Degrees, lon2: Degrees) -> Degrees:
    """As `net.place.great_circle_km`, element by element; NaN where a place is not known."""
    p1, p2 = np.radians(lat1), np.radians(lat2)
    h = np.sin((p2 - p1) / 2) ** 2
    h = h + np.cos(p1) * np.cos(p2) * np.sin(np.radians(lon2 - lon1) / 2) ** 2
    km: Degrees = 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(1.0, np.sqrt(h)))
    return km
