"""From the globe to the sheet: the Natural Earth projection, and great circles cut at its edge.

Map units are those of the paper (radius 1): x to the right, y *up*, both around (0° N, `CENTRE_LON`).
"""

from collections.abc import Iterator, Sequence
from math import acos, atan2, cos, degrees, hypot, pi, radians, sin
from typing import Final, TypeAlias

XY: TypeAlias = tuple[float, float]

CENTRE_LON: Final = 11.0
"""Degrees east; the sheet's edges then lie in the Bering Strait and cut no inhabited country."""

HALF_WIDTH: Final = 0.8707 * pi  # x of the edge at the equator
HALF_HEIGHT: Final = 1.4223905  # y of the pole

# Savric, Jenny, Patterson, Petrovic, Hurni (2011): A polynomial equation for the Natural Earth
# projection. Cartography and Geographic Information Science 38(4), 363-372.
_X: Final = (0.870700, -0.131979, -0.013791, 0.003971, -0.001529)
_Y: Final = (1.007226, 0.015085, -0.044475, 0.028874, -0.005916)


def wrap_lon(lon: float) -> float:
    """Degrees east of the sheet's centre, in [-180, 180)."""
    return (lon - CENTRE_LON + 180.0) % 360.0 - 180.0


def project(lat: float, lon: float) -> XY:
    """Where a place (degrees) falls on the sheet."""
    return project_east(lat, wrap_lon(lon))


def project_east(lat: float, east: float) -> XY:
    """Like `project`, with degrees east of the centre, -180 to 180: both edges can be named."""
    phi, lam = radians(lat), radians(east)
    p2 = phi * phi
    p6 = p2 * p2 * p2
    x = lam * (_X[0] + p2 * (_X[1] + p2 * (_X[2] + p6 * (_X[3] + p2 * _X[4]))))
    y = phi * (_Y[0] + p2 * (_Y[1] + p2 * p2 * (_Y[2] + p2 * (_Y[3] + p2 * _Y[4]))))
    return x, y


def project_line(points: Sequence[XY]) -> list[list[XY]]:
    """Project a line of (lat, lon); cut it wherever it leaves the sheet on one side.

    Each piece ends exactly at the edge, at the latitude where the line crosses it.
    """
    pieces: list[list[XY]] = []
    piece: list[XY] = []
    before: XY | None = None
    for lat, lon in points:
        east = wrap_lon(lon)
        if before is not None and abs(east - before[1]) > 180.0:
            side = 180.0 if before[1] > 0 else -180.0
            span = (180.0 - abs(before[1])) + (180.0 - abs(east))
            share = (180.0 - abs(before[1])) / span if span else 0.0
            edge_lat = before[0] + share * (lat - before[0])
            piece.append(project_east(edge_lat, side))
            pieces.append(piece)
            piece = [project_east(edge_lat, -side)]
        piece.append(project_east(lat, east))
        before = (lat, east)
    if piece:
        pieces.append(piece)
    return pieces


def great_circle(lat1: float, lon1: float, lat2: float, lon2: float) -> Iterator[XY]:
    """Points (lat, lon in degrees) of the shortest way over the globe, at most 3 degrees apart.

    Opposite points have no single shortest way; then it leads over the north pole.
    """
    a, b = _vector(lat1, lon1), _vector(lat2, lon2)
    angle = acos(max(-1.0, min(1.0, sum(p * q for p, q in zip(a, b, strict=True)))))
    steps = max(8, min(60, round(degrees(angle) / 3.0)))
    if angle < 1e-9:
        yield lat1, lon1
        yield lat2, lon2
        return
    sine = sin(angle)
    if sine < 1e-9:
        yield from great_circle(lat1, lon1, 89.9, lon1)
        yield from great_circle(89.9, lon2, lat2, lon2)
        return
    for step in range(steps + 1):
        share = step / steps
        p, q = sin((1.0 - share) * angle) / sine, sin(share * angle) / sine
        x, y, z = (p * u + q * v for u, v in zip(a, b, strict=True))
        yield degrees(atan2(z, hypot(x, y))), degrees(atan2(y, x))


def _vector(lat: float, lon: float) -> tuple[float, float, float]:
    phi, lam = radians(lat), radians(lon)
    return cos(phi) * cos(lam), cos(phi) * sin(lam), sin(phi)
