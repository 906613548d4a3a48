"""The FRR back-end: a real bgpd, and a BIRD neighbour that says what it heard."""

import asyncio
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

import pytest

from ridgeline.agent.router import RouterKind, RouterSettings, Severity, Stance, Wanted
from ridgeline.agent.routers.frr import FrrRouter
from ridgeline.errors import MachineError
from ridgeline.lab.namespaces import NetworkNamespace
from ridgeline.lab.routerbed import RouterBed, missing, program, router_bed, wait_until
from ridgeline.net.asn import Asn

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(missing(["bird", "bgpd", "zebra"]) != [], reason="not installed: frr"),
]

T = TypeVar("T")

FOUR, SIX = ip_network("192.0.2.0/24"), ip_network("2001:db8:53::/48")
ANNOUNCED, WITHDRAWN = Wanted(Stance.ANNOUNCED), Wanted(Stance.WITHDRAWN)
DRAINED = Wanted(Stance.DRAINED, prepend=2)

BGPD = """\
frr defaults traditional
hostname site
router bgp 64500
 bgp router-id 198.18.0.0
 bgp graceful-restart-disable
 no bgp ebgp-requires-policy
 no bgp network import-check
 no bgp default ipv4-unicast
 neighbor 198.18.0.1 remote-as 65550
 neighbor 198.18.0.1 timers connect 1
 neighbor 2001:2::1 remote-as 65550
 neighbor 2001:2::1 timers connect 1
 address-family ipv4 unicast
  neighbor 198.18.0.1 activate
 exit-address-family
 address-family ipv6 unicast
  neighbor 2001:2::1 activate
 exit-address-family
"""


class Frr:
    """bgpd (and zebra) at the site."""

    def __init__(self, bed: RouterBed) -> None:
        self.bed = bed
        self.folder = bed.folder / "frr"
        self.folder.mkdir()
        for folder in (bed.folder, self.folder):
            folder.chmod(0o777)
        frr = pwd.getpwnam("frr")
        os.chown(self.folder, frr.pw_uid, frr.pw_gid)
        self.write(BGPD)
        (self.folder / "zebra.conf").write_text("hostname zebra\n")
        (self.folder / "staticd.conf").write_text("hostname staticd\n")
        self.zebra = self.start("zebra", "-s", "90000000")
        wait_until((self.folder / "zserv.api").exists, "zebra listens")
        self.bgpd = self.start_bgpd()

    @property
    def socket(self) -> str:
        return str(self.folder / "bgpd.vty")

    def write(self, text: str) -> None:
        path = self.folder / "bgpd.conf"
        path.write_text(text)
        path.chmod(0o644)

    def start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        folder = self.folder
        return self.bed.start(
            *(program(name), "-f", f"{folder}/{name}.conf", "-i", f"{folder}/{name}.pid"),
            *("-z", f"{folder}/zserv.api", "--vty_socket", str(folder), "-P", "0", *more),
            name=name,
        )

    def start_bgpd(self) -> subprocess.Popen[bytes]:
        Path(self.socket).unlink(missing_ok=True)
        process = self.start("bgpd", "-l", "198.18.0.0", "-l", "2001:2::")
        wait_until(Path(self.socket).exists, "bgpd listens")
        return process

    def router(self, **more: object) -> FrrRouter:
        settings = RouterSettings(
            kind=RouterKind.FRR,
            asn=Asn(64500),
            socket=self.socket,
            options={"file": str(self.folder / "bgpd.conf")},
            **more,  # type: ignore[arg-type] # of RouterSettings
        )
        return FrrRouter(settings, (FOUR, SIX))


@pytest.fixture(scope="module")
def frr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frr]:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("frr")
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(0o755)  # the daemons give root away
    with router_bed(folder) as bed:
        frr = Frr(bed)
        wait_until(
            lambda: bed.ask_neighbour("show protocols").count("Established") == 2, "sessions"
        )
        yield frr


@pytest.fixture
def bed(frr: Frr) -> RouterBed:
    """Nothing is announced, and the neighbour's log is at its end."""
    run(frr.router(), lambda router: router.apply({FOUR: WITHDRAWN, SIX: WITHDRAWN}))
    wait_until(lambda: frr.bed.route(str(FOUR)) is None, "nothing is announced")
    time.sleep(0.1)
    frr.bed.mark()
    return frr.bed


def run(router: FrrRouter, story: Callable[[FrrRouter], Awaitable[T]]) -> T:
    """Tell a story with a router, as one agent that starts and ends."""

    async def tell() -> T:
        try:
            return await story(router)
        finally:
            await router.close()

    return asyncio.run(tell())


def test_announces_drains_and_withdraws_with_one_update_each(frr: Frr, bed: RouterBed) -> None:
    async def story(router: FrrRouter) -> None:
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
                await asyncio.sleep(0.15)
                heard = bed.heard(str(prefix))
                assert [event.is_present for event in heard] == [True], heard
                route = bed.route(str(prefix))
                assert route is not None
                assert {key: route.get(key) for key in attributes} == attributes
                assert ("community" in route) is ("community" in attributes)
        bed.mark()
        began = time.time()
        await router.apply({FOUR: WITHDRAWN, SIX: WITHDRAWN})
        assert bed.wait_heard("removed", str(FOUR), seconds=2).at - began < 0.25
        bed.wait_heard("removed", str(SIX), seconds=2)

    run(frr.router(), story)


def test_reads_back_what_is_held_and_what_is_sent(frr: Frr, bed: RouterBed) -> None:
    async def story(router: FrrRouter) -> None:
        await router.apply({FOUR: ANNOUNCED, SIX: DRAINED})
        bed.wait_heard("present", str(SIX))
        bed.wait_heard("present", str(FOUR))
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
        seen = await router.read_back()  # at once: it shows no past
        assert seen.held[FOUR] is Stance.WITHDRAWN
        assert FOUR not in seen.exported

    run(frr.router(), story)


def test_what_already_stands_causes_no_update(frr: Frr, bed: RouterBed) -> None:
    async def story(router: FrrRouter) -> None:
        for wanted in (ANNOUNCED, DRAINED):
            await router.apply({FOUR: wanted})
            bed.wait_heard("present", str(FOUR))
            await asyncio.sleep(0.2)
            bed.mark()
            await router.apply({FOUR: wanted, SIX: WITHDRAWN})
            await asyncio.sleep(0.4)
            assert bed.heard() == []

    run(frr.router(), story)
    bed.mark()
    run(frr.router(), lambda router: router.apply({FOUR: DRAINED}))  # a restarted agent
    time.sleep(0.4)
    assert bed.heard() == []


def test_a_restarted_bgpd_shows_that_it_forgot_and_takes_the_order_again(
    frr: Frr, bed: RouterBed
) -> None:
    async def story(router: FrrRouter) -> None:
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR))
        bed.mark()
        bed.end(frr.bgpd)
        bed.wait_heard("removed", str(FOUR), seconds=3)
        with pytest.raises(MachineError, match="cannot be asked"):
            await router.read_back()
        frr.bgpd = frr.start_bgpd()
        seen = await router.read_back()
        assert seen.held[FOUR] is Stance.WITHDRAWN
        bed.mark()
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR), seconds=20)

    run(frr.router(), story)
    wait_until(lambda: bed.ask_neighbour("show protocols").count("Established") == 2, "sessions")


def test_a_stopped_bgpd_is_an_error_in_time_and_recovers(frr: Frr, bed: RouterBed) -> None:
    async def story(router: FrrRouter) -> None:
        frr.bgpd.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(MachineError, match="no answer in"):
            await router.apply({FOUR: ANNOUNCED})
        assert time.monotonic() - began < 4
        frr.bgpd.send_signal(signal.SIGCONT)
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR))

    run(frr.router(), story)


def test_another_asn_is_refused_and_creates_nothing(frr: Frr, bed: RouterBed) -> None:
    settings = RouterSettings(kind=RouterKind.FRR, asn=Asn(64501), socket=frr.socket)

    async def story(router: FrrRouter) -> None:
        with pytest.raises(MachineError, match=r"no `router bgp 64501`, but router bgp 64500"):
            await router.apply({FOUR: ANNOUNCED})
        (finding,) = await router.inspect()
        assert finding.severity is Severity.ERROR

    run(FrrRouter(settings, (FOUR,)), story)


def test_closes_sessions_with_a_reason_and_opens_only_those(frr: Frr, bed: RouterBed) -> None:
    async def story(router: FrrRouter) -> None:
        assert await router.shut_sessions("disk   swap, back at 14:00")
        wait_until(
            lambda: "disk swap, back at 14:00" in bed.ask_neighbour("show protocols all site4"),
            "the neighbour shows the reason",
        )

    run(frr.router(), story)
    run(frr.router(), lambda router: router.open_sessions())
    wait_until(
        lambda: bed.ask_neighbour("show protocols").count("Established") == 2,
        "sessions",
        seconds=30,
    )


def test_inspect_finds_what_this_set_up_lacks_and_nothing_else(frr: Frr, bed: RouterBed) -> None:
    run(frr.router(), lambda router: router.apply({FOUR: ANNOUNCED, SIX: ANNOUNCED}))
    bed.wait_heard("present", str(SIX))
    findings = run(frr.router(), lambda router: router.inspect())
    told = [f"{f.severity.value}: {f.what}" for f in findings]
    assert not [text for text in told if text.startswith("error")], told
    assert "ok: session with 198.18.0.1 (AS65550) is established" in told
    assert "ok: 192.0.2.0/24 is sent to 198.18.0.1" in told
    assert any("no dead-man switch" in text for text in told)
    assert any("no BFD with" in text for text in told)
    assert any(text.startswith("ok: graceful restart is not offered") for text in told)


def test_inspect_finds_each_trap_and_its_lines_mend_it(frr: Frr, bed: RouterBed) -> None:
    """Break the router as operators do; paste the lines; the finding is gone."""
    vty = frr.router()._vty

    async def story() -> None:
        router = frr.router()
        await router.apply({FOUR: ANNOUNCED, SIX: ANNOUNCED})
        for broken, subject in (
            ("bgp network import-check", "import-check is on"),
            ("neighbor 198.18.0.1 advertisement-interval 7", "updates wait up to 7 s"),
            ("no bgp graceful-restart-disable", "graceful restart is offered"),
        ):
            await vty.configure(("router bgp 64500",), [broken])
            await vty.show("clear bgp *")
            wait_until_sessions(bed)
            found = [f for f in await router.inspect() if subject in f.what]
            assert found, (subject, await router.inspect())
            assert found[0].severity in {Severity.WARNING, Severity.ERROR}
            inside, *lines = found[0].lines
            await vty.configure((inside,), [line.strip() for line in lines])
            await vty.show("clear bgp *")
            wait_until_sessions(bed)
            assert not [f for f in await router.inspect() if subject in f.what]
        await router.close()
        vty.close()

    asyncio.run(story())


def wait_until_sessions(bed: RouterBed) -> None:
    time.sleep(0.3)
    wait_until(
        lambda: bed.ask_neighbour("show protocols").count("Established") == 2,
        "sessions",
        seconds=30,
    )


HOLDER = """\
import sys, time
from ridgeline.agent.bfd_link import TunLink
link = TunLink("ridgeline0")
time.sleep(600)
"""


def test_a_killed_agent_loses_its_route_by_the_tunnel_and_import_check(
    frr: Frr, bed: RouterBed
) -> None:
    """FRR before 9 binds no static route to BFD; the lost carrier does for a death."""
    bed.at_site("ip", "tuntap", "add", "dev", "ridgeline0", "mode", "tun")
    bed.at_site("ip", "address", "add", "10.255.53.1/30", "dev", "ridgeline0")
    bed.at_site("ip", "link", "set", "ridgeline0", "up")
    (frr.folder / "staticd.conf").write_text("ip route 192.0.2.0/24 10.255.53.2 ridgeline0\n")
    staticd = frr.start("staticd")
    holder = bed.start(sys.executable, "-c", HOLDER, name="holder")

    async def story(router: FrrRouter) -> None:
        await router._vty.configure(("router bgp 64500",), ["bgp network import-check"])
        await router.apply({FOUR: ANNOUNCED})
        bed.wait_heard("present", str(FOUR), seconds=10)
        bed.mark()
        began = time.time()
        bed.end(holder)
        assert bed.wait_heard("removed", str(FOUR), seconds=5).at - began < 1.0
        await router._vty.configure(("router bgp 64500",), ["no bgp network import-check"])

    try:
        run(frr.router(), story)
    finally:
        bed.end(staticd)
        bed.at_site("ip", "link", "delete", "ridgeline0")
