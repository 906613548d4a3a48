"""The cities where a site may stand: those with an airport, with how many people live there.

GeoNames' cities (CC BY 4.0, see ``data/NOTICE``), suburbs counted with their centre.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cache
from math import degrees, log
from pathlib import Path
from typing import Final, NamedTuple

from ridgeline.net.place import EARTH_RADIUS_KM, Place
from ridgeline.probe.discs import Vector, cosine, reach, unit_vector

_TABLE: Final = Path(__file__).parent / "data" / "metros.tsv"
_HAMLET: Final = 1000
"""Added to every city's people: nobody's village is nowhere."""


class Metro(NamedTuple):
    """One city."""

    place: Place
    people: int
    where: Vector
    appeal: float
    """Logarithm of its people."""


class Metros:
    """Cities by latitude, so that those of a small disc are found without asking all of them."""

    def __init__(self, metros: Iterable[Metro]) -> None:
        self._metros = sorted(metros, key=lambda m: (m.place.lat, m.place.lon))
        self._lats = [m.place.lat for m in self._metros]

    def __len__(self) -> int:
        return len(self._metros)

    def within(self, where: Vector, lat: float, km: float) -> Iterator[tuple[Metro, float]]:
        """Each city of a disc, with the cosine of its distance from the centre."""
        margin = degrees(km / EARTH_RADIUS_KM) + 1e-6
        limit = reach(km)
        first = bisect_left(self._lats, lat - margin)
        last = bisect_right(self._lats, lat + margin)
        for metro in self._metros[first:last]:
            c = cosine(where, metro.where)
            if c >= limit:
                yield metro, c


def make_metro(place: Place, people: int) -> Metro:
    """Make one city, with what is computed of it once."""
    return Metro(place, people, unit_vector(place.lat, place.lon), log(people + _HAMLET))


@cache
def all_metros() -> Metros:
    """Read the shipped table."""
    lines = _TABLE.read_text(encoding="utf-8").splitlines()[1:]
    return Metros(map(_read_row, lines))


def _read_row(line: str) -> Metro:
    code, city, country, lat, lon, people = line.split("\t")
    place = Place(code=code, city=city, country=country, lat=float(lat), lon=float(lon))
    return make_metro(place, int(people))
