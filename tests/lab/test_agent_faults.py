"""Faults, for each router that has a part in them: a quick run of `validation/agent_faults.py`."""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ridgeline.errors import MachineError
from ridgeline.lab.namespaces import NetworkNamespace

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.lab


def load_faults() -> ModuleType:
    path = ROOT / "validation" / "agent_faults.py"
    spec = importlib.util.spec_from_file_location("agent_faults", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it
    spec.loader.exec_module(module)
    return module


faults: Any = load_faults()
BY_NAME = {kind.name: kind for kind in faults.ROUTERS}
FAULTS = {fault.name: fault for fault in faults.FAULTS}
# BIRD meets every fault; the others those in which the router has a part.
CELLS = [
    (name, fault)
    for name in BY_NAME
    for fault in FAULTS
    if name == "BIRD" or FAULTS[fault].everywhere
]


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, Any]]:
    """Sites by router; one is built when a test first wants it, and ended when the next is."""
    try:
        NetworkNamespace.create().close()
    except MachineError as error:
        pytest.skip(str(error))
    built: dict[str, Any] = {}
    yield built
    end_sites(built)


def end_sites(built: dict[str, Any]) -> None:
    while built:
        _, (manager, folder, _) = built.popitem()
        manager.__exit__(None, None, None)
        shutil.rmtree(folder, ignore_errors=True)


def site_for(built: dict[str, Any], name: str) -> Any:
    if name not in built:
        end_sites(built)
        folder = tempfile.mkdtemp(prefix="ridgeline-faults-")
        manager = faults.site_of(BY_NAME[name], Path(folder))
        built[name] = (manager, folder, manager.__enter__())
    return built[name][2]


@pytest.mark.parametrize(("name", "fault"), CELLS)
def test_the_neighbour_sees_nothing_wrong_for_long(
    sites: dict[str, Any], name: str, fault: str
) -> None:
    if absent := faults.lacks(BY_NAME[name]):
        pytest.skip(f"not installed: {absent}")
    if fault in {"disk_full", "read_only"} and os.getuid() != 0:
        pytest.skip("mounting a file system needs root")
    assert faults.run_fault(site_for(sites, name), FAULTS[fault])


def test_the_published_table_has_every_fault_and_router() -> None:
    page = (ROOT / "docs" / "reference" / "agent-faults.md").read_text()
    for fault in FAULTS.values():
        assert f"| {fault.title} |" in page
    assert all(f" {name} |" in page for name in BY_NAME)
    assert "| not run |" not in page
    assert "FAILED" not in page
