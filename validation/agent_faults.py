"""Fault x router: what the neighbour sees when things break. Writes docs/reference/agent-faults.md.

Every cell is run with the real agent, the real router and a BIRD neighbour, in namespaces, and is
told by the neighbour's own log. The exit code is 1 if anything is wrong at the neighbour for more
than 2 s, if a dead service is announced again, or if with --write anything cannot be run here. What
fails while others wanted the processors is told again, which the output says.

    .venv/bin/python validation/agent_faults.py [--only FAULT] [--router NAME] [--write]
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

from faults.busyness import Busyness
from faults.page import PAGE, spell_longest, write_page
from faults.routers import ROUTERS, Router, lacks
from faults.site import site_of
from faults.stores import Stores
from faults.table import FAULTS, Cell, missing_for, run_fault

BUSY = 1.25
"""From so many threads for each processor on, a failure may be the machine's."""
TIMES = 4
"""How often a cell is told at most."""


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="the name of a fault (again for more)")
    parser.add_argument("--router", action="append", help="the name of a router (again for more)")
    parser.add_argument("--write", action="store_true", help="write the page, if nothing fails")
    options = parser.parse_args()
    if options.write and (options.only or options.router):
        parser.error("the page is written by a whole run")
    cells: dict[tuple[str, str], Cell] = {}
    lacking = 0
    with contextlib.closing(Stores()) as stores:
        for kind in ROUTERS:
            if options.router and kind.name not in options.router:
                continue
            if absent := lacks(kind):
                print(f"{kind.name}: not installed: {absent}")
                lacking += 1
                continue
            lacking += _run_router(kind, stores, options.only, cells)
    failed = sum(bool(cell.problems) for cell in cells.values())
    longest = max((cell.longest_s or 0.0 for cell in cells.values()), default=0.0)
    print(f"{len(cells)} cells, {failed} failed, {lacking} not run; longest wrong {longest:.2f} s")
    if options.write and not failed and not lacking:
        write_page(cells)
        print(f"wrote {PAGE}")
    return 1 if failed or (options.write and lacking) else 0


def _run_router(
    kind: type[Router],
    stores: Stores,
    only: list[str] | None,
    cells: dict[tuple[str, str], Cell],
) -> int:
    """Run the faults of one router; return how many cannot be run here."""
    lacking = 0
    busyness = Busyness()
    busyness.start()
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,  # a short path: it holds unix sockets
        site_of(kind, Path(folder), stores) as site,
    ):
        for fault in FAULTS:
            if only and fault.name not in only:
                continue
            if absent := missing_for(fault, kind):
                print(f"{kind.name:7} {fault.name:27} not run, missing: {absent}")
                lacking += 1
                continue
            for left in reversed(range(TIMES)):
                began = time.monotonic()
                cell = cells[fault.name, kind.name] = run_fault(site, fault)
                _print(kind.name, fault.name, cell)
                stretch = busyness.stretch(began)
                if not cell.problems or stretch < BUSY or not left:
                    break
                print(f"    told again: {stretch:.1f} threads wanted each processor")
    return lacking


def _print(router: str, fault: str, cell: Cell) -> None:
    print(f"{router:7} {fault:27} {cell.saw} | {spell_longest(cell)} [{cell.took_s:.1f} s]")
    for problem in cell.problems:
        print(f"    FAILED: {problem}")
    sys.stdout.flush()
    if cell.log:
        print(cell.log, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
