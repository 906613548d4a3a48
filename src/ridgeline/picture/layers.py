"""The layers of a map, from the ground up: land, lines, dots, sites, labels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin, sqrt
from typing import Final, TypeAlias

from ridgeline.picture.labels import Box, Placer, text_width
from ridgeline.picture.land import Layer, outline, sheet_edge
from ridgeline.picture.marks import ClientMark, SiteMark
from ridgeline.picture.markup import esc, milliseconds, num, percent
from ridgeline.picture.palette import SiteColour
from ridgeline.picture.projection import XY, great_circle
from ridgeline.picture.shapes import dot, site_mark
from ridgeline.picture.sheet import View

MAX_ARCS: Final = 400
"""With more clients the lines are a fog, and the colour of the dots says it all."""

MAX_LABELS: Final = 44

Arc: TypeAlias = tuple[ClientMark, SiteMark, bool]
"""Client, site, and whether it is the site of before."""

Spot: TypeAlias = tuple[float, float, float]
"""Pixel and radius."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What the layers of one map share."""

    view: View
    small: bool
    """Narrow: smaller type, codes instead of names."""
    sites: Sequence[SiteMark]
    """Those with a place."""
    clients: Sequence[ClientMark]
    """Those with a place, heaviest first."""
    shares: dict[str | None, float]
    numbers: dict[str, int]
    """Site name to its position in the caller's list."""
    colours: Sequence[SiteColour]
    """By that position."""

    @property
    def site_radius(self) -> float:
        if len(self.sites) > 60:
            return 3.5
        return 5.2 if self.small else 7.0

    def css(self, name: str | None) -> str:
        """Class with the colour of a site; grey for one we were not told of."""
        number = self.numbers.get(name) if name is not None else None
        return "sx" if number is None else f"s{number}"


def draw_ground(view: View, *, shared: bool) -> str:
    """Land and borders; `shared` refers to outlines drawn elsewhere in the page."""
    layers: list[Layer] = ["land", "borders"]
    if view.shows_antarctica:
        layers.insert(0, "antarctica")
    if shared:
        paths = "".join(f'<use href="#rl-{name}" class="{name}"/>' for name in layers)
    else:
        paths = "".join(f'<path class="{name}" d="{outline(name)}"/>' for name in layers)
    hair = num(0.8 / view.outline_scale)
    edge = f'<path class="sheet" d="{sheet_edge()}"/>'
    return f'<g transform="{view.transform}" stroke-width="{hair}">{edge}{paths}</g>'


def draw_arcs(drawing: Drawing, arcs: Sequence[Arc], spots: Sequence[Spot]) -> str:
    """Great circles from each client to its site; those of one site are one path."""
    start = {id(c): (x, y) for c, (x, y, _) in zip(drawing.clients, spots, strict=True)}
    moved = any(client.emphasis == "moved" for client, _, _ in arcs)
    groups: dict[tuple[int, str], list[str]] = defaultdict(list)
    for client, site, before in arcs:
        pieces = drawing.view.line(great_circle(client.lat, client.lon, site.lat, site.lon))
        pieces[0][0] = start[id(client)]
        rank, kind = (1, "was") if before else (0, "arc")
        if client.emphasis == "moved" and not before:
            rank, kind = 2, "arc now"
        groups[rank, f"{kind} {drawing.css(site.name)}"].append(
            "".join("M" + "L".join(f"{num(x)} {num(y)}" for x, y in piece) for piece in pieces)
        )
    quiet = " quiet" if moved or len(arcs) > 60 else ""
    paths = "".join(
        f'<path class="k {css}" d="{"".join(lines)}"/>'
        for (_, css), lines in sorted(groups.items())
    )
    return f'<g class="arcs{quiet}">{paths}</g>' if paths else ""


def spread_dots(drawing: Drawing) -> list[Spot]:
    """Place the dots: in the middle of their city, or beside what is there already."""
    number = len(drawing.clients)
    largest = next(
        size for limit, size in ((40, 9.5), (150, 7.0), (MAX_ARCS, 5.0), (2000, 4.0), (number, 3.2))
        if number <= limit
    )  # fmt: skip
    largest *= 0.72 if drawing.small else 1.0
    heaviest = max((c.weight for c in drawing.clients), default=0.0)
    taken = [(*drawing.view.xy(s.lat, s.lon), drawing.site_radius) for s in drawing.sites]
    spots: list[Spot] = []
    for client in drawing.clients:
        share = max(client.weight, 0.0) / heaviest if heaviest > 0 else 0.25
        radius = max(largest * sqrt(share), 0.34 * largest, 1.3)
        x, y = drawing.view.xy(client.lat, client.lon)
        if number <= MAX_ARCS:
            x, y = _dodge(x, y, radius, taken)
            taken.append((x, y, radius))
        spots.append((x, y, radius))
    return spots


def _dodge(x: float, y: float, radius: float, taken: Sequence[Spot]) -> XY:
    """Nearest free spot, a few steps away at most; the place itself where all is full."""
    near = [t for t in taken if hypot(t[0] - x, t[1] - y) < 60]
    for ring in range(6):
        steps = max(1, 8 * ring)
        for step in range(steps):
            angle = 2 * pi * step / steps + 0.6
            px, py = x + ring * 4.5 * cos(angle), y + ring * 4.5 * sin(angle)
            if all(hypot(tx - px, ty - py) >= 0.86 * (tr + radius) for tx, ty, tr in near):
                return px, py
    return x, y


def draw_dots(drawing: Drawing, spots: Sequence[Spot]) -> str:
    """Every client with a place, grouped by site."""
    groups: dict[str, list[str]] = defaultdict(list)
    for client, (x, y, radius) in zip(drawing.clients, spots, strict=True):
        name = client.answered_by
        number = drawing.numbers.get(name) if name is not None else None
        shape = "circle" if number is None else drawing.colours[number].shape
        css = "none" if name is None else "pale" if client.is_uncertain else ""
        ring = dot("circle", x, y, radius + 2.2, css="ring") if client.note else ""
        mark = dot(shape, x, y, radius, css=css)
        groups[drawing.css(name)].append(f"<g>{mark}{ring}<title>{esc(_tip(client))}</title></g>\n")
    return "".join(f'<g class="k dots {css}">{"".join(marks)}</g>' for css, marks in groups.items())


def _tip(client: ClientMark) -> str:
    name = f"{client.city} ({client.code})" if client.city else client.code
    words = [f"{name}: {client.answered_by or 'no answer'}"]
    if client.rtt_ms is not None:
        words.append(milliseconds(client.rtt_ms))
    if client.is_uncertain:
        words.append(client.certainty)
    if client.moved_from is not None:
        words.append(f"before: {client.moved_from}")
    if client.note:
        words.append(client.note)
    return ", ".join(words)


def draw_sites(drawing: Drawing) -> str:
    """Draw the diamonds."""
    parts = []
    for site in drawing.sites:
        x, y = drawing.view.xy(site.lat, site.lon)
        share = percent(drawing.shares.get(site.name, 0.0))
        tip = f"{site.name} {site.city}: {site.state}, {share}"
        parts.append(
            f'<g class="h {drawing.css(site.name)}"><g class="site {drawing.css(site.name)} '
            f'{site.state}">{site_mark(site.state, x, y, drawing.site_radius)}</g>'
            f"<title>{esc(tip)}</title></g>\n"
        )
    return "".join(parts)


def draw_labels(drawing: Drawing, spots: Sequence[Spot]) -> str:
    """Names: sites first, then clients by what is remarkable and by weight."""
    view = drawing.view
    placer = Placer(Box(2, 2, view.width - 2, view.height - 2))
    for site in drawing.sites:
        x, y = view.xy(site.lat, site.lon)
        r = drawing.site_radius
        placer.block(Box(x - r, y - r, x + r, y + r))
    for x, y, r in spots[:1500]:
        placer.discourage(Box(x - r, y - r, x + r, y + r))
    parts = _site_labels(drawing, placer)
    parts += _client_labels(
        drawing, spots, placer, MAX_LABELS - min(len(drawing.sites), MAX_LABELS)
    )
    return f'<g class="labels">{"".join(parts)}</g>'


def _site_labels(drawing: Drawing, placer: Placer) -> list[str]:
    size = 11.5 if drawing.small else 13.0
    ranked = sorted(drawing.sites, key=lambda s: -drawing.shares.get(s.name, 0.0))
    few = len(ranked) <= MAX_LABELS
    parts: list[str] = []
    for site in ranked[:MAX_LABELS]:
        share = drawing.shares.get(site.name, 0.0)
        tail = ""
        if site.state != "announced" and not share:
            tail = f" {site.state}"
        elif drawing.shares:
            tail = f" {percent(share)}"
        x, y = drawing.view.xy(site.lat, site.lon)
        place = placer.place(
            x, y,
            gap=drawing.site_radius + 3,
            width=text_width(site.name, size, bold=True) + text_width(tail, size) + 4,
            height=size * 1.2,
            reach=5 if few else 1,
            must=few,
        )  # fmt: skip
        if place is None:
            continue
        if place.leader:
            parts.append(_leader(x, y, place.box))
        parts.append(
            f'<text class="n h {drawing.css(site.name)}" font-size="{num(size)}" '
            f'x="{num(place.box.left + 2)}" y="{num(place.baseline)}">'
            f'<tspan class="b">{esc(site.name)}</tspan>{esc(tail)}</text>\n'
        )
    return parts


def _client_labels(
    drawing: Drawing, spots: Sequence[Spot], placer: Placer, budget: int
) -> list[str]:
    size = 10.0 if drawing.small else 11.5
    at_home = {(s.name.lower(), s.name) for s in drawing.sites}
    order = sorted(
        zip(drawing.clients, spots, strict=True),
        key=lambda pair: (not pair[0].emphasis, not pair[0].note, -pair[0].weight),
    )
    parts: list[str] = []
    for client, (x, y, r) in order:
        if budget <= 0:
            break
        if (client.code.lower(), client.answered_by) in at_home:
            continue  # the site's own label stands there
        words = client.code if drawing.small else client.city or client.code
        if client.rtt_ms is not None and not drawing.small and len(drawing.clients) <= 60:
            words += f" {milliseconds(client.rtt_ms)}"
        place = placer.place(
            x,
            y,
            gap=r + (6 if client.note else 3),
            width=text_width(words, size) + 3,
            height=size * 1.2,
            reach=3 if len(drawing.clients) <= MAX_LABELS else 1,
        )
        if place is not None:
            if place.leader:
                parts.append(_leader(x, y, place.box))
            budget -= 1
            css = "c moved" if client.emphasis else "c"
            parts.append(
                f'<text class="{css}" font-size="{num(size)}" x="{num(place.box.left + 1.5)}" '
                f'y="{num(place.baseline)}">{esc(words)}</text>\n'
            )
    return parts


def _leader(x: float, y: float, box: Box) -> str:
    tx, ty = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
    return f'<path class="leader" d="M{num(x)} {num(y)}L{num(tx)} {num(ty)}"/>'
