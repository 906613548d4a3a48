"""The peers, each as its own documentation has it, and at its fastest settings.

A service of HTTP on port 8080 is killed; the clock runs until the route is gone at the neighbour.
"""

import random
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bed import Pair, percentile, summary, wait_change

PACKAGES = ("anycast-healthchecker", "exabgp")
ADDRESS = "192.0.2.53"
ROUTE = f"{ADDRESS}/32"
_HC_BIRD = """\
log "{here}/site.log" all;
router id 198.18.0.1;
include "{here}/agent.d/prefixes.conf";
protocol device {{ scan time 60; }}
protocol direct {{ ipv4; interface "lo"; }}
protocol bgp upstream {{
  local 198.18.0.0 as 64500; neighbor 198.18.0.1 as 65540;
  connect delay time 0; connect retry time 1; error wait time 1,2;
  ipv4 {{ import none; export where net ~ ADVERTISED; next hop self; }};
}}
"""
_HC_DAEMON = """\
[DEFAULT]
interface = lo
[daemon]
pidfile = {here}/hc.pid
ipv4 = true
ipv6 = false
bird_conf = {here}/agent.d/prefixes.conf
bird_variable = ADVERTISED
bird_reconfigure_cmd = /usr/sbin/birdc -s {here}/site.ctl configure
dummy_ip_prefix = 10.189.200.255/32
loglevel = warning
log_file = {here}/hc.log
"""
_HC_SERVICE = """\
[service]
check_cmd = {check}
check_interval = {interval}
check_timeout = {timeout}
check_fail = {fail}
check_rise = {rise}
check_disabled = false
on_disabled = withdraw
ip_prefix = 192.0.2.53/32
"""
_EXA = """\
process watch {{
  run {python} -m exabgp healthcheck --no-syslog --name it --ip 192.0.2.53/32 --no-ip-setup \
--next-hop 198.18.0.0 --withdraw-on-down {options} --cmd "{check}";
  encoder text;
}}
neighbor 198.18.0.1 {{
  router-id 198.18.0.1; local-address 198.18.0.0; local-as 64500; peer-as 65540; hold-time 240;
  family {{ ipv4 unicast; }}
  api {{ processes [ watch ]; }}
}}
"""
_CHECK = f"/usr/bin/curl -fsS -o /dev/null --max-time 1 http://{ADDRESS}:8080/"

MakePair = Callable[[], AbstractContextManager[Pair]]


def measure_peers(make_pair: MakePair, n: int) -> dict[str, dict[str, float]]:
    """Return figure -> peer -> value; nothing of a peer that cannot be installed."""
    found: dict[str, dict[str, float]] = {"polled_200ms_p95_ms": {}, "process_dies_p95_ms": {}}
    with TemporaryDirectory(prefix="ridgeline-peers-") as folder:
        home = Path(folder)
        venv.create(home, with_pip=True)
        pip = [str(home / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)
        for name, key, run in (
            ("anycast-healthchecker, 0.2 s", "polled_200ms_p95_ms", _healthchecker_fast),
            ("exabgp healthcheck, 0.2 s", "polled_200ms_p95_ms", _exabgp_fast),
            ("anycast-healthchecker, defaults", "process_dies_p95_ms", _healthchecker),
            ("exabgp healthcheck, defaults", "process_dies_p95_ms", _exabgp),
        ):
            few = n if "0.2 s" in name else 3
            with make_pair() as pair:
                values = run(pair, home / "bin", few)
            print(f"{name}: {summary(values)}", flush=True)
            found[key][name] = percentile(values, 0.95)
    return found


def _healthchecker(pair: Pair, programs: Path, n: int) -> list[float]:
    return _with_healthchecker(pair, programs, n, interval=10, timeout=2, fail=2, rise=2)


def _healthchecker_fast(pair: Pair, programs: Path, n: int) -> list[float]:
    return _with_healthchecker(pair, programs, n, interval=0.2, timeout=0.2, fail=1, rise=1)


def _with_healthchecker(pair: Pair, programs: Path, n: int, **times: float) -> list[float]:
    here = pair.here
    (here / "services").mkdir()
    (here / "hc.conf").write_text(_HC_DAEMON.format(here=here))
    text = _HC_SERVICE.format(check=_CHECK, **times)
    (here / "services" / "service.conf").write_text(text)
    empty = "define ADVERTISED =\n    [\n        10.189.200.255/32\n    ];\n"
    (here / "agent.d" / "prefixes.conf").write_text(empty)
    (here / "site.conf").write_text(_HC_BIRD.format(here=here))
    pair.ask_bird("site", "configure")
    service = _serve(pair)
    program = str(programs / "anycast-healthchecker")
    pair.start(
        pair.site, program, "-f", str(here / "hc.conf"), "-d", str(here / "services"), output="hc"
    )
    return _deaths(pair, service, n, times["interval"])


def _exabgp(pair: Pair, programs: Path, n: int) -> list[float]:
    return _with_exabgp(pair, programs, n, "", 5)


def _exabgp_fast(pair: Pair, programs: Path, n: int) -> list[float]:
    options = "--interval 0.2 --fast-interval 0.1 --rise 1 --fall 1 --timeout 1"
    return _with_exabgp(pair, programs, n, options, 0.2)


def _with_exabgp(pair: Pair, programs: Path, n: int, options: str, interval: float) -> list[float]:
    pair.end(pair.bird_site)
    text = _EXA.format(python=programs / "python", options=options, check=_CHECK)
    (pair.here / "exa.conf").write_text(text)
    service = _serve(pair)
    settings = (
        "exabgp_daemon_user=root exabgp_log_destination=stdout exabgp_api_cli=false "
        "exabgp_cache_attributes=false"
    )
    argv = ["env", *settings.split(), str(programs / "exabgp"), str(pair.here / "exa.conf")]
    pair.start(pair.site, *argv, output="exa")
    return _deaths(pair, service, n, interval)


def _serve(pair: Pair) -> "subprocess.Popen[str]":
    program = [sys.executable, "-m", "http.server", "--bind", ADDRESS, "8080"]
    (pair.here / "www").mkdir(exist_ok=True)
    return pair.start(pair.site, *program, "--directory", str(pair.here / "www"), output="www.log")


def _deaths(pair: Pair, service: "subprocess.Popen[str]", n: int, interval: float) -> list[float]:
    found = []
    for _ in range(n):
        wait_change(pair, ROUTE, added=True, seconds=60)
        time.sleep(random.uniform(0.3, interval + 0.3))  # noqa: S311 - any phase
        killed = time.monotonic()
        service.kill()
        found.append((wait_change(pair, ROUTE, added=False, seconds=60) - killed) * 1000)
        service.wait()
        service = _serve(pair)
    return found
