"""How fast a sweep from inside is, and how fast a trace, on one core and against real kernels.

    make bench-probe

The sweep asks a hundred thousand addresses that two kernels answer, and two sites listen; all of it,
sender, listeners and the answering kernels, is held to one processor. The peer for the trace is the
system's traceroute on the same path of a lab.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from socket import socket
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import files
from results import figure, publish

from ridgeline.app.probe_trace import TraceOptions, prepare_traces
from ridgeline.lab.control import LabClient, take_down
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.netlink import Batch, VethEnd
from ridgeline.probe.identity import DnsQuestion
from ridgeline.probe.journal import Journal, SweepIdentity
from ridgeline.probe.sweepcore import SweepCore, SweepPolicy
from ridgeline.probe.sweepsockets import Sender, SiteListener, Sweeping
from ridgeline.probe.tracecore import TracePolicy
from ridgeline.probe.tracer import Method

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "demo" / "ridgeline.yaml"
ANYCAST = "192.0.2.1"
FIRST = int(IPv4Address("198.18.0.0"))
N_TARGETS = 100_000
RATES = (10_000, 20_000)
Figures = dict[str, dict[str, Any]]


def main() -> int:
    figures: Figures = {}
    for measure in (sweep_at_rates, parsing, tracing, files.measure):
        print(f"measuring: {measure.__name__}", file=sys.stderr, flush=True)
        figures |= measure()
    return 0 if publish("probe", figures) else 1


@contextmanager
def network() -> Iterator[tuple[NetworkNamespace, NetworkNamespace]]:
    """Two sites with one anycast address, and an Internet whose halves answer to one site each."""
    with ExitStack() as stack:
        spaces = [NetworkNamespace.create({"net.ipv4.ip_forward": 1}) for _ in range(3)]
        for space in spaces:
            stack.callback(space.close)
        one, two, world = spaces
        with Batch() as batch:
            for number, site in enumerate((one, two)):
                mac = [bytes((2, 0, 0, 0, number, end)) for end in (0, 1)]
                batch.veth(
                    VethEnd(name="world", namespace=site, index=10, mac=mac[0]),
                    VethEnd(name=f"site{number}", namespace=world, index=10 + number, mac=mac[1]),
                )
        for number, site in enumerate((one, two)):
            inside(site, "ip addr add 192.0.2.1/32 dev lo", "ip link set lo up")
            inside(site, f"ip addr add 203.0.113.{4 * number + 1}/30 dev world")
            inside(site, "ip link set world up")
            inside(world, f"ip addr add 203.0.113.{4 * number + 2}/30 dev site{number}")
            inside(world, f"ip link set site{number} up")
        for number, site in enumerate((one, two)):
            inside(site, f"ip route add default via 203.0.113.{4 * number + 2}")
            via = f"via 203.0.113.{4 * number + 1}"
            inside(world, f"ip route add 192.0.2.1/32 {via} table {100 + number}")
        inside(world, "ip link set lo up", "ip route add local 198.18.0.0/15 dev lo")
        inside(world, "ip rule add from 198.18.0.0/16 lookup 100")
        inside(world, "ip rule add from 198.19.0.0/16 lookup 101")
        yield one, two


def inside(space: NetworkNamespace, *commands: str) -> None:
    with entered(space):
        for command in commands:
            subprocess.run(command.split(), check=True)


def open_in(space: NetworkNamespace, family: int, kind: int, protocol: int) -> socket:
    with entered(space):
        return socket(family, kind, protocol)


def sweep_at_rates() -> Figures:
    addresses = [str(IPv4Address(FIRST + n)) for n in range(N_TARGETS)]
    figures: Figures = {}
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        with network() as (one, two), tempfile.TemporaryDirectory() as folder:
            for rate in RATES:
                found = sweep_once(addresses, rate, one, two, Path(folder) / f"{rate}.journal")
                name = f"sweep_at_{rate}"
                bar = 0.99 * rate if rate == RATES[0] else None
                figures[f"{name}_sent_per_s"] = figure(found["rate"], "probes/s", at_least=bar)
                figures[f"{name}_landed"] = figure(
                    100 * found["landed"], "%", at_least=100 if bar else None
                )
                figures[f"{name}_at_the_right_site"] = figure(
                    100 * found["right"], "%", at_least=100
                )
                figures[f"{name}_core_used"] = figure(100 * found["busy"], "%", at_most=100)
            figures["sweep_peak_mb"] = figure(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB"
            )
    finally:
        os.sched_setaffinity(0, before)
    return figures


def sweep_once(
    addresses: list[str],
    rate: float,
    one: NetworkNamespace,
    two: NetworkNamespace,
    path: Path,
) -> dict[str, float]:
    token = os.urandom(8)
    identity = SweepIdentity(
        address=ANYCAST, sender="one", hitlist="bench", n_targets=len(addresses), seed=0
    )
    with ExitStack() as stack:
        journal = Journal(str(path), identity)
        sites = {"one": one, "two": two}
        listeners = [
            SiteListener(name, ANYCAST, token, make=partial(open_in, space))
            for name, space in sites.items()
        ]
        sender = Sender(ANYCAST, token, make=partial(open_in, one))
        for each in (journal, sender, *listeners):
            stack.callback(each.close)
        core = SweepCore(range(len(addresses)), SweepPolicy(rate=rate, patience=1.0))
        used, began = os.times(), time.monotonic()
        Sweeping(core, addresses, sender, listeners, journal=journal).run()
        took = time.monotonic() - began
        now = os.times()
    if len(core.landed) < len(addresses):
        took -= core.policy.patience
    half = 1 << 16
    right = sum(
        landing.site == ("one" if index < half else "two") for index, landing in core.landed.items()
    )
    return {
        "rate": len(addresses) / took,
        "landed": len(core.landed) / len(addresses),
        "right": right / max(1, len(core.landed)),
        "busy": (now.user - used.user + now.system - used.system) / took,
    }


def parsing() -> Figures:
    """Read the answer of a name server over and over."""
    import dns.message
    import dns.rrset

    question = DnsQuestion(name="id.server", is_chaos=True)
    response = dns.message.make_response(dns.message.from_wire(question.wire()))
    response.answer.append(dns.rrset.from_text("id.server.", 0, "CH", "TXT", '"nrt"'))
    wire = response.to_wire()
    began, n = time.perf_counter(), 2000
    for _ in range(n):
        question.answer(wire, transport="udp", version=4)
    return {"dns_answers_read_per_s": figure(n / (time.perf_counter() - began), "answers/s")}


def tracing() -> Figures:
    """Trace to the anycast address from a client of the example, by ours and by traceroute."""
    name = f"bench-{os.getpid()}"
    program = [sys.executable, "-m", "ridgeline"]
    subprocess.run(
        [*program, "lab", "up", str(EXAMPLE), "--name", name],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ours, peer, site = [], [], set()
        for _ in range(5):
            options = TraceOptions(
                targets=("192.0.2.53",), policy=TracePolicy(), lab=name, vantage=("eze-ceibo",)
            )
            with prepare_traces(options) as traces:
                began = time.perf_counter()
                traces.run()
                ours.append(time.perf_counter() - began)
                site |= {t["site"] for t in traces.document()["traces"]}
            peer.append(run_traceroute(name))
        every = TraceOptions(
            targets=("192.0.2.53",), policy=TracePolicy(), lab=name, method=Method.UDP
        )
        with prepare_traces(every) as traces:
            began = time.perf_counter()
            traces.run()
            all_clients = time.perf_counter() - began
            n = len(traces.document()["traces"])
    finally:
        take_down(name)
    assert site == {"lhr"}, site
    return {
        "trace_170_ms_away_s": figure(median(ours), "s", peers={"traceroute": median(peer)}),
        f"traces_from_{n}_clients_at_once_s": figure(all_clients, "s"),
    }


def run_traceroute(lab: str) -> float:
    answer, descriptors = LabClient(lab).enter("client.eze-ceibo")
    try:
        with entered(descriptors[answer["kinds"].index("net")]):
            began = time.perf_counter()
            subprocess.run(
                ["traceroute", "-n", "192.0.2.53"], check=True, stdout=subprocess.DEVNULL
            )
            return time.perf_counter() - began
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
