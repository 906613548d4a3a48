"""How fast the agent lets go of a dead service, what it costs, and how its peers do.

Run by `make bench-agent`; needs root, BIRD and nginx. The peers come from PyPI into a virtual
environment that is thrown away; `--no-peers` leaves them out, `--quick` repeats less.
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
from datetime import datetime
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
from peers import measure_peers
from results import figure, publish

from ridgeline.agent.control import ask_agent
from ridgeline.errors import MachineError

PREFIX = "192.0.2.0/24"
POLL = "{dns: {name: example.test, interval: 200ms, timeout: 150ms, fall: 1, rise: 1}}"
WATCH = "{process: {pidfile: HERE/service.pid, rise: 1}}"
N_SERVICES = 1000


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

    return AGENT.replace("damping: 2s\n", "")


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
    names = [f"100.{64 + i // 250}.{i % 250}" for i in range(N_SERVICES)]
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


def mass(n: int) -> list[float]:
    """Let a thousand services fail at once; milliseconds until the last route is gone.

    By the clock of the neighbour's BIRD, which logs each change of its table: a program of ours
    that counted a thousand kernel events would need longer than what it measures.
    """
    found = []
    with pair_of() as pair:
        configuration = pair.here / "neighbour.conf"
        text = configuration.read_text().replace("graceful restart off;", "debug { routes };")
        configuration.write_text("timeformat log iso long us;\n" + text)
        pair.ask_bird("neighbour", "configure")
        log = pair.here / "neighbour.log"
        for _ in range(n):
            service = pair.start_service()
            agent = many(pair, WATCH)
            time.sleep(2)
            at = log.stat().st_size
            killed = time.time()
            service.kill()
            service.wait()
            time.sleep(1)
            lines = log.read_bytes()[at:].decode().splitlines()
            gone = [line for line in lines if "site.ipv4 > removed" in line]
            if len(gone) != N_SERVICES:
                raise RuntimeError(f"{len(gone)} of {N_SERVICES} gone\n{pair.log()[-2000:]}")
            last = datetime.fromisoformat(" ".join(gone[-1].split()[:2])).timestamp()
            found.append((last - killed) * 1000)
            pair.end(agent, signal.SIGTERM)
    return found


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
            more = BY_LEASE.replace("LINK", "lease0").replace("3s", "5s")
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


def main() -> int:
    quick = "--quick" in sys.argv
    few, some = (5, 8) if quick else (10, 40)
    figures: dict[str, dict[str, Any]] = {}

    def add(name: str, values: list[float], bar: float) -> None:
        print(f"{name}: {summary(values)}", flush=True)
        figures[f"{name}_p95_ms"] = figure(percentile(values, 0.95), "ms", at_most=bar)
        figures[f"{name}_median_ms"] = figure(statistics.median(values), "ms")

    add("process_dies", deaths(f"{POLL}, {WATCH}", some), 10)
    add("polled_200ms", deaths(POLL, some), 250)
    add("hang_after_query", hangs(some // 2), 150 + 20)
    add("killed_agent_bfd", dead_man("bfd", few), 150)
    add("killed_agent_lease", dead_man("lease", 3), 6000)
    add("thousand_fail_at_once", mass(3 if quick else 5), 50)
    seconds = 5 if quick else 15
    print("a thousand DNS checks a second", flush=True)
    dns, dns_mb = load("{dns: {name: example.test, flags: [aa]}}", serve_dns, seconds)
    figures["thousand_dns_core_pct"] = figure(dns, "% of a core", at_most=25)
    figures["thousand_dns_mb"] = figure(dns_mb, "MB", at_most=60)
    print("a thousand HTTP checks a second", flush=True)
    http, http_mb = load("{http: {path: /}}", serve_http, seconds)
    figures["thousand_http_core_pct"] = figure(http, "% of a core", at_most=50)
    figures["thousand_http_mb"] = figure(http_mb, "MB", at_most=60)
    if "--no-peers" not in sys.argv:
        for name, peers in measure_peers(pair_of, few).items():
            figures[name]["peers"] = {peer: round(value, 1) for peer, value in peers.items()}
    return 0 if publish("agent", figures) else 1


if __name__ == "__main__":
    sys.exit(main())
