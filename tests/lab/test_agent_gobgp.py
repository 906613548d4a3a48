"""The GoBGP back-end: a real gobgpd, and a BIRD neighbour that says what it heard."""

import asyncio
import importlib.util
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from typing import Any, TypeVar

import pytest

from ridgeline.agent.router import RouterKind, RouterSettings, Severity, Stance, Wanted
from ridgeline.agent.routers.gobgp import GobgpRouter
from ridgeline.errors import MachineError
from ridgeline.lab.namespaces import NetworkNamespace
from ridgeline.lab.routerbed import RouterBed, missing, program, router_bed, wait_until
from ridgeline.net.asn import Asn

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(missing(["bird", "gobgpd"]) != [], reason="not installed: gobgpd"),
    pytest.mark.skipif(
        importlib.util.find_spec("h2") is None, reason="not installed: ridgeline[gobgp]"
    ),
]

T = TypeVar("T")

FOUR, SIX = ip_network("192.0.2.0/24"), ip_network("2001:db8:53::/48")
ANNOUNCED, WITHDRAWN = Wanted(Stance.ANNOUNCED), Wanted(Stance.WITHDRAWN)
DRAINED = Wanted(Stance.DRAINED, prepend=2)

GOBGPD = """\
[global.config]
  as = 64500
  router-id = "198.18.0.0"
  local-address-list = ["198.18.0.0", "2001:2::"]
[[neighbors]]
  [neighbors.config]
    neighbor-address = "198.18.0.1"
    peer-as = 65550
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
[[neighbors]]
  [neighbors.config]
    neighbor-address = "2001:2::1"
    peer-as = 65550
  [neighbors.timers.config]
    connect-retry = 1
    idle-hold-time-after-reset = 1
  [neighbors.graceful-restart.config]
    enabled = {graceful}
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
"""


class Gobgp:
    """gobgpd at the site."""

    def __init__(self, bed: RouterBed) -> None:
        self.bed = bed
        self.write(graceful="false")
        self.daemon = self.start()

    @property
    def target(self) -> str:
        return f"unix://{self.bed.folder}/api.sock"

    def write(self, *, graceful: str) -> None:
        (self.bed.folder / "gobgpd.toml").write_text(GOBGPD.format(graceful=graceful))

    def start(self) -> subprocess.Popen[bytes]:
        (self.bed.folder / "api.sock").unlink(missing_ok=True)
        daemon = self.bed.start(
            *(program("gobgpd"), "-f", f"{self.bed.folder}/gobgpd.toml"),
            *("--api-hosts", self.target, "--pprof-disable", "-l", "warn"),
        )
        wait_until((self.bed.folder / "api.sock").exists, "gobgpd listens")
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

    def router(self, prefixes: tuple[Any, ...] = (FOUR, SIX), asn: int = 64500) -> GobgpRouter:
        settings = RouterSettings(kind=RouterKind.GOBGP, asn=Asn(asn), socket=self.target)
        return GobgpRouter(settings, prefixes)


@pytest.fixture(scope="module")
def gobgp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gobgp]:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    with router_bed(tmp_path_factory.mktemp("gobgp")) as bed:
        gobgp = Gobgp(bed)
        gobgp.wait_sessions()
        yield gobgp


@pytest.fixture
def bed(gobgp: Gobgp) -> RouterBed:
    """Nothing is announced, and the neighbour's log is at its end."""
    run(gobgp.router(), lambda router: router.apply({FOUR: WITHDRAWN, SIX: WITHDRAWN}))
    gobgp.wait_sessions()
    wait_until(lambda: gobgp.bed.route(str(FOUR)) is None, "nothing is announced")
    time.sleep(0.1)
    gobgp.bed.mark()
    return gobgp.bed


def run(router: GobgpRouter, story: Callable[[GobgpRouter], Awaitable[T]]) -> T:
    """Tell a story with a router, as one agent that starts and ends."""

    async def tell() -> T:
        try:
            return await story(router)
        finally:
            await router.close()

    return asyncio.run(tell())


def test_announces_drains_and_withdraws_with_one_update_each(gobgp: Gobgp, bed: RouterBed) -> None:
    async def story(router: GobgpRouter) -> None:
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

    run(gobgp.router(), story)


def test_reads_back_what_is_held_and_what_is_sent(gobgp: Gobgp, bed: RouterBed) -> None:
    async def story(router: GobgpRouter) -> None:
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

    run(gobgp.router(), story)


def test_what_already_stands_causes_no_update(gobgp: Gobgp, bed: RouterBed) -> None:
    async def story(router: GobgpRouter) -> None:
        for wanted in (ANNOUNCED, DRAINED):
            await router.apply({FOUR: wanted})
            bed.wait_heard("present", str(FOUR))
            await asyncio.sleep(0.1)
            bed.mark()
            await router.apply({FOUR: wanted, SIX: WITHDRAWN})
            await asyncio.sleep(0.3)
            assert bed.heard() == []

    run(gobgp.router(), story)
    run(gobgp.router(), lambda router: router.apply({FOUR: DRAINED}))  # a restarted agent
    time.sleep(0.3)
    assert bed.heard() == []


def test_a_thousand_prefixes_go_in_one_call(gobgp: Gobgp, bed: RouterBed) -> None:
    many = tuple(ip_network((0x64400000 + 256 * n, 24)) for n in range(1000))

    async def story(router: GobgpRouter) -> float:
        await router.apply(dict.fromkeys(many, ANNOUNCED))
        wait_until(lambda: len(bed.heard()) >= 1000, "all are announced")
        seen = await router.read_back()
        assert set(seen.held.values()) == {Stance.ANNOUNCED}
        bed.mark()
        began = time.time()
        await router.apply(dict.fromkeys(many, WITHDRAWN))
        wait_until(lambda: len(bed.heard()) >= 1000, "all are withdrawn")
        return max(event.at for event in bed.heard()) - began

    assert run(gobgp.router(many), story) < 1.0


def test_a_restarted_gobgpd_shows_that_it_forgot_and_takes_the_order_again(
    gobgp: Gobgp, bed: RouterBed
) -> None:
    async def story(router: GobgpRouter) -> None:
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR))
        bed.mark()
        bed.end(gobgp.daemon)
        bed.wait_heard("removed", str(FOUR), seconds=3)
        with pytest.raises(MachineError, match="cannot be asked"):
            await router.read_back()
        gobgp.daemon = gobgp.start()
        seen = await router.read_back()
        assert seen.held[FOUR] is Stance.WITHDRAWN
        bed.mark()
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR), seconds=60)

    run(gobgp.router(), story)


def test_a_stopped_gobgpd_is_an_error_in_time_and_recovers(gobgp: Gobgp, bed: RouterBed) -> None:
    async def story(router: GobgpRouter) -> None:
        gobgp.daemon.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(MachineError, match="no answer in"):
            await router.apply({FOUR: ANNOUNCED})
        assert time.monotonic() - began < 4
        gobgp.daemon.send_signal(signal.SIGCONT)
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR))

    run(gobgp.router(), story)


def test_closes_sessions_with_a_reason_and_opens_them(gobgp: Gobgp, bed: RouterBed) -> None:
    async def story(router: GobgpRouter) -> None:
        assert await router.shut_sessions("disk   swap, back at 14:00")
        wait_until(
            lambda: "disk swap, back at 14:00" in bed.ask_neighbour("show protocols all site4"),
            "the neighbour shows the reason",
        )
        findings = await router.inspect()
        assert [f.lines for f in findings if "is shut by" in f.what] == [
            ("gobgp neighbor 198.18.0.1 enable",),
            ("gobgp neighbor 2001:2::1 enable",),
        ]
        await router.open_sessions()

    run(gobgp.router(), story)
    gobgp.wait_sessions()


def test_inspect_finds_what_this_set_up_lacks_and_nothing_else(
    gobgp: Gobgp, bed: RouterBed
) -> None:
    run(gobgp.router(), lambda router: router.apply({FOUR: ANNOUNCED, SIX: ANNOUNCED}))
    bed.wait_heard("present", str(SIX))
    findings = run(gobgp.router(), lambda router: router.inspect())
    told = [f"{f.severity.value}: {f.what}" for f in findings]
    assert not [text for text in told if text.startswith("error")], told
    assert "ok: session with 198.18.0.1 (AS65550) is established" in told
    assert "ok: 192.0.2.0/24 is sent to 198.18.0.1" in told
    assert "ok: graceful restart is not offered to 2001:2::1" in told
    assert any("no dead-man switch" in text for text in told)


def test_inspect_finds_a_wrong_asn_and_graceful_restart(gobgp: Gobgp, bed: RouterBed) -> None:
    gobgp.write(graceful="true")
    gobgp.restart()
    gobgp.wait_sessions()
    findings = run(gobgp.router(asn=64501), lambda router: router.inspect())
    told = [f.what for f in findings if f.severity in {Severity.ERROR, Severity.WARNING}]
    assert "gobgpd is AS64500, the spec says AS64501" in told
    assert "graceful restart is offered to 2001:2::1 (AS65550)" in told
    gobgp.write(graceful="false")
    gobgp.restart()
