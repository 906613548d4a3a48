"""`probe trace` and `probe identify` against real routers and servers, by every method."""

import asyncio
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ridgeline.app.probe_identify import identify_target
from ridgeline.app.probe_trace import TraceOptions, prepare_traces, write_trace_report
from ridgeline.lab.control import LabClient
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.probe.names import HostNames
from ridgeline.probe.tracecore import TracePolicy
from ridgeline.probe.tracer import Method, TraceRequest, new_run, run_traces

CITIES = ("hkg", "nrt", "lhr", "eze")
DNS = {4: "192.0.2.53", 6: "2001:db8:53::53"}
WEB = {4: "192.0.2.80", 6: "2001:db8:53::80"}


@dataclass(frozen=True)
class Truth:
    """The lab, and what it says itself of its four cities: sites by its prober, paths by traceroute."""

    name: str
    sites: dict[tuple[str, int], dict[str, str | None]]
    """(service, IP version) -> city -> site."""
    paths: dict[int, dict[str, list[str]]]
    """IP version -> city -> addresses of the hops."""


@pytest.fixture(scope="module")
def lab(demo_lab: Any) -> Truth:
    sites, paths = {}, {}
    for version, options in ((4, ()), (6, ("-6",))):
        clients = demo_lab.ask("status", *options)["clients"]
        for service in ("dns", "web"):
            found = {c: d["services"][service]["site"] for c, d in clients.items()}
            sites[service, version] = found
        asked = ("trace", DNS[version], "--from", ",".join(CITIES), *options)
        traces = demo_lab.ask(*asked)["traces"]
        paths[version] = {t["from"]: [hop["address"] for hop in t["hops"]] for t in traces}
    return Truth(demo_lab.name, sites, paths)


def trace(lab: Truth, *targets: str, cities: Sequence[str] = CITIES, **options: Any) -> list[Any]:
    made = TraceOptions(
        targets=targets, policy=TracePolicy(), lab=lab.name, vantage=tuple(cities), **options
    )
    with prepare_traces(made) as tracing:
        tracing.run()
        found: list[Any] = tracing.document()["traces"]
    return found


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("method", list(Method))
def test_every_method_finds_the_path_and_the_site_that_answers(
    lab: Truth, method: Method, version: int
) -> None:
    sites, paths = lab.sites["dns", version], lab.paths[version]
    port = 53 if method is Method.TCP else 0
    for found in trace(lab, DNS[version], method=method, port=port):
        city = found["from"]
        assert found["reached"], found
        assert [hop["address"] for hop in found["hops"]] == paths[city], (method, city)
        assert found["site"] == sites[city]
        assert found["identity"]["same_flow"] is (method in (Method.DNS, Method.TCP))
        assert all(len(hop["rtts_ms"]) >= 1 for hop in found["hops"])
        # The last router names its city, and light could get there in that time.
        assert found["hops"][-2]["place"]["code"] == sites[city]


def test_tcp_to_the_web_asks_for_the_page_by_the_same_flow(lab: Truth) -> None:
    sites = lab.sites["web", 4]
    for found in trace(lab, WEB[4], method=Method.TCP, port=80):
        assert found["site"] == sites[found["from"]]
        assert found["identity"]["same_flow"]


def test_paths_that_begin_together_part_at_a_marked_hop(lab: Truth) -> None:
    # The same client to one site's unicast neighbour and to the anycast address.
    first = lab.paths[4]["lhr"][0]
    beside = trace(lab, DNS[4], first, cities=("lhr",), method=Method.UDP)
    assert [found["parts_at"] for found in beside] == [2, None]


def test_an_as_table_names_the_networks_of_the_hops(lab: Truth, tmp_path: Path) -> None:
    table = tmp_path / "as.csv"
    table.write_text("192.0.2.0/24,64500,example-anycast\n198.18.0.0/15,65536,lab\n")
    (found,) = trace(lab, DNS[4], cities=("nrt",), as_table=str(table))
    assert [hop["asn"] for hop in found["hops"]][-1] == 64500
    assert {hop["network"] for hop in found["hops"][:-1]} == {"lab"}


def test_an_address_that_nobody_has_is_said_to_be_unreachable(lab: Truth) -> None:
    (found,) = trace(lab, "203.0.113.9", cities=("nrt",))
    assert not found["reached"]
    assert "unreachable" in found["problem"] or "filtered" in found["problem"]
    assert found["site"] is None


def test_a_report_shows_paths_and_sites(lab: Truth, tmp_path: Path) -> None:
    traces = trace(lab, DNS[4])
    page = tmp_path / "t.html"
    write_trace_report({"traces": traces}, str(page))
    text = page.read_text()
    for found in traces:
        assert f"from {found['from']}" in text
        assert found["hops"][0]["address"] in text


def test_a_site_gives_one_name_in_every_way(lab: Truth) -> None:
    for service, target in (("dns", DNS), ("web", WEB)):
        for version in (4, 6):
            document = identify_target(target[version], lab=lab.name, vantage=("hkg", "lhr"))
            for found in document["targets"]:
                assert found["agree"], found["names"]
                assert found["site"] == lab.sites[service, version][found["from"]]
                answered = {(a["way"], a["transport"]) for a in found["answers"] if a["value"]}
                if service == "dns":
                    ways = {"nsid", "id.server", "hostname.bind", "TXT whoami.anycast.test"}
                    assert {(w, t) for w in ways for t in ("udp", "tcp")} <= answered
                else:
                    assert {("/.well-known/anycast-trace", "http"), ("x-served-by", "http")} <= (
                        answered
                    )
                    outcomes = {a["outcome"] for a in found["answers"] if a["transport"] == "udp"}
                    assert outcomes == {"refused"}


# capset(2), _LINUX_CAPABILITY_VERSION_3: no capability is left, whoever runs this.
UNPRIVILEGED = """
import ctypes, struct, sys
if ctypes.CDLL(None).capset(struct.pack("=II", 0x20080522, 0), bytes(24)):
    sys.exit("capset failed")
from ridgeline.cli.probe_trace import command
command.main([*sys.argv[1:], "--json", "--no-names"], standalone_mode=False)
"""


@pytest.mark.parametrize("method", ["dns", "udp", "tcp", "icmp"])
def test_no_privilege_is_needed(lab: Truth, method: str) -> None:
    # For icmp that is because a lab opens ping sockets to its users.
    options = ["--port", "53"] if method == "tcp" else []
    with client_namespace(lab, "hkg") as namespace:
        done = run_unprivileged(namespace, DNS[4], "--method", method, *options)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["traces"]
    assert [hop["address"] for hop in found["hops"]] == lab.paths[4]["hkg"]
    assert found["site"] == lab.sites["dns", 4]["hkg"]


def test_icmp_without_privilege_names_the_command_that_grants_it() -> None:
    namespace = NetworkNamespace.create({"net.ipv4.ping_group_range": "1 0"})  # as kernels begin
    try:
        done = run_unprivileged(namespace, DNS[4], "--method", "icmp")
    finally:
        namespace.close()
    assert done.returncode != 0
    assert "sysctl -w net.ipv4.ping_group_range" in done.stderr


@pytest.mark.parametrize("version", [4, 6])
def test_a_raw_socket_serves_where_ping_sockets_are_closed(lab: Truth, version: int) -> None:
    with client_namespace(lab, "hkg") as namespace:

        def make(family: int, kind: int, protocol: int) -> socket.socket:
            if kind == socket.SOCK_DGRAM and protocol:
                raise PermissionError(errno.EACCES, "no ping sockets")
            with entered(namespace):
                return socket.socket(family, kind, protocol)

        target = DNS[version]
        request = TraceRequest(target=target, address=target, method=Method.ICMP, make=make)
        run = new_run(request, TracePolicy(), HostNames(()))
        asyncio.run(run_traces([run], look_up=False))
    assert run.core.reached, run.core.problem
    assert [hop.address for hop in run.hops()] == lab.paths[version]["hkg"]


@contextmanager
def client_namespace(lab: Truth, city: str) -> Iterator[NetworkNamespace]:
    answer, descriptors = LabClient(lab.name).enter(f"client.{city}")
    try:
        yield NetworkNamespace(descriptors[answer["kinds"].index("net")])
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def run_unprivileged(
    namespace: NetworkNamespace, *arguments: str
) -> subprocess.CompletedProcess[str]:
    with entered(namespace):
        return subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
