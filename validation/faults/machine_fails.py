"""The disk is full, the file system read-only, the clock jumps."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from .fault import Fault, Group
from .judge import State, Want
from .site import Site

_CLOCK = "clock"
_HOUR = 3600


def disk_full(site: Site) -> None:
    """Fill the agent's file systems; the service dies; later there is room again."""
    fillers = []
    try:
        for folder in site.mounted:
            filler = folder / "filler"
            fillers.append(filler)
            with suppress(OSError), filler.open("wb", 0) as file:
                while True:
                    file.write(bytes(1024))
        site.let_service_die()
        site.settle()
        site.moment("the operator reloads")
        site.router.reload()
        site.settle(hold=1.0)
    finally:
        for filler in fillers:
            filler.unlink(missing_ok=True)
    _reload_when_mended(site, "with room again")


def read_only(site: Site) -> None:
    with _read_only(site.mounted):
        site.let_service_die()
        site.settle()
    _reload_when_mended(site, "the operator reloads")


def _reload_when_mended(site: Site, label: str) -> None:
    """Let the agent write what it could not, which it tries every second; then reload."""
    if site.said("router_degraded"):
        site.wait_said("router_whole")
    site.moment(label)
    site.router.reload()
    site.settle(hold=1.0)
    if not site.quick:
        site.let_service_live()
        site.settle()


@contextmanager
def _read_only(folders: list[Path]) -> Iterator[None]:
    """Lay each folder over itself, read-only; what is open there stays so, as after an error."""
    done = []
    try:
        for folder in folders:
            subprocess.run(["mount", "--bind", folder, folder], check=True)
            done.append(folder)
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        for folder in done:
            subprocess.run(["umount", "-l", folder], check=True)


def clock_jumps(site: Site) -> None:
    """Move the wall clock of the agent's process an hour forward, then two back."""
    for label, shift in (("an hour on", _HOUR), ("two hours back", -_HOUR)):
        site.moment(label)
        _set_clock(site, shift)
        site.settle()
        known = len(site.said("reloaded"))
        site.unit.send(signal.SIGHUP)  # so that it says its time
        site.wait_said("reloaded", more_than=known)
        said = datetime.fromisoformat(site.said("reloaded")[-1]["time"]).timestamp()
        assert abs(said - time.time() - shift) < 60, "the clock has not jumped"
        site.settle()
    site.let_service_die()
    site.settle()
    site.let_service_live()
    site.settle()


def clock_jumps_in_drain(site: Site) -> None:
    """Drain for half an hour; an hour on is no reason to resume."""
    site.moment("drained for 30 min", Want.ANY)
    site.ask("drain", reason="rack move", for_s=1800)
    site.wait(lambda: site.state is State.GONE, "the drain ends in a withdrawal")
    for label, shift in (("an hour on", _HOUR), ("two hours back", -_HOUR)):
        site.moment(label, Want.GONE)
        _set_clock(site, shift)
        site.settle()
    site.moment("resumed", Want.THERE)
    site.ask("resume")
    site.settle()


def _set_clock(site: Site, shift: int) -> None:
    fresh = site.here / f"{_CLOCK}.new"
    fresh.write_text(f"{shift:+d}\n")
    fresh.replace(site.here / _CLOCK)


def _with_a_clock(site: Site) -> None:
    _set_clock(site, 0)
    site.heal(
        environment={
            "LD_PRELOAD": find_faketime(),
            "FAKETIME_TIMESTAMP_FILE": str(site.here / _CLOCK),
            "FAKETIME_NO_CACHE": "1",
            # Linux never moves that one: leave it alone, and what waits by it. Names differ by
            # version.
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
    )


def find_faketime() -> str:
    """Find libfaketime, which stands between a program and the wall clock; empty: not here."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return str(found[0]) if found else ""


def lacks_faketime() -> str:
    return "" if find_faketime() else "libfaketime (apt-get install faketime)"


def lacks_mounts() -> str:
    return "" if os.getuid() == 0 else "the right to mount (root)"


FAULTS = (
    Fault(
        run=disk_full,
        title="The disk is full while the agent writes; the service dies; the operator reloads, then "
        "and when there is room again",
        group=Group.MACHINE,
        lacks=lacks_mounts,
    ),
    Fault(
        run=read_only,
        title="The file system has become read-only; the service dies; when it is writable again, the "
        "operator reloads",
        group=Group.MACHINE,
        lacks=lacks_mounts,
    ),
    Fault(
        run=clock_jumps,
        title="The wall clock jumps an hour forward, then two back; then the service dies",
        group=Group.MACHINE,
        prepare=_with_a_clock,
        lacks=lacks_faketime,
    ),
    Fault(
        run=clock_jumps_in_drain,
        title="The wall clock jumps so while the site is drained for half an hour",
        group=Group.MACHINE,
        prepare=_with_a_clock,
        lacks=lacks_faketime,
    ),
)
