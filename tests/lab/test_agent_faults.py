"""Faults: a quick run of `validation/agent_faults.py`. BIRD meets every one, the others one each.

Each story mostly waits; so several sites tell theirs side by side, and each test looks at one.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from importlib import import_module
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from ridgeline.errors import MachineError
from ridgeline.lab.kernel.namespaces import NetworkNamespace

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "validation"))
table: Any = import_module("faults.table")
routers: Any = import_module("faults.routers")
site_of: Any = import_module("faults.site").site_of
make_busyness: Any = import_module("faults.busyness").Busyness
make_stores: Any = import_module("faults.stores").Stores

pytestmark = pytest.mark.lab

FAULTS = {fault.name: fault for fault in table.FAULTS}
KINDS = {kind.name: kind for kind in routers.ROUTERS}
ELSEWHERE = {
    "GoBGP": "agent_killed_service_dies",
    "FRR": "agent_stopped_service_dies",
    "ExaBGP": "agent_killed_service_dies",
}
CELLS = [*ELSEWHERE.items(), *(("BIRD", name) for name in FAULTS)]
SITES, STORES = 5, 2
"""BIRD's sites that tell their stories side by side; the first have a store each."""

Cell = tuple[str, str]


class Run:
    """Tells the stories of the cells that are asked for."""

    def __init__(self, cells: list[Cell]) -> None:
        self.results: dict[Cell, Future[Any]] = {cell: Future() for cell in cells}
        self.stores = [make_stores() for _ in range(STORES)]
        self.busyness = make_busyness()
        self.busyness.start()
        self._is_ending = threading.Event()
        names = [name for kind, name in cells if kind == "BIRD"]
        of_store = [name for name in names if FAULTS[name].group.name == "STORE"]
        others = SimpleQueue[str]()
        for name in names:
            if name not in of_store:
                others.put(name)
        self._lanes = [
            threading.Thread(target=self._work, args=(kind, 0, [name], SimpleQueue()))
            for kind, name in cells
            if kind != "BIRD"
        ]
        for number in range(min(SITES, len(names))):
            own = of_store[number::STORES] if number < STORES else []
            arguments = ("BIRD", number % STORES, own, others)
            self._lanes.append(threading.Thread(target=self._work, args=arguments))
        for lane in self._lanes:
            lane.start()

    def _work(self, kind: str, store: int, own: list[str], others: "SimpleQueue[str]") -> None:
        """Tell one's own stories, then what is left of the others'."""
        with ExitStack() as stack:
            site: Any = None
            for name in chain(own, drawn(others)):
                if self._is_ending.is_set():
                    return
                result = self.results[kind, name]
                try:
                    if site is None:
                        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))
                        make = site_of(KINDS[kind], Path(folder), self.stores[store])
                        site = stack.enter_context(make)
                        site.quick = True
                    told = table.run_fault(site, FAULTS[name], stretch=self.busyness.stretch)
                    result.set_result(told)
                except BaseException as error:  # noqa: BLE001 - the test that waits for it raises it
                    result.set_exception(error)

    def close(self) -> None:
        self._is_ending.set()
        for lane in self._lanes:
            lane.join()
        for stores in self.stores:
            stores.close()


def drawn(waiting: "SimpleQueue[str]") -> Iterator[str]:
    while True:
        try:
            yield waiting.get_nowait()
        except Empty:
            return


def missing(cell: Cell) -> str:
    return str(table.missing_for(FAULTS[cell[1]], KINDS[cell[0]]))


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Begin all the stories that this session asks for."""
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    asked: list[Any] = [
        item.callspec.params["cell"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == Path(__file__)
        and hasattr(item, "callspec")
        and "cell" in item.callspec.params
    ]
    begun = Run([cell for cell in asked if not missing(cell)])
    yield begun
    begun.close()


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_the_neighbour_sees_nothing_wrong_for_long(run: Run, cell: Cell) -> None:
    if absent := missing(cell):
        pytest.skip(f"not here: {absent}")
    told = run.results[cell].result(timeout=150)
    assert told.problems == (), f"{told.saw}\n{told.log}"
    assert told.longest_s is not None


def test_the_published_page_has_a_row_for_every_fault_and_router() -> None:
    page = (ROOT / "docs" / "reference" / "agent-faults.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    titles = [row[0].removeprefix("| ").strip() for row in rows]
    for fault in FAULTS.values():
        at = titles.index(fault.title)
        assert [row[1] for row in rows[at : at + len(KINDS)]] == list(KINDS)
        assert all(row[2] for row in rows[at : at + len(KINDS)])
    assert "FAILED" not in page
