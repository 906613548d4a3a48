"""The prober against real servers, over links that break."""

import itertools
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from ridgeline.errors import MachineError
from ridgeline.lab.beds.links import HostPair, host_pair
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.links.delay import LinkShape, RelayWires
from ridgeline.lab.watch.outage import Sample, measure_outage
from ridgeline.lab.watch.prober import ProbePlan, ProbeResult, Question, read_result
from ridgeline.render.identity import SERVED_BY

pytestmark = pytest.mark.lab

DELAY_MS = 5.0
RTT_MS = 2 * DELAY_MS


@pytest.fixture(scope="module", autouse=True)
def privilege() -> None:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))


@pytest.fixture
def pair() -> Iterator[HostPair]:
    with host_pair(RelayWires(), [LinkShape(delay_ms=DELAY_MS)]) as pair:
        yield pair


class Running:
    """A prober under way."""

    def __init__(self, plan: ProbePlan) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ridgeline.lab.watch.prober"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=plan.namespaces,
        )
        self._in, self._out = _both(self._process)
        self._in.write(plan.render())
        self._in.flush()
        self.started = json.loads(self._out.readline())["started"]

    def stop(self, *, after: float = 0) -> ProbeResult:
        time.sleep(after)
        self._in.close()
        result = read_result(self._out.read())
        self._out.close()
        assert self._process.wait(timeout=5) == 0
        return result


def test_every_query_is_answered_by_name_and_in_the_time_of_the_path(
    pair: HostPair, tmp_path: Path
) -> None:
    plan = ProbePlan(questions=(dns(pair), dns(pair, ipv6=True), http(pair), http(pair, ipv6=True)))
    with knot(pair, tmp_path, "nrt"), nginx(pair, tmp_path, "nrt"):
        prober = Running(plan)
        time.sleep(1)
        result = prober.stop()
    for series, trips in zip(result.series, (1, 1, 2, 2), strict=True):
        samples = series.samples
        rtts = sorted(s.rtt_ms for s in samples if s.rtt_ms is not None)
        # On a busy machine, some answers may come too late.
        named = {(s.site, s.error) for s in samples if s.error != "timeout"}
        assert named == {("nrt", None)}
        assert len(rtts) > 0.8 * len(samples)
        assert rtts[0] > trips * RTT_MS - 0.5
        assert rtts[len(rtts) // 4] < trips * RTT_MS + 20  # a busy machine is late for many


def test_queries_leave_every_10_ms_without_drift(pair: HostPair) -> None:
    prober = Running(ProbePlan(questions=(dns(pair),), duration=2, grace=0))
    result = prober.stop(after=2.5)
    times = [sample.t_ms for sample in result.series[0].samples]
    at_the_end = (2000 - times[-1]) / 10 - 1  # turns that a busy machine did not come to
    assert len(times) + result.skipped + at_the_end == pytest.approx(200, abs=3)
    # After 1.5 s the turns are still multiples of 10 ms, though a busy machine is late for some.
    assert min(t % 10 for t in times if t > 1500) < 1


def test_a_silent_cut_shows_as_an_outage_of_its_length(pair: HostPair, tmp_path: Path) -> None:
    with knot(pair, tmp_path, "nrt"):
        prober = Running(ProbePlan(questions=(dns(pair),)))
        time.sleep(0.3)
        event_ms = (time.monotonic() - prober.started) * 1000
        pair.wires.silence("l0")
        time.sleep(1)
        pair.wires.restore("l0")
        back_ms = (time.monotonic() - prober.started) * 1000
        time.sleep(0.3)
        (series,) = prober.stop().series
    outage = measure_outage(series.samples, event_ms)
    assert (outage.before, outage.after, outage.moved_ms) == ("nrt", "nrt", None)
    assert outage.outage_ms == pytest.approx(back_ms - event_ms + RTT_MS, abs=200)
    n_sent = sum(event_ms < sample.t_ms < back_ms for sample in series.samples)
    assert outage.queries_lost == pytest.approx(n_sent, abs=20)
    assert outage.queries_lost > 20
    assert {sample.error for sample in series.samples} == {None, "timeout"}


def test_a_closed_port_is_refused_by_udp_and_tcp(pair: HostPair) -> None:
    plan = ProbePlan(questions=(dns(pair), dns(pair, ipv6=True), http(pair), http(pair, ipv6=True)))
    prober = Running(plan)
    time.sleep(0.4)
    for series in prober.stop().series:
        words = {sample.error for sample in series.samples}
        # The kernel rations ICMP errors, for IPv6 by a limit of its own: some queries just die.
        assert "refused" in words
        assert words <= {"refused", "timeout"}
        assert all(sample.site is None and sample.rtt_ms is None for sample in series.samples)


def test_an_address_without_a_route_is_unreachable_at_once(pair: HostPair) -> None:
    away = dns(pair, address="192.0.2.53")
    prober = Running(ProbePlan(questions=(away,), duration=0.2, grace=0))
    (series,) = prober.stop().series
    assert {sample[1:] for sample in series.samples} == {(None, None, "unreachable")}


def test_a_server_that_fails_is_named_but_no_good_answer(pair: HostPair, tmp_path: Path) -> None:
    elsewhere = dns(pair, name="other.test")
    with knot(pair, tmp_path, "nrt"):
        prober = Running(ProbePlan(questions=(elsewhere,)))
        time.sleep(0.2)
        (series,) = prober.stop().series
    assert {(sample.site, sample.error) for sample in series.samples} == {("nrt", "REFUSED")}
    assert not any(sample.is_good for sample in series.samples)


def test_the_duration_ends_the_asking_by_itself(pair: HostPair) -> None:
    began = time.monotonic()
    prober = Running(ProbePlan(questions=(dns(pair),), duration=0.3, grace=0.1))
    result = prober.stop()
    assert time.monotonic() - began < 20
    samples: tuple[Sample, ...] = result.series[0].samples
    assert samples[-1].t_ms < 300


@pytest.mark.slow
def test_two_thousand_queries_a_second_leave_most_of_a_core_free(
    pair: HostPair, tmp_path: Path
) -> None:
    questions = tuple(dns(pair) for _ in range(20))
    with knot(pair, tmp_path, "nrt"):
        result = Running(ProbePlan(questions=questions, duration=3)).stop(after=4)
    n_asked = sum(len(series.samples) for series in result.series)
    assert n_asked + result.skipped <= 6020
    assert n_asked > 3000  # what a busy machine leaves of it
    assert result.cpu_s / n_asked < 0.4 / 2000  # seconds a query: 40 % of a core at 2000 a second


def dns(
    pair: HostPair, *, ipv6: bool = False, address: str | None = None, name: str = "example.test"
) -> Question:
    return Question(
        client="client",
        service="dns6" if ipv6 else "dns",
        namespace=pair.a.fd,
        kind="dns",
        address=address or pair.address(0, 1, ipv6=ipv6),
        port=53,
        name=name,
    )


def http(pair: HostPair, *, ipv6: bool = False) -> Question:
    return Question(
        client="client",
        service="web6" if ipv6 else "web",
        namespace=pair.a.fd,
        kind="http",
        address=pair.address(0, 1, ipv6=ipv6),
        port=80,
        name="www.example.test",
        path="/trace",
    )


@contextmanager
def knot(pair: HostPair, directory: Path, site: str) -> Iterator[None]:
    listen = ", ".join(f"{pair.address(0, 1, ipv6=v6)}@53" for v6 in (False, True))
    (directory / "example.test.zone").write_text(
        "$ORIGIN example.test.\n@ 60 SOA ns hostmaster 1 60 60 60 60\n@ 60 NS ns\n"
        "ns 60 A 192.0.2.53\n"
    )
    (directory / "knot.conf").write_text(f"""\
server:
    rundir: "{directory}"
    nsid: "{site}"
    listen: [ {listen} ]
database:
    storage: "{directory}"
    journal-db-max-size: 1M
    kasp-db-max-size: 5M
    timer-db-max-size: 1M
zone:
  - domain: example.test
    storage: "{directory}"
    journal-content: none
""")
    with daemon(pair.b, ["knotd", "-c", str(directory / "knot.conf")], "knotd"):
        wait_for_port(pair)
        yield


@contextmanager
def nginx(pair: HostPair, directory: Path, site: str) -> Iterator[None]:
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind}; "
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (directory / "nginx.conf").write_text(f"""\
user root; daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;
events {{}}
http {{ access_log off; {temporary}
  server {{ listen {pair.address(0, 1)}:80; listen [{pair.address(0, 1, ipv6=True)}]:80;
    location = /trace {{ add_header {SERVED_BY} {site}; return 200 "site={site}\\n"; }} }} }}
""")
    command = ["nginx", "-e", f"{directory}/error.log", "-c", f"{directory}/nginx.conf"]
    with daemon(pair.b, command, "nginx"):
        wait_for_port(pair, port=80)
        yield


@contextmanager
def daemon(namespace: NetworkNamespace, command: list[str], name: str) -> Iterator[None]:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    with entered(namespace):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait_for_port(pair: HostPair, port: int = 53) -> None:
    """Wait until a TCP connection succeeds on both families."""
    deadline = time.monotonic() + 10
    for ipv6 in (False, True):
        for attempt in itertools.count(1):
            with ExitStack() as stack:
                with entered(pair.a):
                    family = socket.AF_INET6 if ipv6 else socket.AF_INET
                    sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                problem = sock.connect_ex((pair.address(0, 1, ipv6=ipv6), port))
            if problem == 0:
                break
            assert time.monotonic() < deadline, f"port {port}: {problem} after {attempt} attempts"
            time.sleep(0.02)


def _both(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout
