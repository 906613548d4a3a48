# /// script
# requires-python = ">=3.11"
# dependencies = ["shapely>=2.1"]
# ///
"""Make `picture/data/world.json`, the coasts and borders that every map is drawn on.

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    pip install 'shapely>=2.1'
    python scripts/make_worldmap.py package/countries-50m.json package/LICENSE

The countries are cut along the edge of our sheet instead of the date line, simplified together (so
that neighbours keep one border) in the plane they are drawn in, and split into outer coasts and
inner borders. Islands under `MIN_ISLAND` square units are left out.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import shapely
from shapely.affinity import translate
from shapely.geometry import LineString, MultiPolygon, Polygon, box
from shapely.ops import linemerge

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from ridgeline.picture.projection import CENTRE_LON, HALF_WIDTH, project_east

OUT = Path(__file__).resolve().parents[1] / "src/ridgeline/picture/data/world.json"
UNITS_PER_DEGREE = 100
SHEET = 1000.0 / (2 * HALF_WIDTH)  # simplify as if the sheet were 1000 wide
TOLERANCE = 0.62  # in those units; shapely squares it to the area of the smallest kept triangle
MIN_ISLAND = 0.28  # square units; Singapore stays
ANTARCTICA = "010"

XY = tuple[float, float]


def read_countries(topology: dict[str, Any]) -> dict[str, shapely.Geometry]:
    """Decode TopoJSON: arcs are quantized deltas, a negative index walks its arc backwards."""
    (sx, sy), (tx, ty) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs: list[list[XY]] = []
    for arc in topology["arcs"]:
        x = y = 0
        line: list[XY] = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((round(x * sx + tx, 3), round(y * sy + ty, 3)))
        arcs.append(line)

    def ring(indices: list[int]) -> list[XY]:
        points: list[XY] = []
        for index in indices:
            arc = arcs[index] if index >= 0 else arcs[~index][::-1]
            points.extend(arc if not points else arc[1:])
        return unroll(points)

    countries: dict[str, shapely.Geometry] = {}
    for number, geometry in enumerate(topology["objects"]["countries"]["geometries"]):
        polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
        shapes = [Polygon(ring(p[0]), [ring(hole) for hole in p[1:]]) for p in polygons]
        countries[f"{geometry.get('id', '')}/{number}"] = shapely.make_valid(MultiPolygon(shapes))
    return countries


def unroll(ring: list[XY]) -> list[XY]:
    """Let a ring that crosses the date line run on past 180 degrees; close one around the pole."""
    turn = 0.0
    points = [ring[0]]
    for (before, _), (lon, lat) in pairwise(ring):
        turn += 360.0 if lon - before < -180.0 else -360.0 if lon - before > 180.0 else 0.0
        points.append((lon + turn, lat))
    if turn:
        pole = 90.0 if points[0][1] > 0 else -90.0
        points += [(points[-1][0], pole), (points[0][0], pole), points[0]]
    return points


def recut(shape: shapely.Geometry) -> shapely.Geometry:
    """Cut along the sheet's edges instead of the date line."""
    turns = shapely.union_all([translate(shape, turn) for turn in (-360.0, 0.0, 360.0)])
    edge = CENTRE_LON - 180.0
    return shapely.intersection(turns, box(edge, -90.0, edge + 360.0, 90.0))


class Plane:
    """Projects vertices and remembers where each came from."""

    def __init__(self) -> None:
        self.home: dict[XY, XY] = {}

    def __call__(self, point: XY) -> XY:
        lon, lat = point
        x, y = project_east(lat, lon - CENTRE_LON)
        where = (round(x * SHEET, 6), round(y * SHEET, 6))
        self.home[where] = (lon, lat)
        return where

    def lift(self, point: XY) -> XY:
        """Return the (lon, lat) that was projected here, or nearest to here."""
        where = (round(point[0], 6), round(point[1], 6))
        if where not in self.home:  # a crossing of two not quite matching borders
            where = min(self.home, key=lambda p: (p[0] - where[0]) ** 2 + (p[1] - where[1]) ** 2)
        return self.home[where]


def polygons_of(shape: shapely.Geometry) -> list[Polygon]:
    return [part for part in shapely.get_parts(shape) if isinstance(part, Polygon)]


def rings_of(polygon: Polygon) -> Iterator[list[XY]]:
    for ring in (polygon.exterior, *polygon.interiors):
        yield list(ring.coords)


def encode(line: list[XY], plane: Plane) -> list[int]:
    """[lon, lat, dlon, dlat, ...] in hundredths of a degree."""
    numbers: list[int] = []
    x = y = 0
    for point in line:
        lon, lat = plane.lift(point)
        ix, iy = round(lon * UNITS_PER_DEGREE), round(lat * UNITS_PER_DEGREE)
        if numbers and (ix, iy) == (x, y):
            continue
        numbers += [ix - x, iy - y]
        x, y = ix, iy
    return numbers


def find_borders(shapes: list[shapely.Geometry]) -> list[list[XY]]:
    """Chain the edges that two countries share."""
    edges = Counter[frozenset[XY]]()
    for shape in shapes:
        for polygon in polygons_of(shape):
            for ring in rings_of(polygon):
                edges.update(frozenset(pair) for pair in pairwise(ring))
    shared = [LineString(sorted(edge)) for edge, times in edges.items() if times > 1]
    return [list(line.coords) for line in shapely.get_parts(linemerge(shared))]


def main(source: str, licence: str) -> None:
    """Read, cut, project, simplify, split, write."""
    countries = read_countries(json.loads(Path(source).read_text()))
    plane = Plane()
    shapes: list[Polygon] = []
    owner: list[str] = []
    for name, country in countries.items():
        for polygon in polygons_of(recut(country)):
            flat = [list(map(plane, ring)) for ring in rings_of(polygon)]
            shapes.append(Polygon(flat[0], flat[1:]))
            owner.append(name)
    simple = shapely.coverage_simplify(shapes, TOLERANCE)

    borders = find_borders(simple)

    def coasts(wanted: bool) -> list[list[int]]:
        chosen = [
            shape
            for shape, name in zip(simple, owner, strict=True)
            if name.startswith(ANTARCTICA + "/") == wanted
        ]
        rings: list[list[int]] = []
        for polygon in polygons_of(shapely.union_all(chosen)):
            for number, ring in enumerate(rings_of(polygon)):
                if number or Polygon(ring).area >= MIN_ISLAND:
                    rings.append(encode(ring[:-1], plane))
        return sorted((r for r in rings if len(r) >= 6), key=len, reverse=True)

    document = {
        "source": "world-atlas 2.0.2 (countries-50m), after Natural Earth 4.1 (public domain)",
        "licence": " ".join(Path(licence).read_text().split()),
        "unit": f"1/{UNITS_PER_DEGREE} degree; each line is lon, lat, then steps",
        "land": coasts(wanted=False),
        "antarctica": coasts(wanted=True),
        "borders": sorted((encode(line, plane) for line in borders), key=len, reverse=True),
    }
    text = json.dumps(document, separators=(",", ":"))
    for key in ("licence", "unit", "land", "antarctica", "borders"):
        text = text.replace(f',"{key}":', f',\n"{key}":', 1)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(text + "\n")
    for key in ("land", "antarctica", "borders"):
        lines = document[key]
        print(key, len(lines), "lines", sum(map(len, lines)) // 2, "points")
    print(OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
