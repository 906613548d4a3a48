"""The agent with real BIRDs: what the neighbour sees when things go well, and when they do not."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.freezing import freeze

from ridgeline.errors import MachineError
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered

from .pair import POLLED, PREFIX, Pair, bird_pair, wait_until

WATCHED = POLLED + ", {process: {pidfile: HERE/service.pid}}"

SOON_S = 5.0
"""What takes milliseconds, on a machine with other work; `make bench-agent` has the figures."""


@pytest.fixture(scope="module")
def module_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    with bird_pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture
def pair(module_pair: Pair) -> Pair:
    module_pair.reset()
    return module_pair


def confirmed(pair: Pair, stance: str) -> bool:
    return any(p["held"] == stance and p["confirmed"] for p in pair.status()["prefixes"])


def running(pair: Pair) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """A healthy service, announced."""
    service = pair.start_service()
    agent = pair.start_agent(checks=WATCHED.replace("HERE", str(pair.here)))
    pair.wait_there()
    wait_until("the agent has confirmed it", lambda: confirmed(pair, "announced"))
    return service, agent


def test_a_service_is_announced_when_healthy_and_gone_at_once_when_it_dies(pair: Pair) -> None:
    assert not pair.has()
    service, _ = running(pair)
    service.kill()
    pair.wait_gone(seconds=SOON_S)
    assert "has ended" in pair.wait_said("withdraw")


def test_a_service_that_hangs_is_withdrawn_and_comes_back(pair: Pair) -> None:
    service, _ = running(pair)
    freeze(service)
    pair.wait_gone(seconds=SOON_S)
    assert "no answer within 150 ms" in pair.wait_said("withdraw")
    service.send_signal(signal.SIGCONT)
    pair.wait_there()


def test_a_restart_of_the_agent_is_not_seen_by_the_neighbour(pair: Pair) -> None:
    _, agent = running(pair)
    before = pair.changes()
    pair.end(agent, signal.SIGTERM)
    pair.run_agent()
    wait_until("the new agent sees it", lambda: confirmed(pair, "announced"))
    pair.wait_rounds()
    assert pair.has()
    assert pair.changes() == before


def test_a_drain_shows_graceful_shutdown_then_withdraws_and_survives_a_restart(pair: Pair) -> None:
    _, agent = running(pair)
    pair.ask("drain", reason="rack move")
    wait_until("it was drained", pair.was_drained)
    pair.wait_gone()
    pair.end(agent)
    agent = pair.run_agent()
    wait_until("the new agent runs", lambda: confirmed(pair, "withdrawn"))
    pair.wait_rounds()
    assert not pair.has()
    pair.ask("resume")
    pair.wait_there()


def test_the_operators_configure_and_a_restart_of_bird_bring_nothing_dead_back(pair: Pair) -> None:
    service, _ = running(pair)
    service.kill()
    pair.wait_gone()
    wait_until("it is written", lambda: confirmed(pair, "withdrawn"))
    before = pair.changes()
    pair.ask_bird("site", "configure")
    pair.stays("nothing changes", lambda: pair.changes() == before)
    pair.restart_bird()
    wait_until("the agent finds the new BIRD", lambda: pair.status()["router"]["problem"] is None)
    wait_until(
        "BIRD's session is up", lambda: "Established" in pair.ask_bird("site", "show protocols")
    )
    pair.stays("it is gone", lambda: not pair.has())


def test_a_mistake_elsewhere_in_the_file_does_not_keep_a_dead_route(pair: Pair) -> None:
    service, _ = running(pair)
    pair.write_site("garbage here;")
    assert "syntax error" in pair.ask_bird("site", "configure")
    service.kill()
    pair.wait_gone(seconds=SOON_S)
    pair.write_site()
    assert "Reconfigured" in pair.ask_bird("site", "configure")
    pair.stays("it is gone", lambda: not pair.has())


def test_an_include_that_cannot_be_written_does_not_keep_a_dead_route_and_is_said(
    pair: Pair,
) -> None:
    service, _ = running(pair)
    include = pair.here / "agent.d" / "ridgeline.conf"
    # A directory of this name stands where the temporary file would: nothing can be written.
    (include.parent / ".ridgeline.conf.new").mkdir()
    service.kill()
    pair.wait_gone(seconds=SOON_S)
    assert "cannot be written" in pair.wait_said("router_degraded")
    pair.ask_bird("site", "configure")  # loads the stale file, which announces
    wait_until("the agent has withdrawn it again", lambda: not pair.has())


def test_an_agent_that_starts_before_bird_waits_for_it(pair: Pair) -> None:
    pair.end(pair.bird_site)
    (pair.here / "site.ctl").unlink(missing_ok=True)
    pair.start_service()
    pair.start_agent()
    assert "cannot be opened" in pair.wait_said("router_failed")
    pair.restart_bird()
    pair.wait_there()


def test_garbage_on_reload_changes_nothing_and_says_why(pair: Pair) -> None:
    _, agent = running(pair)
    before = pair.changes()
    good = (pair.here / "agent.yaml").read_text()
    (pair.here / "agent.yaml").write_text("router: {kind: brid}\ndampign: 3s\n")
    agent.send_signal(signal.SIGHUP)
    reason = pair.wait_said("reload_refused")
    assert "agent.yaml:1:16: router.kind" in reason
    assert "did you mean `damping`?" in reason
    (pair.here / "agent.yaml").write_text(good)
    agent.send_signal(signal.SIGHUP)
    wait_until("it reloads", lambda: pair.said("reloaded"))
    pair.stays("nothing changes", lambda: pair.changes() == before, 0.7)


def test_a_second_agent_for_the_site_is_refused(pair: Pair) -> None:
    _, first = running(pair)
    second = pair.run_agent()
    assert second.wait(30) == 1
    assert f"another agent (process {first.pid}) runs" in pair.log()
    assert pair.has()


def test_a_check_never_asks_another_site(pair: Pair) -> None:
    """The service answers at the neighbour, reached by the route; here the address is missing."""
    running(pair)
    assert pair.has()
    assert in_site(pair, "ip", "addr", "del", "192.0.2.53/32", "dev", "lo")
    pair.wait_gone(seconds=SOON_S)
    assert "not on this machine" in pair.wait_said("withdraw")


def test_sigterm_with_drain_leaves_nothing_behind(pair: Pair) -> None:
    pair.start_service()
    agent = pair.start_agent(more="on_stop: drain")
    pair.wait_there()
    wait_until("it is confirmed", lambda: confirmed(pair, "announced"))
    agent.terminate()
    wait_until("it was drained", pair.was_drained)
    assert agent.wait(30) == 0
    assert not pair.has()
    assert PREFIX not in pair.ask_bird("site", "show route exported upstream")


BFD = """\
protocol bfd {
  interface "ridgeline0" { min rx interval 200 ms; min tx interval 200 ms; multiplier 3; };
}
"""
# 600 ms: on a machine with other work, 120 ms of silence are no death.
BY_BFD = "dead_man: {kind: bfd, interface: ridgeline0, addresses: ['10.255.53.2,10.255.53.1']}"
BY_LEASE = "dead_man: {kind: lease, lease: 2s, interface: LINK, addresses: [198.18.255.1/30]}"


def in_site(pair: Pair, *argv: str) -> bool:
    with entered(pair.site):
        return subprocess.run(argv, check=False, capture_output=True).returncode == 0


def test_with_bfd_a_killed_agent_loses_its_route_and_a_restarted_one_does_not(pair: Pair) -> None:
    if not in_site(pair, "ip", "tuntap", "add", "dev", "ridgeline0", "mode", "tun"):
        pytest.skip("this kernel makes no TUN device here")
    assert in_site(pair, "ip", "addr", "add", "10.255.53.1/30", "dev", "ridgeline0")
    assert in_site(pair, "ip", "link", "set", "ridgeline0", "up")
    pair.write_site(BFD)
    pair.ask_bird("site", "configure")
    service = pair.start_service()
    agent = pair.start_agent(more=BY_BFD, router=", bfd: 10.255.53.2")
    pair.wait_there()
    wait_until("it is confirmed", lambda: confirmed(pair, "announced"))
    before = pair.changes()
    pair.end(agent, signal.SIGTERM)
    agent = pair.run_agent()
    wait_until("the new agent sees it", lambda: confirmed(pair, "announced"))
    pair.wait_rounds()
    assert pair.has()
    assert pair.changes() == before
    agent.kill()
    service.kill()
    pair.wait_gone(seconds=SOON_S)


def test_with_a_lease_a_killed_agent_loses_its_route(pair: Pair) -> None:
    assert in_site(pair, "ip", "link", "add", "lease0", "type", "veth", "peer", "name", "lease1")
    for name in ("lease0", "lease1"):
        assert in_site(pair, "ip", "link", "set", name, "up")
    service = pair.start_service()
    more = BY_LEASE.replace("LINK", "lease0")
    agent = pair.start_agent(more=more, router=', options: {via: "198.18.255.2"}')
    pair.wait_there()
    pair.stays("the lease is refreshed", pair.has, 2.5)
    agent.kill()
    service.kill()
    pair.wait_gone(seconds=2 + SOON_S)


def check(pair: Pair) -> tuple[int, str]:
    code = "import sys; from ridgeline.cli import main; main(sys.argv[1:])"
    argv = ("agent", "check", str(pair.here / "ridgeline.yaml"), "--site", "nrt")
    process = pair.start(pair.site, sys.executable, "-c", code, *argv, output="check.out")
    status = process.wait(30)
    text = (pair.here / "check.out").read_text()
    (pair.here / "check.out").unlink()
    return status, text


def test_the_check_says_what_is_right_what_is_not_and_what_to_add(pair: Pair) -> None:
    running(pair)
    status, text = check(pair)
    assert status == 0, text
    assert "upstream (AS65540, 198.18.0.1) is established" in text
    assert "192.0.2.0/24 is announced to upstream" in text
    assert "dead-man switch: none" in text
    assert "ttl security on;" in text
    assert "ROA: AS64500, 192.0.2.0/24, maxLength 24" in text
    pair.write_site("garbage here;")
    status, text = check(pair)
    assert status == 1
    assert "BIRD would refuse its configuration" in text
    pair.end(pair.bird_site)
    status, text = check(pair)
    assert status == 1
    assert "control socket" in text
