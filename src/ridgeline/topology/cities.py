"""The world's larger cities: where generated and measured networks have their PoPs.

The 1000 largest metropolises and the largest city of every country, from GeoNames (CC BY 4.0);
`scripts/make_cities.py` writes the tables. A city with an IATA code stands where its airport does.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cities:
    """Cities, largest first; arrays of shape (n,), read-only.

    Attributes
    ----------
    code : tuple of str
        Lower-case IATA code of the main airport, or empty.
    name, country : tuple of str
        City name and ISO 3166-1 alpha-2 country.
    lat, lon : float64 array
        Degrees.
    people : float64 array
        Inhabitants of the metropolis.
    """

    code: tuple[str, ...]
    name: tuple[str, ...]
    country: tuple[str, ...]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    people: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.name)

    def largest_of(self) -> dict[str, int]:
        """Index of each country's largest city."""
        largest: dict[str, int] = {}
        for i, country in enumerate(self.country):
            largest.setdefault(country, i)
        return largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """A country or territory."""

    name: str
    continent: str
    """GeoNames' code: AF, AN, AS, EU, NA, OC or SA."""
    people: int


@cache
def cities() -> Cities:
    """Return the table of cities."""
    rows = _rows("cities.tsv")
    lat, lon, people = (np.array([float(row[i]) for row in rows]) for i in (3, 4, 5))
    for array in (lat, lon, people):
        array.setflags(write=False)
    return Cities(
        code=tuple(row[0] for row in rows),
        name=tuple(row[1] for row in rows),
        country=tuple(row[2] for row in rows),
        lat=lat,
        lon=lon,
        people=people,
    )


@cache
def countries() -> dict[str, Country]:
    """Return all countries by their ISO 3166-1 alpha-2 code."""
    return {
        code: Country(name=name, continent=continent, people=int(people))
        for code, name, continent, people in _rows("countries.tsv")
    }


def unit_vectors(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points on the unit sphere, shape (n, 3): the nearer, the larger their dot product."""
    phi, lam = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=1)


def _rows(table: str) -> list[list[str]]:
    text = (files("ridgeline.topology") / "data" / table).read_text("utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
