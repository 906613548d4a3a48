"""Which share of a thousand downloads outlives a move of their route, and what rescue costs a packet.

The shares come from the demo network in a lab; the nanoseconds from the kernel running the program
on a packet again and again (BPF_PROG_TEST_RUN), in a network of three sites and in one of 512, and
from its own timer while the lab was busy.
"""

import json
import os
import shutil
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from results import figure, publish

from ridgeline.app.lab import bring_up
from ridgeline.lab.control import LabClient, take_down
from ridgeline.lab.flows.model import share
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.netlink import Batch
from ridgeline.lab.preflight import add_system_paths
from ridgeline.lab.rescue.libbpf import BpfObject
from ridgeline.lab.rescue.program import object_image
from ridgeline.lab.rescue.tables import Settings, address_bytes, order_table, site_value
from ridgeline.render.origin import STEADY_FILE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "demo" / "ridgeline.yaml"
SITE = "lhr"
DOWNLOADS = 1000
ASKING = 2
"""Sessions of each other class and city: Unbound keeps 50 with TLS."""
GRACE_S = 5.0
NETWORKS = (3, 512)
REPEAT = 1_000_000
SINGLE = 20_000
SERVICE, CLIENT = IPv4Address("192.0.2.80"), IPv4Address("198.19.0.2")
Figures = dict[str, dict[str, Any]]


def figures() -> Figures:
    """Measure everything, in about two minutes; root is needed."""
    if os.geteuid() != 0:
        return {}
    return {**per_packet(), **shares()}


def shares() -> Figures:
    """Move the route of a thousand downloads and more, with and without what keeps them."""
    with lab("resolver", "tls: {}") as client:
        watch = watcher(client, asking=ASKING, quic=True)
        plain, plain_back = watch("fail"), watch("heal", ipv6=True)
        plain_drain = watch("drain", grace=GRACE_S)
        client.ask("heal", None, site=SITE)
        begun = time.perf_counter()
        client.ask("rescue", None, turn="on", quic=True, cost=True)
        loading_s = time.perf_counter() - begun
        away, back = watch("fail"), watch("heal", ipv6=True)
        drained, drained_back = watch("drain", grace=GRACE_S), watch("heal")
    with lab("web", f"handoff: [/{STEADY_FILE}]") as client:
        watch = watcher(client, asking=1)
        handed_off = watch("fail"), watch("heal")
    sites = drained_back["rescue"]["sites"]
    wrapping = max(sites.values(), key=lambda site: site["sent"])
    return {
        "downloads_held": figure(plain["opened"], "sessions", at_least=DOWNLOADS),
        **_survive("plain", (plain, plain_back), at_most=0.01),
        **_survive("drain_with_grace", (plain_drain,)),
        **_survive("rescue_ipv4", (away,), at_least=0.99),
        **_survive("rescue_ipv6", (back,), at_least=0.99),
        **_survive("rescue_drain_with_grace", (drained, drained_back), at_least=0.99),
        "survive_handoff_download": figure(min(map(share, handed_off)), "of 1", at_least=0.99),
        "rescued_packets": figure(sum(site["rescued"] for site in sites.values()), "packets"),
        "busy_site_wrapping_ns": figure(wrapping["ns_per_packet"], "ns", at_most=5000),
        "load_at_all_sites_ms": figure(1000 * loading_s, "ms", at_most=1500),
    }


def watcher(client: LabClient, **wanted: Any) -> Callable[..., dict[str, Any]]:
    """Return what holds a thousand downloads from the cities of one site through an event."""
    clients = client.ask("status", None)["clients"]
    cities = [city for city, row in clients.items() if row["services"]["dns"]["site"] == SITE]

    def watch(event: str, **more: Any) -> dict[str, Any]:
        asked = {"site": SITE, "n": DOWNLOADS, "from": cities, **wanted, **more}
        document: dict[str, Any] = client.ask("sessions", None, event=event, **asked)
        rows = {kind: groups["moved"] for kind, groups in document["classes"].items()}
        print(f"{event} {more}: {json.dumps(rows)}", file=sys.stderr, flush=True)
        return document

    return watch


def _survive(how: str, documents: Iterable[dict[str, Any]], **bar: float) -> Figures:
    """Take the worst share of each class; what is held to at most so much, at its best."""
    take = max if "at_most" in bar else min
    documents = list(documents)
    return {
        f"survive_{how}_{kind.replace('-', '_')}": figure(
            take(share(document, kind) for document in documents), "of 1", **bar
        )
        for kind in documents[0]["classes"]
    }


@contextmanager
def lab(service: str, more: str) -> Iterator[LabClient]:
    """Bring the example up, with one more line for one of its services."""
    name, text = f"bench-{os.getpid()}", EXAMPLE.read_text()
    assert text.count(f"{service}:\n") == 1, "the example has this service"
    text = text.replace(f"{service}:\n", f"{service}:\n    {more}\n")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(EXAMPLE.parent, folder, dirs_exist_ok=True)
        spec = Path(folder, EXAMPLE.name)
        spec.write_text(text)
        bring_up(str(spec), name=name, progress=lambda _: None)
        try:
            yield LabClient(name)
        finally:
            take_down(name)


def per_packet() -> Figures:
    """Run the program on packets: those that it lets pass, which all are but few, and strays."""
    namespace = NetworkNamespace.create()
    with Batch(namespace) as batch:
        batch.up(1)
        for address in (SERVICE, CLIENT):
            batch.address(1, IPv4Interface(address))
    took = {}
    with entered(namespace):
        listener = socket.create_server((str(SERVICE), 80))
        flow = socket.create_connection((str(SERVICE), 80), source_address=(str(CLIENT), 40_000))
        for n_sites in NETWORKS:
            program = network_of(n_sites)
            packets = {
                "own_flow": ipv4(6, tcp(40_000, 80, 0x10)),
                "new_flow": ipv4(6, tcp(40_001, 80, 0x02)),
                "dns_over_udp": ipv4(17, struct.pack("!HHHH", 40_000, 53, 40, 0) + bytes(32)),
            }
            for name, packet in packets.items():
                took[f"{name}_of_{n_sites}_sites"] = passing(program, packet)
            stray = ipv4(6, tcp(40_002, 80, 0x10) + bytes(512))
            took[f"stray_of_{n_sites}_sites"], wrapped = changing(program, stray)
            setting(program, n_sites, n_sites - 1)
            took[f"passed_on_of_{n_sites}_sites"], _ = changing(program, wrapped)
            program.close()
    flow.close()
    listener.close()
    namespace.close()
    return {f"{name}_ns": figure(ns, "ns", at_most=_bar(name)) for name, ns in took.items()}


def _bar(name: str) -> int:
    return 5000 if name.startswith(("stray", "passed_on")) else 1000


def network_of(n_sites: int) -> BpfObject:
    """Load the program of the first of so many sites, which knows 10,000 client prefixes."""
    program = BpfObject.load(object_image(), entries={"sites": n_sites})
    setting(program, n_sites, 0)
    for index in range(n_sites):
        at = IPv4Address("198.19.1.2") + index
        program.write("sites", {index.to_bytes(4, "little"): site_value(at, None, 1500)})
    program.write("services", {address_bytes(SERVICE): (1).to_bytes(4, "little")})
    program.write("bucket", {bytes(4): bytes(24)})
    networks = [IPv4Network((int(IPv4Address("10.0.0.0")) + 256 * i, 24)) for i in range(10_000)]
    order = (n_sites - 1, *range(min(12, n_sites - 1)))
    program.write("orders", order_table([(n, order) for n in networks], everybody=order))
    return program


def setting(program: BpfObject, n_sites: int, number: int) -> None:
    settings = Settings(
        token=bytes(8), self_index=number, n_sites=n_sites, rate=10_000_000, burst=1_000_000
    )
    program.write("settings", {bytes(4): settings.pack()})


def passing(program: BpfObject, packet: bytes) -> float:
    """Let the program see a packet that it does not change; the best of three."""
    runs = [program.run("rescue_in", packet, repeat=REPEAT) for _ in range(3)]
    assert {one.action for one in runs} == {0}, "the packet must pass"
    return float(min(one.nanoseconds for one in runs))


def changing(program: BpfObject, packet: bytes) -> tuple[float, bytes]:
    """Let the program wrap a packet, once at a time; the median, and what it makes of the packet."""
    runs = [program.run("rescue_in", packet) for _ in range(SINGLE)]
    assert {one.action for one in runs} == {7}, "the packet must be sent on"
    return float(statistics.median(one.nanoseconds for one in runs)), runs[0].packet


def tcp(source: int, target: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, 1, 1, 5 << 4, flags, 1000, 0, 0)


def ipv4(protocol: int, inside: bytes) -> bytes:
    """Put Ethernet and IPv4 before it; the program checks no sums."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inside), 0, 0x4000, 64, protocol, 0)
    return bytes(12) + b"\x08\x00" + head + CLIENT.packed + SERVICE.packed + inside


def main() -> int:
    add_system_paths()
    return 0 if publish("services-sessions", figures()) else 1


if __name__ == "__main__":
    sys.exit(main())
