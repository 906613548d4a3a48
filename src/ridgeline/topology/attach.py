"""Where a site plugs into a network: the rule that the model and the lab share."""

from math import isnan

import numpy as np

from ridgeline.net.place import great_circle_km
from ridgeline.topology.internet import Internet


def nearest_pop(internet: Internet, asn: int, lat: float, lon: float) -> int | None:
    """Return the PoP of a network that is nearest to a place; None if the network is not there.

    Ties, and PoPs that are nowhere, go to the lowest PoP index.
    """
    index = int(np.searchsorted(internet.asn, asn))
    if index == len(internet.asn) or int(internet.asn[index]) != asn:
        return None
    first, end = (int(np.searchsorted(internet.pop_as, index, side=s)) for s in ("left", "right"))

    def distance(pop: int) -> tuple[float, int]:
        pop_lat, pop_lon = float(internet.pop_lat[pop]), float(internet.pop_lon[pop])
        nowhere = isnan(pop_lat) or isnan(lat)
        return (0.0 if nowhere else great_circle_km(lat, lon, pop_lat, pop_lon), pop)

    return min(range(first, end), key=distance)
