"""All faults, and how one is run."""

import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from . import (
    agent_dies,
    machine_fails,
    operator_errs,
    router_dies,
    service_fails,
    store_fails,
)
from .fault import Fault
from .routers import Router, lacks
from .site import Site

FAULTS: tuple[Fault, ...] = (
    *agent_dies.FAULTS,
    *router_dies.FAULTS,
    *operator_errs.FAULTS,
    *machine_fails.FAULTS,
    *store_fails.FAULTS,
    *service_fails.FAULTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One fault at one router."""

    saw: str
    """What the neighbour saw; or why it cannot be."""
    longest_s: float | None = None
    """The longest time that something was wrong; None: it does not apply."""
    problems: tuple[str, ...] = ()
    took_s: float = 0.0
    log: str = ""
    """What the agent said last, where there are problems."""


def missing_for(fault: Fault, kind: type[Router]) -> str:
    """Say what this machine lacks for a cell; empty: nothing."""
    return ", ".join(filter(None, (lacks(kind), fault.lacks())))


def run_fault(
    site: Site, fault: Fault, *, stretch: Callable[[float], float] = lambda _: 1.0
) -> Cell:
    """Tell one story, and judge it.

    `stretch` says by how much a busy machine stretched every time since `began` (monotonic).
    """
    began = monotonic()
    if reason := fault.not_for.get(site.router.name):
        return Cell(saw=f"n/a: {reason}")
    saw, longest, problems = "", 0.0, []
    try:
        fault.prepare(site)
        fault.run(site)
    except (AssertionError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        problems.append(f"{str(error) or where.line} ({where.name}, line {where.lineno})")
        traceback.print_exc(file=sys.stderr)
    else:
        verdict = site.verdict(within_s=fault.within_s * stretch(began))
        saw, longest = "; ".join((verdict.saw, *site.notes)), verdict.longest_s
        problems += verdict.problems
        if not fault.ends_agent and site.unit.starts != 1:
            problems.append(f"the agent ended by itself: {', '.join(site.unit.results)}")
    return Cell(
        saw=saw,
        longest_s=longest,
        problems=tuple(problems),
        took_s=monotonic() - began,
        log=f"{site.log()[-4000:]}\nended: {site.unit.results}" if problems else "",
    )
