import json
import re
from importlib.resources import files
from itertools import pairwise

import pytest

from ridgeline.picture.land import SHEET_WIDTH, outline, sheet_edge
from ridgeline.picture.projection import HALF_HEIGHT, HALF_WIDTH, project

DATA = files("ridgeline.picture").joinpath("data/world.json")
PER_UNIT = SHEET_WIDTH / (2 * HALF_WIDTH)


def rings(path: str) -> list[list[tuple[int, int]]]:
    """Corners of each ring, read back from path data of the form ``M x y l dx dy ... z``."""
    found = []
    for piece in path.split("M")[1:]:
        start, _, steps = piece.rstrip("z").partition("l")
        numbers = [int(n) for n in re.findall(r"-?\d+", start)]
        x, y = numbers
        corners = [(x, y)]
        moves = [int(n) for n in re.findall(r"-?\d+", steps)]
        for dx, dy in zip(moves[::2], moves[1::2], strict=True):
            x, y = x + dx, y + dy
            corners.append((x, y))
        found.append(corners)
    return found


def is_on_land(lat: float, lon: float) -> bool:
    x, y = project(lat, lon)
    px, py = x * PER_UNIT, -y * PER_UNIT
    inside = False
    for ring in rings(outline("land")):
        for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (y1 > py) != (y2 > py) and px < (x2 - x1) * (py - y1) / (y2 - y1) + x1:
                inside = not inside
    return inside


@pytest.mark.parametrize(
    ("lat", "lon"),
    [(48.9, 2.4), (36.2, 138.2), (-23.6, -46.8), (39.1, -94.6), (-25.0, 134.0), (65.0, -18.5),
     (67.0, 178.0), (66.3, -173.0), (64.8, -160.0), (1.0, 114.0), (-19.5, 46.5), (-41.5, 172.8)],
)  # fmt: skip
def test_land_is_where_it_is(lat: float, lon: float) -> None:
    assert is_on_land(lat, lon)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (0.0, -30.0),
        (40.0, -40.0),
        (0.0, -160.0),
        (0.0, 179.0),
        (-50.0, 80.0),
        (38.0, 18.0),
        (42.0, 51.0),
    ],
)
def test_sea_is_where_it_is(lat: float, lon: float) -> None:
    assert not is_on_land(lat, lon)


@pytest.mark.parametrize("layer", ["land", "antarctica", "borders"])
def test_outlines_stay_on_the_sheet_and_no_stroke_runs_across_it(layer: str) -> None:
    lines = rings(outline(layer))
    assert len(lines) > 10
    for line in lines:
        for x, y in line:
            assert abs(x) <= HALF_WIDTH * PER_UNIT + 1
            assert abs(y) <= HALF_HEIGHT * PER_UNIT + 1
        for (x1, _), (x2, _) in pairwise(line):
            # Only the pole itself, flattened to a line, is as wide as this.
            assert abs(x1 - x2) < SHEET_WIDTH / 12 or layer == "antarctica"


def test_the_shipped_file_is_small_and_carries_its_notice() -> None:
    raw = DATA.read_bytes()
    assert len(raw) < 150_000
    document = json.loads(raw)
    assert document["licence"].startswith("Copyright 2013-2019 Michael Bostock Permission to use")
    assert "this permission notice appear in all copies" in document["licence"]
    assert "Natural Earth" in document["source"]


def test_the_edge_of_the_sheet_is_a_closed_line_around_it() -> None:
    path = sheet_edge()
    assert path.startswith("M")
    assert path.endswith("z")
    xs = [int(pair.split()[0]) for pair in path.strip("Mz").split("L")]
    assert max(xs) == -min(xs) == SHEET_WIDTH // 2
