"""Sessions and route changes: plain anycast cuts them, rescue keeps them.

A browser's user would see the same as these downloads; packets that nobody should send come from
`segments.py`, which runs on the nodes themselves.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from select import select
from typing import Any

import pytest

from .conftest import SPECS, Lab, lab_of

SEGMENTS = str(Path(__file__).with_name("segments.py"))
QUIC = str(Path(__file__).with_name("quic.py"))
V4, V6 = "192.0.2.80", "2001:db8:53::80"
SHORT = ("-n", "60", "--watch", "4")
SERVICES = pytest.mark.parametrize("service", [V4, V6], ids=["ipv4", "ipv6"])

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="BPF programs need root")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three sites, rescue on as their spec says."""
    yield from lab_of(SPECS / "sessions.yaml", "--clients", "12")


@pytest.fixture(autouse=True)
def rescue_on(lab: Lab) -> None:
    """Start each test with rescue on, its counters at zero and every site well."""
    lab.ask("rescue", "on")


@pytest.fixture(scope="module")
def client(lab: Lab) -> dict[str, str]:
    """Name a client node of each site."""
    return {site: f"client.{city}" for city, site in lab.sites().items() if site}


@contextmanager
def running(
    lab: Lab, node: str, *words: str, script: str = SEGMENTS
) -> Iterator[subprocess.Popen[str]]:
    """Run a script on a node until the block ends."""
    argv = [sys.executable, "-m", "ridgeline", "lab", "exec", "--name", lab.name, node, "--"]
    process = subprocess.Popen(
        [*argv, sys.executable, script, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # `lab exec` and what it runs
        process.communicate()


def say(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def on_node(lab: Lab, node: str, *argv: str) -> str:
    done = lab.run("exec", node, "--", *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def segments(lab: Lab, node: str, *words: str) -> str:
    return on_node(lab, node, sys.executable, SEGMENTS, *words)


def counted(lab: Lab) -> dict[str, dict[str, int]]:
    sites: dict[str, dict[str, int]] = lab.ask("rescue")["sites"]
    return sites


def total(counts: dict[str, dict[str, int]], what: str) -> int:
    return sum(site[what] for site in counts.values())


def moved(document: Any, kind: str = "download") -> Any:
    return document["classes"][kind]["moved"]


def test_plain_anycast_loses_all_that_moves_but_what_was_handed_off(lab: Lab) -> None:
    lab.ask("rescue", "off")
    away = lab.ask("sessions", "lhr", *SHORT)
    back = lab.ask("sessions", "lhr", "--event", "heal", "-6", *SHORT)
    for document in (away, back):
        assert moved(document)["sessions"] >= 15
        handed_off = document["classes"].pop("handoff")
        for group in handed_off.values():
            assert group["survived"] == group["sessions"] > 0
        for groups in document["classes"].values():
            assert groups["moved"]["survived"] == 0
            assert groups["moved"]["reset"] == groups["moved"]["sessions"]
            assert groups["stayed"]["survived"] == groups["stayed"]["sessions"] > 0


def test_rescue_keeps_every_session_through_a_drain_with_grace_and_back(lab: Lab) -> None:
    away = lab.ask("sessions", "lhr", "--event", "drain", "--grace", "3", *SHORT)
    back = lab.ask("sessions", "lhr", "--event", "heal", "-6", *SHORT)
    for document in (away, back):
        assert moved(document)["sessions"] >= 15
        for groups in document["classes"].values():
            for group in groups.values():
                assert group["survived"] == group["sessions"] > 0
        # The first site asked is the right one: nothing is passed on while sessions live.
        sites = document["rescue"]["sites"]
        assert total(sites, "passed_on") <= total(sites, "sent") // 10
    assert away["rescue"]["sites"]["lhr"]["rescued"] > 100
    stages = {row["stage"]: row for row in away["stages"]}
    assert list(stages) == ["announced", "graceful shutdown", "prepended", "waited", "withdrawn"]
    assert stages["announced"]["flows"] >= moved(away)["sessions"]
    assert stages["waited"]["t_ms"] >= 3000


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
    lab.ask("rescue", "on", "--rate", "20")
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


def test_segments_too_big_to_wrap_are_answered_and_sent_smaller(
    lab: Lab, client: dict[str, str]
) -> None:
    """The flows are older than rescue, so their segments fill the link; and the path is narrow."""
    lab.ask("rescue", "off")
    with ExitStack() as stack:
        pushes = []
        for service in (V4, V6):
            sink = stack.enter_context(running(lab, "server.lhr", "sink", service))
            assert say(sink) == "ready"
            words = ("push", service, "400000")
            pushes.append(stack.enter_context(running(lab, client["lhr"], *words)))
            assert say(pushes[-1]) == "half"
        lab.ask("rescue", "on")
        lab.ask("fail", "lhr")
        set_mtu(lab, "edge.lhr", 1400)
        try:
            for push in pushes:
                tell(push)
            assert [say(push) for push in pushes] == ["400000", "400000"]
        finally:
            set_mtu(lab, "edge.lhr", 1500)
            lab.ask("heal", "lhr")
    counts = counted(lab)
    assert total(counts, "narrow") >= 2  # IPv4 and IPv6
    assert total(counts, "too_big") >= 4  # each first too big for the link, then for the path
    assert total(counts, "failed") == 0


def test_quic_follows_the_site_that_its_connection_id_names(
    lab: Lab, client: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("aioquic", reason="aioquic is not installed")
    pem = [str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")]
    subprocess.run([sys.executable, QUIC, "certificate", *pem], check=True)
    lab.ask("rescue", "on", "--quic")
    sites = list(counted(lab))
    with ExitStack() as stack:
        for number, site in enumerate(sites):
            words = ("serve", V4, str(number), *pem)
            server = stack.enter_context(running(lab, f"server.{site}", *words, script=QUIC))
            assert say(server) == "ready"
        talk = stack.enter_context(running(lab, client["lhr"], "talk", V4, script=QUIC))
        assert say(talk) == "1"
        lab.ask("fail", "lhr")
        try:
            before = counted(lab)
            echoes = [int(say(talk)) for _ in range(25)]
            after = counted(lab)
            assert echoes == list(range(2, 27))
            assert total(after, "sent_quic") > total(before, "sent_quic") > 0
            assert after["lhr"]["rescued"] > before["lhr"]["rescued"]
            lab.ask("rescue", "off")
            assert talk.stdout is not None
            while select([talk.stdout], (), (), 1.5)[0]:  # what was under way, then silence
                assert int(say(talk)) < 500
        finally:
            lab.ask("heal", "lhr")


def set_mtu(lab: Lab, router: str, mtu: int) -> None:
    """Narrow a site's router's link to its server, as the far end of a tunnel sees it."""
    for line in on_node(lab, router, "ip", "-o", "-4", "addr").splitlines():
        if " 198.19." in line:
            interface = line.split()[1]
            on_node(lab, router, "ip", "link", "set", interface, "mtu", str(mtu))
            return
    raise AssertionError("the router has no link to a server")
