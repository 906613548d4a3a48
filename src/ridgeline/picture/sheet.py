"""The window of the world that a map shows, in pixels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ridgeline.picture.land import SHEET_WIDTH
from ridgeline.picture.markup import num
from ridgeline.picture.projection import (
    HALF_HEIGHT,
    HALF_WIDTH,
    XY,
    great_circle,
    project,
    project_east,
    project_line,
)

_NORTH: Final = project_east(79.0, 0.0)[1]
_SOUTH: Final = project_east(-56.5, 0.0)[1]
ASPECT: Final = 2 * HALF_WIDTH / (_NORTH - _SOUTH)
"""Width over height of the usual window, the world without Antarctica."""

_MAX_ZOOM: Final = 6.0  # the outlines are no finer than this
_WORTH_ZOOMING: Final = 1.6
_MARGIN: Final = 0.16  # of the marks' extent, on each side: room for labels


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A window on the sheet."""

    left: float
    """Map units (see `projection`)."""
    top: float
    scale: float
    """Pixels per map unit."""
    width: float
    """Pixels."""
    height: float

    def xy(self, lat: float, lon: float) -> XY:
        """Pixel of a place."""
        x, y = project(lat, lon)
        return (x - self.left) * self.scale, (self.top - y) * self.scale

    def line(self, points: Iterable[XY]) -> list[list[XY]]:
        """Pixels of a line of (lat, lon), in pieces where the sheet ends."""
        return [
            [((x - self.left) * self.scale, (self.top - y) * self.scale) for x, y in piece]
            for piece in project_line(list(points))
        ]

    @property
    def transform(self) -> str:
        """SVG transform from `land.outline` to pixels."""
        dx, dy = -self.left * self.scale, self.top * self.scale
        return f"translate({num(dx, 2)} {num(dy, 2)}) scale({num(self.outline_scale, 6)})"

    @property
    def outline_scale(self) -> float:
        """Pixels per unit of `land.outline`."""
        return 2 * HALF_WIDTH / SHEET_WIDTH * self.scale

    @property
    def shows_antarctica(self) -> bool:
        return self.top - self.height / self.scale < _SOUTH - 0.01


def choose_view(marks: Sequence[XY], lines: Sequence[tuple[XY, XY]], *, width: float) -> View:
    """Choose the world, or the part of it in which everything happens.

    Parameters
    ----------
    marks
        Places (lat, lon) that must show.
    lines
        Pairs of places; the great circle between them must show too.
    """
    points = [project(lat, lon) for lat, lon in marks]
    for (lat1, lon1), (lat2, lon2) in lines:
        for piece in project_line(list(great_circle(lat1, lon1, lat2, lon2))):
            points.extend(piece)
    left, right, top, bottom = -HALF_WIDTH, HALF_WIDTH, _NORTH, _SOUTH
    if points:
        west, east = min(p[0] for p in points), max(p[0] for p in points)
        south, north = min(p[1] for p in points), max(p[1] for p in points)
        span = max((east - west) * (1 + 2 * _MARGIN), (north - south) * (1 + 2 * _MARGIN) * ASPECT)
        span = max(span, 2 * HALF_WIDTH / _MAX_ZOOM)
        if span * _WORTH_ZOOMING <= 2 * HALF_WIDTH:
            middle_x, middle_y = (west + east) / 2, (south + north) / 2
            left, right = middle_x - span / 2, middle_x + span / 2
            top, bottom = middle_y + span / ASPECT / 2, middle_y - span / ASPECT / 2
        else:
            top = min(max(top, north + 0.02), HALF_HEIGHT)
            bottom = max(min(bottom, south - 0.04), -HALF_HEIGHT)
    scale = width / (right - left)
    return View(left=left, top=top, scale=scale, width=width, height=(top - bottom) * scale)
