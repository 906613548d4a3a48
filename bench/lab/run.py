"""How fast a lab comes up, how exact its links are, and what clients lose when a site goes.

    make bench-lab

The peer for building is iproute2's batch mode, fed the same namespaces and links; containerlab and
SEED need Docker and images, and are not measured here.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import links
from results import figure, publish

from ridgeline.app.check import read_spec
from ridgeline.app.internet import load_internet
from ridgeline.lab.control import LabClient, lab_directory, take_down
from ridgeline.lab.launch import launch
from ridgeline.lab.layout import plan_lab
from ridgeline.lab.plan import LabPlan
from ridgeline.lab.preflight import add_system_paths, check_programs
from ridgeline.lab.supervisor import supervise
from ridgeline.net.asn import Asn
from ridgeline.net.place import Place
from ridgeline.spec.model import Site, SiteState, Spec, Upstream
from ridgeline.topology.build import InternetBuilder
from ridgeline.topology.internet import Internet

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "demo" / "ridgeline.yaml"
PREFIX = IPv4Network("192.0.2.0/24")
SITES = ("lhr", "nrt", "gru")
Figures = dict[str, dict[str, Any]]


def main() -> int:
    add_system_paths()
    figures: Figures = {}
    for measure in (help_time, links.measure, example, bfd, scale):
        say(f"measuring: {measure.__name__} of {measure.__module__}")
        figures |= measure()
    return 0 if publish("lab", figures) else 1


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def help_time() -> Figures:
    """Take the best of ten runs of the whole process."""
    program = Path(sys.executable).with_name("ridgeline")
    times = []
    for _ in range(10):
        begun = time.perf_counter()
        subprocess.run([program, "--help"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - begun)
    return {"help_ms": figure(1000 * median(times), "ms", at_most=150)}


@contextmanager
def lab(plan: LabPlan) -> Iterator[tuple[LabClient, dict[str, Any]]]:
    name = f"bench-{os.getpid()}"
    summary: Any = launch(name, supervise(plan), lambda _: None)
    try:
        yield LabClient(name), summary
    finally:
        take_down(name)


def example() -> Figures:
    """Bring the example up with all services; fail and drain its busiest sites, twice each."""
    spec, internet = read_spec(str(EXAMPLE)), load_internet("builtin:demo")
    check_programs(spec)
    figures: Figures = {}
    with lab(plan_lab(spec, internet)) as (client, summary):
        figures["example_quiet_s"] = figure(summary["ready_s"], "s", at_most=10)
        for how, bar_lost in (("withdraw", 2), ("link", 2), ("crash", 2), ("drain", 0)):
            documents = []
            for site in SITES * 2:
                verb = {"how": how} if how != "drain" else {}
                documents.append(
                    client.ask("drain" if how == "drain" else "fail", None, site=site, **verb)
                )
                client.ask("heal", None, site=site)
            figures |= failover(how, documents, bar_lost)
        document = client.ask("fail", None, site="jnb", how="silent")
        client.ask("heal", None, site="jnb")
        figures["silent_without_bfd_unanswered_ms"] = figure(
            worst_unanswered([document]), "ms", at_most=9_500
        )
    return figures


def failover(how: str, documents: list[dict[str, Any]], bar_lost: int) -> Figures:
    moved = [
        row
        for document in documents
        for row in document["clients"]
        if row["before"] != row["after"]
    ]
    most = max(row["queries_lost"] for document in documents for row in document["clients"])
    return {
        f"{how}_clients_moved": figure(len(moved), "clients", at_least=1),
        f"{how}_most_lost_at_one_client": figure(most, "queries", at_most=bar_lost),
        f"{how}_longest_unanswered_ms": figure(worst_unanswered(documents), "ms", at_most=50),
    }


def worst_unanswered(documents: list[dict[str, Any]]) -> float:
    return max(
        float("inf") if row["unanswered_ms"] is None else row["unanswered_ms"]
        for document in documents
        for row in document["clients"]
    )


def bfd() -> Figures:
    """Cut a site off in silence with BFD on every uplink, five times."""
    spec = read_spec(str(EXAMPLE))
    everywhere = replace(
        spec,
        sites=tuple(
            replace(site, upstreams=tuple(replace(u, bfd=True) for u in site.upstreams))
            for site in spec.sites
        ),
    )
    documents = []
    with lab(plan_lab(everywhere, load_internet("builtin:demo"))) as (client, _):
        for site in (*SITES, "lhr", "nrt"):
            documents.append(client.ask("fail", None, site=site, how="silent"))
            client.ask("heal", None, site=site)
    return {"silent_with_bfd_unanswered_ms": figure(worst_unanswered(documents), "ms", at_most=400)}


def scale() -> Figures:
    """Bring up 100 and 300 routers, every link delayed, one prefix from three sites."""
    figures: Figures = {}
    used: dict[int, float] = {}
    for n, bar in ((100, 4.0), (300, 7.0)):
        spec, internet = hierarchy(n)
        plan = plan_lab(spec, internet, max_clients=0)
        before = available_mb()
        with lab(plan) as (client, summary):
            routes = client.ask("routes", None, prefix=str(PREFIX))
            heard = sum(route is not None for route in routes.values())
            used_mb = before - available_mb()
            pss_mb = birds_mb(client.name)
        n_routers = summary["routers"]
        figures[f"routers_{n}_without_route"] = figure(n_routers - heard, "routers", at_most=0)
        figures[f"routers_{n}_in_every_fib_s"] = figure(summary["converged_s"], "s", at_most=bar)
        figures[f"routers_{n}_quiet_s"] = figure(summary["ready_s"], "s")
        used[n_routers] = used_mb
        figures[f"routers_{n}_mb_in_all"] = figure(used_mb, "MB")
        figures[f"routers_{n}_bird_pss_mb_each"] = figure(pss_mb / n_routers, "MB")
        figures[f"routers_{n}_built_s"] = figure(
            summary["built_s"], "s", peers={"ip -batch, links without delay": ip_batch(plan)}
        )
    # What one more router costs: the lab's own processes are there once.
    (few, mb_few), (many, mb_many) = sorted(used.items())
    figures["mb_a_router"] = figure((mb_many - mb_few) / (many - few), "MB", at_most=2.0)
    return figures


def hierarchy(n: int) -> tuple[Spec, Internet]:
    """Make n networks of one city each: a few at the top, a quarter in the middle, the rest below."""
    draw = random.Random(1)  # noqa: S311 - always the same network
    n_top, n_middle = max(3, min(12, n // 25)), n // 4
    net = InternetBuilder(f"bench-{n}")
    for i in range(n):
        place = Place(
            code=f"x{i}",
            city=f"City {i}",
            country="",
            lat=round(draw.uniform(-50, 60), 3),
            lon=round(draw.uniform(-170, 170), 3),
        )
        net.add_as(100_000 + i, f"n{i}", at=[place], users={f"x{i}": 1.0})
    pairs: list[tuple[int, int, bool]] = [(a, b, True) for a in range(n_top) for b in range(a)]
    for i in range(n_top, n):
        above = range(n_top) if i < n_top + n_middle else range(n_top, n_top + n_middle)
        pairs += [(i, provider, False) for provider in draw.sample(above, 2)]
    internet = net.build()
    index = {int(asn): pop for pop, asn in enumerate(internet.asn)}
    import numpy as np

    linked = replace(
        internet,
        link_a=np.array([index[100_000 + a] for a, _, _ in pairs], np.int32),
        link_b=np.array([index[100_000 + b] for _, b, _ in pairs], np.int32),
        link_rel=np.array([0 if peer else -1 for _, _, peer in pairs], np.int8),
    )
    sites = tuple(
        Site(
            name=f"s{i}",
            place=Place(code="", city="", country="", lat=20.0 * i, lon=50.0 * i),
            upstreams=(
                Upstream(
                    asn=Asn(100_000 + n_top + i),
                    prefixes=(PREFIX,),
                    prepend=0,
                    communities=(),
                    bfd=False,
                ),
            ),
            capacity=None,
            state=SiteState.ACTIVE,
            line=1,
        )
        for i in range(3)
    )
    spec = Spec(
        file="bench", network="bench", asn=Asn(64500), prefixes=(PREFIX,), services=(), sites=sites
    )
    return spec, linked


def available_mb() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/meminfo tells no MemAvailable")


def birds_mb(name: str) -> float:
    """Sum the proportional memory of a lab's BIRDs."""
    mark = str(lab_directory(name)).encode()
    total = 0.0
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and mark in (process / "cmdline").read_bytes():
                rollup = (process / "smaps_rollup").read_text()
                total += next(
                    int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
                )
        except OSError:
            continue
    return total / 1024


def ip_batch(plan: LabPlan) -> float:
    """Build the same namespaces, links and addresses with `ip -batch`, without delay."""
    tag = f"b{os.getpid() % 10_000}"
    spaces = {node.name: f"{tag}-{at}" for at, node in enumerate(plan.nodes)}
    lines = [f"netns add {space}" for space in spaces.values()]
    for link in plan.links:
        a, b = link.a, link.b
        lines.append(
            f"link add {a.interface} netns {spaces[a.node]} type veth "
            f"peer name {b.interface} netns {spaces[b.node]}"
        )
    begun = time.perf_counter()
    try:
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        for node in plan.nodes:
            setup = ["link set lo up"]
            for _, here, _ in plan.links_of(node.name):
                setup += [
                    f"addr add {here.address4} dev {here.interface}",
                    f"addr add {here.address6} dev {here.interface} nodad",
                    f"link set {here.interface} up",
                ]
            subprocess.run(
                ["ip", "-n", spaces[node.name], "-batch", "-"],
                input="\n".join(setup),
                text=True,
                check=True,
            )
        return time.perf_counter() - begun
    finally:
        gone = "\n".join(f"netns del {space}" for space in spaces.values())
        subprocess.run(["ip", "-force", "-batch", "-"], input=gone, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
