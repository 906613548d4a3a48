"""Compare `builtin:world` with CAIDA's graph: degrees, cones, path lengths; a table and a picture.

    .venv/bin/python validation/world_vs_real.py [--svg docs/explanation/builtin-world.svg]

The real graph is not shipped: $RIDGELINE_DATA or ../shared/data must hold
as-rel2/20250901.as-rel2.txt.bz2 (CAIDA AS Relationships, serial-2, 2025-09-01).
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Final, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from ridgeline.app.internet import load_internet_and_graph
from ridgeline.routing.announce import Announcements
from ridgeline.routing.learned import Learned
from ridgeline.routing.policy import policy
from ridgeline.routing.routers import routers_of_graph
from ridgeline.routing.sweep import NOBODY, sweep
from ridgeline.topology.graph import AsGraph
from ridgeline.topology.summary import levels

Numbers = NDArray[np.int64]

ROOT: Final = Path(__file__).resolve().parent.parent
AS_REL: Final = Path("as-rel2") / "20250901.as-rel2.txt.bz2"
N_DESTINATIONS: Final = 100
INK, REAL, WORLD, FAINT = "#24292f", "#0b6bcb", "#d1570b", "#d8dee4"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is compared of one graph; one number for each AS, unless told otherwise."""

    providers: Numbers
    customers: Numbers
    peers: Numbers
    cone: Numbers
    """ASes in the customer cone."""
    path: Numbers
    """AS hops from every AS to a sample of destinations; one number for each pair."""
    seller: Numbers
    """Customers of the provider; one number for each purchase."""


def measure(graph: AsGraph) -> Measured:
    """Measure a graph."""
    providers, customers, peers = (
        np.diff(ptr).astype(np.int64)
        for ptr in (graph.provider_ptr, graph.customer_ptr, graph.peer_ptr)
    )
    return Measured(
        providers=providers,
        customers=customers,
        peers=peers,
        cone=cones(graph),
        path=path_lengths(graph),
        seller=customers[graph.provider_idx],
    )


def cones(graph: AsGraph) -> Numbers:
    """Count every AS's customer cone, by sets of bits from the bottom up."""
    ptr, idx = graph.customer_ptr, graph.customer_idx
    cone = np.ones(graph.n, np.int64)
    members: dict[int, int] = {}
    for u in np.argsort(levels(graph), kind="stable").tolist():
        if ptr[u] < ptr[u + 1]:
            bits = 1 << u
            for v in idx[ptr[u] : ptr[u + 1]].tolist():
                bits |= members.get(v) or 1 << v
            members[u] = bits
            cone[u] = bits.bit_count()
    return cone


def path_lengths(graph: AsGraph) -> Numbers:
    """AS hops to a sample of destinations, as BGP would choose the paths."""
    net = routers_of_graph(graph)
    found = []
    for target in np.random.default_rng(7).choice(graph.n, N_DESTINATIONS, replace=False).tolist():
        said = Announcements(
            origin=64500,
            site_names=("there",),
            site_lat=np.full(1, np.nan),
            site_lon=np.full(1, np.nan),
            site=np.zeros(1, np.int32),
            pop=np.full(1, target, np.int32),
            as_index=np.full(1, target, np.int32),
            learned=np.full(1, Learned.CUSTOMER, np.int8),
            as_path=((64500,),),
            communities=(frozenset(),),
        )
        best = sweep(net, said, policy(graph.asn, said))
        heard = (best.session != NOBODY) & (np.arange(graph.n) != target)
        found.append(best.length[heard] - 1)
    return np.concatenate(found).astype(np.int64)


def ks(left: Numbers, right: Numbers) -> float:
    """Kolmogorov-Smirnov distance: the largest difference of the cumulative distributions."""
    at = np.union1d(left, right)
    shares = [np.searchsorted(np.sort(x), at, side="right") / x.size for x in (left, right)]
    return float(np.abs(shares[0] - shares[1]).max())


ROWS: Final[tuple[tuple[str, Callable[[Measured], SupportsFloat]], ...]] = (
    ("ASes", lambda m: m.providers.size),
    ("provider-customer links", lambda m: m.providers.sum()),
    ("peer-peer links", lambda m: m.peers.sum() // 2),
    ("sell to somebody, %", lambda m: 100 * np.mean(m.customers > 0)),
    ("of these, to one only, %", lambda m: 100 * np.mean(m.customers[m.customers > 0] == 1)),
    ("providers of one AS, mean", lambda m: m.providers.mean()),
    ("buy from one only, %", lambda m: 100 * np.mean(m.providers == 1)),
    (
        "customers, 99th percentile of sellers",
        lambda m: np.percentile(m.customers[m.customers > 0], 99),
    ),
    ("customers, most", lambda m: m.customers.max()),
    ("have 1,000 customers", lambda m: np.sum(m.customers >= 1000)),
    ("peer with nobody, %", lambda m: 100 * np.mean(m.peers == 0)),
    ("have 100 peers", lambda m: np.sum(m.peers >= 100)),
    ("have 1,000 peers", lambda m: np.sum(m.peers >= 1000)),
    ("peers, most", lambda m: m.peers.max()),
    ("cone of 10", lambda m: np.sum(m.cone >= 10)),
    ("cone of 100", lambda m: np.sum(m.cone >= 100)),
    ("cone of 1,000", lambda m: np.sum(m.cone >= 1000)),
    ("largest cone, % of ASes", lambda m: 100 * m.cone.max() / m.cone.size),
    ("AS hops between two, mean", lambda m: m.path.mean()),
    ("AS hops, 95th percentile", lambda m: np.percentile(m.path, 95)),
)
PANELS: Final = (
    ("customers", "Customers of an AS"),
    ("peers", "Peers of an AS"),
    ("providers", "Providers of an AS"),
    ("cone", "ASes in the customer cone"),
    ("seller", "Customers of the provider one buys from"),
    ("path", "AS hops between two ASes"),
)


def table(real: Measured, world: Measured) -> str:
    """Return the comparison as Markdown."""
    lines = ["| | real | generated |", "|---|---:|---:|"]
    for name, of in ROWS:
        values = [float(of(m)) for m in (real, world)]
        shown = [f"{v:,.2f}" if v < 100 and v != int(v) else f"{v:,.0f}" for v in values]
        lines.append(f"| {name} | {shown[0]} | {shown[1]} |")
    lines += ["", "| distribution | largest difference (Kolmogorov-Smirnov) |", "|---|---:|"]
    for field, title in PANELS:
        lines.append(f"| {title} | {ks(getattr(real, field), getattr(world, field)):.3f} |")
    return "\n".join(lines)


def ccdf(values: Numbers) -> list[tuple[float, float]]:
    """Return (value, part of all that have as much or more), thinned to what an eye can see."""
    value, count = np.unique(values[values > 0], return_counts=True)
    share = np.cumsum(count[::-1])[::-1] / values.size
    points, last = [], (-9.0, 9.0)
    for v, s in zip(value.tolist(), share.tolist(), strict=True):
        here = (log10(v), log10(s))
        if abs(here[0] - last[0]) + abs(here[1] - last[1]) > 0.03 or v == value[-1]:
            points.append((float(v), float(s)))
            last = here
    return points


def panel(title: str, curves: list[list[tuple[float, float]]], x0: float, y0: float) -> list[str]:
    """Draw one log-log diagram, 280 by 190."""
    width, height = 280.0, 190.0
    x_max = max(x for curve in curves for x, _ in curve)
    y_min = min(y for curve in curves for _, y in curve)
    x_span, y_span = max(1, np.ceil(log10(x_max))), max(1, np.ceil(-log10(y_min)))

    def at(x: float, y: float) -> tuple[float, float]:
        return x0 + width * log10(x) / x_span, y0 - height * log10(y) / y_span

    out = [f'<text x="{x0}" y="{y0 - 10}" class="title">{title}</text>']
    for k in range(int(x_span) + 1):
        x = at(10**k, 1)[0]
        out.append(f'<path d="M{x:.1f} {y0}V{y0 + height}" class="grid"/>')
        out.append(
            f'<text x="{x:.1f}" y="{y0 + height + 14}" text-anchor="middle">{10**k:,}</text>'
        )
    for k in range(int(y_span) + 1):
        y = at(1, 10.0**-k)[1]
        label = "1" if k == 0 else f"{10.0**-k:.{k}f}" if k <= 2 else f"10⁻{'⁰¹²³⁴⁵⁶⁷⁸⁹'[k]}"
        out.append(f'<path d="M{x0} {y:.1f}h{width}" class="grid"/>')
        out.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for curve, colour in zip(curves, (REAL, WORLD), strict=True):
        path = " ".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in curve)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return out


def picture(real: Measured, world: Measured) -> str:
    """Return all diagrams as one SVG."""
    body = [
        '<text x="40" y="28" class="head">Part of all that have so much or more</text>',
        f'<path d="M420 24h26" stroke="{REAL}" stroke-width="2"/>',
        f'<text x="452" y="28">real (CAIDA, 2025-09, {real.cone.size:,} ASes)</text>',
        f'<path d="M700 24h26" stroke="{WORLD}" stroke-width="2"/>',
        f'<text x="732" y="28">generated ({world.cone.size:,} ASes)</text>',
    ]
    for i, (field, title) in enumerate(PANELS):
        curves = [ccdf(getattr(m, field)) for m in (real, world)]
        body += panel(title, curves, 60 + 345 * (i % 3), 75 + 265 * (i // 3))
    style = (
        f"text{{font:12px system-ui,sans-serif;fill:{INK}}}.title,.head{{font-weight:600}}"
        f".head{{font-size:14px}}.grid{{stroke:{FAINT};fill:none}}"
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1060 560" role="img" '
        'aria-label="Distributions of the real and of a generated Internet, six diagrams">'
        f"<style>{style}</style>"
        '<rect width="1060" height="560" fill="#ffffff"/>' + "\n".join(body) + "</svg>\n"
    )


def main() -> None:
    """Compare, print the table and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--svg", type=Path, help="write the picture here")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    data = Path(os.environ.get("RIDGELINE_DATA", ROOT.parent / "shared" / "data"))
    if not (data / AS_REL).exists():
        sys.exit(f"{data / AS_REL} is not there: get it from CAIDA and set RIDGELINE_DATA")
    real = measure(load_internet_and_graph(str(data / AS_REL))[1])
    source = f"builtin:world:size={real.cone.size},seed={given.seed}"
    world = measure(load_internet_and_graph(source)[1])
    print(table(real, world))
    if given.svg:
        given.svg.write_text(picture(real, world), encoding="utf-8")


if __name__ == "__main__":
    main()
