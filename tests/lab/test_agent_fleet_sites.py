"""Eight sites with an agent and a BIRD each, a budget of two, one store: what their neighbour sees.

Settings come from the files, as an operator writes them; the store is an etcd of three members.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from importlib import import_module
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ridgeline.errors import MachineError
from ridgeline.lab.beds.router import missing, program, wait_until
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.netlink import LOOPBACK, Batch, VethEnd

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "validation"))
store_of: Any = import_module("faults.store").store_of
SERVICE = ROOT / "tests" / "lab" / "agent" / "service.py"

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(missing(["etcd"]) != [], reason="not installed: etcd-server"),
]

N, BUDGET = 8, 2
NAMES = ["nrt", "lhr", "iad", "fra", "sin", "gru", "syd", "jnb"]
PREFIX = "192.0.2.0/24"
ADDRESS = "192.0.2.53"
SPEC = """\
network: example-anycast
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns: {kind: custom, addresses: [192.0.2.53]}
health: {interval: 200ms, timeout: 150ms, fall: 2, rise: 2}
sites:
""" + "".join(f"  {name}: {{upstreams: [{{asn: 65550}}]}}\n" for name in NAMES)
NEIGHBOUR_HEAD = """\
log "{here}/neighbour.log" all;
timeformat log iso long us;
router id 198.18.30.255;
protocol device {{ scan time 60; }}
"""
NEIGHBOUR_SESSION = """\
protocol bgp {name} {{
  local {ours} as 65550; neighbor {theirs} as 64500; passive yes; strict bind yes;
  error wait time 1, 1; graceful restart off; debug {{ routes }};
  ipv4 {{
    import filter {{ if (65535, 0) ~ bgp_community then print "drained {name}"; accept; }};
    export none;
  }};
}}
"""
BIRD = """\
log "{here}/bird.log" all;
router id {ours};
protocol device {{ scan time 60; }}
include "{here}/agent.d/*.conf";
protocol bgp up {{
  local {ours} as 64500; neighbor {theirs} as 65550;
  connect delay time 0; connect retry time 1; error wait time 1, 1; graceful restart off;
  ipv4 {{ import none; export where proto ~ "any_*" || proto ~ "drn_*"; }};
}}
"""
AGENT = """\
router: {{kind: bird, socket: {here}/bird.ctl, include: {here}/agent.d/ridgeline.conf}}
state: {here}/state
control: {here}/agent.sock
damping: 200ms
services: {{dns: {{checks: [{{dns: {{name: example.test, type: SOA, flags: [aa]}}}}]}}}}
fleet: {{endpoints: [{endpoints}], budget: {budget}, options: {{lease_s: 30, timeout_s: 0.9}}}}
"""
LINE = re.compile(
    r"^(\S+ \S+) <\w+> (?:([a-z]{3})\.ipv4 > (added|updated|removed)|drained ([a-z]{3}))",
    re.MULTILINE,
)


class Seen(NamedTuple):
    at: float
    site: str
    state: str
    """``there``, ``drained`` or ``gone``."""


class Site:
    """One of the sites."""

    def __init__(self, number: int, folder: Path, stack: ExitStack) -> None:
        self.name, self.here = NAMES[number], folder / NAMES[number]
        self.ours, self.theirs = f"198.18.30.{2 * number}", f"198.18.30.{2 * number + 1}"
        self.namespace = NetworkNamespace.create()
        stack.callback(self.namespace.close)
        self._stack = stack
        self.spec = folder / "ridgeline.yaml"
        (self.here / "agent.d").mkdir(parents=True)
        self.service: Any = None
        self.agent: Any = None

    def start(self, *argv: str, name: str) -> "subprocess.Popen[bytes]":
        with (self.here / f"{name}.out").open("ab") as output, entered(self.namespace):
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self._stack.callback(end, process)
        return process

    def start_service(self) -> None:
        ready = self.here / "ready"
        ready.unlink(missing_ok=True)
        argv = (sys.executable, "-S", "-E", str(SERVICE), str(ready), ADDRESS)
        self.service = self.start(*argv, name="service")
        wait_until(ready.exists, "the service runs", seconds=30)

    def start_agent(self) -> None:
        argv = ("-m", "ridgeline", "agent", "run", str(self.spec), "--site", self.name)
        config = str(self.here / "agent.yaml")
        self.agent = self.start(sys.executable, *argv, "--config", config, name="agent")


class Fleet:
    """The sites, their neighbour, and the store between them."""

    def __init__(self, folder: Path, store: Any, stack: ExitStack) -> None:
        self.log = folder / "neighbour.log"
        (folder / "ridgeline.yaml").write_text(SPEC)
        self.neighbour = NetworkNamespace.create()
        stack.callback(self.neighbour.close)
        self.sites = [Site(number, folder, stack) for number in range(N)]
        text = NEIGHBOUR_HEAD.format(here=folder)
        for number, site in enumerate(self.sites):
            store.attach(site.namespace)
            lay_link(site, number, self.neighbour)
            text += NEIGHBOUR_SESSION.format(name=site.name, ours=site.theirs, theirs=site.ours)
        (folder / "neighbour.conf").write_text(text)
        with entered(self.neighbour):
            argv = (program("bird"), "-f", "-c", str(folder / "neighbour.conf"))
            bird = subprocess.Popen([*argv, "-s", str(folder / "neighbour.ctl")])
        stack.callback(end, bird)
        endpoints = ", ".join(f"'{endpoint}'" for endpoint in store.endpoints)
        for site in self.sites:
            places = {"here": site.here, "ours": site.ours, "theirs": site.theirs}
            (site.here / "bird.conf").write_text(BIRD.format(**places))
            text = AGENT.format(here=site.here, endpoints=endpoints, budget=BUDGET)
            (site.here / "agent.yaml").write_text(text)
            argv = (program("bird"), "-f", "-c", str(site.here / "bird.conf"))
            site.start(*argv, "-s", str(site.here / "bird.ctl"), name="bird")
            site.start_service()
            site.start_agent()

    def seen(self) -> list[Seen]:
        """Read the neighbour's log."""
        found, drained = [], set()
        for at, site, what, marked in LINE.findall(self.log.read_text()):
            if marked:
                drained.add(marked)
                continue
            there = "drained" if site in drained else "there"
            drained.discard(site)
            state = "gone" if what == "removed" else there
            found.append(Seen(datetime.fromisoformat(at).timestamp(), site, state))
        return found

    def states(self) -> dict[str, str]:
        return dict.fromkeys(NAMES, "gone") | {seen.site: seen.state for seen in self.seen()}

    def wait(self, **wanted: int) -> None:
        """Wait until so many sites stand so at the neighbour."""
        try:
            wait_until(lambda: Counter(self.states().values()) == wanted, str(wanted), seconds=60)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.states()}\n{self.said()}") from None

    def said(self) -> str:
        return "\n".join((s.here / "agent.out").read_text()[-1500:] for s in self.sites)

    def most_gone(self, since: float) -> int:
        """Count how many were gone at the same time, at most, after all had been there."""
        states = dict.fromkeys(NAMES, "there")
        most = 0
        for seen in self.seen():
            if seen.at >= since:
                states[seen.site] = seen.state
                most = max(most, Counter(states.values())["gone"])
        return most


def lay_link(site: Site, number: int, neighbour: NetworkNamespace) -> None:
    index = 10 + number
    with Batch() as batch:
        batch.veth(
            VethEnd(name="up0", namespace=site.namespace, index=index, mac=mac(1, number)),
            VethEnd(name=site.name, namespace=neighbour, index=index, mac=mac(2, number)),
        )
    for namespace, address in ((site.namespace, site.ours), (neighbour, site.theirs)):
        with Batch(namespace) as batch:
            batch.up(LOOPBACK)
            batch.up(index)
            batch.address(index, ip_interface(f"{address}/31"))
    with Batch(site.namespace) as batch:
        batch.address(LOOPBACK, ip_interface(f"{ADDRESS}/32"))


def mac(end: int, number: int) -> bytes:
    return bytes((2, 0, 0, end, 3, number))


def end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as text,
        store_of(Path(text)) as store,
        ExitStack() as stack,
    ):
        store.wait_ready()
        made = Fleet(Path(text), store, stack)
        made.wait(there=N)
        yield made


def test_of_eight_sites_whose_services_die_no_more_than_two_are_ever_withdrawn(
    fleet: Fleet,
) -> None:
    since = time.time()
    for site in fleet.sites:
        end(site.service)
    fleet.wait(gone=BUDGET, drained=N - BUDGET)
    assert fleet.most_gone(since) == BUDGET

    # One that lives again gives its slot back; another, still dead, takes it.
    gone = [site for site in fleet.sites if fleet.states()[site.name] == "gone"]
    gone[0].start_service()
    fleet.wait(there=1, gone=BUDGET, drained=N - BUDGET - 1)
    assert fleet.states()[gone[0].name] == "there"
    assert fleet.most_gone(since) == BUDGET

    # An agent that dies keeps its slot, and has it when it is back.
    end(gone[1].agent)
    gone[1].start_agent()
    found = '"event": "found"'
    log = gone[1].here / "agent.out"
    wait_until(lambda: log.read_text().count(found) == 2, "it is back", seconds=30)
    time.sleep(1)
    assert fleet.states()[gone[1].name] == "gone"

    # All live again: all are announced.
    for site in fleet.sites:
        if site is not gone[0]:
            site.start_service()
    fleet.wait(there=N)
    assert fleet.most_gone(since) == BUDGET
