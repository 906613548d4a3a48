"""Hold the decoding of identities against stated places, with and without times; print a table.

    .venv/bin/python validation/identities.py [--write]

The data are not shipped: $RIDGELINE_DATA or ../shared/data must hold identities/ (root-servers.org's
lists of sites with their CHAOS identities) and vantage-rtt/ (who was answered by which site of I- and
L-root, and how fast). `--write` renews the tables in docs/explanation/identities.md.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ridgeline.net.place import great_circle_km
from ridgeline.probe.discs import KM_PER_RTT_MS
from ridgeline.probe.places import Decoded, Sighting, decode
from ridgeline.probe.rules import Rules, shipped_rules
from ridgeline.probe.vantage import VantagePoint
from ridgeline.probe.vantagefiles import read_vantage_points

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "explanation" / "identities.md"
LETTERS: Final = ("D", "H", "K")
RIGHT_KM: Final = 100.0
LEAST_PART: Final = 0.98
N_SIGHTINGS: Final = 5
STRETCHES: Final = (1.1, 1.3, 1.5, 2.0)
"""How much longer than light needs the made-up times are."""
CITIES: Final = (
    ("lhr", 51.5, -0.1), ("jfk", 40.7, -74.0), ("nrt", 35.7, 139.7), ("gru", -23.5, -46.6),
    ("jnb", -26.2, 28.0), ("syd", -33.9, 151.2), ("sin", 1.3, 103.8), ("fra", 50.1, 8.7),
    ("lax", 34.1, -118.2), ("bom", 19.1, 72.9), ("dxb", 25.2, 55.3), ("arn", 59.3, 18.1),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Stated:
    """An identity, and where its operator says that it is."""

    letter: str
    identity: str
    town: str
    lat: float
    lon: float


def data_folder() -> Path:
    folder = Path(os.environ.get("RIDGELINE_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "identities").is_dir():
        raise SystemExit(f"{folder / 'identities'}: no such folder; set RIDGELINE_DATA")
    return folder


def read_stated(folder: Path, letter: str) -> Iterator[Stated]:
    path = folder / "identities" / f"root_servers_{letter}.json"
    for site in json.loads(path.read_text(encoding="utf-8"))["Sites"]:
        for identity in site["Identifiers"]:
            yield Stated(
                letter=letter,
                identity=identity,
                town=site["Town"],
                lat=site["Latitude"],
                lon=site["Longitude"],
            )


def is_right(decoded: Decoded, lat: float, lon: float) -> bool:
    if decoded.best is None:
        return False
    place = decoded.best.place
    return great_circle_km(place.lat, place.lon, lat, lon) <= RIGHT_KM


def n_faster_than_light(decoded: Decoded, sightings: Sequence[Sighting]) -> int:
    """Count accepted guesses that light forbids, by a formula of their own."""
    return sum(
        any(
            great_circle_km(s.lat, s.lon, g.place.lat, g.place.lon) > s.rtt_ms * KM_PER_RTT_MS
            for s in sightings
        )
        for g in decoded.guesses
    )


def general(rules: Rules) -> Rules:
    """Leave the words of single operators out."""
    return replace(rules, operators=())


def stated_table(stated: Sequence[Stated]) -> tuple[str, float]:
    rows = ["| identities of | all rules | without operators' own words |", "|---|---:|---:|"]
    rules = shipped_rules()
    right: dict[str, list[int]] = {letter: [0, 0, 0] for letter in LETTERS}
    for one in stated:
        count = right[one.letter]
        count[0] += is_right(decode(one.identity), one.lat, one.lon)
        count[1] += is_right(decode(one.identity, rules=general(rules)), one.lat, one.lon)
        count[2] += 1
    sums = [sum(count[i] for count in right.values()) for i in range(3)]
    for name, (with_all, alone, n) in [*right.items(), ("all", sums)]:
        label = f"{name}.root-servers.net" if name in right else "together"
        rows.append(
            f"| {label} | {with_all} / {n} = {100 * with_all / n:.2f} % "
            f"| {alone} / {n} = {100 * alone / n:.2f} % |"
        )
    return "\n".join(rows) + "\n", sums[0] / sums[2]


def missed(stated: Sequence[Stated]) -> str:
    rows = ["| identity | stated | decoded |", "|---|---|---|"]
    for one in stated:
        decoded = decode(one.identity)
        if not is_right(decoded, one.lat, one.lon):
            best = decoded.best
            said = f"{best.place.city}, {best.place.country}" if best else "no place"
            rows.append(
                f"| `{one.identity}` | {one.town} ({one.lat:.1f}, {one.lon:.1f}) | {said} |"
            )
    return "\n".join(rows) + "\n"


def made_up(stated: Sequence[Stated]) -> tuple[str, int]:
    """Let cities that we know see each site in a time that light allows, more or less tightly."""
    rows = [
        "| times, of what light needs | right | accepted, but faster than light |",
        "|---|---:|---:|",
    ]
    draw = random.Random(1)  # noqa: S311 - no secret
    n_wrong = 0
    for stretch in STRETCHES:
        n_right = n_fast = 0
        for one in stated:
            sightings = []
            for name, lat, lon in draw.sample(CITIES, N_SIGHTINGS):
                km = great_circle_km(lat, lon, one.lat, one.lon)
                rtt = max(0.5, stretch * km / KM_PER_RTT_MS)
                sightings.append(Sighting(lat=lat, lon=lon, rtt_ms=rtt, name=name))
            decoded = decode(one.identity, sightings=sightings)
            n_right += is_right(decoded, one.lat, one.lon)
            n_fast += n_faster_than_light(decoded, sightings)
        rows.append(
            f"| {stretch:g} times | {n_right} / {len(stated)} = "
            f"{100 * n_right / len(stated):.1f} % | {n_fast} |"
        )
        n_wrong += n_fast
    return "\n".join(rows) + "\n", n_wrong


def measured(folder: Path) -> tuple[str, int]:
    """Decode the names of I- and L-root's sites with the real times of the fastest vantage points."""
    rows = ["| names | without times | with times | accepted, but faster than light |"]
    rows.append("|---|---:|---:|---:|")
    places = {}
    lines = (folder / "vantage-rtt" / "airports.csv").read_text(encoding="utf-8").splitlines()
    for line in lines[1:]:
        fields = line.split("\t")
        lat, lon = map(float, fields[3].split())
        places[fields[0].lower()] = (lat, lon)
    n_wrong = 0
    for name, form in (("i-ripe", "s1.{}.i.root-servers.net"), ("l-ripe", "aa01.{}.l.example.net")):
        with (folder / "vantage-rtt" / name).open(encoding="utf-8") as stream:
            seen = read_vantage_points(stream, file=name).vantage_points
        of_site: dict[str, list[VantagePoint]] = {}
        for vp in sorted(seen, key=lambda vp: vp.rtt_ms):
            of_site.setdefault(vp.site, []).append(vp)
        n_blind = n_seen = n_fast = 0
        for site, vps in of_site.items():
            lat, lon = places[site]
            sightings = [
                Sighting(lat=vp.lat, lon=vp.lon, rtt_ms=vp.rtt_ms, name=vp.name)
                for vp in vps[:N_SIGHTINGS]
            ]
            identity = form.format(site)
            decoded = decode(identity, sightings=sightings)
            n_blind += is_right(decode(identity), lat, lon)
            n_seen += is_right(decoded, lat, lon)
            n_fast += n_faster_than_light(decoded, sightings)
        n = len(of_site)
        shown = form.format("SITE")
        rows.append(f"| `{shown}` | {n_blind} / {n} | {n_seen} / {n} | {n_fast} |")
        n_wrong += n_fast
    return "\n".join(rows) + "\n", n_wrong


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="renew the tables in the docs")
    write_docs = parser.parse_args().write
    folder = data_folder()
    stated = [one for letter in LETTERS for one in read_stated(folder, letter)]
    tables: dict[str, str] = {}
    decode("warm-up.example.net")
    begun = time.perf_counter()
    tables["stated"], part = stated_table(stated)
    each_ms = 1000 * (time.perf_counter() - begun) / (2 * len(stated))
    tables["missed"] = missed(stated)
    tables["made-up"], n_made_up = made_up(stated)
    tables["measured"], n_measured = measured(folder)
    for name, text in tables.items():
        print(f"{name}\n\n{text}")
    print(f"{each_ms:.1f} ms for each identity")
    if write_docs:
        write(tables)
    return 0 if part >= LEAST_PART and not n_made_up and not n_measured else 1


def write(tables: dict[str, str]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, text in tables.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if not (found and ended):
            raise SystemExit(f"{PAGE}: no place for the table {name}")
        page = before + begin + text + end + after
    PAGE.write_text(page, encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    sys.exit(main())
