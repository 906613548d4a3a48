"""Checks that run wild, and a service that flaps."""

import os
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

from ridgeline.lab.beds.router import wait_until

from .fault import Fault, Group
from .judge import Want
from .site import Site, kill_all

_seconds = count(1000)
"""How long a wild check sleeps: by that we know it again."""
_SHOUT = "head -c 100000000 /dev/zero | tr '\\0' x"


def check_shouts(site: Site) -> None:
    """Print 100 MB."""
    _run_wild(site, _SHOUT)


def check_hangs(site: Site) -> None:
    """Hang, and ignore SIGTERM and SIGHUP."""
    _run_wild(site, "trap '' TERM HUP\nsleep MARKER")


def check_forks(site: Site) -> None:
    """Leave children behind, in the group and out of it, which hold the pipe open."""
    _run_wild(site, "trap '' TERM\nsleep MARKER &\nsetsid sleep MARKER &\nsleep MARKER")


def _run_wild(site: Site, lines: str) -> None:
    """Run a check that goes wild while a file is missing, and passes while it is there."""
    marker = f"{next(_seconds)}.{os.getpid()}"
    calm = site.here / "calm"
    calm.touch()
    script = (
        site.here / f"check-{len(list(site.here.glob('check-*')))}.sh"
    )  # the old one may still run
    script.write_text(f"#!/bin/bash\n[ -e {calm} ] && exit 0\n{lines.replace('MARKER', marker)}\n")
    script.chmod(0o755)
    site.heal(checks=f"{{exec: {{command: [{script}]}}}}")
    try:
        site.moment("", Want.GONE)
        calm.unlink()
        site.settle(hold=1.0)
        calm.touch()
        site.moment("it passes again", Want.THERE)
        site.settle()
        wait_until(
            lambda: not _left_in_group(marker),
            "what the check left in its group is dead",
            seconds=2,
        )
    finally:
        calm.touch()
        kill_all(_running(marker))  # what left by setsid


def _running(marker: str) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and f"sleep\0{marker}" in (process / "cmdline").read_text():
                found.append(int(process.name))
    return found


def _left_in_group(marker: str) -> list[int]:
    """Find those that did not make a session of their own: there the agent can end them."""
    left = []
    for pid in _running(marker):
        with suppress(OSError):
            if os.getsid(pid) != pid:
                left.append(pid)
    return left


def service_flaps(site: Site) -> None:
    site.heal(damping="60s")
    until = time.monotonic() + (2.5 if site.quick else 10)
    before = len(site.changes)
    site.moment("", Want.THERE)
    while time.monotonic() < until:
        site.moment("", Want.GONE)
        site.end_service()
        time.sleep(0.5)
        site.start_service()
        site.moment("", Want.ANY)  # dead again soon: no reason to hurry
        time.sleep(0.5)
    site.settle()
    updates = len(site.changes) - before
    site.notes.append(f"{updates} update{'s' * (updates != 1)} in all")
    assert updates <= 2, site.changes[before:]  # in a minute, whatever the service does


def _later(_: Site) -> None:
    """Each heals with a check of its own."""


FAULTS = (
    *(
        Fault(run=run, title=title, group=Group.SERVICE, prepare=_later)
        for run, title in (
            (check_shouts, "A check prints 100 MB"),
            (check_hangs, "A check hangs and ignores SIGTERM"),
            (check_forks, "A check forks, in its group and out of it, and hangs"),
        )
    ),
    Fault(
        run=service_flaps,
        title="The service dies and lives every second, for ten seconds",
        group=Group.SERVICE,
        prepare=_later,
    ),
)
