"""Links with latency: are they as long as asked, and do they break as asked?"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

import pytest

from ridgeline.errors import MachineError
from ridgeline.lab.beds.links import HostPair, host_pair, ping, tcp_bits_per_second, wait_for_links
from ridgeline.lab.kernel.namespaces import NetworkNamespace
from ridgeline.lab.kernel.netlink import Batch
from ridgeline.lab.links.delay import (
    LinkShape,
    NetemWires,
    RelayWires,
    Wires,
    open_wires,
    probe_netem,
)

pytestmark = pytest.mark.lab

Build = Callable[..., HostPair]
TRIES = 6
"""Other work on the machine makes times longer, never shorter: the best of some tries is the link's."""
TEN_MS = LinkShape(delay_ms=10)


@pytest.fixture(scope="module", autouse=True)
def privilege() -> None:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["relay", "netem"])
def build(request: pytest.FixtureRequest) -> Iterator[Build]:
    """Build two hosts with a link of each given shape, on each back-end that the kernel has."""
    if request.param == "netem" and not probe_netem():
        pytest.skip("this kernel has no netem")
    with ExitStack() as stack:

        def make(*shapes: LinkShape) -> HostPair:
            pair: AbstractContextManager[HostPair] = host_pair(open_wires(request.param), shapes)
            return stack.enter_context(pair)

        yield make


@pytest.fixture
def relay_pair() -> Iterator[HostPair]:
    with host_pair(RelayWires(), [TEN_MS, TEN_MS]) as pair:
        yield pair


@pytest.mark.slow
@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_a_hundred_links_with_light_traffic_are_each_as_long_as_asked(
    build: Build, ipv6: bool
) -> None:
    shapes = [LinkShape(delay_ms=1 + number * 0.5) for number in range(100)]
    pair = build(*shapes)
    errors_ms: list[float] = []
    for _ in range(TRIES):
        pings = ping(pair, per_second=5, seconds=3, ipv6=ipv6)
        errors_ms = [rtt_ms - 2 * shapes[link].delay_ms for link, rtt_ms in pings.answers]
        assert len(errors_ms) == pings.sent == 1500
        assert min(errors_ms) > -0.3  # half a tick of the relay, each way
        is_near = abs(median(errors_ms)) <= 0.5 and quantiles(map(abs, errors_ms), n=20)[-1] <= 3
        if is_near:
            return
    pytest.fail(f"median {median(errors_ms)} ms, 95 % {quantiles(map(abs, errors_ms), n=20)[-1]}")


def test_the_two_families_take_the_same_time(build: Build) -> None:
    pair = build(TEN_MS)
    for ipv6 in (False, True):
        assert best_median(pair, seconds=0.5, ipv6=ipv6) == pytest.approx(20, abs=0.5)


def test_a_plain_link_has_no_delay_and_no_wire(build: Build) -> None:
    pair = build(LinkShape(), TEN_MS)
    assert best_median(pair, links=[0]) < 1
    for cannot in (pair.wires.cut, pair.wires.mend, pair.wires.silence, pair.wires.restore):
        with pytest.raises(ValueError, match="link l0 is not known, or is plain"):
            cannot("l0")


def test_a_changed_delay_holds_from_now_on(build: Build) -> None:
    pair = build(TEN_MS)
    ping(pair, per_second=50, seconds=0.2)
    pair.wires.reshape("l0", LinkShape(delay_ms=25))
    assert best_median(pair) == pytest.approx(50, abs=0.5)


def test_loss_takes_its_share_each_way(build: Build) -> None:
    pair = build(LinkShape(delay_ms=1, loss=0.2))
    pings = ping(pair, per_second=2000, seconds=1)
    # There and back: 0.8 x 0.8 of 2000. The bounds are six standard deviations away.
    assert 0.64 - 0.065 < len(pings.answers) / pings.sent < 0.64 + 0.065


def test_a_rate_spaces_what_comes_at_once(build: Build) -> None:
    pair = build(LinkShape(delay_ms=1, bits_per_second=8_000_000))
    first, spread = [], []
    for _ in range(TRIES):
        # 40 at once, 1000 bytes each.
        pings = ping(pair, per_second=40_000, seconds=0.001, size=958)
        assert len(pings.answers) == pings.sent == 40
        first.append(min(pings.rtts_ms))
        spread.append(max(pings.rtts_ms) - min(pings.rtts_ms))
    assert min(first) == pytest.approx(2 * 1 + 2 * 1, abs=1)  # sent in 1 ms, each way
    assert min(abs(ms - 39) for ms in spread) <= 3


def test_tcp_passes_at_a_gigabit_in_segments_of_many_packets(build: Build) -> None:
    pair = build(LinkShape(delay_ms=1))
    for ipv6 in (False, True):
        rates = (tcp_bits_per_second(pair, seconds=1.0, ipv6=ipv6) for _ in range(TRIES))
        assert any(rate > 0.7e9 for rate in rates)


def test_tcp_obeys_a_rate(build: Build) -> None:
    pair = build(LinkShape(delay_ms=1, bits_per_second=20_000_000))
    rates: list[float] = []
    while len(rates) < TRIES and max(rates, default=0) <= 10e6:
        rates.append(tcp_bits_per_second(pair, seconds=2))
    assert 10e6 < max(rates) < 21e6


def test_a_silent_cut_loses_everything_and_tells_nobody(build: Build) -> None:
    pair = build(TEN_MS, TEN_MS)
    pair.wires.silence("l0")
    pings = ping(pair, per_second=100, seconds=0.3, patience=1)
    assert {link for link, _ in pings.answers} == {1}
    assert len(pings.answers) == 30
    assert carriers(pair) == (True, True)
    pair.wires.reshape("l0", LinkShape(delay_ms=2))  # still silent
    assert ping(pair, links=[0], per_second=100, seconds=0.1, patience=0.2).answers == ()
    pair.wires.restore("l0")
    assert best_median(pair, links=[0]) < 5


@pytest.mark.parametrize("joined_by", ["wires", "bridge alone"])
def test_a_carrier_cut_is_seen_by_both_ends_and_mends_whole(joined_by: str) -> None:
    wires: Wires = BridgeOnly() if joined_by == "bridge alone" else open_wires()
    with host_pair(wires, [TEN_MS, TEN_MS]) as pair:
        wires.cut("l0")
        assert wait_for_links(pair, links=[0], up=False) < 0.5
        assert carriers(pair) == (False, False)
        assert len(ping(pair, links=[1], per_second=100, seconds=0.1).answers) == 10
        wires.mend("l0")
        assert wait_for_links(pair, links=[0], up=True) < 0.5
        assert carriers(pair) == (True, True)
        # Addresses, neighbours and connected routes have outlived the cut, in both families.
        for ipv6 in (False, True):
            pings = ping(pair, links=[0], per_second=100, seconds=0.1, ipv6=ipv6)
            assert len(pings.answers) == 10


class BridgeOnly(NetemWires):
    """The netem back-end without netem, which few test machines have: its bridges are real."""

    def _apply(self, names: list[str]) -> None:  # noqa: ARG002 - nothing to apply
        self._wire.flush()


def test_many_links_are_cut_at_one_stroke(relay_pair: HostPair) -> None:
    relay_pair.wires.silence("l0", "l1")
    assert ping(relay_pair, per_second=50, seconds=0.1, patience=0.1).answers == ()
    relay_pair.wires.restore("l0", "l1")
    relay_pair.wires.cut("l0", "l1")
    with Batch(relay_pair.b) as batch:
        assert [batch.links()[relay_pair.index(n)].carrier for n in (0, 1)] == [False, False]
    relay_pair.wires.mend("l0", "l1")
    wait_for_links(relay_pair, up=True)
    assert len(ping(relay_pair, per_second=50, seconds=0.1).answers) == 10


def test_the_relay_counts_what_it_carried(relay_pair: HostPair) -> None:
    time.sleep(0.05)
    before = relay_pair.wires.statistics()
    ping(relay_pair, per_second=100, seconds=0.5)
    after = relay_pair.wires.statistics()
    assert 200 <= after["sent"] - before["sent"] < 250  # pings and answers, and a little noise
    assert after["missed"] == 0
    assert abs(after["late_mean_us"]) < after["late_max_us"]
    assert 0 < after["cpu_s"] < 5


def test_the_relay_names_a_command_that_it_cannot_carry_out(relay_pair: HostPair) -> None:
    wires = relay_pair.wires
    assert isinstance(wires, RelayWires)
    with pytest.raises(MachineError, match=r"the relay refused: error 'set nowhere 1 1 0 0'"):
        wires._ask(["set nowhere 1 1 0 0"])
    assert len(ping(relay_pair, per_second=50, seconds=0.1).answers) == 10


def test_a_dead_relay_is_reported_and_not_waited_for(relay_pair: HostPair) -> None:
    wires = relay_pair.wires
    assert isinstance(wires, RelayWires)
    os.kill(wires.pid, 9)
    with pytest.raises(MachineError, match=r"has ended \(exit code -9\)"):
        wires.silence("l0")


def test_a_relay_that_hangs_is_reported(relay_pair: HostPair) -> None:
    wires = relay_pair.wires
    assert isinstance(wires, RelayWires)
    wires._control.settimeout(0.2)
    os.kill(wires.pid, signal.SIGSTOP)
    with pytest.raises(MachineError, match="has not answered"):
        wires.silence("l0")
    os.kill(wires.pid, signal.SIGCONT)


def test_the_relay_dies_with_its_parent_however_that_dies() -> None:
    program = (
        "import os, time\n"
        "from ridgeline.lab.links.delay import RelayWires\n"
        "wires = RelayWires(); wires.statistics()\n"
        "print(wires.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as out:
        relay = os.pidfd_open(int(out.readline()))
    assert not has_ended(relay, within=0.1)
    parent.kill()
    parent.wait()
    assert has_ended(relay, within=30), "the relay has outlived its parent"
    os.close(relay)


def test_unknown_back_ends_and_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="'tun' is no back-end for delays; there are netem, relay"):
        open_wires("tun")
    for wrong in ({"delay_ms": -1.0}, {"loss": 1.5}, {"bits_per_second": -1.0}):
        with pytest.raises(ValueError, match="no link can be like this"):
            replace(LinkShape(), **wrong)


def test_closing_leaves_no_process_and_no_descriptor() -> None:
    def n_open() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = n_open()
    with host_pair(RelayWires(), [TEN_MS]) as pair:
        assert isinstance(pair.wires, RelayWires)
        relay = os.pidfd_open(pair.wires.pid)
    assert has_ended(relay, within=0)
    os.close(relay)
    assert n_open() == before


def best_median(
    pair: HostPair, *, links: list[int] | None = None, seconds: float = 0.3, ipv6: bool = False
) -> float:
    """Return the least median round trip of some tries, in ms; every ping is answered."""
    medians = []
    for _ in range(TRIES // 2):
        pings = ping(pair, links=links, per_second=100, seconds=seconds, ipv6=ipv6)
        assert len(pings.answers) == pings.sent
        medians.append(median(pings.rtts_ms))
    return min(medians)


def has_ended(process: int, *, within: float) -> bool:
    """Whether the process of a pidfd ends within so many seconds."""
    return bool(select.select([process], [], [], within)[0])


def carriers(pair: HostPair) -> tuple[bool, bool]:
    """Carrier of link 0, as each host sees it."""
    seen = []
    for host in (pair.a, pair.b):
        with Batch(host) as batch:
            seen.append(batch.links()[pair.index(0)].carrier)
    return seen[0], seen[1]
