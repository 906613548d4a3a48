"""Write src/ridgeline/net/data/airports.tsv: where each IATA code is, from `airportsdata` (MIT).

Run it after an upgrade of airportsdata and commit the result:

    .venv/bin/python scripts/make_airports.py
"""

from importlib.metadata import distribution, version
from pathlib import Path
from statistics import fmean

import airportsdata

DATA = Path(__file__).resolve().parent.parent / "src" / "ridgeline" / "net" / "data"
HEADER = (
    "# IATA code, city, ISO 3166-1 country, latitude, longitude; sorted. From airportsdata {}.\n"
)


def city_of(airport: airportsdata.Airport) -> str:
    """Return the city, or the airport's own name where the source knows no city."""
    name = airport["city"] or airport["name"].removesuffix(" Airport")
    return " ".join(name.split())


def rows() -> dict[str, tuple[str, str, float, float]]:
    """Return (city, country, lat, lon) by code; a city code such as LON is amid its airports."""
    places = {
        code: (city_of(airport), airport["country"], airport["lat"], airport["lon"])
        for code, airport in airportsdata.load("IATA").items()
    }
    for code, city in airportsdata.load_iata_macs().items():
        airports = city["airports"].values()
        lat, lon = (fmean(airport[axis] for airport in airports) for axis in ("lat", "lon"))
        places.setdefault(code, (city["name"], city["country"], lat, lon))
    return places


def main() -> None:
    """Write the table and, beside it, the licence of its source."""
    lines = [
        f"{code}\t{city}\t{country}\t{lat:.4f}\t{lon:.4f}\n"
        for code, (city, country, lat, lon) in sorted(rows().items())
    ]
    table = DATA / "airports.tsv"
    table.write_text(HEADER.format(version("airportsdata")) + "".join(lines), encoding="utf-8")
    licence = distribution("airportsdata").read_text("licenses/LICENSE")
    if licence is None:
        raise SystemExit("airportsdata no longer ships licenses/LICENSE: find its licence")
    (DATA / "airports.LICENSE").write_text(licence, encoding="utf-8")
    print(f"{table}: {len(lines)} places, {table.stat().st_size} bytes")


if __name__ == "__main__":
    main()
