"""The agent is killed, stopped, starved, or not alone."""

import resource
import signal
from dataclasses import replace
from pathlib import Path

from .fault import Fault, Group
from .judge import Want
from .memory import lacks_memory_group, out_of_memory
from .routers import Bird, Frr, Router
from .site import Site

LEASE_WITHIN_S = 3.0
"""The kernel counts in seconds, and ours ends after two: no switch for who needs two."""


def agent_killed(site: Site) -> None:
    site.moment()
    site.unit.send(signal.SIGKILL)
    _come_back(site)


def agent_killed_service_dies(site: Site) -> None:
    site.moment(want=Want.GONE)
    site.unit.send(signal.SIGKILL)
    site.end_service()
    _come_back(site)


def agent_stopped(site: Site) -> None:
    site.moment()
    site.unit.send(signal.SIGSTOP)
    _come_back(site)


def agent_stopped_service_dies(site: Site) -> None:
    site.moment(want=Want.GONE)
    site.unit.send(signal.SIGSTOP)
    site.end_service()
    _come_back(site)


def agent_out_of_memory(site: Site) -> None:
    """Die by the kernel's hand, as does the service: it is the machine that has no memory left."""
    assert site.unit.process is not None
    site.moment("memory runs out")
    out_of_memory(site.unit.process.pid)
    site.let_service_die()
    _come_back(site)
    assert site.unit.results[0] == "signal", site.unit.results


def agent_starved(site: Site) -> None:
    """Get no more memory, not a page of it: every allocation may fail (setrlimit(2), RLIMIT_AS)."""
    assert site.unit.process is not None
    pid = site.unit.process.pid
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    size = pages * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
    site.let_service_die()
    site.settle()
    site.let_service_live()
    site.settle()


def _come_back(site: Site) -> None:
    """Wait for systemd's next agent, and what it makes of things."""
    site.wait(lambda: site.unit.starts > 1, "systemd has started the agent again")
    site.wait(lambda: site.is_judged, "the new agent has judged")
    site.settle(hold=1.0)
    if site.service is None and not site.quick:
        site.let_service_live()
        site.settle()


def agent_stopped_leased(site: Site) -> None:
    """Be stopped where nobody restarts it, with a lease as the switch; later it goes on."""
    site.moment(want=Want.GONE)
    site.unit.send(signal.SIGSTOP)
    site.end_service()
    site.settle()
    site.moment("it goes on")
    site.unit.send(signal.SIGCONT)
    site.settle(hold=1.0)
    site.let_service_live()
    site.settle()


def _leased(site: Site) -> None:
    kept = site.unit.settings
    site.unit.settings = replace(kept, watchdog_s=0.0)
    site.heal(leased=True)
    site.unit.settings = kept


def two_agents(site: Site) -> None:
    site.moment("a second agent")
    second = site.bed.start(*site.argv(), name="second")
    site.wait(lambda: second.poll() is not None, "the second ends")
    assert second.returncode != 0
    site.bed.end(second)
    site.settle()
    site.let_service_die()
    site.settle()


def two_agents_apart(site: Site) -> None:
    """Run a second agent that does not know of the first: its state is elsewhere."""
    config = site.here / "other.yaml"
    config.write_text(site.render_config("other"))
    (site.here / "second.out").unlink(missing_ok=True)
    site.moment("a second agent")
    second = site.bed.start(*site.argv(config), name="second")
    try:
        site.wait(lambda: '"found"' in (site.here / "second.out").read_text(), "the second works")
        site.settle(hold=1.5)
        site.let_service_die()
        site.settle()
        site.let_service_live()
        site.settle()
    finally:
        site.bed.end(second)


def _killed_by(kind: type[Router]) -> str:
    return kind.killed_by


def _stopped_by(kind: type[Router]) -> str:
    return kind.stopped_by


FAULTS = (
    Fault(
        run=agent_killed,
        title="The agent is killed (SIGKILL); the service is healthy",
        group=Group.AGENT,
        ends_agent=True,
        relies_on=_killed_by,
    ),
    Fault(
        run=agent_killed_service_dies,
        title="The agent is killed (SIGKILL), and the service dies",
        group=Group.AGENT,
        ends_agent=True,
        relies_on=_killed_by,
    ),
    Fault(
        run=agent_stopped,
        title="The agent is stopped (SIGSTOP); the service is healthy",
        group=Group.AGENT,
        ends_agent=True,
        relies_on=_stopped_by,
    ),
    Fault(
        run=agent_stopped_service_dies,
        title="The agent is stopped (SIGSTOP), and the service dies",
        group=Group.AGENT,
        ends_agent=True,
        relies_on=_stopped_by,
    ),
    Fault(
        run=agent_out_of_memory,
        title="The kernel kills the agent, out of memory, and the service dies",
        group=Group.AGENT,
        ends_agent=True,
        lacks=lacks_memory_group,
        relies_on=_killed_by,
    ),
    Fault(
        run=agent_starved,
        title="The agent gets no more memory (RLIMIT_AS), and the service dies",
        group=Group.AGENT,
        ends_agent=True,
        relies_on=_killed_by,
    ),
    Fault(
        run=agent_stopped_leased,
        title="The agent is stopped (SIGSTOP), the service dies, the agent goes on (SIGCONT); "
        "a lease of 2 s instead, and no systemd",
        group=Group.AGENT,
        prepare=_leased,
        within_s=LEASE_WITHIN_S,
        relies_on=lambda _: "the kernel, which ends the lease",
        not_for=dict.fromkeys(("GoBGP", "ExaBGP"), "its routes depend on no next hop"),
    ),
    Fault(
        run=two_agents,
        title="A second agent is started for the same site, and ends; then the service dies",
        group=Group.AGENT,
    ),
    Fault(
        run=two_agents_apart,
        title="A second agent with a state directory of its own; then the service dies",
        group=Group.AGENT,
        relies_on=lambda kind: "the device takes one agent" if kind in {Bird, Frr} else "",
    ),
)
