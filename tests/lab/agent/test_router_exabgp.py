"""What only ExaBGP's back-end has: a helper between, which is also the dead-man switch."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ridgeline.agent.router import Router, RouterKind, RouterSettings, Severity
from ridgeline.agent.routers.exabgp import ExabgpRouter
from ridgeline.net.asn import Asn

from .backends import ANNOUNCED, FOUR, SIX, Exabgp, backend_of, run

AGENT = """\
import asyncio, sys
from ipaddress import ip_network
from ridgeline.agent.router import RouterKind, RouterSettings, Stance, Wanted
from ridgeline.agent.routers.exabgp import ExabgpRouter
from ridgeline.net.asn import Asn

async def main():
    settings = RouterSettings(kind=RouterKind.EXABGP, asn=Asn(64500), socket=sys.argv[1])
    prefixes = tuple(map(ip_network, sys.argv[2:]))
    router = ExabgpRouter(settings, prefixes)
    await router.apply(dict.fromkeys(prefixes, Wanted(Stance.ANNOUNCED)))
    print("announced", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
PATIENCE_S = 1.0


@pytest.fixture(scope="module")
def module_exabgp() -> Iterator[Exabgp]:
    with backend_of(Exabgp) as backend:
        assert isinstance(backend, Exabgp)
        yield backend


@pytest.fixture
def exabgp(module_exabgp: Exabgp) -> Exabgp:
    module_exabgp.reset()
    return module_exabgp


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_helper_withdraws_for_a_dead_agent(exabgp: Exabgp, number: int) -> None:
    bed = exabgp.bed
    argv = (sys.executable, "-c", AGENT, str(exabgp.here / "exabgp.sock"), str(FOUR), str(SIX))
    agent = bed.start(*argv, name="agent")
    try:
        for prefix in (FOUR, SIX):
            bed.wait_heard("present", str(prefix), seconds=30)
        bed.mark()
        time.sleep(1.5 * PATIENCE_S)  # a living agent keeps its routes
        assert bed.heard() == []
        began = time.time()
        agent.send_signal(number)
        for prefix in (FOUR, SIX):
            assert bed.wait_heard("removed", str(prefix), seconds=30).at - began < PATIENCE_S + 5
    finally:
        bed.end(agent)


def test_an_agent_that_ends_in_order_leaves_its_routes(exabgp: Exabgp) -> None:
    async def story(router: Router) -> None:
        await router.apply({FOUR: ANNOUNCED})
        await exabgp.wait_heard("present", FOUR)

    run(exabgp.router(), story)
    exabgp.bed.mark()
    time.sleep(1.5 * PATIENCE_S)
    assert exabgp.bed.heard() == []


def test_a_session_in_its_first_second_is_established(exabgp: Exabgp) -> None:
    """ExaBGP calls such a session down, for it counts in whole seconds."""
    exabgp.restart()

    async def story(router: Router) -> None:
        seen = await router.read_back()
        assert [n.established for n in seen.neighbours] == [True, True]

    run(exabgp.router(), story)


def test_inspect_without_the_helper_prints_what_to_add(tmp_path: Path) -> None:
    settings = RouterSettings(
        kind=RouterKind.EXABGP, asn=Asn(64500), socket=f"{tmp_path}/none.sock"
    )
    (finding,) = run(ExabgpRouter(settings, (FOUR,)), lambda router: router.inspect())
    assert finding.severity is Severity.ERROR
    assert any(f"{tmp_path}/none.sock;" in line for line in finding.lines)
