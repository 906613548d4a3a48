"""Hold enumeration against measured truth, with iGreedy in the same run; print the docs' tables.

    .venv/bin/python validation/enumerate.py [--write] [--quick]

The data are not shipped: $RIDGELINE_DATA or ../shared/data must hold vantage-rtt/ (iGreedy's data
sets: vantage points, their fastest times to I-root and L-root, and which site answered each).
`--write` renews the tables in docs/explanation/enumeration.md; `--quick` leaves out the search for
parameters.
"""

import argparse
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

from ridgeline.net.place import Place, great_circle_km
from ridgeline.probe.enumerate import DEFAULTS, Enumeration, Parameters, enumerate_sites
from ridgeline.probe.igreedy import Airport, igreedy
from ridgeline.probe.metros import all_metros
from ridgeline.probe.vantage import VantagePoint, without_site
from ridgeline.probe.vantagefiles import read_vantage_points

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "explanation" / "enumeration.md"
SETS: Final = ("i-ripe", "l-ripe")
RIGHT_KM: Final = 100.0
LEAST_PRECISION, LEAST_RECALL, MOST_S = 0.95, 0.75, 0.2
GRID: Final = {
    "distance_scale": (0.08, 0.12, 0.16, 0.2),
    "overhead_ms": (1.5, 2.0, 2.5, 3.0),
    "least_share": (0.5, 0.6, 0.7),
    "small_city_penalty": (0.5, 1.0, 2.0),
}
SUBSETS: Final = ((3000, 4), (1000, 8), (300, 15), (100, 30))
"""Vantage points left, and how many draws of so many."""

N_MISPLACED: Final = 40
FAST_MS, FAR_KM = 20.0, 3000.0
ELSEWHERE: Final = (
    (-33.87, 151.21), (35.68, 139.69), (40.71, -74.0), (51.5, -0.1), (-23.5, -46.6), (1.3, 103.8),
    (0.0, -140.0), (-34.6, -58.4),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Truth:
    """One data set: who was answered by whom, and where the answering sites are."""

    name: str
    vantage_points: tuple[VantagePoint, ...]
    """With the site that answered."""
    sites: dict[str, Airport]

    def part(self, n: int, seed: int) -> "Truth":
        """Return as many vantage points at random, and the sites that they see."""
        some = tuple(random.Random(seed).sample(self.vantage_points, n))  # noqa: S311 - a draw
        seen = {vp.site for vp in some}
        sites = {site: place for site, place in self.sites.items() if site in seen}
        return replace(self, vantage_points=some, sites=sites)


@dataclass(frozen=True, kw_only=True)
class Found:
    """One enumerated site, by whichever method."""

    lat: float
    lon: float
    city: str
    vantage_point: str
    confidence: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Score:
    """How good an enumeration is."""

    n: int
    """Enumerated."""
    n_right: int
    """In the city, or within 100 km, of the site that answered the vantage point it rests on."""
    n_right_any: int
    """The same of any site that some vantage point saw."""
    n_found: int
    """Sites seen that an enumerated one is right for."""
    n_seen: int

    @property
    def precision(self) -> float:
        return self.n_right / self.n if self.n else 0.0

    @property
    def precision_any(self) -> float:
        return self.n_right_any / self.n if self.n else 0.0

    @property
    def recall(self) -> float:
        return self.n_found / self.n_seen if self.n_seen else 0.0

    def holds(self) -> bool:
        return self.precision >= LEAST_PRECISION and self.recall >= LEAST_RECALL


def data_folder() -> Path:
    base = Path(os.environ.get("RIDGELINE_DATA", ROOT.parent / "shared" / "data"))
    folder = base / "vantage-rtt"
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; set RIDGELINE_DATA")
    return folder


def read_airports(folder: Path) -> dict[str, Airport]:
    """Read iGreedy's own table: it has the operators' codes that are no airport's."""
    airports = {}
    for line in (folder / "airports.csv").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        code, _size, _name, where, country, city, rest = line.strip().split("\t")
        lat, lon = map(float, where.split())
        place = Place(code=code.lower(), city=city, country=country, lat=lat, lon=lon)
        airports[code] = Airport(place, int(rest.split()[0]))
    return airports


def read_truth(folder: Path, name: str, airports: dict[str, Airport]) -> Truth:
    with (folder / name).open(encoding="utf-8") as stream:
        read = read_vantage_points(stream, file=name)
    sites = {vp.site: airports[vp.site.upper()] for vp in read.vantage_points}
    return Truth(name=name, vantage_points=read.vantage_points, sites=sites)


def is_right(found: Found, site: Airport) -> bool:
    place = site.place
    return (
        found.city == place.city
        or great_circle_km(found.lat, found.lon, place.lat, place.lon) < RIGHT_KM
    )


def score(found: Sequence[Found], truth: Truth) -> Score:
    answered = {vp.name: vp.site for vp in truth.vantage_points}
    right = [{s for s, place in truth.sites.items() if is_right(f, place)} for f in found]
    return Score(
        n=len(found),
        n_right=sum(
            answered[f.vantage_point] in sites for f, sites in zip(found, right, strict=True)
        ),
        n_right_any=sum(map(bool, right)),
        n_found=len(set().union(*right)),
        n_seen=len(truth.sites),
    )


def ours(truth: Truth, parameters: Parameters = DEFAULTS) -> list[Found]:
    blind = [without_site(vp) for vp in truth.vantage_points]
    return _found(enumerate_sites(blind, parameters=parameters))


def _found(enumeration: Enumeration) -> list[Found]:
    return [
        Found(
            lat=site.lat,
            lon=site.lon,
            city=site.place.city if site.place else "",
            vantage_point=site.disc.vantage_point,
            confidence=site.confidence,
        )
        for site in enumeration.sites
    ]


def theirs(truth: Truth, airports: Sequence[Airport]) -> list[Found]:
    return [
        Found(
            lat=f.place.lat if f.place else f.vantage_point.lat,
            lon=f.place.lon if f.place else f.vantage_point.lon,
            city=f.place.city if f.place else "",
            vantage_point=f.vantage_point.name,
        )
        for f in igreedy([without_site(vp) for vp in truth.vantage_points], airports)
    ]


def fastest_s(truth: Truth) -> float:
    blind = [without_site(vp) for vp in truth.vantage_points]
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        enumerate_sites(blind)
        times.append(time.perf_counter() - begun)
    return min(times)


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heading) + " |"]
    lines.append("|" + "|".join("---" if i == 0 else "---:" for i in range(len(heading))) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def cells(result: Score) -> list[str]:
    return [
        f"{result.n_right} / {result.n}",
        f"{result.precision:.3f}",
        f"{result.n_found} / {result.n_seen}",
        f"{result.recall:.3f}",
    ]


HEADING: Final = ("", "right / enumerated", "precision", "found / seen", "recall")


def main_table(truths: list[Truth], airports: Sequence[Airport]) -> tuple[str, bool]:
    rows, good = [], True
    for truth in truths:
        baseline, own = score(theirs(truth, airports), truth), score(ours(truth), truth)
        seconds = fastest_s(truth)
        rows.append([f"{truth.name}, iGreedy", *cells(baseline), ""])
        rows.append([f"{truth.name}, Ridgeline", *cells(own), f"{1000 * seconds:.0f}"])
        good = good and own.holds() and seconds < MOST_S
    return table([*HEADING, "ms"], rows), good


def choose(truth: Truth) -> tuple[Parameters, Score]:
    """Take the parameters with the best recall among those precise enough; the first of equals."""
    best: tuple[tuple[bool, float, float], Parameters, Score] | None = None
    for values in product(*GRID.values()):
        parameters = replace(DEFAULTS, **dict(zip(GRID, values, strict=True)))
        result = score(ours(truth, parameters), truth)
        precise = result.precision >= LEAST_PRECISION
        key = (precise, result.recall if precise else 0.0, result.precision)
        if best is None or key > best[0]:
            best = key, parameters, result
    assert best is not None
    return best[1], best[2]


def cross_table(truths: list[Truth]) -> str:
    rows = []
    for chosen_on, tested_on in (truths, truths[::-1]):
        parameters, on_own = choose(chosen_on)
        on_other = score(ours(tested_on, parameters), tested_on)
        values = ", ".join(f"{getattr(parameters, name):g}" for name in GRID)
        rows.append(
            [
                f"chosen on {chosen_on.name}: {values}",
                f"{on_own.precision:.3f} / {on_own.recall:.3f}",
                f"{on_other.precision:.3f} / {on_other.recall:.3f}",
            ]
        )
    values = ", ".join(f"{getattr(DEFAULTS, name):g}" for name in GRID)
    for truth in truths:
        result = score(ours(truth), truth)
        rows.append(
            [
                f"shipped: {values}, on {truth.name}",
                f"{result.precision:.3f} / {result.recall:.3f}",
                "",
            ]
        )
    return table(("", "precision / recall there", "on the other set"), rows)


def plateau(truths: list[Truth]) -> str:
    """Say how many of the grid's settings meet the bars on both sets."""
    n = n_good = 0
    for values in product(*GRID.values()):
        parameters = replace(DEFAULTS, **dict(zip(GRID, values, strict=True)))
        n += 1
        n_good += all(score(ours(truth, parameters), truth).holds() for truth in truths)
    return f"{n_good} of the {n} settings of the grid meet both bars on both sets.\n"


def subset_table(truths: list[Truth], airports: Sequence[Airport]) -> str:
    rows = []
    for truth in truths:
        for n, draws in SUBSETS:
            parts = [truth.part(n, seed) for seed in range(draws)]
            cells_of = []
            for method in ("iGreedy", "Ridgeline"):
                results = [
                    score(theirs(p, airports) if method == "iGreedy" else ours(p), p) for p in parts
                ]
                cells_of.append(
                    f"{sum(r.precision for r in results) / draws:.2f} / "
                    f"{sum(r.recall for r in results) / draws:.2f}"
                )
            rows.append([f"{truth.name}, {n} of them", *cells_of])
    return table(("vantage points", "iGreedy", "Ridgeline"), rows)


def confidence_table(truths: list[Truth]) -> str:
    claimed: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for truth in truths:
        for n, draws in SUBSETS:
            for seed in range(draws):
                part = truth.part(n, seed)
                for f in ours(part):
                    right = any(is_right(f, place) for place in part.sites.values())
                    claimed[min(4, int(f.confidence * 5))].append((f.confidence, right))
    rows = [
        [
            f"{20 * i} to {20 * (i + 1)} %",
            str(len(some)),
            f"{100 * sum(c for c, _ in some) / len(some):.0f} %",
            f"{100 * sum(right for _, right in some) / len(some):.0f} %",
        ]
        for i, some in sorted(claimed.items())
    ]
    return table(("confidence", "sites", "mean confidence", "right"), rows)


def misplaced_table(truths: list[Truth]) -> str:
    """Move one fast vantage point at a time to a city of another continent."""
    rows = []
    for truth in truths:
        for told in (True, False):
            honest = [vp if told else without_site(vp) for vp in truth.vantage_points]
            fast = [i for i, vp in enumerate(honest) if vp.rtt_ms <= FAST_MS]
            draw = random.Random(5)  # noqa: S311 - a draw
            n = n_named = n_wronged = n_false = 0
            while n < N_MISPLACED:
                i, (lat, lon) = draw.choice(fast), draw.choice(ELSEWHERE)
                liar = replace(honest[i], lat=lat, lon=lon)
                if great_circle_km(honest[i].lat, honest[i].lon, lat, lon) < FAR_KM:
                    continue
                n += 1
                found = enumerate_sites([*honest[:i], liar, *honest[i + 1 :]])
                named = {suspect.vantage_point for suspect in found.suspects}
                n_named += liar.name in named
                n_wronged += len(named - {liar.name})
                n_false += any(site.disc.vantage_point == liar.name for site in found.sites)
            label = "told who answered" if told else "not told"
            rows.append(
                [f"{truth.name}, {label}", f"{n_named} / {n}", str(n_wronged), str(n_false)]
            )
    return table(("", "found out", "honest ones accused", "sites made of it"), rows)


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="renew the tables in the docs")
    parser.add_argument("--quick", action="store_true", help="no search for parameters")
    arguments = parser.parse_args()
    folder = data_folder()
    by_code = read_airports(folder)
    airports = list(by_code.values())
    truths = [read_truth(folder, name, by_code) for name in SETS]
    all_metros()
    tables: dict[str, str] = {}
    tables["main"], good = main_table(truths, airports)
    if not arguments.quick:
        tables["cross"] = cross_table(truths) + "\n" + plateau(truths)
    tables["subsets"] = subset_table(truths, airports)
    tables["confidence"] = confidence_table(truths)
    tables["misplaced"] = misplaced_table(truths)
    for name, text in tables.items():
        print(f"{name}\n\n{text}")
    if arguments.write:
        write(tables)
    if not good:
        print(f"below the bars: {LEAST_PRECISION}, {LEAST_RECALL}, {MOST_S} s", file=sys.stderr)
    return 0 if good else 1


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
