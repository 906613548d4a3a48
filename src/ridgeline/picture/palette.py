"""Colours: twelve for sites that stay apart for colour-blind readers, and the neutral tones.

The twelve were spread in OKLab under simulated protanopia, deuteranopia and tritanopia (Machado,
Oliveira, Fernandes 2009), against the land of the map they lie on; the nearest two are 0.055 apart,
where 0.02 is just noticeable. ``tests/unit/picture/test_palette.py`` repeats that sum.
"""

from colorsys import hls_to_rgb
from dataclasses import dataclass
from typing import Final, Literal

Shape = Literal["circle", "square", "triangle", "cross"]
SHAPES: Final[tuple[Shape, ...]] = ("circle", "square", "triangle", "cross")

LIGHT: Final = (
    "#1e7fb1", "#e57253", "#399c86", "#d57bb2", "#ac8609", "#442497",
    "#56a2c8", "#8b3053", "#5b752b", "#cf3a38", "#443830", "#a770e4",
)  # fmt: skip
DARK: Final = (
    "#4298c9", "#dd7b21", "#2dc28a", "#fd9fc8", "#fcda55", "#7669e7",
    "#7fccff", "#c7556b", "#d2c12d", "#fe9084", "#b18e61", "#a6a2f8",
)  # fmt: skip

_GOLDEN_ANGLE: Final = 137.50776  # degrees; successive hues fall into the largest gap


@dataclass(frozen=True, slots=True)
class SiteColour:
    """How a site and its clients look."""

    light: str
    """On a light ground, ``#rrggbb``."""
    dark: str
    """On a dark ground."""
    shape: Shape
    """Of its clients' dots; a second cue once colours run out."""


def site_colour(index: int) -> SiteColour:
    """Colour of the site at `index` of its list (0 first): fixed, however many follow."""
    if index < len(LIGHT):
        return SiteColour(LIGHT[index], DARK[index], SHAPES[0])
    turn = index - len(LIGHT)
    hue = turn * _GOLDEN_ANGLE % 360.0 / 360.0
    shape = SHAPES[(1 + turn // len(LIGHT)) % len(SHAPES)]
    return SiteColour(_hex(hue, 0.40, 0.55), _hex(hue, 0.66, 0.60), shape)


def _hex(hue: float, lightness: float, saturation: float) -> str:
    red, green, blue = hls_to_rgb(hue, lightness, saturation)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


# Neutral tones: name -> (light, dark). The page and the map draw from the same list.
TONES: Final[dict[str, tuple[str, str]]] = {
    "sea": ("#f7f8f7", "#14181b"),
    "sheet": ("#eef2f3", "#1a2026"),
    "land": ("#d9dfdb", "#2e373f"),
    "border": ("#eef2f3", "#1a2026"),
    "ink": ("#1b2126", "#e8ebee"),
    "soft": ("#59636b", "#a3adb6"),
    "rule": ("#d5dad6", "#353d45"),
    "paper": ("#ffffff", "#0f1215"),
    "bad": ("#b3261e", "#ff8a80"),
    "good": ("#1f7a4d", "#5fcf98"),
}
