"""Strip chart of an event: a row per city, a dot per answer in the colour of its site, gaps marked.

Times are milliseconds from the event; before it they are negative.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from ridgeline.picture.chips import Chips
from ridgeline.picture.labels import text_width
from ridgeline.picture.markup import esc, milliseconds, num
from ridgeline.picture.record import Record, number, text

MAX_ROWS: Final = 24

STYLE: Final = """
.strip text{font-size:13px;fill:var(--rl-ink)}
.strip .s{font-size:12px;fill:var(--rl-soft)}
.strip .axis{stroke:var(--rl-rule);stroke-width:1}
.strip .zero{stroke:var(--rl-ink);stroke-width:1.5}
.strip .ok{stroke:var(--q);stroke-width:6;stroke-linecap:round;fill:none}
.strip .lost{stroke:var(--rl-bad);stroke-width:1.8;fill:none}
.strip .gap{fill:var(--rl-bad);opacity:.14}
.strip .tick{fill:var(--rl-soft)}
"""

_ROW: Final = 34.0
_HEAD: Final = 34.0
_STEPS_MS: Final = tuple(factor * 10.0**power for power in range(8) for factor in (1, 2, 5))

_Answers: TypeAlias = list[tuple[float, str | None]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """The time shown, and where it lies."""

    low: float
    """Milliseconds."""
    high: float
    left: float
    """Pixels."""
    right: float

    def at(self, t_ms: float) -> float:
        return self.left + (t_ms - self.low) / (self.high - self.low) * (self.right - self.left)

    def shows(self, t_ms: float) -> bool:
        return self.low <= t_ms <= self.high


def render_strip(
    timeline: Sequence[Record],
    routing: Sequence[Record],
    chips: Chips,
    *,
    event: str,
    names: Mapping[str, str],
    width: int = 1184,
) -> str:
    """Draw the chart as SVG; empty without a timeline.

    Parameters
    ----------
    timeline
        ``{"city", "service", "t_ms", "site" (null: lost), "rtt_ms"}``, one for each query, at the
        time of asking. Of several services the first is drawn.
    routing
        ``{"t_ms", "router", "change"}``, ticks along the bottom.
    event
        What happened at 0, e.g. ``nrt withdrawn``.
    names
        City code to name.
    """
    rows = _rows(timeline)
    if not rows:
        return ""
    small = width < 700
    left = 62.0 if small else max(70.0, *(_label_width(city, names) for city in rows)) + 14
    low, high = _window(rows, routing)
    axis = _Axis(low, high, left, width - 12.0)
    bottom = _HEAD + len(rows) * _ROW
    parts = [_event_line(axis, event, bottom)]
    for row, (city, answers) in enumerate(rows.items()):
        y = _HEAD + (row + 0.5) * _ROW
        name = city if small else names.get(city, city)
        code = "" if name == city else f' <tspan class="s">{esc(city)}</tspan>'
        shown = [answer for answer in answers if axis.shows(answer[0])]
        parts.append(
            f'<text x="0" y="{num(y + 4.5)}">{esc(name)}{code}</text>'
            f'<path class="axis" d="M{num(left)} {num(y)}H{num(axis.right)}"/>'
            f"{_gaps(shown, axis, y)}{_dots(shown, axis, y, chips)}\n"
        )
    ticks = _route_ticks(routing, axis, bottom + 16)
    foot = bottom + (48 if ticks else 22)
    lost = sum(site is None for answers in rows.values() for _, site in answers)
    whose = "one city" if len(rows) == 1 else f"{len(rows)} cities"
    label = f"{event}: the answers of {whose} over time, {lost} lost queries"
    return (
        f'<svg class="strip" role="img" viewBox="0 0 {width} {num(foot + 10)}" '
        f'aria-label="{esc(label)}">{"".join(parts)}{ticks}{_times(axis, foot)}</svg>\n'
    )


def _label_width(city: str, names: Mapping[str, str]) -> float:
    name = names.get(city, city)
    return text_width(name, 13) + (text_width(f" {city}", 12) if name != city else 0.0)


def _rows(timeline: Sequence[Record]) -> dict[str, _Answers]:
    """Each affected city's answers by time; all cities where none is affected."""
    every: dict[str, _Answers] = defaultdict(list)
    service = next((text(entry, "service") for entry in timeline), "")
    for entry in timeline:
        if text(entry, "service") != service:
            continue
        t_ms = number(entry, "t_ms")
        if t_ms is not None:
            every[text(entry, "city")].append((t_ms, text(entry, "site") or None))
    for answers in every.values():
        answers.sort(key=lambda answer: answer[0])
    affected = {city: a for city, a in every.items() if len({site for _, site in a}) > 1}
    return dict(list((affected or every).items())[:MAX_ROWS])


def _window(rows: Mapping[str, _Answers], routing: Sequence[Record]) -> tuple[float, float]:
    """From a little before the event to a little after the last thing that changed."""
    times = [t for answers in rows.values() for t, _ in answers]
    changes = [
        t
        for answers in rows.values()
        for (_, before), (t, site) in pairwise(answers)
        if site is None or site != before
    ]
    last = max([0.0, *changes])
    settled = [t for r in routing if (t := number(r, "t_ms")) is not None]
    last = max([last, *(t for t in settled if t <= 4 * last + 200)])
    first = min([0.0, *changes])
    low = max(min(times), min(first - 25.0, -max(50.0, 0.35 * last)))
    high = min(max(times), max(100.0, 1.5 * last))
    return (low, high) if high > low else (low - 50.0, low + 100.0)


def _event_line(axis: _Axis, event: str, bottom: float) -> str:
    if not axis.shows(0.0):
        return ""
    zero, wide = axis.at(0.0), text_width(event, 13)
    fits = zero + 7 + wide <= axis.right
    place = f'x="{num(zero + 7)}"' if fits else f'x="{num(axis.right)}" text-anchor="end"'
    return (
        f'<path class="zero" d="M{num(zero)} 6V{num(bottom)}"/>'
        f'<text {place} y="18">{esc(event)}</text>'
    )


def _dots(shown: _Answers, axis: _Axis, y: float, chips: Chips) -> str:
    """Dots are strokes of no length with round ends: a few bytes each. Two a pixel are enough."""
    spots: dict[str | None, dict[int, None]] = defaultdict(dict)
    for t, site in shown:
        spots[site][round(axis.at(t) * 2)] = None
    parts = []
    for site, halves in spots.items():
        xs = [num(half / 2) for half in halves]
        if site is None:
            path = "".join(f"M{x} {num(y - 5)}v10" for x in xs)
            parts.append(f'<path class="lost" d="{path}"><title>lost queries</title></path>')
        else:
            path = "".join(f"M{x} {num(y)}h0" for x in xs)
            tip = f"answered by {esc(site)}"
            parts.append(
                f'<path class="ok {chips.css(site)}" d="{path}"><title>{tip}</title></path>'
            )
    return "".join(parts)


def _gaps(shown: _Answers, axis: _Axis, y: float) -> str:
    """Shade from each first lost query to the next answer."""
    spans: list[tuple[float, float, str]] = []
    since: float | None = None
    for t, site in shown:
        if site is None:
            since = t if since is None else since
        elif since is not None:
            spans.append((since, t, f"no answer for {milliseconds(t - since)}"))
            since = None
    if since is not None:
        spans.append((since, axis.high, "no answer to the end"))
    return "".join(
        f'<rect class="gap" x="{num(axis.at(start) - 3)}" y="{num(y - 11)}" '
        f'width="{num(axis.at(end) - axis.at(start) + 6)}" height="22" rx="3">'
        f"<title>{words}</title></rect>"
        for start, end, words in spans
    )


def _route_ticks(routing: Sequence[Record], axis: _Axis, y: float) -> str:
    ticks = []
    for change in routing:
        t_ms = number(change, "t_ms")
        if t_ms is not None and axis.shows(t_ms):
            tip = f"{milliseconds(t_ms)} {text(change, 'router')} {text(change, 'change')}"
            ticks.append(
                f'<path class="tick" d="M{num(axis.at(t_ms))} {num(y - 6)}l4 9h-8z">'
                f"<title>{esc(tip)}</title></path>"
            )
    if not ticks:
        return ""
    return f'<text class="s" x="0" y="{num(y + 4)}">routes</text>{"".join(ticks)}'


def _times(axis: _Axis, y: float) -> str:
    span, room = axis.high - axis.low, axis.right - axis.left
    step = next((s for s in _STEPS_MS if span / s <= max(2.0, room / 95.0)), _STEPS_MS[-1])
    first = -int(-axis.low // step)
    last = int(axis.high // step)
    parts = []
    for n in range(first, last + 1):
        words, x = _signed(n * step), axis.at(n * step)
        half = text_width(words, 12) / 2
        x = min(max(x, half), axis.right + 12 - half)
        parts.append(
            f'<text class="s" text-anchor="middle" x="{num(x)}" y="{num(y)}">{words}</text>'
        )
    return "".join(parts)


def _signed(t_ms: float) -> str:
    if not t_ms:
        return "0"
    return f"{'+' if t_ms > 0 else '−'}{milliseconds(abs(t_ms))}"  # noqa: RUF001 - a minus sign
