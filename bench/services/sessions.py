"""Which share of a thousand downloads outlives a move of their route, and what rescue costs a packet.

The shares come from the demo network in a lab; the nanoseconds from the kernel running the program
on one packet a million times (BPF_PROG_TEST_RUN), and from its own timer while the lab was busy.
"""

import ctypes
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from results import figure, publish

from ridgeline.app.lab import bring_up
from ridgeline.lab.control import LabClient, take_down
from ridgeline.lab.flows import share
from ridgeline.lab.namespaces import NetworkNamespace, entered
from ridgeline.lab.netlink import Batch
from ridgeline.lab.preflight import add_system_paths
from ridgeline.lab.rescue.libbpf import BpfObject
from ridgeline.lab.rescue.program import object_image
from ridgeline.lab.rescue.tables import Settings, address_bytes, order_table, site_value

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "demo" / "ridgeline.yaml"
SITE = "lhr"
DOWNLOADS = 1000
WATCH_S = 6.0
REPEAT = 1_000_000
SERVICE, CLIENT = IPv4Address("192.0.2.80"), IPv4Address("198.19.0.2")
Figures = dict[str, dict[str, Any]]


def figures() -> Figures:
    """Measure everything, in about a minute; root is needed."""
    if os.geteuid() != 0:
        return {}
    return {**per_packet(), **shares()}


def shares() -> Figures:
    """Move the route of a thousand downloads away and back, without rescue and with it."""
    with lab() as client:
        status = client.ask("status", None)
        cities = [
            city
            for city, row in status["clients"].items()
            if row["services"]["dns"]["site"] == SITE
        ]
        wanted = {"site": SITE, "n": DOWNLOADS, "watch": WATCH_S, "from": cities}
        plain = client.ask("sessions", None, event="fail", **wanted)
        begun = time.perf_counter()
        client.ask("rescue", None, turn="on", cost=True)
        loading_s = time.perf_counter() - begun
        back = client.ask("sessions", None, event="heal", **wanted)
        away = client.ask("sessions", None, event="fail", ipv6=True, **wanted)
        client.ask("heal", None, site=SITE)
    sites = back["rescue"]["sites"]
    wrapping = max(sites.values(), key=lambda site: site["sent"])
    kinds = ("keep-alive", "dns-over-tcp", "dns-over-tls")
    return {
        "downloads_held": figure(plain["opened"], "sessions", at_least=DOWNLOADS),
        "survive_plain": figure(share(plain), "of 1", at_most=0.01),
        "survive_rescue_ipv4": figure(share(back), "of 1", at_least=0.99),
        "survive_rescue_ipv6": figure(share(away), "of 1", at_least=0.99),
        **{
            f"survive_rescue_{kind.replace('-', '_')}": figure(
                min(share(back, kind), share(away, kind)), "of 1", at_least=0.99
            )
            for kind in kinds
            if kind in back["classes"]
        },
        "rescued_packets": figure(sum(site["rescued"] for site in sites.values()), "packets"),
        "busy_site_wrapping_ns": figure(wrapping["ns_per_packet"], "ns", at_most=5000),
        "load_at_all_sites_ms": figure(1000 * loading_s, "ms", at_most=1500),
    }


@contextmanager
def lab() -> Iterator[LabClient]:
    name = f"bench-{os.getpid()}"
    bring_up(str(EXAMPLE), name=name, progress=lambda _: None)
    try:
        yield LabClient(name)
    finally:
        take_down(name)


def per_packet() -> Figures:
    """Run the program on packets that it lets pass: what every packet of a site pays."""
    namespace = NetworkNamespace.create()
    with Batch(namespace) as batch:
        batch.up(1)
        for address in (SERVICE, CLIENT):
            batch.address(1, IPv4Interface(address))
    program = BpfObject.load(object_image())
    settings = Settings(token=bytes(8), self_index=0, n_sites=2, rate=1, burst=1)
    program.write("settings", {bytes(4): settings.pack()})
    for index in (0, 1):
        at = IPv4Address("198.19.1.2") + index
        program.write("sites", {index.to_bytes(4, "little"): site_value(at, None, 1500)})
    program.write("services", {address_bytes(SERVICE): (1).to_bytes(4, "little")})
    networks = [IPv4Network((int(IPv4Address("10.0.0.0")) + 256 * i, 24)) for i in range(10_000)]
    program.write("orders", order_table([(n, (0, 1)) for n in networks], everybody=(0, 1)))
    with entered(namespace):
        listener = socket.create_server((str(SERVICE), 80))
        flow = socket.create_connection((str(SERVICE), 80), source_address=(str(CLIENT), 40_000))
        packets = {
            "own_flow": ipv4(6, tcp(40_000, 80, 0x10)),
            "new_flow": ipv4(6, tcp(40_001, 80, 0x02)),
            "dns_over_udp": ipv4(17, struct.pack("!HHHH", 40_000, 53, 40, 0) + bytes(32)),
        }
        took = {name: run(program, packet) for name, packet in packets.items()}
    flow.close()
    listener.close()
    program.close()
    namespace.close()
    return {f"{name}_ns": figure(ns, "ns", at_most=1000) for name, ns in took.items()}


def tcp(source: int, target: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, 1, 1, 5 << 4, flags, 1000, 0, 0)


def ipv4(protocol: int, inside: bytes) -> bytes:
    """Put Ethernet and IPv4 before it; the program checks no sums."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inside), 0, 0x4000, 64, protocol, 0)
    return bytes(12) + b"\x08\x00" + head + CLIENT.packed + SERVICE.packed + inside


class TestRun(ctypes.Structure):
    """``struct bpf_test_run_opts`` of libbpf."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


def run(program: BpfObject, packet: bytes) -> float:
    """Take the best of three runs; nanoseconds a packet."""
    libbpf = ctypes.CDLL("libbpf.so.1")
    best = float("inf")
    for _ in range(3):
        options = TestRun(
            sz=ctypes.sizeof(TestRun), data_in=packet, data_size_in=len(packet), repeat=REPEAT
        )
        status = libbpf.bpf_prog_test_run_opts(program.program("rescue_in"), ctypes.byref(options))
        if status:
            raise OSError(-status, os.strerror(-status))
        assert options.retval == 0, "the packet must pass"
        best = min(best, float(options.duration))
    return best


def main() -> int:
    add_system_paths()
    return 0 if publish("services-sessions", figures()) else 1


if __name__ == "__main__":
    sys.exit(main())
