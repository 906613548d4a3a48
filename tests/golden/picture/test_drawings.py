"""What readers see, as text: run ``python tests/golden/picture/test_drawings.py --rewrite`` and look."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ridgeline.picture.chips import Chips
from ridgeline.picture.record import Record
from ridgeline.picture.strip import render_strip
from ridgeline.picture.traces import render_traces
from ridgeline.picture.worldmap import ClientMark, SiteMark, render_world

FOLDER = Path(__file__).parent
CHIPS = Chips(["nrt", "lhr", "iad"])


def draw_map() -> str:
    """One of each sign."""
    sites = [
        SiteMark(name="nrt", city="Tokyo", lat=35.76, lon=140.39, state="down"),
        SiteMark(name="lhr", city="London", lat=51.47, lon=-0.46),
        SiteMark(name="iad", city="Washington", lat=38.94, lon=-77.46, state="drained"),
        SiteMark(name="syd", city="Sydney", lat=-33.95, lon=151.18, state="planned"),
    ]
    clients = [
        ClientMark(code="icn", city="Seoul", lat=37.47, lon=126.45, weight=25, site="iad",
                   rtt_ms=176, emphasis="moved", was="nrt"),
        ClientMark(code="jnb", city="Johannesburg", lat=-26.14, lon=28.25, weight=10, site="lhr",
                   rtt_ms=144, certainty="likely", note="not the nearest: gru is 1,600 km nearer"),
        ClientMark(code="lhr", city="London", lat=51.47, lon=-0.46, weight=15, site="lhr", rtt_ms=3.3),
        ClientMark(code="akl", city="Auckland", lat=-37.0, lon=174.79, weight=2, site=None),
    ]  # fmt: skip
    return render_world(
        clients, sites, title="One of each", width=800, ident="golden", embedded=True
    )


def draw_strip() -> str:
    sites: list[str | None] = ["nrt"] * 4 + [None] * 2 + ["iad"] * 6
    timeline = [{"city": "icn", "t_ms": 10.0 * n - 30, "site": s} for n, s in enumerate(sites)]
    routing = [{"t_ms": 2.5, "router": "transit1", "change": "192.0.2.0/24 withdrawn"}]
    return render_strip(timeline, routing, CHIPS, event="nrt withdrawn", names={"icn": "Seoul"})


def _trace(target: str, site: str, *hops: tuple[str, str, str, float]) -> Record:
    listed = [
        {"ttl": ttl, "address": address, "name": f"{city}.{network}.test" if city else "",
         "rtt_ms": rtt, "city": city, "network": network}
        for ttl, (address, city, network, rtt) in enumerate(hops, 1)
    ]  # fmt: skip
    return {"from": "fra", "target": target, "site": site, "hops": listed}


def draw_traces() -> str:
    start = [("198.51.100.1", "fra", "heron", 0.4), ("", "", "", 0.0)]
    return render_traces(
        [
            _trace("192.0.2.53", "lhr", start[0], ("198.51.100.5", "ams", "heron", 6.1),
                   ("198.51.100.9", "lhr", "heron", 12.0), ("192.0.2.53", "lhr", "anycast", 13.1)),
            _trace("192.0.2.53", "iad", start[0], ("198.51.100.5", "ams", "heron", 6.1),
                   ("198.51.100.13", "iad", "heron", 95.0), ("192.0.2.53", "iad", "anycast", 96.2)),
            _trace("192.0.2.80", "lhr", *start, ("192.0.2.80", "lhr", "anycast", 13.3)),
        ],
        CHIPS,
    )  # fmt: skip


DRAWINGS: dict[str, Callable[[], str]] = {
    "map.svg": draw_map,
    "strip.svg": draw_strip,
    "traces.html": draw_traces,
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_drawing_is_still_this(name: str) -> None:
    assert DRAWINGS[name]() == (FOLDER / name).read_text(encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--rewrite"]:
    for file, draw in DRAWINGS.items():
        (FOLDER / file).write_text(draw(), encoding="utf-8")
