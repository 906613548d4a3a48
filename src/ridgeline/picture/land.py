"""Coasts and borders, from the shipped outlines to SVG path data.

`data/world.json` is made by ``scripts/make_worldmap.py`` from Natural Earth (public domain) by way
of world-atlas (ISC licence, whose notice the file carries).
"""

import json
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal

from ridgeline.picture.projection import CENTRE_LON, HALF_WIDTH, project_east

Layer = Literal["land", "antarctica", "borders"]

SHEET_WIDTH: Final = 10_000
"""Width of the whole sheet in the units of `outline`; its centre is (0, 0), y points down."""

_PER_UNIT: Final = SHEET_WIDTH / (2 * HALF_WIDTH)


@lru_cache(maxsize=1)
def _world() -> dict[str, list[list[int]]]:
    text = files("ridgeline.picture").joinpath("data/world.json").read_text(encoding="utf-8")
    document: dict[str, list[list[int]]] = json.loads(text)
    return document


@lru_cache(maxsize=4)
def outline(layer: Layer) -> str:
    """SVG path data of one layer, integers in a sheet `SHEET_WIDTH` wide."""
    close = "" if layer == "borders" else "z"
    return "".join(_path(line, close) for line in _world()[layer])


@lru_cache(maxsize=1)
def sheet_edge() -> str:
    """SVG path data of the sheet itself, the whole globe flattened, in the units of `outline`."""
    right = [project_east(lat, 180.0) for lat in range(-90, 91, 5)]
    left = [(-x, y) for x, y in reversed(right)]
    corners = [(round(x * _PER_UNIT), -round(y * _PER_UNIT)) for x, y in (*right, *left)]
    return f"M{'L'.join(f'{x} {y}' for x, y in corners)}z"


def _path(line: list[int], close: str) -> str:
    corners = list(_corners(line))
    (x, y), rest = corners[0], corners[1:]
    steps: list[int] = []
    px, py = x, y
    for cx, cy in rest:
        if (cx, cy) == (px, py):
            continue
        steps += (cx - px, cy - py)
        px, py = cx, cy
    if not steps:
        return ""
    return f"M{_numbers((x, y))}l{_numbers(steps)}{close}"


def _corners(line: list[int]) -> Iterable[tuple[int, int]]:
    lon = lat = 0
    for east, north in zip(line[::2], line[1::2], strict=True):
        lon, lat = lon + east, lat + north
        x, y = project_east(lat / 100, lon / 100 - CENTRE_LON)
        yield round(x * _PER_UNIT), -round(y * _PER_UNIT)


def _numbers(values: Iterable[int]) -> str:
    """Join numbers as SVG allows: a minus sign separates too."""
    return " ".join(map(str, values)).replace(" -", "-")
