"""How fast the model is on the real Internet, and whether BGPy says the same.

    make bench-routing

The graph is CAIDA's of 2025-09, from $RIDGELINE_DATA or ../shared/data; without it, a generated one of the
same size. BGPy comes from PyPI into `bench/routing/.venv` and takes two to three minutes; leave it
out with ``--no-peers``. Times are the best of many, in one process on one core, warm.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "bench" / "topology"), str(Path(__file__).parent)]

import loading
import numpy as np
from floor import pass_over_edges, walk_over_edges
from peers import against_bgpy
from results import figure, publish

from ridgeline.app.internet import load_internet_and_graph
from ridgeline.routing.announce import Announcements
from ridgeline.routing.forward import forward
from ridgeline.routing.propagate import propagate, propagate_many, tie_sets
from ridgeline.topology.graph import AsGraph
from ridgeline.topology.internet import Internet

Figures = dict[str, dict[str, Any]]

N_SITES = 10
N_SCENARIOS = 15
SPEC = ROOT / "examples" / "demo" / "ridgeline.yaml"
WORLD = f"builtin:world:size={loading.FULL_SIZE}"


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        file = loading.graph_file(Path(name))
        figures = {
            key: loaded
            for key, loaded in loading.measure().items()
            if not key.startswith("generate")
        }
        say(f"measuring on {file}")
        net, graph = load_internet_and_graph(str(file))
        figures |= kernels(graph) | pops() | process(file, net)
        if "--no-peers" not in sys.argv:
            say("BGPy on the same file: two to three minutes")
            figures = with_bgpy(figures, file, graph)
    return 0 if publish("routing", figures) else 1


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def best_ms(work: Callable[[], object], times: int) -> float:
    work()
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return 1e3 * min(found)


def draw(
    graph: AsGraph, seed: int, *, net: Internet | None = None, prepends: int = 3
) -> Announcements:
    """Ten sites, each with two sessions at large networks, some prepended."""
    random = np.random.default_rng(seed)
    large = np.argsort(-np.diff(graph.customer_ptr), kind="stable")[:300]
    a = random.choice(large, 2 * N_SITES, replace=False).astype(np.int32)
    site = np.repeat(np.arange(N_SITES, dtype=np.int32), 2)
    copies = 1 + random.integers(0, prepends + 1, N_SITES)
    pop, lat = a, np.full(N_SITES, np.nan)
    lon = lat
    if net is not None:
        pop = np.array([net.pops_of(int(x))[0] for x in a], np.int32)
        lat, lon = net.pop_lat[pop[::2]], net.pop_lon[pop[::2]]
    return Announcements(
        origin=64500,
        site_names=tuple(f"s{s}" for s in range(N_SITES)),
        site_lat=lat,
        site_lon=lon,
        site=site,
        pop=pop,
        as_index=a,
        learned=np.ones(a.size, np.int8),
        as_path=tuple((64500,) * int(copies[s]) for s in site),
        communities=(frozenset(),) * a.size,
    )


def kernels(graph: AsGraph) -> Figures:
    said = draw(graph, 0)
    what_ifs = [
        said,
        *(said.without(name) for name in said.site_names),
        *(said.prepended(name, 2) for name in said.site_names[:5]),
    ]
    floors = {
        "one pass over all edges": best_ms(lambda: pass_over_edges(graph), 200),
        "one random read for each edge": best_ms(lambda: walk_over_edges(graph), 200),
    }
    one = best_ms(lambda: propagate(graph, said), 500)
    slow = best_ms(lambda: propagate(graph, said, engine="numpy"), 20)
    many = best_ms(lambda: propagate_many(graph, what_ifs), 100) / len(what_ifs)
    ties = best_ms(lambda: tie_sets(graph, said), 100)
    return {
        "one_propagation_ms": figure(one, "ms", at_most=1.0, peers=floors),
        "times_the_memory_floor": figure(one / floors["one pass over all edges"], "x"),
        "one_propagation_numpy_ms": figure(slow, "ms", at_most=20),
        "what_if_ms": figure(many, "ms", at_most=0.15),
        "tie_sets_ms": figure(ties, "ms", at_most=3.0),
    }


def pops() -> Figures:
    """Forward every PoP of a generated Internet of full size."""
    net, graph = load_internet_and_graph(WORLD)
    said = draw(graph, 0, net=net)
    took = best_ms(lambda: forward(net, said), 15)
    return {
        "forward_ms": figure(took, "ms", at_most=50),
        "forward_pops": figure(net.n_pop, "PoPs"),
        "forward_sessions": figure(net.n_link, "sessions"),
    }


def process(file: Path, net: Internet) -> Figures:
    """Time `ridgeline predict` from start to end, and see how much memory one propagation needs."""
    program = Path(sys.executable).with_name("ridgeline")
    with tempfile.TemporaryDirectory() as name:
        spec = Path(name) / "ridgeline.yaml"
        spec.write_text(spec_for(net))
        took = best_ms(lambda: run_predict(program, spec, file), 5)
        demo_took = best_ms(lambda: run_predict(program, SPEC, "builtin:demo"), 5)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("memory.py"), file],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return {
        "predict_process_s": figure(took / 1e3, "s", at_most=1.5),
        "predict_demo_process_s": figure(demo_took / 1e3, "s"),
        "memory_mb": figure(float(done.stdout), "MB", at_most=250),
    }


def run_predict(program: Path, spec: Path, source: Path | str) -> None:
    options = ["--internet", source, "--json", "--clients", "none"]
    subprocess.run([program, "predict", spec, *options], check=True, stdout=subprocess.DEVNULL)


def spec_for(net: Internet) -> str:
    """Write a spec whose ten sites buy from large networks of an Internet."""
    codes = ("nrt", "lhr", "fra", "iad", "gru", "jnb", "syd", "sin", "lax", "ams")
    large = np.argsort(-np.bincount(net.pop_as[net.link_b], minlength=net.n_as), kind="stable")
    sites = [
        f"  {code}: {{upstreams: [{{asn: {net.asn[large[2 * i]]}}}, {{asn: {net.asn[large[2 * i + 1]]}}}]}}"
        for i, code in enumerate(codes)
    ]
    return "\n".join(
        [
            "network: bench", "asn: 64500", "prefixes: [192.0.2.0/24]",
            "services: {dns: {kind: custom, addresses: [192.0.2.53]}}", "sites:", *sites, "",
        ]
    )  # fmt: skip


def with_bgpy(figures: Figures, file: Path, graph: AsGraph) -> Figures:
    scenarios = [draw(graph, seed) for seed in range(N_SCENARIOS)]
    verdict = against_bgpy(file, graph, scenarios)
    if verdict is None:
        return figures
    one = figures["one_propagation_ms"]
    one["peers"] = {"bgpy": round(1e3 * verdict.propagation_s, 1), **one["peers"]}
    figures["read_as_rel2_s"]["peers"] = {"bgpy": round(verdict.load_s, 1)}
    return figures | {
        "times_faster_than_bgpy": figure(1e3 * verdict.propagation_s / one["value"], "x"),
        "routes_compared": figure(verdict.n_routes, "routes", at_least=1_000_000),
        "routes_different": figure(verdict.n_different, "routes", at_most=0),
    }


if __name__ == "__main__":
    sys.exit(main())
