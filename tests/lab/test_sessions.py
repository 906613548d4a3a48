"""Sessions and route changes: plain anycast cuts them, rescue keeps them.

A browser's user would see the same as these downloads; packets that nobody should send come from
`segments.py`, which runs on the nodes themselves.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ridgeline.lab.control import LabClient
from ridgeline.lab.kernel.namespaces import entered

from .conftest import SPECS, Lab, lab_of

SEGMENTS = str(Path(__file__).with_name("segments.py"))
FATES = {"handoff": "survived", "quic": "hung"}
"""Without rescue all else is reset; what no site can decrypt no site answers."""
V4, V6 = "192.0.2.80", "2001:db8:53::80"
HAS_QUIC = find_spec("aioquic") is not None
CLASSES = ["download", "handoff", "keep-alive", "dns-over-tcp", "dns-over-tls"]
SERVICES = pytest.mark.parametrize("service", [V4, V6], ids=["ipv4", "ipv6"])

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="BPF programs need root")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three sites, rescue on as their spec says."""
    yield from lab_of(SPECS / "sessions.yaml", "--clients", "12")


def ask(lab: Lab, verb: str, **arguments: object) -> Any:
    """Ask the running lab, without a process for it."""
    return LabClient(lab.name).ask(verb, None, **arguments)


@pytest.fixture(autouse=True)
def rescue_on(lab: Lab) -> None:
    """Start each test with rescue on, its counters at zero and every site well.

    Sites start it one after another: what still strays just then would count at some of them.
    """
    deadline = time.monotonic() + 20
    while before := strays(lab):
        time.sleep(0.2)
        if before == strays(lab):
            break
        assert time.monotonic() < deadline, counted(lab)
    ask(lab, "rescue", turn="on", quic=True)


@pytest.fixture(scope="module")
def client(lab: Lab) -> dict[str, str]:
    """Name a client node of each site."""
    return {site: f"client.{city}" for city, site in lab.sites().items() if site}


@contextmanager
def on(lab: Lab, node: str) -> Iterator[None]:
    """Let what the block starts live on a node's network; `lab exec` would take a process more."""
    answer, descriptors = LabClient(lab.name).enter(node)
    try:
        with entered(dict(zip(answer["kinds"], descriptors, strict=True))["net"]):
            yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@contextmanager
def running(lab: Lab, node: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `segments.py` on a node until the block ends."""
    with on(lab, node):
        process = subprocess.Popen(
            [sys.executable, SEGMENTS, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def say(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def on_node(lab: Lab, node: str, *argv: str) -> str:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    with on(lab, node):
        return subprocess.run(
            argv, capture_output=True, text=True, check=True, env={**os.environ, "PATH": path}
        ).stdout


def segments(lab: Lab, node: str, *words: str) -> str:
    return on_node(lab, node, sys.executable, SEGMENTS, *words)


def counted(lab: Lab) -> dict[str, dict[str, int]]:
    sites: dict[str, dict[str, int]] = ask(lab, "rescue")["sites"]
    return sites


def total(counts: dict[str, dict[str, int]], what: str) -> int:
    return sum(site[what] for site in counts.values())


def strays(lab: Lab) -> int:
    """Count what any site has made of other sites' packets; 0 if rescue is off."""
    kinds = ("sent", "sent_icmp", "sent_quic", "passed_on", "rescued", "orphans")
    return sum(total(counted(lab), kind) for kind in kinds)


def forget(lab: Lab) -> None:
    """End what servers still hold for clients that have gone: their segments would be counted."""
    ours = "( sport = :80 or sport = :53 or sport = :853 )"
    for site in counted(lab) or ("lhr", "nrt", "gru"):
        on_node(lab, f"server.{site}", "ss", "-K", "-t", "state", "connected", *ours.split())


def watch(lab: Lab, event: str, **more: object) -> Any:
    """Do something to London under sessions of every class; return per class what moved."""
    asked = {"n": 30, "asking": 1, "watch": 4.0, **more}
    document = ask(lab, "sessions", event=event, site="lhr", **asked)
    forget(lab)
    assert document["opened"] == document["wanted"]
    classes = document["classes"]
    assert list(classes) == CLASSES + ["quic"] * bool(more.get("quic"))
    for groups in classes.values():
        assert groups["stayed"]["survived"] == groups["stayed"]["sessions"] > 0
        assert groups["moved"]["ended_early"] == 0
    assert classes["download"]["moved"]["sessions"] >= 15
    assert all(groups["moved"]["sessions"] >= 5 for groups in classes.values())
    return document


def test_plain_anycast_loses_all_that_moves_but_what_was_handed_off(lab: Lab) -> None:
    ask(lab, "rescue", turn="off")
    brief = {"watch": 3.0, "hang": 2.0}  # what is reset is so at once
    for document in (
        watch(lab, "fail", quic=HAS_QUIC, **brief),
        watch(lab, "heal", ipv6=True, **brief),
    ):
        rows = {kind: groups["moved"] for kind, groups in document["classes"].items()}
        for kind, row in rows.items():
            assert (kind, row[FATES.get(kind, "reset")]) == (kind, row["sessions"])


@dataclass(frozen=True)
class Story:
    """London is drained and comes back, with rescue on."""

    away: Any
    pushed: list[str]
    """What flows that are older than rescue said of their bytes, while London was away."""
    counts: dict[str, dict[str, int]]
    """Right after that."""
    back: Any


@pytest.fixture(scope="class")
def story(lab: Lab, client: dict[str, str]) -> Story:
    ask(lab, "rescue", turn="off")
    with ExitStack() as stack:
        pushes = []
        for service in (V4, V6):
            sink = stack.enter_context(running(lab, "server.lhr", "sink", service))
            assert say(sink) == "ready"
            words = ("push", service, "400000")
            pushes.append(stack.enter_context(running(lab, client["lhr"], *words)))
            assert say(pushes[-1]) == "half"
        ask(lab, "rescue", turn="on", quic=True)
        away = watch(lab, "drain", grace=2.0)
        set_mtu(lab, "edge.lhr", 1400)
        try:
            for push in pushes:
                tell(push)
            pushed = [say(push) for push in pushes]
            counts = counted(lab)
        finally:
            set_mtu(lab, "edge.lhr", 1500)
            back = watch(lab, "heal", ipv6=True, quic=HAS_QUIC)
    return Story(away=away, pushed=pushed, counts=counts, back=back)


class TestWithRescue:
    def test_every_session_outlives_a_drain_with_grace_and_the_way_back(self, story: Story) -> None:
        for document in (story.away, story.back):
            for kind, groups in document["classes"].items():
                row = groups["moved"]
                assert (kind, row["survived"]) == (kind, row["sessions"])
            # The first site asked is the right one: nothing is passed on while sessions live.
            sites = document["rescue"]["sites"]
            assert total(sites, "passed_on") <= total(sites, "sent") // 10
        assert (total(story.back["rescue"]["sites"], "sent_quic") > 0) is HAS_QUIC
        assert story.away["rescue"]["sites"]["lhr"]["rescued"] > 50

    def test_a_drain_with_grace_goes_in_steps_and_waits(self, story: Story) -> None:
        stages = {row["stage"]: row for row in story.away["stages"]}
        steps = ["announced", "graceful shutdown", "prepended", "waited", "withdrawn"]
        assert list(stages) == steps
        sessions = story.away["classes"]["download"]["moved"]["sessions"]
        assert stages["announced"]["flows"] >= sessions
        assert stages["waited"]["t_ms"] >= 2000

    def test_segments_too_big_to_wrap_are_answered_and_sent_smaller(self, story: Story) -> None:
        """The flows are older than rescue, so their segments fill the link; and the path is narrow."""
        assert story.pushed == ["400000", "400000"]
        assert total(story.counts, "narrow") >= 2  # IPv4 and IPv6
        assert total(story.counts, "too_big") >= 4  # each too big for the link, then for the path
        assert total(story.counts, "failed") == 0


@SERVICES
def test_a_segment_that_no_site_knows_visits_each_once_and_gets_one_reset(
    lab: Lab, client: dict[str, str], service: str
) -> None:
    assert segments(lab, client["gru"], "stray", service, "80", "1").strip() == "1"
    counts = counted(lab)
    assert counts["gru"]["sent"] == 1
    assert total(counts, "passed_on") == 1  # three sites: wrapped once, passed on once
    assert total(counts, "orphans") == 1
    assert total(counts, "rescued") == 0
    assert total(counts, "refused") == total(counts, "failed") == 0


def test_a_flood_of_stray_segments_is_limited_at_the_first_site(
    lab: Lab, client: dict[str, str]
) -> None:
    ask(lab, "rescue", turn="on", rate=20)
    resets = int(segments(lab, client["gru"], "stray", V4, "80", "200"))
    counts = counted(lab)
    assert counts["gru"]["limited"] >= 180
    assert total(counts, "orphans") == resets <= 20


@SERVICES
def test_an_error_about_a_flow_of_another_site_reaches_that_site(
    lab: Lab, client: dict[str, str], service: str
) -> None:
    six = ":" in service
    inner = on_node(lab, client["lhr"], "hostname", "-I").split()
    address = next(a for a in inner if (":" in a) is six and a.startswith(("198.19", "2001:2:0:1")))
    with running(lab, client["lhr"], "hold", service, "80") as flow:
        port = say(flow)
        before = counted(lab)
        segments(lab, client["nrt"], "icmp", service, address, port)
        deadline = time.monotonic() + 5
        while counted(lab)["lhr"]["rescued"] == before["lhr"]["rescued"]:
            assert time.monotonic() < deadline, counted(lab)
            time.sleep(0.1)
    counts = counted(lab)
    assert counts["nrt"]["sent_icmp"] == 1
    assert counts["lhr"]["rescued"] == before["lhr"]["rescued"] + 1


def set_mtu(lab: Lab, router: str, mtu: int) -> None:
    """Narrow a site's router's link to its server, as the far end of a tunnel sees it."""
    for line in on_node(lab, router, "ip", "-o", "-4", "addr").splitlines():
        if " 198.19." in line:
            interface = line.split()[1]
            on_node(lab, router, "ip", "link", "set", interface, "mtu", str(mtu))
            return
    raise AssertionError("the router has no link to a server")
