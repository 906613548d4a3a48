"""Colours are told apart by everyone, and seen on the ground they lie on."""

from itertools import combinations
from math import dist

import pytest

from ridgeline.picture.palette import DARK, LIGHT, TONES, site_colour

RGB = tuple[float, float, float]

# Machado, Oliveira, Fernandes (2009), severity 1.0, on linear RGB.
SIGHT: dict[str, tuple[RGB, RGB, RGB]] = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip


def linear(colour: str) -> RGB:
    def channel(at: int) -> float:
        value = int(colour[at : at + 2], 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    return channel(1), channel(3), channel(5)


def seen(colour: str, sight: str) -> RGB:
    c = linear(colour)
    r, g, b = (
        min(1.0, max(0.0, sum(w * v for w, v in zip(row, c, strict=True)))) for row in SIGHT[sight]
    )
    return r, g, b


def oklab(rgb: RGB) -> RGB:
    """Ottosson (2020)."""
    r, g, b = rgb
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def distance(one: str, other: str, sight: str) -> float:
    return dist(oklab(seen(one, sight)), oklab(seen(other, sight)))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio."""

    def luminance(colour: str) -> float:
        r, g, b = linear(colour)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_twelve_sites_are_told_apart_however_one_sees(palette: tuple[str, ...], sight: str) -> None:
    assert len(set(palette)) == 12
    nearest = min(distance(a, b, sight) for a, b in combinations(palette, 2))
    assert nearest > 0.045  # 0.02 is just noticeable


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_the_first_two_sites_are_far_apart(palette: tuple[str, ...]) -> None:
    assert min(distance(palette[0], palette[1], sight) for sight in SIGHT) > 0.12


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
def test_dots_stand_out_from_land_and_sea(side: int) -> None:
    for colour in (LIGHT, DARK)[side]:
        assert contrast(colour, TONES["land"][side]) > 1.9
        assert contrast(colour, TONES["sheet"][side]) > 2.2


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "sea", "sheet"])
@pytest.mark.parametrize("text", ["ink", "soft", "bad", "good"])
def test_text_can_be_read(side: int, ground: str, text: str) -> None:
    assert contrast(TONES[text][side], TONES[ground][side]) >= 4.5  # WCAG 2.2, 1.4.3


def test_later_sites_differ_in_hue_and_then_in_shape() -> None:
    colours = [site_colour(number) for number in range(60)]
    assert len({(c.light, c.shape) for c in colours}) == 60
    assert [c.shape for c in colours[:12]] == ["circle"] * 12
    assert {c.shape for c in colours[12:24]} == {"square"}
    assert len({c.shape for c in colours}) == 4


def test_a_site_keeps_its_colour_however_many_follow() -> None:
    assert site_colour(3) == site_colour(3)
    assert site_colour(3).light == LIGHT[3]
