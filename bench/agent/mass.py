"""A thousand services that fail in one moment, on every router that is installed.

The clock is the neighbour's BIRD, which logs each change of its table: a program of ours that
counted a thousand kernel events would need longer than what it measures.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from agent.backends import BACKENDS, Backend, Bird, backend_of, lacks
from bed import percentile, summary

from ridgeline.agent.control import ask_agent
from ridgeline.errors import MachineError

N_SERVICES = 1000
SPEC = """\
network: example-anycast
asn: 64500
prefixes: [{prefixes}]
services:
{services}
health: {{interval: 1s, timeout: 500ms, fall: 1, rise: 1}}
sites:
  nrt: {{upstreams: [{{asn: 65550}}]}}
"""
AGENT = """\
router: {{kind: {kind}, socket: "{socket}"{include}}}
state: {here}/state
control: {here}/agent.sock
damping: 0s
services:
{services}
"""
RUN = "import sys; from ridgeline.app.agent import run_agent; run_agent(*sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class Failed:
    """One time; milliseconds from the death of the process."""

    first_ms: float
    last_ms: float


def thousand() -> list[str]:
    """Name a thousand networks, without the length and the last byte."""
    return [f"100.{64 + i // 250}.{i % 250}" for i in range(N_SERVICES)]


def measure_mass(quick: bool) -> dict[str, list[Failed]]:
    """Return router -> what was measured; nothing of a router that is not installed."""
    found: dict[str, list[Failed]] = {}
    for kind in BACKENDS:
        name = kind.kind.value
        if reason := lacks(kind):
            print(f"{name}: {reason}", flush=True)
            continue
        times = (3 if quick else 10) if kind is Bird else (2 if quick else 5)
        with backend_of(kind) as backend:
            found[name] = list(_fail(backend, times))
        last = [one.last_ms for one in found[name]]
        print(f"a thousand fail at once, {name}: {summary(last)}", flush=True)
    return found


def mass_figures(found: dict[str, list[Failed]]) -> Iterator[tuple[str, float, float | None]]:
    """Name each figure, with its value and, for BIRD, its bar."""
    for name, times in found.items():
        of = "" if name == "bird" else f"_{name}"
        last = [one.last_ms for one in times]
        yield f"thousand_fail_at_once{of}_p95_ms", percentile(last, 0.95), None if of else 50
        yield f"thousand_fail_at_once{of}_median_ms", median(last), None


def _fail(backend: Backend, times: int) -> Iterator[Failed]:
    here, bed = backend.here, backend.bed
    settings = backend.settings()
    names = thousand()
    services = "\n".join(
        f"  s{i}: {{kind: custom, addresses: [{name}.53]}}" for i, name in enumerate(names)
    )
    prefixes = ", ".join(f"{name}.0/24" for name in names)
    (here / "ridgeline.yaml").write_text(SPEC.format(prefixes=prefixes, services=services))
    checks = "\n".join(
        f"  s{i}: {{checks: [{{process: {{pidfile: {here}/service.pid, rise: 1}}}}]}}"
        for i in range(N_SERVICES)
    )
    include = f", include: {settings.include}" if settings.include else ""
    (here / "agent.yaml").write_text(
        AGENT.format(
            kind=settings.kind.value,
            socket=settings.socket,
            include=include,
            here=here,
            services=checks,
        )
    )
    for _ in range(times):
        service = bed.start("sleep", "3600")
        (here / "service.pid").write_text(f"{service.pid}\n")
        bed.mark()
        agent = bed.start(
            *(sys.executable, "-c", RUN, str(here / "ridgeline.yaml"), "nrt"), name="agent"
        )
        _wait_announced(backend, agent)
        time.sleep(2)
        bed.mark()
        killed = time.time()
        service.kill()
        _wait_withdrawn(backend)
        at = [event.at for event in bed.heard() if not event.is_present]
        yield Failed((min(at) - killed) * 1000, (max(at) - killed) * 1000)
        bed.end(service)
        bed.end(agent)


def _wait_announced(backend: Backend, agent: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and agent.poll() is None:
        with contextlib.suppress(MachineError):
            said = ask_agent(str(backend.here / "agent.sock"), {"verb": "status"})
            if said["prefixes"] and all(p["held"] == "announced" for p in said["prefixes"]):
                return
        time.sleep(0.2)
    raise TimeoutError(f"not announced\n{(backend.here / 'agent.out').read_text()[-3000:]}")


def _wait_withdrawn(backend: Backend) -> None:
    """Look seldom: looking takes time from what is measured."""
    deadline = time.monotonic() + 20
    gone = 0
    while time.monotonic() < deadline:
        time.sleep(0.7)
        gone = len({event.prefix for event in backend.bed.heard() if not event.is_present})
        if gone >= N_SERVICES:
            return
    log = (backend.here / "agent.out").read_text()[-3000:]
    raise RuntimeError(f"{gone} of {N_SERVICES} gone\n{log}")
