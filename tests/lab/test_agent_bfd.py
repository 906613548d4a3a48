"""The dead-man switch against real BIRD: a silent agent loses its route, a restarted one does not."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ridgeline.agent.config_file import parse_config
from ridgeline.agent.machine import machine_findings
from ridgeline.agent.router import Severity
from ridgeline.errors import MachineError
from ridgeline.lab.beds.router import RouterBed, missing, router_bed, wait_until
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.spec.parse import parse_spec

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(missing(["bird"]) != [], reason="not installed: bird2"),
]

FOUR, SIX = "192.0.2.0/24", "2001:db8:53::/48"

AS_DOCUMENTED_MS, CALM_MS = 40, 250
"""BFD's interval: as in docs/how-to/dead-man.md; and one whose three are no death on a busy machine."""
LONG_S = 30.0
"""What takes no second alone, on a machine with much other work."""

# As in docs/how-to/dead-man.md, with the neighbour of this test.
SITE = """\
log "{folder}/site.log" all;
router id 198.18.0.0;
protocol device {{ scan time 60; }}
protocol bfd {{
  interface "ridgeline0" {{ min rx interval {ms} ms; min tx interval {ms} ms; multiplier 3; }};
  strict bind yes;
}}
protocol static anycast4 {{
  ipv4;
  check link no;
  route 192.0.2.0/24 via 10.255.53.2 bfd;
}}
protocol static anycast6 {{
  ipv6;
  check link no;
  route 2001:db8:53::/48 via fdbf:d::2 bfd;
}}
protocol bgp up4 {{
  local 198.18.0.0 as 64500; neighbor 198.18.0.1 as 65550;
  connect delay time 0; connect retry time 1;
  ipv4 {{ import none; export where proto = "anycast4"; next hop self; }};
}}
protocol bgp up6 {{
  local 2001:2:: as 64500; neighbor 2001:2::1 as 65550;
  connect delay time 0; connect retry time 1;
  ipv6 {{ import none; export where proto = "anycast6"; next hop self; }};
}}
"""

SPEAKER = """\
import signal, sys, time
from ipaddress import ip_address
from ridgeline.agent.bfd import Resume
from ridgeline.agent.bfd_link import TunLink
from ridgeline.agent.deadman import DeadMan, Pair

FOUR = Pair(ip_address("10.255.53.2"), ip_address("10.255.53.1"))
SIX = Pair(ip_address("fdbf:d::2"), ip_address("fdbf:d::1"))
patience, vouches, *numbers = sys.argv[1:]
old = [Resume(my_discriminator=int(a), your_discriminator=int(b))
       for a, b in zip(numbers[::2], numbers[1::2])]
switch = DeadMan(TunLink("ridgeline0"), [FOUR, SIX], patience=float(patience),
                 resume=dict(zip([FOUR, SIX], old)))
switch.start()
ask = []
signal.signal(signal.SIGTERM, lambda *_: ask.append("rest"))
signal.signal(signal.SIGHUP, lambda *_: ask.append("hang"))
signal.signal(signal.SIGINT, lambda *_: ask.append("stop"))
while not ask:
    switch.beat()
    if vouches == "vouches":
        switch.vouch()
    time.sleep(0.05)
if ask == ["hang"]:
    time.sleep(600)
if ask == ["rest"]:
    left = switch.rest(9)
    print(*(n for pair in (FOUR, SIX) if pair in left
            for n in (left[pair].my_discriminator, left[pair].your_discriminator)), flush=True)
switch.stop(tell=ask == ["stop"])
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterBed]:
    yield from bed_of(tmp_path_factory.mktemp("bfd"), AS_DOCUMENTED_MS)


@pytest.fixture(scope="module")
def calm_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterBed]:
    yield from bed_of(tmp_path_factory.mktemp("calm"), CALM_MS)


def bed_of(folder: Path, interval_ms: int) -> Iterator[RouterBed]:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    with router_bed(folder) as bed:
        bed.at_site("ip", "tuntap", "add", "dev", "ridgeline0", "mode", "tun")
        bed.at_site("ip", "address", "add", "10.255.53.1/30", "dev", "ridgeline0")
        bed.at_site("ip", "address", "add", "fdbf:d::1/64", "dev", "ridgeline0", "nodad")
        bed.at_site("ip", "link", "set", "ridgeline0", "up")
        (folder / "site.conf").write_text(SITE.format(folder=folder, ms=interval_ms))
        bed.start("bird", "-f", "-c", f"{folder}/site.conf", "-s", f"{folder}/site.ctl")
        yield bed


def speak(
    bed: RouterBed, *numbers: str, patience: float = 2.0, vouches: str = "vouches"
) -> subprocess.Popen[bytes]:
    argv = (sys.executable, "-c", SPEAKER, str(patience), vouches, *numbers)
    return bed.start(*argv, name="speaker")


def announce(bed: RouterBed, *, patience: float = 2.0) -> subprocess.Popen[bytes]:
    bed.mark()
    speaker = speak(bed, patience=patience)
    try:
        for prefix in (FOUR, SIX):
            bed.wait_heard("present", prefix)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{(bed.folder / 'speaker.out').read_text()}") from None
    forget(bed)
    return speaker


def forget(bed: RouterBed) -> None:
    """Forget what the neighbour has heard, once it has heard nothing new for a while."""
    last = -1
    while (count := len(bed.heard())) != last:
        last = count
        time.sleep(0.4)
    bed.mark()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_dead_agents_routes_are_gone_within_150_ms(bed: RouterBed, number: int) -> None:
    """The quickest death tells what BFD takes: other work adds to a time, and takes nothing away.

    `make bench-agent` has the bar for all of them.
    """
    assert quickest(bed, number, 0.150) <= 0.150


def quickest(bed: RouterBed, number: int, wanted_s: float) -> float:
    """Signal a speaker up to ten times; return the least that passed until both routes were gone."""
    least = 60.0
    for _ in range(10):
        speaker = announce(bed)
        began = time.time()
        speaker.send_signal(number)
        wait_until(lambda: not bed.route(FOUR) and not bed.route(SIX), "both routes are gone")
        bed.end(speaker)
        gone = [event.at - began for event in bed.heard() if not event.is_present]
        if len(gone) == 2 and min(gone) > 0:  # else a crowded machine let a session fall before
            least = min(least, max(gone))
        if least <= wanted_s:
            break
    return least


def test_a_hung_event_loop_counts_as_dead(calm_bed: RouterBed) -> None:
    speaker = announce(calm_bed, patience=2.0)
    began = time.time()
    speaker.send_signal(signal.SIGHUP)
    gone = calm_bed.wait_heard("removed", FOUR)
    assert 1.8 < gone.at - began < 10
    calm_bed.end(speaker)


def test_an_agent_that_goes_on_purpose_says_so_at_once(calm_bed: RouterBed) -> None:
    assert quickest(calm_bed, signal.SIGINT, 0.4) <= 0.4  # silence would take twice as long


def test_a_planned_restart_causes_no_update_at_the_neighbour(calm_bed: RouterBed) -> None:
    bed = calm_bed
    speaker = announce(bed)
    output = bed.folder / "speaker.out"
    output.write_bytes(b"")
    speaker.send_signal(signal.SIGTERM)
    assert speaker.wait(LONG_S) == 0
    numbers = output.read_text().split()
    assert len(numbers) == 4, "both sessions are handed over"
    time.sleep(2)
    successor = speak(bed, *numbers, vouches="says nothing")
    time.sleep(2)
    assert bed.heard() == []
    began = time.time()
    successor.send_signal(signal.SIGKILL)
    assert bed.wait_heard("removed", FOUR).at - began < 5, "its rest of 9 s is over"
    bed.end(successor)
    wait_until(lambda: bed.route(SIX) is None, "the IPv6 route has gone too")


def test_a_restarted_router_finds_the_agent_again(bed: RouterBed) -> None:
    speaker = announce(bed)
    router = next(p for p in bed.processes if "site.conf" in str(p.args))
    bed.end(router)
    bed.wait_heard("removed", FOUR)
    bed.mark()
    folder = bed.folder
    bed.start("bird", "-f", "-c", f"{folder}/site.conf", "-s", f"{folder}/site.ctl")
    bed.wait_heard("present", FOUR)
    bed.end(speaker)


def test_for_whom_nobody_vouches_no_session_comes_up(bed: RouterBed) -> None:
    wait_until(lambda: bed.route(FOUR) is None and bed.route(SIX) is None, "both have gone")
    bed.mark()
    speaker = speak(bed, vouches="says nothing")
    time.sleep(2)
    assert bed.heard() == []
    bed.end(speaker)
    numbers = [str(n) for n in (11, 12, 13, 14)]  # of sessions that the router does not have
    speaker = speak(bed, *numbers, vouches="says nothing")
    time.sleep(2)
    assert bed.heard() == []
    bed.end(speaker)


# The whole agent, with the routes that it writes itself.

PREFIX = "192.0.2.0/24"
SERVICE = Path(__file__).parent / "agent" / "service.py"
AGENT_SITE = """\
log "{folder}/site.log" all;
router id 198.18.0.0;
protocol device {{ scan time 60; }}
protocol bfd {{
  interface "ridgeline0" {{ min rx interval {ms} ms; min tx interval {ms} ms; multiplier 3; }};
  strict bind yes;
}}
include "{folder}/agent.d/*.conf";
protocol bgp up4 {{
  local 198.18.0.0 as 64500; neighbor 198.18.0.1 as 65550;
  connect delay time 0; connect retry time 1; graceful restart off;
  ipv4 {{ import none; export where proto ~ "any_*" || proto ~ "drn_*"; next hop self; }};
}}
"""
SPEC = """\
network: example-anycast
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns: {kind: custom, addresses: [192.0.2.53]}
# A router's session may come up sooner than this many failures are counted.
health: {interval: 200ms, timeout: 150ms, fall: 60, rise: 2}
sites:
  nrt: {upstreams: [{asn: 65550}]}
"""
AGENT = """\
router: {{kind: bird, socket: {folder}/site.ctl, include: {folder}/agent.d/routes.conf, bfd: 10.255.53.2}}
state: {folder}/state
control: {folder}/agent.sock
damping: 1s
dead_man: {{kind: bfd, interface: ridgeline0, addresses: ['10.255.53.2,10.255.53.1']}}
services:
  dns: {{checks: [{{dns: {{name: example.test, type: SOA, flags: [aa]}}}}]}}
"""
RUN = "import sys; from ridgeline.app.agent import run_agent; run_agent(sys.argv[1], 'nrt')"


class Site:
    """BIRD, a name server and an agent with a BFD switch."""

    def __init__(self, bed: RouterBed) -> None:
        self.bed, self.folder = bed, bed.folder
        bed.at_site("ip", "address", "add", "192.0.2.53/32", "dev", "lo")
        (self.folder / "agent.d").mkdir()
        (self.folder / "site.conf").write_text(AGENT_SITE.format(folder=self.folder, ms=CALM_MS))
        (self.folder / "ridgeline.yaml").write_text(SPEC)
        (self.folder / "agent.yaml").write_text(AGENT.format(folder=self.folder))
        self.router = self.start_router()
        self.service = self.start_service()
        self.agent = self.start_agent()
        bed.wait_heard("present", PREFIX)
        forget(bed)

    def start_router(self) -> subprocess.Popen[bytes]:
        folder = self.folder
        return self.bed.start(
            "bird", "-f", "-c", f"{folder}/site.conf", "-s", f"{folder}/site.ctl", name="bird"
        )

    def start_service(self) -> subprocess.Popen[bytes]:
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        service = self.bed.start(sys.executable, str(SERVICE), str(ready), "192.0.2.53")
        wait_until(ready.exists, "the service runs")
        return service

    def start_agent(self) -> subprocess.Popen[bytes]:
        (self.folder / "agent.out").unlink(missing_ok=True)
        spec = str(self.folder / "ridgeline.yaml")
        return self.bed.start(sys.executable, "-c", RUN, spec, name="agent")

    def says(self, event: str, reason: str = "") -> bool:
        lines = (self.folder / "agent.out").read_text().splitlines()
        return any(f'"event": "{event}"' in line and reason in line for line in lines)

    def heard(self) -> list[str]:
        return [event.what for event in self.bed.heard(PREFIX)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    with router_bed(tmp_path) as bed:
        bed.at_site("ip", "tuntap", "add", "dev", "ridgeline0", "mode", "tun")
        bed.at_site("ip", "address", "add", "10.255.53.1/30", "dev", "ridgeline0")
        bed.at_site("ip", "link", "set", "ridgeline0", "up")
        yield Site(bed)


def test_an_agent_that_is_started_again_never_shows_the_route_of_a_dead_service(
    site: Site,
) -> None:
    for _ in range(3):
        site.agent.kill()
        site.bed.wait_heard("removed", PREFIX)
        site.bed.end(site.service)
        site.bed.end(site.agent)
        site.bed.mark()
        site.agent = site.start_agent()
        wait_until(lambda: site.says("dead_man_closed"), "the switch comes up")
        time.sleep(1)
        assert site.heard() == []
        site.service = site.start_service()
        site.bed.wait_heard("present", PREFIX)
        forget(site.bed)


def test_with_a_healthy_service_a_restart_is_unheard_and_a_death_is_healed(site: Site) -> None:
    site.bed.end(site.agent, signal.SIGTERM)
    site.agent = site.start_agent()
    wait_until(lambda: site.says("dead_man_closed"), "the switch is trusted")
    time.sleep(1)
    assert site.heard() == []
    site.agent.kill()
    site.bed.wait_heard("removed", PREFIX)
    site.bed.end(site.agent)
    site.agent = site.start_agent()
    site.bed.wait_heard("present", PREFIX)


@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_an_agent_that_goes_on_after_a_stop_looks_before_the_route_comes_back(
    site: Site, seconds: float
) -> None:
    site.agent.send_signal(signal.SIGSTOP)
    site.bed.wait_heard("removed", PREFIX)
    site.bed.end(site.service)
    site.bed.mark()
    time.sleep(seconds)
    site.agent.send_signal(signal.SIGCONT)
    wait_until(lambda: site.says("withdraw"), "the agent looks again")
    time.sleep(1.5)
    assert site.heard() == []
    site.service = site.start_service()
    site.bed.wait_heard("present", PREFIX)


def test_a_healthy_site_is_back_after_a_stop_and_after_a_restart_of_its_router(site: Site) -> None:
    site.agent.send_signal(signal.SIGSTOP)
    site.bed.wait_heard("removed", PREFIX)
    site.bed.mark()
    site.agent.send_signal(signal.SIGCONT)
    site.bed.wait_heard("present", PREFIX)
    site.bed.end(site.router)
    site.bed.wait_heard("removed", PREFIX)
    site.bed.mark()
    site.router = site.start_router()
    site.bed.wait_heard("present", PREFIX)


def test_the_check_names_the_commands_that_make_the_device_right(tmp_path: Path) -> None:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    settings = (
        "dead_man: {kind: bfd, interface: ridgeline0, addresses: ['10.255.53.2,10.255.53.1']}"
    )
    spec = parse_spec(SPEC, file="ridgeline.yaml")
    text = f"state: {tmp_path}\ncontrol: {tmp_path}/agent.sock\n{settings}\n"
    config = parse_config(text, file="agent.yaml", spec=spec, site="nrt", zones={})
    said = []
    with router_bed(tmp_path) as bed:
        for _ in range(10):
            with entered(bed.site):
                found = [
                    f for f in machine_findings(config, wall=0) if f.severity is Severity.ERROR
                ]
            if not found:
                break
            said.append(found[0].what.removeprefix("dead-man switch: "))
            bed.at_site("sh", "-c", found[0].lines[0])
    assert said == [
        "there is no device ridgeline0",
        "the device ridgeline0 is down",
        "10.255.53.1, the router's end of the dead-man switch, is not on this machine",
    ]
