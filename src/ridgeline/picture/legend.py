"""The table under a map: each site's colour, share and median round trip, then the signs used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ridgeline.picture.labels import text_width
from ridgeline.picture.markup import esc, milliseconds, num, percent
from ridgeline.picture.palette import Shape
from ridgeline.picture.shapes import dot, site_mark

KeySign: TypeAlias = Literal[
    "dot", "pale", "ring", "line", "dash", "drained", "down", "planned", ""
]

MAX_ENTRIES: Final = 24
_ROW: Final = 34.0
_GUTTER: Final = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the table."""

    css: str
    """Class that carries the colour, ``s3``."""
    name: str
    city: str
    state: str
    """As in `SiteMark.state`, or ``unreached`` for the clients that nobody answers."""
    shape: Shape
    share: float
    """0 to 1."""
    rtt_ms: float | None


def draw_legend(
    entries: Sequence[Entry],
    keys: Sequence[tuple[KeySign, str]],
    *,
    top: float,
    width: float,
    small: bool,
) -> tuple[str, float]:
    """Draw the table and the signs; return the SVG and its height."""
    margin = 10.0 if small else 20.0
    shown = list(entries)
    if len(shown) > MAX_ENTRIES:
        shown = sorted(shown, key=lambda e: -e.share)
        rest = shown[MAX_ENTRIES - 1 :]
        shown = shown[: MAX_ENTRIES - 1]
        shown.append(
            Entry(
                css="sx", name=f"{len(rest)} more", city="", state="rest", shape="circle",
                share=sum(e.share for e in rest), rtt_ms=None,
            )
        )  # fmt: skip
    room = width - 2 * margin + _GUTTER
    fitting = max(1, int(room // (150 if small else 210)))
    lines = -(-len(shown) // fitting)
    columns = -(-len(shown) // lines) if lines else 1
    cell = room / (columns if lines > 1 else max(columns, min(fitting, 4))) - _GUTTER
    parts = []
    for number, entry in enumerate(shown):
        x = margin + (number % columns) * (cell + _GUTTER)
        y = top + (number // columns) * _ROW
        parts.append(_row(entry, x, y, cell))
    height = lines * _ROW
    signs, signs_height = _signs(keys, margin, top + height + 6, width)
    return f'<g class="legend">{"".join(parts)}{signs}</g>', height + signs_height


def _row(entry: Entry, x: float, y: float, cell: float) -> str:
    if entry.state in ("unreached", "rest"):
        css = ' class="dots"' if entry.state == "unreached" else ""
        sign = f"<g{css}>{dot('circle', x + 7, y + 11, 5.5, css='none' if css else '')}</g>"
    else:
        sign = f'<g class="site {entry.css} {entry.state}">{site_mark(entry.state, x + 7, y + 11, 6)}</g>'
        if entry.shape != "circle":
            sign += f'<g class="dots {entry.css}">{dot(entry.shape, x + 21, y + 11, 4)}</g>'
    name_x = x + (31 if entry.shape != "circle" else 20)
    figure = percent(entry.share)
    room = cell - (name_x - x) - text_width(figure, 13) - 8
    name = _fit(entry.name, room, 13, bold=True)
    room -= text_width(name, 13, bold=True) + 5
    tail = _fit(entry.city, room, 12)
    rtt = f", {milliseconds(entry.rtt_ms)}" if entry.rtt_ms is not None else ""
    if rtt and text_width(tail + rtt, 12) <= room:
        tail = (tail + rtt).removeprefix(", ")
    bar = max(0.0, min(1.0, entry.share)) * cell
    return (
        f'<g class="h {entry.css}">{sign}<text class="lt" x="{num(name_x)}" y="{num(y + 15.5)}">'
        f'<tspan class="b">{esc(name)}</tspan></text>'
        f'<text class="ls" x="{num(name_x + text_width(name, 13, bold=True) + 5)}" '
        f'y="{num(y + 15.5)}">{esc(tail)}</text>'
        f'<text class="lt" text-anchor="end" x="{num(x + cell)}" y="{num(y + 15.5)}">{esc(figure)}</text>'
        f'<rect class="track" x="{num(x)}" y="{num(y + 22)}" width="{num(cell)}" height="2.5"/>'
        f'<rect class="bar {entry.css}" x="{num(x)}" y="{num(y + 22)}" width="{num(bar)}" height="2.5"/></g>'
    )


def _signs(
    keys: Sequence[tuple[KeySign, str]], margin: float, top: float, width: float
) -> tuple[str, float]:
    if not keys:
        return "", 8.0
    parts, x, y = [], margin, top
    for sign, words in keys:
        wide = 26 + text_width(words, 12) + 18 - (22 if not sign else 0)
        if x + wide - 18 > width - margin and x > margin:
            x, y = margin, y + 20
        parts.append(_sign(sign, x + 9, y + 10))
        parts.append(
            f'<text class="ls" x="{num(x + (26 if sign else 4))}" y="{num(y + 14)}">{esc(words)}</text>'
        )
        x += wide
    return "".join(parts), y - top + 34


def _sign(sign: KeySign, x: float, y: float) -> str:
    curve = f'd="M{num(x - 8)} {num(y + 3)}q8 -8 16 -3"/>'
    marks = {
        "dot": dot("circle", x - 4, y, 2.5, css="keydot")
        + dot("circle", x + 4, y, 4.5, css="keydot"),
        "pale": dot("circle", x, y, 5, css="keydot keypale"),
        "ring": dot("circle", x, y, 4, css="keydot") + dot("circle", x, y, 6.5, css="ring"),
        "line": f'<path class="keyline" {curve}',
        "dash": f'<path class="keyline keydash" {curve}',
        "": "",
    }
    state = f'<g class="sx"><g class="site {sign}">{site_mark(sign, x, y, 5.5)}</g></g>'
    return marks.get(sign, state)


def _fit(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """Shorten a text with an ellipsis to the room it has."""
    if text_width(text, size, bold=bold) <= room:
        return text
    while text and text_width(text + "…", size, bold=bold) > room:
        text = text[:-1]
    return f"{text.rstrip()}…" if text else ""
