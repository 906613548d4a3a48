"""How long a lab's links take to build, how exact they are, and what they cost.

Run as root, or inside ``unshare --user --map-root-user --net --mount --pid --fork --mount-proc``::

    python bench/lab/links.py
"""

import random
import struct
import time
from ipaddress import ip_interface
from statistics import median, quantiles
from typing import Any

from ridgeline.lab.beds.links import host_pair, ping, tcp_bits_per_second
from ridgeline.lab.kernel.namespaces import NetworkNamespace
from ridgeline.lab.kernel.netlink import LOOPBACK, Batch, VethEnd
from ridgeline.lab.links.delay import LinkPlan, LinkShape, RelayWires, open_wires

Figures = dict[str, dict[str, Any]]

SYSCTLS = {
    "net.ipv4.ip_forward": True,
    "net.ipv6.conf.all.forwarding": True,
    "net.ipv4.icmp_ratelimit": 0,
}


def measure() -> Figures:
    """Measure everything; `holds` says whether a figure meets its bar."""
    figures: Figures = {}
    for n_nodes, n_links, bar in ((100, 200, 1.0), (300, 653, 2.5)):
        seconds = best_of(3, n_nodes, n_links, delay_ms=0)
        delayed = best_of(3, n_nodes, n_links, delay_ms=10)
        name = f"build_{n_nodes}_nodes_{n_links}_links"
        figures[f"{name}_s"] = at_most(seconds, bar, "s")
        figures[f"{name}_delayed_s"] = at_most(delayed, 2 * bar, "s")
    figures["relay_ready_ms"] = at_most(relay_ready_ms(), 100, "ms")
    for name, per_second in (("light", 5), ("busy", 100)):
        figures |= traffic(name, per_second)
    with host_pair(open_wires(), [LinkShape(delay_ms=1)]) as pair:
        gigabits = tcp_bits_per_second(pair, seconds=3) / 1e9
    figures["tcp_gbit_s"] = at_least(gigabits, 1.0, "Gbit/s")
    return figures


def best_of(times: int, n_nodes: int, n_links: int, *, delay_ms: float) -> float:
    return min(build_seconds(n_nodes, n_links, delay_ms=delay_ms) for _ in range(times))


def build_seconds(n_nodes: int, n_links: int, *, delay_ms: float) -> float:
    """Make namespaces, links, addresses of both families and permanent neighbours."""
    draw = random.Random(7)  # noqa: S311 - always the same network
    pairs = [draw.sample(range(n_nodes), 2) for _ in range(n_links)]
    began = time.monotonic()
    nodes = [NetworkNamespace.create(SYSCTLS) for _ in range(n_nodes)]
    with open_wires() as wires:
        plans = []
        for number, (a, b) in enumerate(pairs):
            ends = [
                VethEnd(
                    name=f"l{number}",
                    namespace=nodes[node],
                    index=10 + 2 * number + end,
                    mac=mac(number, end),
                )
                for end, node in enumerate((a, b))
            ]
            shape = LinkShape(delay_ms=delay_ms)
            plans.append(LinkPlan(name=f"l{number}", a=ends[0], b=ends[1], shape=shape))
        wires.build(plans)
        batches = [Batch(node) for node in nodes]
        for batch in batches:
            batch.up(LOOPBACK)
        for number, ends_at in enumerate(pairs):
            for end, node in enumerate(ends_at):
                configure(batches[node], number, end)
        for batch in batches:
            batch.flush()
            batch.close()
        took = time.monotonic() - began
    for namespace in nodes:
        namespace.close()
    return took


def configure(batch: Batch, number: int, end: int) -> None:
    index = 10 + 2 * number + end
    batch.up(index)
    for base, length in ((0xC6120000, 31), (0x20010002 << 96, 127)):
        batch.address(index, ip_interface((base + 2 * number + end, length)))
        other = ip_interface((base + 2 * number + 1 - end, length)).ip
        batch.neighbour(index, other, mac(number, 1 - end))


def relay_ready_ms() -> float:
    def once() -> float:
        began = time.monotonic()
        with RelayWires() as wires:
            wires.statistics()
            return (time.monotonic() - began) * 1000

    return median(once() for _ in range(5))


def traffic(name: str, per_second: int) -> Figures:
    """Ping over 100 links at once: errors of the round trip, and what a packet costs."""
    shapes = [LinkShape(delay_ms=1 + number * 0.5) for number in range(100)]
    with host_pair(open_wires(), shapes) as pair:
        time.sleep(1)  # let the kernel end its talk about new interfaces
        before = pair.wires.statistics()
        began = time.monotonic()
        pings = ping(pair, per_second=per_second, seconds=4)
        took = time.monotonic() - began
        after = pair.wires.statistics()
    errors_ms = [abs(rtt_ms - 2 * shapes[link].delay_ms) for link, rtt_ms in pings.answers]
    centiles = quantiles(errors_ms, n=100)
    figures = {
        f"rtt_error_{name}_p50_ms": at_most(centiles[49], 0.5, "ms"),
        f"rtt_error_{name}_p95_ms": at_most(centiles[94], 3, "ms"),
        f"lost_{name}": at_most(pings.sent - len(pings.answers), 0, "pings"),
    }
    if after:  # netem keeps no such account
        n_packets = after["sent"] - before["sent"]
        cpu_s = after["cpu_s"] - before["cpu_s"]
        bar = 15 if name == "busy" else 200  # a lone packet pays for its own wake-ups
        figures[f"relay_{name}_us_per_packet"] = at_most(cpu_s / n_packets * 1e6, bar, "us")
        figures[f"relay_{name}_core_pct"] = at_most(cpu_s / took * 100, 35, "%")
        figures[f"relay_{name}_packets_per_s"] = at_least(n_packets / took, 0, "packets/s")
    return figures


def mac(number: int, end: int) -> bytes:
    return struct.pack("!HI", 0x0200, 2 * number + end)


def at_most(value: float, bar: float, unit: str) -> dict[str, Any]:
    return {"value": round(value, 3), "unit": unit, "bar": bar, "holds": value <= bar}


def at_least(value: float, bar: float, unit: str) -> dict[str, Any]:
    return {"value": round(value, 3), "unit": unit, "bar": bar, "holds": value >= bar}


def main() -> None:
    for name, figure in measure().items():
        verdict = "" if figure["holds"] else "  MISSED"
        value, unit, bar = figure["value"], figure["unit"], figure["bar"]
        print(f"{name:40} {value:>10,.3f} {unit:<10} bar {bar:g}{verdict}")


if __name__ == "__main__":
    main()
