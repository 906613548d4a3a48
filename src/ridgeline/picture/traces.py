"""Traceroutes side by side: what they share stands once, and where they part is marked.

Paths that begin with the same hops are neighbours and share a cell for each common hop, so the
table reads as a tree from the top; the last hops, which tell the data centre, carry its colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias

from ridgeline.picture.chips import Chips
from ridgeline.picture.markup import esc, milliseconds
from ridgeline.picture.record import Record, number, records, text

MAX_TRACES: Final = 16

STYLE: Final = """
.traces table{width:auto;min-width:100%;font-size:13px}
.traces th,.traces td{min-width:150px;padding:6px 10px;border:0;border-left:1px solid var(--rl-rule)}
.traces thead th{color:var(--rl-ink);font-size:14px;padding-bottom:10px}
.traces thead small{display:block;font-weight:400;font-size:12px;color:var(--rl-soft)}
.traces .ttl{min-width:0;width:1px;border-left:0;padding-left:0;color:var(--rl-soft);font-size:12px;font-weight:400}
.traces b{display:block;font-weight:600;overflow-wrap:break-word}
.traces .a{display:flex;gap:10px;justify-content:space-between;color:var(--rl-soft);font-size:12px}
.traces .shared{background:var(--rl-sea)}
.traces .end{border-left:3px solid var(--q);background:color-mix(in srgb,var(--q) 8%,transparent)}
.traces .end.in{background:color-mix(in srgb,var(--q) 20%,transparent)}
.traces .over{border-left:3px dotted var(--q)}
.traces .part{border-top:2px solid var(--rl-ink)}
.traces .part::before{content:"the paths part";display:block;font-size:11px;font-style:italic;color:var(--rl-soft)}
.traces .silent{color:var(--rl-soft)}
.remark{font-size:13px;margin-top:10px}
.traces tfoot td{border-left:3px solid var(--q);padding-top:12px}
.traces tfoot .ttl{border:0}
"""

_Steps: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Path:
    """One traceroute."""

    record: Record
    hops: tuple[Record, ...]
    steps: _Steps
    """What tells hops apart: the address; a silent hop is its own."""

    @property
    def site(self) -> str:
        return text(self.record, "site")

    @property
    def tail(self) -> int:
        """Index of the first of the last hops that stand in the city of the answering site."""
        return self._first_of_last("city", self.site)

    @property
    def inside(self) -> int:
        """Index of the first of the last hops that belong to the answering network itself."""
        last = next((n for h in reversed(self.hops) if (n := text(h, "network"))), "")
        return max(self.tail, self._first_of_last("network", last))

    def _first_of_last(self, key: str, value: str) -> int:
        """Index of the first of the last hops with that value; the end itself may have none."""
        first = len(self.hops) - 1
        if text(self.hops[first], key) not in ("", value):
            return len(self.hops)
        while first > 0 and value and text(self.hops[first - 1], key) == value:
            first -= 1
        return first


def render_traces(traces: Sequence[Record], chips: Chips) -> str:
    """Draw the table; empty without traces."""
    paths = _arrange([_read(n, t) for n, t in enumerate(traces[:MAX_TRACES]) if records(t, "hops")])
    if not paths:
        return ""
    heads = "".join(
        f'<th scope="col">from {esc(text(p.record, "from"))}'
        f' <small>to <span class="mono">{esc(text(p.record, "target"))}</span></small></th>'
        for p in paths
    )
    rows = "".join(
        f'<tr><th scope="row" class="ttl">{level + 1}</th>{_row(paths, level, chips)}</tr>\n'
        for level in range(max(len(p.hops) for p in paths))
    )
    feet = "".join(
        f'<td class="{chips.css(p.site)}">answered by {chips.chip(p.site)}</td>' for p in paths
    )
    return (
        '<div class="traces scroll"><table><thead><tr><th class="ttl" scope="col">hop</th>'
        f"{heads}</tr></thead>\n<tbody>{rows}</tbody>"
        f'<tfoot><tr><td class="ttl"></td>{feet}</tr></tfoot></table></div>\n'
        f"{_remark(paths, len(traces))}"
    )


def _read(order: int, trace: Record) -> _Path:
    hops = tuple(records(trace, "hops"))
    steps = tuple(text(h, "address") or f"silent {order} {n}" for n, h in enumerate(hops))
    return _Path(trace, hops, steps)


def _arrange(paths: Sequence[_Path]) -> list[_Path]:
    """Put paths with a common beginning side by side, otherwise as they came."""
    first: dict[_Steps, int] = {}
    for order, path in enumerate(paths):
        for length in range(1, len(path.steps) + 1):
            first.setdefault(path.steps[:length], order)
    return sorted(
        paths, key=lambda p: [first[p.steps[:length]] for length in range(1, len(p.steps) + 1)]
    )


def _row(paths: Sequence[_Path], level: int, chips: Chips) -> str:
    cells = []
    for beginning, run in groupby(paths, key=lambda p: p.steps[: level + 1]):
        group = list(run)
        if len(beginning) <= level:  # these paths have ended
            cells += [f'<td class="over {chips.css(p.site)}"></td>' for p in group]
            continue
        before = sum(p.steps[:level] == beginning[:level] for p in paths) if level else 0
        cells.append(_cell(group, level, chips, parts=before > len(group)))
    return "".join(cells)


def _cell(group: Sequence[_Path], level: int, chips: Chips, *, parts: bool) -> str:
    path, hop = group[0], group[0].hops[level]
    one_site = len({p.site for p in group}) == 1
    classes = " ".join(
        name
        for name, holds in (
            ("shared", len(group) > 1),
            ("part", parts),
            (f"end {chips.css(path.site)}", one_site and level >= path.tail),
            ("in", one_site and level >= path.inside),
            ("silent", not text(hop, "address")),
        )
        if holds
    )
    span = f' colspan="{len(group)}"' if len(group) > 1 else ""
    opening = f'<td class="{classes}"{span}>' if classes else f"<td{span}>"
    if not text(hop, "address"):
        return f"{opening}no answer</td>"
    rtt = number(hop, "rtt_ms")
    name = text(hop, "name") or text(hop, "address")
    facts = ", ".join(filter(None, (text(hop, "city"), text(hop, "network"))))
    return (
        f"{opening}<b>{esc(name).replace('.', '.<wbr>')}</b> "
        f'<span class="a"><span class="mono">{esc(text(hop, "address"))}</span> '
        f'<span class="num">{milliseconds(rtt) if rtt is not None else ""}</span></span> '
        f'<span class="a">{esc(facts)}</span></td>'
    )


def _remark(paths: Sequence[_Path], total: int) -> str:
    sites = {p.site for p in paths if p.site}
    words = (
        f"Hops in the city of the answering site carry its colour, strongest inside the site: "
        f"{len(paths)} paths end in {len(sites)} {'site' if len(sites) == 1 else 'sites'}."
    )
    if len(paths) > 1 and len({p.steps[0] for p in paths}) == len(paths):
        words += " No two begin with the same hop: each city enters through a network of its own."
    if total > len(paths):
        words += f" {total - len(paths)} more are in the JSON document."
    return f'<p class="soft remark">{words}</p>\n'
