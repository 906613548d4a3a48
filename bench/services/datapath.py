"""What the rendered texts cost: the same engines with the least that a hand would write beside them.

The least still says what every answer of ours says: which site it is, and what the cache did.

Knot, Unbound, nginx, and nginx with Varnish, each on loopback, A and B by turns; what counts is
queries or requests for each second of processor time that the server used (`/proc/PID/task/TID/schedstat`).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from results import figure

from ridgeline.lab.preflight import add_system_paths
from ridgeline.render.edge import EdgeSite, Origin
from ridgeline.render.identity import HEALTH_PATH, SiteIdentity
from ridgeline.render.knot import KnotSite, ZoneFile, render_knot, render_whoami_files
from ridgeline.render.nginx import render_nginx
from ridgeline.render.nginx_front import render_front
from ridgeline.render.origin import render_origin
from ridgeline.render.unbound import UnboundSite, render_unbound
from ridgeline.render.varnish import render_varnish, varnish_command

Figures = dict[str, dict[str, Any]]

HOME = IPv4Address("127.0.0.1")
PORT = 20_000 + 40 * (os.getpid() % 800)
ROUNDS = 15
RUN_S = 1.0
WARM_S = 0.5
LOSS_PCT = 2.0
BUDGET_MB = 40.0
BUDGET_MS = 300.0
IDENTITY = SiteIdentity(site="nrt", network="bench-anycast", domain="bench-anycast.example")
ZONE = """\
$ORIGIN example.test.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 300
@ NS ns
ns A 192.0.2.53
www A 192.0.2.80
www AAAA 2001:db8:53::80
"""


@dataclass(frozen=True)
class Side:
    """One configuration of an engine, running."""

    processes: list[subprocess.Popen[bytes]]
    load: Callable[[float], int]
    """Ask as fast as it goes for so many seconds; return how many answers came."""

    def rate(self, seconds: float) -> float:
        """Return answers for a second of processor time."""
        before = sum(cpu_s(process.pid) for process in self.processes)
        answers = self.load(seconds)
        return answers / (sum(cpu_s(process.pid) for process in self.processes) - before)


def cpu_s(leader: int) -> float:
    """Sum the processor time of a process group, as each daemon here has one of its own."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[2]) != leader:
                continue
            # stat counts whole ticks; schedstat nanoseconds, for each thread.
            for thread in stat.parent.glob("task/*/schedstat"):
                total += int(thread.read_text().split()[0])
        except OSError:
            continue
    return total / 1e9


def pss_mb(leader: int) -> float:
    """Sum the proportional memory of a process group."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[2]) == leader:
                rollup = stat.with_name("smaps_rollup").read_text()
                total += next(int(x.split()[1]) for x in rollup.splitlines() if x[:4] == "Pss:")
        except OSError:
            continue
    return total / 1024


class Bench:
    """Folders, processes, and the way to start them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rl-")))
        self._numbers = count(1)

    def new_folder(self) -> Path:
        folder = self.folder / str(next(self._numbers))
        folder.mkdir()
        return folder

    def start(
        self, *argv: str, ready: Callable[[], bool] | None = None
    ) -> "subprocess.Popen[bytes]":
        program = shutil.which(argv[0])
        if program is None:
            raise SystemExit(f"{argv[0]} is not installed")
        copy = self.folder / argv[0]  # Debian confines daemons by path
        if not copy.exists():
            shutil.copy(program, copy)
        process = subprocess.Popen(
            argv,
            executable=copy,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        deadline = time.monotonic() + 10
        while ready is not None and not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{' '.join(argv)} does not answer")
            time.sleep(0.001)
        return process


def figures() -> Figures:
    """Measure everything here."""
    add_system_paths()
    found: Figures = {}
    for name, needs, make in (
        ("knot", ("dnsperf",), knot),
        ("unbound", ("dnsperf",), unbound),
        ("nginx", ("wrk",), nginx),
        ("varnish", ("wrk", "varnishd"), varnish),
    ):
        missing = [program for program in needs if shutil.which(program) is None]
        if missing:
            print(f"{', '.join(missing)} not installed: {name} left out", file=sys.stderr)
            continue
        with ExitStack() as stack:
            rendered, by_hand = make(Bench(stack))
            found |= compare(name, rendered, by_hand)
    return found | one_site()


def compare(name: str, rendered: Side, by_hand: Side) -> Figures:
    """Ask both by turns, and compare the medians."""
    for side in (rendered, by_hand):
        side.load(WARM_S)
    pairs = []
    for number in range(ROUNDS):
        order = (rendered, by_hand) if number % 2 else (by_hand, rendered)
        rates = [side.rate(RUN_S) for side in order]
        pairs.append(tuple(rates) if number % 2 else tuple(reversed(rates)))
    ours, theirs = (median(rates) for rates in zip(*pairs, strict=True))
    loss = median(100 * (1 - a / b) for a, b in pairs)
    unit = "1/CPU s"
    return {
        f"{name}_per_cpu_second": figure(ours, unit, peers={"written by hand": theirs}),
        f"{name}_loss_pct": figure(loss, "%", at_most=LOSS_PCT),
    }


def dnsperf(folder: Path, port: int) -> Callable[[float], int]:
    questions = folder / "questions"
    questions.write_text("www.example.test A\nwww.example.test AAAA\nexample.test NS\n" * 100)

    def load(seconds: float) -> int:
        said = subprocess.run(
            [
                *("dnsperf", "-s", str(HOME), "-p", str(port), "-d", str(questions)),
                *("-l", f"{seconds:g}", "-c", "4", "-q", "100", "-S", "0"),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        line = next(line for line in said.splitlines() if "Queries completed" in line)
        return int(line.split()[2])

    return load


def wrk(url: str) -> Callable[[float], int]:
    def load(seconds: float) -> int:
        said = subprocess.run(
            ["wrk", "-t1", "-c16", f"-d{max(1, round(seconds))}s", url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        if "Non-2xx" in said:
            raise SystemExit(f"{url} answers with errors:\n{said}")
        line = next(line for line in said.splitlines() if "requests in" in line)
        return int(line.split()[0])

    return load


def dns_answers(port: int) -> Callable[[], bool]:
    import dns.exception
    import dns.message
    import dns.query

    def asked() -> bool:
        query = dns.message.make_query("www.example.test", "A")
        try:
            return bool(dns.query.udp(query, str(HOME), port=port, timeout=0.05).answer)
        except (OSError, dns.exception.DNSException):
            return False

    return asked


def http_answers(port: int, path: str = "/page") -> Callable[[], bool]:
    import http.client

    def asked() -> bool:
        try:
            line = http.client.HTTPConnection(str(HOME), port, timeout=1)
            line.request("GET", path)
            return line.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    return asked


def knot_files(bench: Bench) -> tuple[Path, Path]:
    folder = bench.new_folder()
    zone = folder / "example.test.zone"
    zone.write_text(ZONE)
    return folder, zone


def rendered_knot(bench: Bench, port: int) -> tuple["subprocess.Popen[bytes]", Path]:
    folder, zone = knot_files(bench)
    (folder / "db").mkdir()
    for name, text in render_whoami_files(IDENTITY, (HOME,)).items():
        (folder / name).write_text(text)
    configuration = folder / "knot.conf"
    configuration.write_text(
        render_knot(
            KnotSite(
                identity=IDENTITY,
                directory=str(folder),
                listen=(HOME,),
                zones=(ZoneFile(domain="example.test", path=str(zone)),),
                cookie_secrets=(bytes(16),),
                unlimited=(ip_network("127.0.0.0/8"),),
                port=port,
            )
        )
    )
    return bench.start("knotd", "-c", str(configuration), ready=dns_answers(port)), folder


def knot(bench: Bench) -> tuple[Side, Side]:
    ours, where = rendered_knot(bench, PORT)
    folder, zone = knot_files(bench)
    configuration = folder / "knot.conf"
    configuration.write_text(
        f"server:\n    listen: {HOME}@{PORT + 1}\n    rundir: {folder}\n    udp-workers: 1\n"
        "    tcp-workers: 1\n    background-workers: 1\n"
        f"database:\n    storage: {folder}\nzone:\n  - domain: example.test\n    file: {zone}\n"
    )
    theirs = bench.start("knotd", "-c", str(configuration), ready=dns_answers(PORT + 1))
    return Side([ours], dnsperf(where, PORT)), Side([theirs], dnsperf(folder, PORT + 1))


def rendered_unbound(
    bench: Bench, port: int, behind: int
) -> tuple["subprocess.Popen[bytes]", Path]:
    folder = bench.new_folder()
    from ridgeline.render.unbound import ROOT_FILE, render_root_zone

    (folder / ROOT_FILE).write_text(render_root_zone())
    configuration = folder / "unbound.conf"
    configuration.write_text(
        render_unbound(
            UnboundSite(
                identity=IDENTITY,
                directory=str(folder),
                listen=(HOME,),
                outgoing=(HOME,),
                forward=(HOME,),
                forward_port=behind,
                clients=(ip_network("127.0.0.0/8"),),
                port=port,
            )
        )
    )
    process = bench.start("unbound", "-d", "-p", "-c", str(configuration), ready=dns_answers(port))
    return process, folder


def unbound(bench: Bench) -> tuple[Side, Side]:
    rendered_knot(bench, PORT + 2)
    ours, where = rendered_unbound(bench, PORT + 3, PORT + 2)
    folder = bench.new_folder()
    configuration = folder / "unbound.conf"
    configuration.write_text(
        f'server:\n  interface: {HOME}\n  port: {PORT + 4}\n  username: ""\n  chroot: ""\n'
        f'  directory: "{folder}"\n  do-not-query-localhost: no\n  use-syslog: no\n'
        '  module-config: "iterator"\n  do-ip6: no\n  local-zone: test. nodefault\n'
        f'stub-zone:\n  name: "example.test"\n  stub-addr: {HOME}@{PORT + 2}\n'
    )
    theirs = bench.start(
        "unbound", "-d", "-p", "-c", str(configuration), ready=dns_answers(PORT + 4)
    )
    return Side([ours], dnsperf(where, PORT + 3)), Side([theirs], dnsperf(folder, PORT + 4))


def start_origin(bench: Bench, port: int) -> None:
    folder = bench.new_folder()
    www = bench.new_folder()
    (www / "index.html").write_text("origin\n")
    (www / "page").write_text("x" * 1024)
    configuration = folder / "nginx.conf"
    configuration.write_text(render_origin(str(folder), (HOME,), port, str(www), max_age=3600))
    bench.start("nginx", "-e", "stderr", "-c", str(configuration), ready=http_answers(port))


def edge_site(bench: Bench, port: int, origin: int) -> EdgeSite:
    return EdgeSite(
        identity=IDENTITY,
        directory=str(bench.new_folder()),
        listen=(HOME,),
        origin=Origin(host="origin.example.test", port=origin, address=HOME),
        unicast=(HOME,),
        port=port,
        cache_mb=16,
    )


def start_nginx(bench: Bench, text: str, folder: Path, port: int) -> "subprocess.Popen[bytes]":
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    ready = http_answers(port)
    return bench.start("nginx", "-e", "stderr", "-c", str(configuration), ready=ready)


_BY_HAND = """\
user root;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000;
    client_body_temp_path {folder}/b;
    proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
{more}
}}
"""
_CACHE_BY_HAND = """\
    proxy_cache_path {folder}/cache keys_zone=edge:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{origin};
            proxy_cache edge;
{says}        }}
    }}"""
# The least that still answers as a site of ours does: who it is, and what the cache did.
_SAYS = """\
            add_header Cache-Status "nrt.bench-anycast.example; $upstream_cache_status" always;
            add_header Via "1.1 nrt.bench-anycast.example" always;
            add_header Server-Timing "cdn-cache;desc=$upstream_cache_status" always;
            add_header X-Served-By nrt always;
"""
_VCL_SAYS = """\
sub vcl_deliver {
    if (obj.hits > 0) {
        set resp.http.Cache-Status = "nrt.bench-anycast.example; hit";
        set resp.http.Server-Timing = "cdn-cache;desc=HIT";
    } else {
        set resp.http.Cache-Status = "nrt.bench-anycast.example; fwd=miss";
        set resp.http.Server-Timing = "cdn-cache;desc=MISS";
    }
    set resp.http.Via = "1.1 nrt.bench-anycast.example";
    set resp.http.X-Served-By = "nrt";
    unset resp.http.X-Varnish;
}
"""
_FRONT_BY_HAND = """\
    upstream cache {{ server unix:{folder}/cache.sock; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://cache;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}"""


def nginx(bench: Bench) -> tuple[Side, Side]:
    start_origin(bench, PORT + 5)
    site = edge_site(bench, PORT + 6, PORT + 5)
    ours = start_nginx(bench, render_nginx(site), Path(site.directory), PORT + 6)
    folder = bench.new_folder()
    more = _CACHE_BY_HAND.format(folder=folder, port=PORT + 7, origin=PORT + 5, says=_SAYS)
    theirs = start_nginx(bench, _BY_HAND.format(folder=folder, more=more), folder, PORT + 7)
    return (
        Side([ours], wrk(f"http://{HOME}:{PORT + 6}/page")),
        Side([theirs], wrk(f"http://{HOME}:{PORT + 7}/page")),
    )


def varnish(bench: Bench) -> tuple[Side, Side]:
    start_origin(bench, PORT + 8)
    site = edge_site(bench, PORT + 9, PORT + 8)
    vcl = Path(site.directory) / "site.vcl"
    vcl.write_text(render_varnish(site))
    behind = bench.start(*varnish_command(site, str(vcl)))
    ours = start_nginx(bench, render_front(site), Path(site.directory), PORT + 9)
    folder = bench.new_folder()
    least = folder / "least.vcl"
    least.write_text(
        f'vcl 4.1;\nbackend origin {{ .host = "{HOME}"; .port = "{PORT + 8}"; }}\n{_VCL_SAYS}'
    )
    argv = varnish_command(edge_site(bench, PORT + 10, PORT + 8), str(least))
    argv = tuple(
        word.replace(str(Path(argv[argv.index("-n") + 1]).parent), str(folder)) for word in argv
    )
    behind_theirs = bench.start(*argv)
    more = _FRONT_BY_HAND.format(folder=folder, port=PORT + 10)
    theirs = start_nginx(bench, _BY_HAND.format(folder=folder, more=more), folder, PORT + 10)
    return (
        Side([ours, behind], wrk(f"http://{HOME}:{PORT + 9}/page")),
        Side([theirs, behind_theirs], wrk(f"http://{HOME}:{PORT + 10}/page")),
    )


def rendered_edge(bench: Bench, site: EdgeSite, port: int) -> "subprocess.Popen[bytes]":
    configuration = Path(site.directory) / "nginx.conf"
    configuration.write_text(render_nginx(site))
    argv = ("nginx", "-e", "stderr", "-c", str(configuration))
    return bench.start(*argv, ready=http_answers(port, HEALTH_PATH))


def one_site() -> Figures:
    """Start what a site runs by default, all at once, until each answers, and weigh it."""
    times, weights = [], []
    for _ in range(5):
        with ExitStack() as stack:
            bench = Bench(stack)
            start_origin(bench, PORT + 11)
            site = edge_site(bench, PORT + 12, PORT + 11)
            begun = time.perf_counter()
            with ThreadPoolExecutor() as starters:
                knot_starts = starters.submit(rendered_knot, bench, PORT + 13)
                unbound_starts = starters.submit(rendered_unbound, bench, PORT + 14, PORT + 13)
                edge_starts = starters.submit(rendered_edge, bench, site, PORT + 12)
                processes = [knot_starts.result()[0], unbound_starts.result()[0]]
                processes.append(edge_starts.result())
            times.append(1000 * (time.perf_counter() - begun))
            weights.append(sum(pss_mb(process.pid) for process in processes))
    return {
        "site_start_ms": figure(median(times), "ms", at_most=BUDGET_MS),
        "site_pss_mb": figure(median(weights), "MB", at_most=BUDGET_MB),
    }
