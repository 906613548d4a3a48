"""How long an Internet takes to be there: read, from the cache, generated.

Each figure is the best of several fresh processes, imports not counted::

    python bench/topology/loading.py

With CAIDA's graph of 2025-09 in $RIDGELINE_DATA or ../shared/data that is what is read; else a generated
one of the same size, written as CAIDA would.
"""

import bz2
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np

Figures = dict[str, dict[str, Any]]

ROOT: Final = Path(__file__).resolve().parents[2]
REAL: Final = Path("as-rel2") / "20250901.as-rel2.txt.bz2"
FULL_SIZE: Final = 78_643
TIMES: Final = 5
PROGRAM: Final = """
import sys, time
from ridgeline.app.internet import load_internet_and_graph
from ridgeline.topology import cities, world
start = time.perf_counter()
net, graph = load_internet_and_graph(sys.argv[1])
print(time.perf_counter() - start)
"""


def measure() -> Figures:
    """Measure everything; `holds` says whether a figure meets its bar."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = graph_file(folder)
        read = min(load_seconds(str(file), folder / f"cold{i}") for i in range(TIMES))
        load_seconds(str(file), folder / "warm")
        cached = min(load_seconds(str(file), folder / "warm") for _ in range(2 * TIMES))
        world = f"builtin:world:size={FULL_SIZE}"
        full = min(load_seconds(f"{world},seed={i}", folder / "w") for i in range(2))
        small = min(load_seconds(f"builtin:world:seed={i}", folder / "w") for i in range(TIMES))
    return {
        "read_as_rel2_s": at_most(read, 0.5, "s"),
        "load_cached_ms": at_most(cached * 1e3, 10, "ms"),
        "generate_5000_s": at_most(small, 0.5, "s"),
        f"generate_{FULL_SIZE}_s": at_most(full, 5, "s"),
    }


def at_most(value: float, bar: float, unit: str) -> dict[str, Any]:
    return {"value": round(value, 4), "unit": unit, "bar": bar, "holds": value <= bar}


def load_seconds(source: str, cache: Path) -> float:
    """Load an Internet in a process of its own, with this folder as its cache."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, source],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout)


def graph_file(folder: Path) -> Path:
    """Return the real graph, or write one like it."""
    real = Path(os.environ.get("RIDGELINE_DATA", ROOT.parent / "shared" / "data")) / REAL
    if real.exists():
        return real
    from ridgeline.topology.world import world

    net = world(FULL_SIZE, np.random.default_rng(1))
    sells = net.link_rel < 0
    left, right = (net.asn[net.pop_as[end]] for end in (net.link_a, net.link_b))
    first, second = np.where(sells, right, left), np.where(sells, left, right)
    rows = np.unique(np.stack([first, second, np.where(sells, 1, 0)], axis=1), axis=0).tolist()
    text = "".join(f"{a}|{b}|{-rel}|bgp\n" for a, b, rel in rows)
    file = folder / "like-as-rel2.txt.bz2"
    file.write_bytes(bz2.compress(text.encode()))
    return file


if __name__ == "__main__":
    for figure, result in measure().items():
        print(f"{figure:<22}{result['value']:>10.3f} {result['unit']:<3}", end="")
        print(f" (bar {result['bar']}: {'holds' if result['holds'] else 'missed'})")
