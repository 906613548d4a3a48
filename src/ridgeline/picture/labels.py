"""Where the words go: label places that cover neither each other nor the marks.

Greedy, most important first. Each label tries places around its mark, near before far, and takes
the cheapest; one that finds no free place is left out (or, if it must stand, covers something).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, radians, sin
from typing import Final

# Advance widths of Helvetica (and its metric twins Arial and Liberation Sans), in 1/1000 em.
_WIDTHS: Final[dict[str, int]] = {
    **dict.fromkeys("ijl'|", 222),
    **dict.fromkeys("ft.,:;/! I[]()-·", 300),
    **dict.fromkeys("r\u202f", 333),
    **dict.fromkeys("cksvxyz", 500),
    **dict.fromkeys("ABEKPSVXY&", 667),
    **dict.fromkeys("CDHNRUwG", 725),
    **dict.fromkeys("OQ", 778),
    **dict.fromkeys("mM%W→", 890),
}
_USUAL: Final = 556


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Estimate the width of a line in user units; wide scripts count one em a character."""
    thousandths = sum(_WIDTHS.get(char, _USUAL if ord(char) < 0x1100 else 1000) for char in text)
    return thousandths * size / 1000.0 * (1.07 if bold else 1.0)


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """Shared area; 0 when apart."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return width * height if width > 0 and height > 0 else 0.0

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.bottom - self.top)

    def inside(self, other: "Box") -> bool:
        return (
            self.left >= other.left
            and self.top >= other.top
            and self.right <= other.right
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """A label that found its place."""

    box: Box
    leader: bool
    """Far enough from its mark to need a line to it."""

    @property
    def baseline(self) -> float:
        """Where the text stands, a fifth of the box above its lower edge."""
        return self.box.bottom - 0.22 * (self.box.bottom - self.box.top)


# Directions to try, best first: right, left, then above and below and between (degrees, y up).
_DIRECTIONS: Final = (0, 180, 30, -30, 150, -150, 90, -90, 60, -60, 120, -120)
_CELL: Final = 48.0


class Placer:
    """Keeps what is drawn already and finds room for the next label."""

    def __init__(self, area: Box) -> None:
        self._area = area
        self._hard: dict[tuple[int, int], list[Box]] = defaultdict(list)
        self._soft: dict[tuple[int, int], list[Box]] = defaultdict(list)

    def block(self, box: Box) -> None:
        """Nothing may lie on this."""
        _enter(self._hard, box)

    def discourage(self, box: Box) -> None:
        """Better not to lie on this, a dot or a line's end."""
        _enter(self._soft, box)

    def place(
        self,
        x: float,
        y: float,
        *,
        gap: float,
        width: float,
        height: float,
        reach: int = 1,
        must: bool = False,
    ) -> Placed | None:
        """Find room for a label of `width` by `height` beside the mark at (x, y).

        Parameters
        ----------
        gap
            Radius of the mark and a little air.
        reach
            How many rings to try; beyond the first the label gets a leader line.
        must
            Place it even where it covers something.
        """
        best: tuple[float, Placed] | None = None
        for ring in range(reach):
            for rank, degrees in enumerate(_DIRECTIONS):
                box = _beside(x, y, degrees, gap + ring * 13.0, width, height)
                if not box.inside(self._area):
                    continue
                hard = sum(box.overlap(other) for other in _near(self._hard, box))
                if hard > 0 and not must:
                    continue
                soft = sum(box.overlap(o) / o.area for o in _near(self._soft, box))
                cost = hard * 100.0 + soft * 90.0 + ring * 30.0 + rank * 1.5
                if (must or soft < 0.6) and (best is None or cost < best[0]):
                    best = (cost, Placed(box, leader=ring > 0))
            if best is not None and best[0] < (ring + 1) * 30.0:
                break
        if best is None:
            return None
        self.block(best[1].box)
        return best[1]


def _beside(x: float, y: float, degrees: int, gap: float, width: float, height: float) -> Box:
    """Box whose nearest side or corner lies `gap` away in that direction."""
    east, north = cos(radians(degrees)), sin(radians(degrees))
    px, py = x + east * gap, y - north * gap
    left = px - width * (1.0 - east) / 2.0 if abs(east) < 0.3 else (px if east > 0 else px - width)
    top = py - height * (1.0 + north) / 2.0
    return Box(left, top, left + width, top + height)


def _cells(box: Box) -> Iterator[tuple[int, int]]:
    for column in range(int(box.left // _CELL), int(box.right // _CELL) + 1):
        for row in range(int(box.top // _CELL), int(box.bottom // _CELL) + 1):
            yield column, row


def _enter(grid: dict[tuple[int, int], list[Box]], box: Box) -> None:
    for cell in _cells(box):
        grid[cell].append(box)


def _near(grid: dict[tuple[int, int], list[Box]], box: Box) -> set[Box]:
    return {other for cell in _cells(box) for other in grid.get(cell, ())}
