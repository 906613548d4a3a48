"""The agent's process: what it says to the service manager, to the operator, and to the disk."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from ridgeline.agent.control import ask_agent
from ridgeline.agent.core import Say
from ridgeline.agent.journal import make_log
from ridgeline.agent.requests import read_request
from ridgeline.agent.systemd import Notifier
from ridgeline.errors import InputError

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "contrib" / "systemd" / "ridgeline-agent.service"
RUN = "import sys; from ridgeline.app.agent import run_agent; run_agent(sys.argv[1], 'nrt')"
SPEC = """\
network: example-anycast
asn: 64500
prefixes: [192.0.2.0/24, 198.51.100.0/24]
services:
  dns: {kind: custom, addresses: [192.0.2.53]}
sites:
  nrt: {upstreams: [{asn: 65550}]}
"""
AGENT = """\
router: {{kind: bird, socket: {here}/no-bird.ctl}}
state: {here}/state
control: {here}/agent.sock
"""


class Process:
    """An agent whose router is not there; its manager is this test."""

    def __init__(self, here: Path, *, watchdog_s: float = 0.0) -> None:
        self.here = here
        (here / "ridgeline.yaml").write_text(SPEC)
        (here / "agent.yaml").write_text(AGENT.format(here=here))
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(here / "notify"))
        self.manager.settimeout(60)
        environment = {**os.environ, "NOTIFY_SOCKET": str(here / "notify")}
        if watchdog_s:
            environment["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))
        with (here / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(here / "ridgeline.yaml")],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def hear(self, wanted: str) -> None:
        while wanted not in self.manager.recv(4096).decode().split("\n"):
            assert self.process.poll() is None, self.log()

    def log(self) -> str:
        return (self.here / "log").read_text()

    def ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        return ask_agent(str(self.here / "agent.sock"), {"verb": verb, **arguments})

    def drains(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.here / "state/agent.json").read_text())[
            "drains"
        ]
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        self.manager.close()
        (self.here / "notify").unlink(missing_ok=True)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path, watchdog_s=0.6)
    try:
        made.hear("READY=1")
        yield made
    finally:
        made.close()


def names_in(document: object) -> set[str]:
    """Name the keys of a document and of all that it holds."""
    if isinstance(document, list):
        return set().union(*map(names_in, document))
    if not isinstance(document, dict):
        return set()
    return set(document).union(*(names_in(value) for value in document.values()))


def test_every_field_of_its_status_is_described(agent: Process) -> None:
    page = (ROOT / "docs" / "reference" / "json.md").read_text()
    section = page.split("\n## ridgeline.agent/1\n", 1)[1].split("\n## ", 1)[0]
    agent.ask("drain", reason="disks")
    said = names_in(agent.ask("status")) - {"schema"}
    assert {"prefixes", "left_s", "waits"} <= said
    assert said <= set(re.findall(r"\w+", section))


def test_the_watchdog_hears_three_times_as_often_as_it_wants(agent: Process) -> None:
    heard = []
    for _ in range(8):
        agent.hear("WATCHDOG=1")
        heard.append(time.monotonic())
    assert 0.15 < (heard[-1] - heard[0]) / 7 < 0.6


def test_the_shipped_unit_ends_a_silent_agent_within_a_second() -> None:
    text = UNIT.read_text()
    assert "\nWatchdogSec=1\n" in text
    assert "\nWatchdogSignal=SIGKILL\n" in text
    assert Notifier({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "1000000"}).pause == pytest.approx(
        1 / 3
    )


def test_a_watchdog_of_another_process_is_none_of_ours() -> None:
    theirs = {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid() + 1)}
    assert Notifier(theirs).watchdog_s is None
    assert Notifier({}).pause == float("inf")


def test_a_drain_is_on_the_disk_when_the_operator_has_the_answer(agent: Process) -> None:
    agent.ask("drain", reason="new disks", for_s=3600, hold=60)
    (first, second) = agent.drains()
    assert (first["prefix"], first["reason"], first["hold"]) == ("192.0.2.0/24", "new disks", 60)
    assert second["until"] == pytest.approx(time.time() + 3600, abs=30)
    agent.ask("resume", prefixes=["192.0.2.0/24"])
    (left,) = agent.drains()
    assert left["prefix"] == second["prefix"] == "198.51.100.0/24"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"verb": "drain", "for_s": "soon"}, "'soon' is no number of seconds"),
        ({"verb": "drain", "for_s": 0}, "no time at all"),
        ({"verb": "drain", "hold": -1}, "from 0 on"),
        ({"verb": "drain", "hold": float("inf")}, "from 0 on"),
        ({"verb": "drain", "prefixes": "192.0.2.0/24"}, "a list of texts"),
        ({"verb": "drain", "prefixes": ["192.0.2.0/33"]}, "192.0.2.0/33"),
        ({"verb": "resume", "prefixes": ["203.0.113.0/24"]}, "this site has 192.0.2.0/24, 198.51"),
        ({"verb": "explode"}, "no request 'explode'"),
        ({}, "no request None"),
    ],
)
def test_a_request_that_makes_no_sense_is_answered_and_changes_nothing(
    request_: dict[str, Any], says: str
) -> None:
    known = (ip_network("192.0.2.0/24"), ip_network("198.51.100.0/24"))
    with pytest.raises(InputError, match=re.escape(says)):
        read_request(request_, known)


def test_a_second_agent_on_the_same_socket_is_refused(agent: Process) -> None:
    other = agent.here / "other"
    other.mkdir()
    (other / "ridgeline.yaml").write_text(SPEC)
    text = AGENT.format(here=agent.here).replace(f"state: {agent.here}", f"state: {other}")
    (other / "agent.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(other / "ridgeline.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert f"another agent answers at {agent.here}/agent.sock" in done.stderr
    assert agent.ask("status")["site"] == "nrt"


def test_a_drain_in_the_spec_is_taken_up_and_ended_by_a_reload(agent: Process) -> None:
    def drains() -> list[str]:
        return [p["drain"]["reason"] for p in agent.ask("status")["prefixes"] if p["drain"]]

    spec = agent.here / "ridgeline.yaml"
    spec.write_text(SPEC.replace("{upstreams:", "{state: drained, upstreams:"))
    agent.process.send_signal(signal.SIGHUP)
    agent.hear("READY=1")
    assert drains() == ["the spec says `state: drained`"] * 2
    agent.ask("drain", prefixes=["192.0.2.0/24"], reason="by hand")
    spec.write_text(SPEC)
    agent.process.send_signal(signal.SIGHUP)
    agent.hear("READY=1")
    assert drains() == ["by hand"]
    (left,) = agent.drains()
    assert left["reason"] == "by hand"


def test_a_log_that_cannot_be_written_keeps_nobody_from_work() -> None:
    with Path("/dev/full").open("w") as full:
        log = make_log("nrt", full)
        log(Say("info", "withdraw", "no answer"))
        with contextlib.suppress(OSError):
            full.close()


def test_a_drain_that_ended_while_no_agent_ran_is_over(agent: Process, tmp_path: Path) -> None:
    agent.ask("drain", reason="short", for_s=3600)
    assert agent.end() == 0
    path = tmp_path / "state" / "agent.json"
    path.write_text(re.sub(r'"until": [0-9.]+', f'"until": {time.time() - 60}', path.read_text()))
    agent.close()
    again = Process(tmp_path)
    try:
        again.hear("READY=1")
        status = again.ask("status")
        assert [p["drain"] for p in status["prefixes"]] == [None, None]
        until = time.monotonic() + 30
        while again.drains() and time.monotonic() < until:
            time.sleep(0.01)
        assert again.drains() == []
    finally:
        again.close()


def test_garbage_on_reload_changes_nothing_and_says_where(agent: Process) -> None:
    (agent.here / "agent.yaml").write_text("router: {kind: brid}\n")
    agent.process.send_signal(signal.SIGHUP)
    agent.hear("RELOADING=1")
    agent.hear("READY=1")
    assert "agent.yaml:1:16: router.kind" in agent.log()
    assert len(agent.ask("status")["checks"]) == 1
    (agent.here / "agent.yaml").write_text(AGENT.format(here=agent.here) + "damping: 3s\n")
    agent.process.send_signal(signal.SIGHUP)
    agent.hear("READY=1")
    assert '"event": "reloaded"' in agent.log()
