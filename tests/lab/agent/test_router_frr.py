"""What only FRR's back-end has: a running configuration that may stand in our way."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from ridgeline.agent.router import Router, Severity
from ridgeline.agent.routers.frr import FrrRouter
from ridgeline.errors import MachineError

from .backends import ANNOUNCED, FOUR, SIX, Frr, backend_of, run

TRAPS = {
    "bgp network import-check": "import-check is on",
    "neighbor 198.18.0.1 advertisement-interval 7": "updates wait up to 7 s",
    "no bgp graceful-restart-disable": "graceful restart is offered",
}
HOLDER = """\
import time
from ridgeline.agent.bfd_link import TunLink
link = TunLink("ridgeline0")
time.sleep(600)
"""


@pytest.fixture(scope="module")
def module_frr() -> Iterator[Frr]:
    with backend_of(Frr) as backend:
        assert isinstance(backend, Frr)
        yield backend


@pytest.fixture
def frr(module_frr: Frr) -> Frr:
    module_frr.reset()
    return module_frr


def test_another_asn_is_refused_and_creates_nothing(frr: Frr) -> None:
    async def story(router: Router) -> None:
        with pytest.raises(MachineError, match=r"no `router bgp 64501`, but router bgp 64500"):
            await router.apply({FOUR: ANNOUNCED})
        (finding,) = await router.inspect()
        assert finding.severity is Severity.ERROR

    run(frr.router(asn=64501), story)
    assert "router bgp 64501" not in frr.vty("show running-config")


def test_sessions_that_the_operator_shut_stay_shut(frr: Frr) -> None:
    def is_shut(address: str) -> bool:
        return f" neighbor {address} shutdown" in frr.vty("show running-config")

    frr.configure("router bgp 64500", "neighbor 2001:2::1 shutdown message swapping the line card")
    try:
        run(frr.router(), lambda router: router.open_sessions())
        assert is_shut("2001:2::1")
    finally:
        frr.configure("router bgp 64500", "no neighbor 2001:2::1 shutdown")
    assert run(frr.router(), lambda router: router.shut_sessions("rack move"))
    assert is_shut("198.18.0.1")
    run(frr.router(), lambda router: router.open_sessions())
    assert not is_shut("198.18.0.1")


def test_inspect_finds_each_trap_and_its_lines_mend_it(frr: Frr) -> None:
    """Break the router as operators do; paste the lines; the finding is gone."""

    async def story(router: Router) -> None:
        await router.apply({FOUR: ANNOUNCED, SIX: ANNOUNCED})
        frr.configure("router bgp 64500", *TRAPS)
        frr.restart_sessions()
        findings = await router.inspect()
        for subject in TRAPS.values():
            found = [f for f in findings if subject in f.what]
            assert found, (subject, findings)
            assert found[0].severity in {Severity.WARNING, Severity.ERROR}
            frr.configure(*(line.strip() for line in found[0].lines))
        frr.restart_sessions()
        findings = await router.inspect()
        assert not [f for f in findings if any(text in f.what for text in TRAPS.values())]

    run(frr.router(), story)


def test_a_killed_agent_loses_its_route_by_the_tunnel_and_import_check(frr: Frr) -> None:
    """FRR before 9 binds no static route to BFD; the lost carrier does for a death."""
    bed = frr.bed
    try:
        bed.at_site("ip", "tuntap", "add", "dev", "ridgeline0", "mode", "tun")
    except RuntimeError as error:
        pytest.skip(f"this kernel makes no TUN device here: {error}")
    bed.at_site("ip", "address", "add", "10.255.53.1/30", "dev", "ridgeline0")
    bed.at_site("ip", "link", "set", "ridgeline0", "up")
    (frr.here / "staticd.conf").write_text("ip route 192.0.2.0/24 10.255.53.2 ridgeline0\n")
    started: list[subprocess.Popen[bytes]] = []

    async def story(router: Router) -> None:
        assert isinstance(router, FrrRouter)
        frr.configure("router bgp 64500", "bgp network import-check")
        await router.apply({FOUR: ANNOUNCED})
        await frr.wait_heard("present", FOUR)
        bed.mark()
        holder.kill()
        await frr.wait_heard("removed", FOUR)

    try:
        started.append(frr.run_daemon("staticd"))
        started.append(holder := bed.start(sys.executable, "-c", HOLDER, name="holder"))
        run(frr.router(), story)
    finally:
        for process in started:
            bed.end(process)
        frr.configure("router bgp 64500", "no bgp network import-check")
        bed.at_site("ip", "link", "delete", "ridgeline0")
