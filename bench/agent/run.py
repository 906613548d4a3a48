"""How fast the agent lets go of a dead service, what it costs, and how its peers do.

Run by `make bench-agent`; needs root, BIRD and nginx. FRR, GoBGP, ExaBGP and etcd are measured where
they are installed. The peers come from PyPI into a virtual environment that is thrown away;
`--no-peers` leaves them out, `--quick` repeats less, `--only mass,fleet,...` does a part and writes
no results.
"""

import contextlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bed import (
    Pair,
    cpu_s,
    first_query_after,
    percentile,
    rss_mb,
    summary,
    wait_change,
    watch_loopback,
)
from fleet import BUDGET, measure_fleet
from mass import N_SERVICES, mass_figures, measure_mass, thousand
from peers import measure_peers
from results import figure, publish

from ridgeline.agent.control import ask_agent
from ridgeline.errors import MachineError

PREFIX = "192.0.2.0/24"
POLL = "{dns: {name: example.test, interval: 200ms, timeout: 150ms, fall: 1, rise: 1}}"
WATCH = "{process: {pidfile: HERE/service.pid, rise: 1}}"


@contextmanager
def pair_of() -> Iterator[Pair]:
    """Make a pair of BIRDs in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="ridgeline-bench-"))
    pair = Pair(folder)
    try:
        yield pair
    finally:
        pair.close()
        shutil.rmtree(folder, ignore_errors=True)


def settings(checks: str, pair: Pair) -> str:
    return checks.replace("HERE", str(pair.here))


def deaths(checks: str, n: int) -> list[float]:
    """Kill the service n times; milliseconds until the neighbour has no route."""
    found = []
    with pair_of() as pair:
        service = pair.start_service()
        pair.start_agent(checks=settings(checks, pair), more="damping: 0s", agent=undamped())
        for _ in range(n):
            wait_change(pair, PREFIX, added=True, seconds=20)
            time.sleep(random.uniform(0.3, 0.6))  # noqa: S311 - any phase of the interval
            killed = time.monotonic()
            service.kill()
            found.append((wait_change(pair, PREFIX, added=False, seconds=5) - killed) * 1000)
            service.wait()
            service = pair.start_service()
    return found


def undamped() -> str:
    from agent.pair import AGENT

    return AGENT.replace("damping: 1s\n", "")


def hangs(n: int) -> list[float]:
    """Stop the service n times; milliseconds from the first unanswered query on."""
    found = []
    with pair_of() as pair:
        service = pair.start_service()
        pair.start_agent(checks=POLL, more="damping: 0s", agent=undamped())
        watch = watch_loopback(pair)
        for _ in range(n):
            wait_change(pair, PREFIX, added=True, seconds=20)
            time.sleep(random.uniform(0.3, 0.6))  # noqa: S311 - any phase of the interval
            stopped = time.monotonic()
            service.send_signal(signal.SIGSTOP)
            gone = wait_change(pair, PREFIX, added=False, seconds=5)
            asked = first_query_after(watch, stopped)
            if asked is not None:
                found.append((gone - asked) * 1000)
            service.send_signal(signal.SIGCONT)
        watch.close()
    return found


def many_spec() -> tuple[str, str, list[str]]:
    """Make a thousand services, each with a prefix of its own."""
    names = thousand()
    prefixes = ", ".join(f"{name}.0/24" for name in names)
    services = "\n".join(
        f"  s{i}: {{kind: custom, addresses: [{name}.53], "
        "health: {interval: 1s, timeout: 500ms, fall: 1, rise: 1}}"
        for i, name in enumerate(names)
    )
    return prefixes, services, [f"{name}.53" for name in names]


def many(pair: Pair, checks: str) -> subprocess.Popen[str]:
    """Start an agent with a thousand services and wait until all are announced."""
    prefixes, services, _ = many_spec()
    each = "\n".join(f"  s{i}: {{checks: [{settings(checks, pair)}]}}" for i in range(N_SERVICES))
    each = each.replace("{", "{{").replace("}", "}}")  # it goes through `format` once more
    agent = undamped().partition("services:")[0] + "services:\n" + each
    started = pair.start_agent(
        services=services, prefixes=prefixes, agent=agent + "\n{more}", more="damping: 0s"
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(MachineError):
            said = ask_agent(str(pair.here / "agent.sock"), {"verb": "status"})
            if said["prefixes"] and all(p["held"] == "announced" for p in said["prefixes"]):
                return started
        time.sleep(0.2)
    raise TimeoutError(f"not announced\n{pair.log()[-3000:]}")


def load(checks: str, serve: Callable[[Pair], object], seconds: float) -> tuple[float, float]:
    """Return the share of a core, in percent, and megabytes, of a thousand checks a second."""
    with pair_of() as pair:
        for address in many_spec()[2]:
            pair.hold_address(address)
        serve(pair)
        agent = many(pair, checks)
        time.sleep(2)
        before, start = cpu_s(agent.pid), time.monotonic()
        rounds = ask_agent(str(pair.here / "agent.sock"), {"verb": "status"})["rounds"]
        time.sleep(seconds)
        said = ask_agent(str(pair.here / "agent.sock"), {"verb": "status"})
        took = time.monotonic() - start
        share = (cpu_s(agent.pid) - before) / took * 100
        per_second = (said["rounds"] - rounds) / took
        print(f"  {per_second:.0f} rounds a second, ok={said['ok']}", flush=True)
        if per_second < 0.95 * N_SERVICES or not said["ok"]:
            raise RuntimeError(f"the load is not what it should be: {pair.log()[-2000:]}")
        return share, rss_mb(agent.pid)


def serve_dns(pair: Pair) -> None:
    pair.start_service(*many_spec()[2])


def serve_http(pair: Pair) -> None:
    configuration = pair.here / "nginx.conf"
    configuration.write_text(
        f"daemon off; pid {pair.here}/nginx.pid; error_log stderr; worker_processes 1;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; client_body_temp_path {pair.here};\n"
        f"  proxy_temp_path {pair.here}; fastcgi_temp_path {pair.here};\n"
        f"  uwsgi_temp_path {pair.here}; scgi_temp_path {pair.here};\n"
        "  server { listen 80 backlog=4096; return 200 ok; } }\n"
    )
    pair.start(pair.site, "nginx", "-e", "stderr", "-c", str(configuration))
    time.sleep(0.5)


def dead_man(kind: str, n: int) -> list[float]:
    """Kill agent and service together; milliseconds until the neighbour has no route."""
    from agent.test_agent_bird import BFD, BY_BFD, BY_LEASE, in_site

    found = []
    with pair_of() as pair:
        if kind == "bfd":
            in_site(pair, "ip", "tuntap", "add", "dev", "ridgeline0", "mode", "tun")
            in_site(pair, "ip", "addr", "add", "10.255.53.1/30", "dev", "ridgeline0")
            in_site(pair, "ip", "link", "set", "ridgeline0", "up")
            pair.write_site(BFD)
            pair.ask_bird("site", "configure")
            more, router = BY_BFD, ", bfd: 10.255.53.2"
        else:
            in_site(
                pair, *["ip", "link", "add", "lease0", "type", "veth", "peer", "name", "lease1"]
            )
            for name in ("lease0", "lease1"):
                in_site(pair, "ip", "link", "set", name, "up")
            more = BY_LEASE.replace("LINK", "lease0").replace("2s", "5s")
            router = ', options: {via: "198.18.255.2"}'
        service = pair.start_service()
        agent = pair.start_agent(more=more, router=router)
        for _ in range(n):
            wait_change(pair, PREFIX, added=True, seconds=30)
            time.sleep(random.uniform(1, 1.5))  # noqa: S311 - any phase
            killed = time.monotonic()
            agent.kill()
            service.kill()
            found.append((wait_change(pair, PREFIX, added=False, seconds=10) - killed) * 1000)
            agent.wait()
            service.wait()
            service = pair.start_service()
            agent = pair.run_agent()
    return found


Figures = dict[str, dict[str, Any]]


def add(figures: Figures, name: str, values: list[float], bar: float) -> None:
    print(f"{name}: {summary(values)}", flush=True)
    figures[f"{name}_p95_ms"] = figure(percentile(values, 0.95), "ms", at_most=bar)
    figures[f"{name}_median_ms"] = figure(statistics.median(values), "ms")


def add_one(figures: Figures, *, quick: bool) -> None:
    """One service dies, or hangs."""
    times = 8 if quick else 40
    add(figures, "process_dies", deaths(f"{POLL}, {WATCH}", times), 10)
    add(figures, "polled_200ms", deaths(POLL, times), 250)
    add(figures, "hang_after_query", hangs(times // 2), 150 + 20)


def add_dead(figures: Figures, *, quick: bool) -> None:
    """The agent is killed, and the service with it."""
    add(figures, "killed_agent_bfd", dead_man("bfd", 5 if quick else 10), 150)
    add(figures, "killed_agent_lease", dead_man("lease", 3), 6000)


def add_mass(figures: Figures, *, quick: bool) -> None:
    for name, value, bar in mass_figures(measure_mass(quick=quick)):
        figures[name] = figure(value, "ms", at_most=bar)


def add_fleet(figures: Figures, *, quick: bool) -> None:
    """Eight sites, a budget of two, a hundred times; never one more may go."""
    races = measure_fleet(20 if quick else 100)
    if races is None:
        return
    print(f"fleet, a slot granted: {summary(races.granted_ms)}", flush=True)
    figures["fleet_withdrawn_at_most"] = figure(max(races.withdrawn), "sites", at_most=BUDGET)
    figures["fleet_withdrawn_at_least"] = figure(min(races.withdrawn), "sites", at_least=BUDGET)
    figures["fleet_granted_p95_ms"] = figure(percentile(races.granted_ms, 0.95), "ms")
    figures["fleet_granted_median_ms"] = figure(statistics.median(races.granted_ms), "ms")


def add_load(figures: Figures, *, quick: bool) -> None:
    seconds = 5 if quick else 15
    print("a thousand DNS checks a second", flush=True)
    dns, dns_mb = load("{dns: {name: example.test, flags: [aa]}}", serve_dns, seconds)
    figures["thousand_dns_core_pct"] = figure(dns, "% of a core", at_most=25)
    figures["thousand_dns_mb"] = figure(dns_mb, "MB", at_most=60)
    print("a thousand HTTP checks a second", flush=True)
    http, http_mb = load("{http: {path: /}}", serve_http, seconds)
    figures["thousand_http_core_pct"] = figure(http, "% of a core", at_most=50)
    figures["thousand_http_mb"] = figure(http_mb, "MB", at_most=60)


def add_peers(figures: Figures, *, quick: bool) -> None:
    for name, peers in measure_peers(pair_of, 5 if quick else 10).items():
        rounded = {peer: round(value, 1) for peer, value in peers.items()}
        figures.setdefault(name, {"value": 0.0, "unit": "ms"})["peers"] = rounded


PARTS = {
    "one": add_one,
    "dead": add_dead,
    "mass": add_mass,
    "fleet": add_fleet,
    "load": add_load,
    "peers": add_peers,
}


def main() -> int:
    quick = "--quick" in sys.argv
    chosen = sys.argv[sys.argv.index("--only") + 1].split(",") if "--only" in sys.argv else PARTS
    figures: Figures = {}
    for name in chosen:
        if name != "peers" or "--no-peers" not in sys.argv:
            PARTS[name](figures, quick=quick)
    if "--only" in sys.argv:
        print(*(f"{name}: {made}" for name, made in figures.items()), sep="\n")
        return 0
    return 0 if publish("agent", figures) else 1


if __name__ == "__main__":
    sys.exit(main())
