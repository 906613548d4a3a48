"""Cities by country, by name and by code: what the words of an identifier are looked up in.

GeoNames' cities (CC BY 4.0, see ``data/NOTICE``). A country is read when first asked for; the whole
table only for a name that comes without a country.
"""

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from ridgeline.net.place import Place

_DATA: Final = Path(__file__).parent / "data"


class City(NamedTuple):
    """One city, as GeoNames knows it."""

    name: str
    country: str
    """ISO 3166-1 alpha-2, upper case."""
    region: str
    """State of the United States, upper case; empty elsewhere."""
    lat: float
    lon: float
    people: int
    code: str
    """IATA code of its main airport, lower case; a larger city's where it has none."""
    codes: tuple[str, ...]
    """IATA codes of its own."""
    names: tuple[str, ...]
    """What it is called: plain words, its main name first."""

    @property
    def place(self) -> Place:
        """The city as a place, named by its main airport."""
        return Place(
            code=self.code, city=self.name, country=self.country, lat=self.lat, lon=self.lon
        )


def plain(name: str) -> str:
    """Write a name in lower-case ASCII letters and single spaces."""
    if name.isascii() and name.isalpha():
        return name.lower()
    name = name.replace("ß", "ss").replace("ø", "o").replace("Ø", "O").replace("ł", "l")
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return " ".join(re.sub(r"[^a-z]+", " ", folded.replace("'", "")).split())


@cache
def cities_of(country: str) -> tuple[City, ...]:
    """Return a country's cities, largest first; none where there is no such country."""
    lines = _lines()
    at = bisect_left(lines, f"{country}\t")
    found = []
    while at < len(lines) and lines[at].startswith(f"{country}\t"):
        found.append(_read(lines[at]))
        at += 1
    return tuple(sorted(found, key=lambda city: -city.people))


@cache
def all_cities() -> tuple[City, ...]:
    """Return every city, largest first."""
    return tuple(sorted(map(_read, _lines()), key=lambda city: -city.people))


@cache
def cities_by_name() -> dict[str, tuple[City, ...]]:
    """Return cities by their names without spaces, largest first."""
    named: dict[str, list[City]] = defaultdict(list)
    for city in all_cities():
        for name in city.names:
            named[name.replace(" ", "")].append(city)
    return {name: tuple(cities) for name, cities in named.items()}


@cache
def countries() -> frozenset[str]:
    """Return the codes of all countries that have a city."""
    return frozenset(line[:2] for line in _lines())


@cache
def main_city_of_code(code: str) -> City | None:
    """Return the largest city that an IATA code, lower case, stands for."""
    return _cities_by_code().get(code)


@cache
def iata_of_icao(code: str) -> str:
    """Return the IATA code of an airport's ICAO code, both lower case; empty: none."""
    rows = (_DATA / "icao.tsv").read_text(encoding="utf-8").splitlines()
    at = bisect_left(rows, f"{code}\t", lo=1)
    if at < len(rows) and rows[at].startswith(f"{code}\t"):
        return rows[at].split("\t")[1]
    return ""


@cache
def locodes() -> dict[str, tuple[str, float, float]]:
    """Return city, latitude and longitude by UN/LOCODE, upper case, of those no airport has."""
    rows = (_DATA / "locodes.tsv").read_text(encoding="utf-8").splitlines()[1:]
    table = {}
    for row in rows:
        code, city, lat, lon = row.split("\t")
        table[code] = (city, float(lat), float(lon))
    return table


@cache
def _lines() -> list[str]:
    """One line a city, by country."""
    return sorted((_DATA / "cities.tsv").read_text(encoding="utf-8").splitlines()[1:])


@cache
def _cities_by_code() -> dict[str, City]:
    by_code: dict[str, City] = {}
    for city in all_cities():
        for code in city.codes or ():
            by_code.setdefault(code, city)
    for city in all_cities():
        by_code.setdefault(city.code, city)
    return by_code


def _read(line: str) -> City:
    country, region, name, lat, lon, people, code, others, names = line.split("\t")
    own = tuple(others.split(",")) if others else ()
    return City(
        name=name,
        country=country,
        region=region,
        lat=float(lat),
        lon=float(lon),
        people=int(people),
        code=code,
        codes=own,
        names=(plain(name), *(names.split("|") if names else ())),
    )
