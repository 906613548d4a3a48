"""The ExaBGP back-end: a real ExaBGP, and a BIRD neighbour that says what it heard."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ridgeline.agent.router import RouterKind, RouterSettings, Severity, Stance, Wanted
from ridgeline.agent.routers import exabgp_helper
from ridgeline.agent.routers.exabgp import ExabgpRouter
from ridgeline.errors import MachineError
from ridgeline.lab.namespaces import NetworkNamespace
from ridgeline.lab.routerbed import RouterBed, missing, router_bed, wait_until
from ridgeline.net.asn import Asn

EXABGP = shutil.which("exabgp", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(missing(["bird"]) != [], reason="not installed: bird2"),
    pytest.mark.skipif(EXABGP is None, reason="not installed: exabgp (pip install exabgp)"),
]

T = TypeVar("T")

FOUR, SIX = ip_network("192.0.2.0/24"), ip_network("2001:db8:53::/48")
ANNOUNCED, WITHDRAWN = Wanted(Stance.ANNOUNCED), Wanted(Stance.WITHDRAWN)
DRAINED = Wanted(Stance.DRAINED, prepend=2)

NEIGHBOUR = """\
neighbor {to} {{
  router-id 198.18.0.0; local-address {own}; local-as 64500; peer-as 65550; hold-time 240;
  family {{ {family} unicast; }}
  capability {{ graceful-restart {graceful}; }}
  api {{ processes [ ridgeline ]; }}
}}
"""


class Exabgp:
    """ExaBGP at the site, with our helper."""

    def __init__(self, bed: RouterBed) -> None:
        self.bed = bed
        self.write(graceful="disable")
        self.daemon = self.start()

    @property
    def socket(self) -> Path:
        return self.bed.folder / "exabgp.sock"

    def write(self, *, graceful: str) -> None:
        helper = f"/usr/bin/python3 {exabgp_helper.__file__} {self.socket}"
        text = f"process ridgeline {{ run {helper}; encoder text; }}\n"
        for to, own, family in (
            ("198.18.0.1", "198.18.0.0", "ipv4"),
            ("2001:2::1", "2001:2::", "ipv6"),
        ):
            text += NEIGHBOUR.format(to=to, own=own, family=family, graceful=graceful)
        (self.bed.folder / "exabgp.conf").write_text(text)

    def start(self) -> subprocess.Popen[bytes]:
        self.socket.unlink(missing_ok=True)
        daemon = self.bed.start(
            str(EXABGP),
            f"{self.bed.folder}/exabgp.conf",
            environment={"exabgp_daemon_user": "root", "exabgp_api_cli": "false"},
        )
        wait_until(self.socket.exists, "the helper listens", seconds=20)
        return daemon

    def restart(self) -> None:
        self.bed.end(self.daemon)
        self.daemon = self.start()

    def wait_sessions(self) -> None:
        wait_until(
            lambda: self.bed.ask_neighbour("show protocols").count("Established") == 2,
            "both sessions are up",
            seconds=60,
        )

    def router(self, prefixes: tuple[Any, ...] = (FOUR, SIX), asn: int = 64500) -> ExabgpRouter:
        settings = RouterSettings(kind=RouterKind.EXABGP, asn=Asn(asn), socket=str(self.socket))
        return ExabgpRouter(settings, prefixes)


@pytest.fixture(scope="module")
def exabgp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exabgp]:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    with router_bed(tmp_path_factory.mktemp("exabgp")) as bed:
        exabgp = Exabgp(bed)
        exabgp.wait_sessions()
        yield exabgp


@pytest.fixture
def bed(exabgp: Exabgp) -> RouterBed:
    """Nothing is announced, and the neighbour's log is at its end."""
    run(exabgp.router(), lambda router: router.apply({FOUR: WITHDRAWN, SIX: WITHDRAWN}))
    exabgp.wait_sessions()
    wait_until(lambda: exabgp.bed.route(str(FOUR)) is None, "nothing is announced")
    time.sleep(0.1)
    exabgp.bed.mark()
    return exabgp.bed


def run(router: ExabgpRouter, story: Callable[[ExabgpRouter], Awaitable[T]]) -> T:
    """Tell a story with a router, as one agent that starts and ends."""

    async def tell() -> T:
        try:
            return await story(router)
        finally:
            await router.close()

    return asyncio.run(tell())


def test_announces_drains_and_withdraws_with_one_update_each(
    exabgp: Exabgp, bed: RouterBed
) -> None:
    async def story(router: ExabgpRouter) -> None:
        for wanted, attributes in (
            (ANNOUNCED, {"as_path": "64500"}),
            (DRAINED, {"as_path": "64500 64500 64500", "community": "(65535,0)"}),
            (Wanted(Stance.DRAINED), {"as_path": "64500", "community": "(65535,0)"}),
            (ANNOUNCED, {"as_path": "64500"}),
        ):
            for prefix in (FOUR, SIX):
                bed.mark()
                await router.apply({prefix: wanted})
                bed.wait_heard("present", str(prefix), seconds=2)
                await asyncio.sleep(0.1)
                heard = bed.heard(str(prefix))
                assert [event.is_present for event in heard] == [True], heard
                route = bed.route(str(prefix))
                assert route is not None
                assert {key: route.get(key) for key in attributes} == attributes
                assert ("community" in route) is ("community" in attributes)
        bed.mark()
        began = time.time()
        await router.apply({FOUR: WITHDRAWN, SIX: WITHDRAWN})
        assert bed.wait_heard("removed", str(FOUR), seconds=2).at - began < 0.1
        bed.wait_heard("removed", str(SIX), seconds=2)

    run(exabgp.router(), story)


def test_reads_back_what_is_held_and_what_is_sent(exabgp: Exabgp, bed: RouterBed) -> None:
    async def story(router: ExabgpRouter) -> None:
        await router.apply({FOUR: ANNOUNCED, SIX: DRAINED})
        bed.wait_heard("present", str(SIX))
        seen = await router.read_back()
        assert seen.held == {FOUR: Stance.ANNOUNCED, SIX: Stance.DRAINED}
        assert seen.exported == {
            FOUR: {"198.18.0.1": Stance.ANNOUNCED},
            SIX: {"2001:2::1": Stance.DRAINED},
        }
        assert [(n.name, n.asn, n.established) for n in seen.neighbours] == [
            ("198.18.0.1", 65550, True),
            ("2001:2::1", 65550, True),
        ]
        await router.apply({FOUR: WITHDRAWN})
        bed.wait_heard("removed", str(FOUR))
        seen = await router.read_back()
        assert seen.held[FOUR] is Stance.WITHDRAWN
        assert FOUR not in seen.exported

    run(exabgp.router(), story)


def test_what_already_stands_causes_no_update(exabgp: Exabgp, bed: RouterBed) -> None:
    async def story(router: ExabgpRouter) -> None:
        for wanted in (ANNOUNCED, DRAINED):
            await router.apply({FOUR: wanted})
            bed.wait_heard("present", str(FOUR))
            await asyncio.sleep(0.1)
            bed.mark()
            await router.apply({FOUR: wanted, SIX: WITHDRAWN})
            await asyncio.sleep(0.3)
            assert bed.heard() == []

    run(exabgp.router(), story)
    run(exabgp.router(), lambda router: router.apply({FOUR: DRAINED}))  # a restarted agent
    time.sleep(0.3)
    assert bed.heard() == []


def test_a_thousand_prefixes_go_in_one_call(exabgp: Exabgp, bed: RouterBed) -> None:
    many = tuple(ip_network((0x64400000 + 256 * n, 24)) for n in range(1000))

    async def story(router: ExabgpRouter) -> float:
        await router.apply(dict.fromkeys(many, ANNOUNCED))
        wait_until(lambda: len(bed.heard()) >= 1000, "all are announced")
        seen = await router.read_back()
        assert set(seen.held.values()) == {Stance.ANNOUNCED}
        bed.mark()
        began = time.time()
        await router.apply(dict.fromkeys(many, WITHDRAWN))
        wait_until(lambda: len(bed.heard()) >= 1000, "all are withdrawn")
        return max(event.at for event in bed.heard()) - began

    assert run(exabgp.router(many), story) < 1.0


def test_a_restarted_exabgp_shows_that_it_forgot_and_takes_the_order_again(
    exabgp: Exabgp, bed: RouterBed
) -> None:
    async def story(router: ExabgpRouter) -> None:
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR))
        bed.mark()
        bed.end(exabgp.daemon)
        bed.wait_heard("removed", str(FOUR), seconds=3)
        with pytest.raises(MachineError, match="cannot be asked"):
            await router.read_back()
        exabgp.daemon = exabgp.start()
        seen = await router.read_back()
        assert seen.held[FOUR] is Stance.WITHDRAWN
        bed.mark()
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR), seconds=60)

    run(exabgp.router(), story)


def test_a_stopped_exabgp_is_an_error_in_time_and_recovers(exabgp: Exabgp, bed: RouterBed) -> None:
    async def story(router: ExabgpRouter) -> None:
        exabgp.daemon.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(MachineError, match="no answer in"):
            await router.apply({FOUR: ANNOUNCED})
        assert time.monotonic() - began < 4
        exabgp.daemon.send_signal(signal.SIGCONT)
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR))

    run(exabgp.router(), story)


def test_inspect_finds_what_this_set_up_lacks_and_nothing_else(
    exabgp: Exabgp, bed: RouterBed
) -> None:
    run(exabgp.router(), lambda router: router.apply({FOUR: ANNOUNCED, SIX: ANNOUNCED}))
    bed.wait_heard("present", str(SIX))
    findings = run(exabgp.router(), lambda router: router.inspect())
    told = [f"{f.severity.value}: {f.what}" for f in findings]
    assert not [text for text in told if text.startswith("error")], told
    assert "ok: session with 198.18.0.1 (AS65550) is established" in told
    assert "ok: 192.0.2.0/24 is sent to 198.18.0.1" in told
    assert "ok: graceful restart is not offered to 2001:2::1" in told
    assert any(text.startswith("ok: dead-man switch") for text in told)
    assert any("the hold time is 240 s" in text for text in told)


def test_inspect_finds_a_wrong_asn_and_graceful_restart(exabgp: Exabgp, bed: RouterBed) -> None:
    exabgp.write(graceful="120")
    exabgp.restart()
    exabgp.wait_sessions()
    findings = run(exabgp.router(asn=64501), lambda router: router.inspect())
    told = [f.what for f in findings if f.severity in {Severity.ERROR, Severity.WARNING}]
    assert "towards 2001:2::1 (AS65550) ExaBGP is AS64500, the spec says AS64501" in told
    assert "graceful restart is offered to 2001:2::1 (AS65550)" in told
    exabgp.write(graceful="disable")
    exabgp.restart()


def test_inspect_without_the_helper_prints_what_to_add(bed: RouterBed, tmp_path: Path) -> None:
    settings = RouterSettings(
        kind=RouterKind.EXABGP, asn=Asn(64500), socket=f"{tmp_path}/none.sock"
    )
    (finding,) = run(ExabgpRouter(settings, (FOUR,)), lambda router: router.inspect())
    assert finding.severity is Severity.ERROR
    assert any(f"{tmp_path}/none.sock;" in line for line in finding.lines)


AGENT = """\
import asyncio, sys
from ipaddress import ip_network
from ridgeline.agent.router import RouterKind, RouterSettings, Stance, Wanted
from ridgeline.agent.routers.exabgp import ExabgpRouter
from ridgeline.net.asn import Asn

async def main():
    settings = RouterSettings(kind=RouterKind.EXABGP, asn=Asn(64500), socket=sys.argv[1])
    prefix = ip_network("192.0.2.0/24")
    router = ExabgpRouter(settings, (prefix,))
    await router.apply({prefix: Wanted(Stance.ANNOUNCED)})
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_the_helper_withdraws_for_a_dead_agent(exabgp: Exabgp, bed: RouterBed, number: int) -> None:
    agent = bed.start(sys.executable, "-c", AGENT, str(exabgp.socket), name="agent")
    bed.wait_heard("present", str(FOUR))
    time.sleep(2)
    assert [event.is_present for event in bed.heard()] == [True]
    bed.mark()
    began = time.time()
    agent.send_signal(number)
    assert bed.wait_heard("removed", str(FOUR), seconds=5).at - began < 1.5
    bed.end(agent)


def test_an_agent_that_ends_in_order_leaves_its_routes(exabgp: Exabgp, bed: RouterBed) -> None:
    run(exabgp.router(), lambda router: router.apply({FOUR: ANNOUNCED}))
    bed.wait_heard("present", str(FOUR))
    time.sleep(2)
    assert [event.is_present for event in bed.heard()] == [True]
