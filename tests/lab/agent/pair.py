"""A site's BIRD and its neighbour's, in two namespaces, with a service and an agent at the site."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_interface
from pathlib import Path
from typing import IO, Any

from ridgeline.agent.control import ask_agent
from ridgeline.errors import MachineError
from ridgeline.lab.kernel.namespaces import NetworkNamespace, die_with_parent, entered
from ridgeline.lab.kernel.netlink import Batch, RouteEvent, RouteEvents, VethEnd

PREFIX = "192.0.2.0/24"
SERVICE = "192.0.2.53"
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}

SITE_BIRD = """\
log "{here}/site.log" all;
router id 198.18.0.1;
protocol device {{ scan time 600; }}
include "{here}/agent.d/*.conf";
{extra}
protocol bgp upstream {{
  local 198.18.0.0 as 64500; neighbor 198.18.0.1 as 65540;
  connect delay time 0; connect retry time 1; error wait time 1,2; hold time 9;
  ipv4 {{ import none; export where proto ~ "any_*" || proto ~ "drn_*"; }};
}}
"""
NEIGHBOUR_BIRD = """\
log "{here}/neighbour.log" all;
router id 198.18.0.2;
protocol device {{ scan time 600; }}
protocol kernel {{ scan time 600; ipv4 {{ import none; export all; }}; }}
protocol bgp site {{
  local 198.18.0.1 as 65540; neighbor 198.18.0.0 as 64500; passive yes;
  connect delay time 0; connect retry time 1; error wait time 1,2; hold time 9;
  graceful restart off;
  ipv4 {{
    import filter {{ if (65535, 0) ~ bgp_community then print "drained ", net; accept; }};
    export none;
  }};
}}
"""
SPEC = """\
network: example-anycast
asn: 64500
prefixes: [{prefixes}]
services:
{services}
health: {{interval: 200ms, timeout: 150ms, fall: 2, rise: 2}}
sites:
  nrt: {{upstreams: [{{asn: 65540}}]}}
"""
ONE_SERVICE = "  dns: {kind: custom, addresses: [192.0.2.53]}"
AGENT = """\
router: {{kind: bird, socket: {here}/site.ctl, include: {here}/agent.d/ridgeline.conf{router}}}
state: {here}/state
control: {here}/agent.sock
damping: 1s
drain: {{hold: 400ms}}
services:
  dns: {{checks: [{checks}]}}
{more}
"""
POLLED = "{dns: {name: example.test, type: SOA, flags: [aa]}}"


WITHIN_S = 30.0
"""How long a state may take to come on a machine with much other work; none takes a second alone."""


def wait_until(what: str, done: Callable[[], object], seconds: float = WITHIN_S) -> float:
    """Poll until it is so; return how long it took."""
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.002)
    return time.monotonic() - start


class Pair:
    """Everything of one test; `close` ends it."""

    def __init__(self, here: Path) -> None:
        self.here = here
        (here / "agent.d").mkdir()
        self.site, self.neighbour = NetworkNamespace.create(), NetworkNamespace.create()
        self.processes: list[subprocess.Popen[str]] = []
        self._files: list[IO[str]] = []
        with Batch() as batch:
            batch.veth(
                VethEnd(name="up0", namespace=self.site, index=7, mac=b"\x02\0\0\0\0\1"),
                VethEnd(name="site0", namespace=self.neighbour, index=8, mac=b"\x02\0\0\0\0\2"),
            )
        for namespace, index, address in (
            (self.site, 7, "198.18.0.0/31"),
            (self.neighbour, 8, "198.18.0.1/31"),
        ):
            with Batch(namespace) as batch:
                batch.up(1)
                batch.address(index, ip_interface(address))
                batch.up(index)
        self.hold_address(SERVICE)
        self.events = RouteEvents(self.neighbour)
        self.seen: list[tuple[float, RouteEvent]] = []
        self._log_at = 0
        (here / "neighbour.conf").write_text(NEIGHBOUR_BIRD.format(here=here))
        self.write_site()
        self.bird_neighbour = self.start_bird("neighbour", self.neighbour)
        self.bird_site = self.start_bird("site", self.site)

    def reset(self) -> None:
        """Bring back the beginning: two BIRDs with a session, no service, no agent, no route."""
        birds = (self.bird_neighbour, self.bird_site)
        for process in [process for process in self.processes if process not in birds]:
            if process.poll() is None:
                process.kill()
            process.wait()
            self.processes.remove(process)
        for path in self.here.iterdir():
            if path.name in {"state", "agent.d"}:
                shutil.rmtree(path)
            elif path.name.startswith(("agent", "service", "ridgeline", "check")):
                path.unlink()
        (self.here / "agent.d").mkdir()
        self.write_site()
        with entered(self.site):
            for name in ("ridgeline0", "lease0"):
                subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
            subprocess.run(["ip", "address", "replace", f"{SERVICE}/32", "dev", "lo"], check=True)
        if self.bird_site.poll() is not None:
            self.restart_bird()
        wait_until("BIRD is as it was", self._is_plain)
        wait_until(
            "the session is up", lambda: "Established" in self.ask_bird("site", "show protocols")
        )
        wait_until("nothing is announced", lambda: not self.has())
        self._log_at = (self.here / "neighbour.log").stat().st_size

    def _is_plain(self) -> bool:
        self.ask_bird("site", "configure")
        return "any_" not in self.ask_bird("site", "show protocols")

    def restart_bird(self) -> None:
        """Start the site's BIRD (again)."""
        self.end(self.bird_site)
        (self.here / "site.ctl").unlink(missing_ok=True)
        self.bird_site = self.start_bird("site", self.site)

    def stays(self, what: str, holds: Callable[[], object], seconds: float = 0.4) -> None:
        """Look on for a while: it is so, and stays so."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert holds(), f"not any more: {what}\n{self.log()}"
            time.sleep(0.01)

    def wait_rounds(self, more: int = 4) -> None:
        """Wait until the agent has made up its mind about its checks."""
        wait_until(f"{more} rounds of checks", lambda: self.status().get("rounds", 0) >= more)

    def write_site(self, extra: str = "") -> None:
        (self.here / "site.conf").write_text(SITE_BIRD.format(here=self.here, extra=extra))

    def hold_address(self, address: str) -> None:
        with Batch(self.site) as batch:
            batch.address(1, ip_interface(f"{address}/32"))

    def start_bird(self, name: str, namespace: NetworkNamespace) -> subprocess.Popen[str]:
        control = self.here / f"{name}.ctl"
        return self.start(
            namespace, "bird", "-f", "-c", str(self.here / f"{name}.conf"), "-s", str(control)
        )

    def start(
        self, namespace: NetworkNamespace, *argv: str, output: str = "output"
    ) -> subprocess.Popen[str]:
        stream = (self.here / output).open("a")
        self._files.append(stream)
        with entered(namespace):
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                env=ENVIRONMENT,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - nothing of a test outlives it
            )
        self.processes.append(process)
        return process

    def start_service(self, *addresses: str) -> subprocess.Popen[str]:
        script = Path(__file__).parent / "service.py"
        ready = self.here / "service.ready"
        ready.unlink(missing_ok=True)
        process = self.start(
            self.site,
            sys.executable,
            "-S",
            "-E",
            str(script),
            str(ready),
            *(addresses or (SERVICE,)),
        )
        wait_until("the service runs", ready.exists)
        (self.here / "service.pid").write_text(f"{process.pid}\n")
        return process

    def start_agent(
        self,
        *,
        checks: str = POLLED,
        more: str = "",
        router: str = "",
        services: str = ONE_SERVICE,
        prefixes: str = PREFIX,
        agent: str = AGENT,
    ) -> subprocess.Popen[str]:
        (self.here / "ridgeline.yaml").write_text(SPEC.format(services=services, prefixes=prefixes))
        text = agent.format(here=self.here, checks=checks, more=more, router=router)
        (self.here / "agent.yaml").write_text(text)
        return self.run_agent()

    def run_agent(self) -> subprocess.Popen[str]:
        code = "import sys; from ridgeline.app.agent import run_agent; run_agent(*sys.argv[1:])"
        return self.start(
            self.site,
            *(sys.executable, "-c", code, str(self.here / "ridgeline.yaml"), "nrt"),
            output="agent.log",
        )

    def end(self, process: subprocess.Popen[str], how: signal.Signals = signal.SIGKILL) -> None:
        process.send_signal(how)
        if how is not signal.SIGSTOP:
            process.wait(10)

    # What is to be seen.

    def read_events(self, wait: float = 0.0) -> None:
        if select.select([self.events], [], [], wait)[0]:
            now = time.monotonic()
            self.seen += [(now, event) for event in self.events.read()]

    def has(self, prefix: str = PREFIX) -> bool:
        """Whether the neighbour has the route now."""
        self.read_events()
        shown = False
        for _, event in self.seen:
            if str(event.destination) == prefix:
                shown = event.added
        return shown

    def changes(self, prefix: str = PREFIX) -> int:
        self.read_events()
        return sum(str(event.destination) == prefix for _, event in self.seen)

    def wait_gone(self, prefix: str = PREFIX, seconds: float = WITHIN_S) -> None:
        wait_until(f"{prefix} is gone\n{self.log()}", lambda: not self.has(prefix), seconds)

    def wait_there(self, prefix: str = PREFIX, seconds: float = WITHIN_S) -> None:
        try:
            wait_until(f"{prefix} is there", lambda: self.has(prefix), seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def ask_bird(self, name: str, command: str) -> str:
        done = subprocess.run(
            ["birdc", "-s", str(self.here / f"{name}.ctl"), *command.split()],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=False,
        )
        return done.stdout

    def was_drained(self) -> bool:
        """Whether the neighbour has heard GRACEFUL_SHUTDOWN since `reset` (RFC 8326)."""
        log = (self.here / "neighbour.log").read_bytes()[self._log_at :]
        return f"drained {PREFIX}" in log.decode()

    def ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        return ask_agent(str(self.here / "agent.sock"), {"verb": verb, **arguments})

    def status(self) -> dict[str, Any]:
        try:
            return self.ask("status")
        except MachineError:
            return {"prefixes": [], "ok": False, "router": {"problem": "no agent"}}

    def log(self) -> str:
        path = self.here / "agent.log"
        return path.read_text() if path.exists() else ""

    def said(self, event: str) -> list[dict[str, Any]]:
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        return [entry for entry in map(json.loads, lines) if entry["event"] == event]

    def wait_said(self, event: str) -> str:
        """Wait for a line of the log, which comes after the deed; return its reason."""
        wait_until(f"{event} is said", lambda: self.said(event))
        return str(self.said(event)[0]["reason"])

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for stream in self._files:
            stream.close()
        self.events.close()
        self.site.close()
        self.neighbour.close()


@contextmanager
def bird_pair(here: Path) -> Iterator[Pair]:
    """Make a pair, and end it whatever happens."""
    pair = Pair(here)
    try:
        yield pair
    finally:
        pair.close()
