"""Labs for the tests: real ones, run by the real command, ended whatever happens."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "demo" / "ridgeline.yaml"
SPECS = Path(__file__).parent / "specs"

_numbers = count(1)

LONGEST = (
    "test_agent_faults",
    "test_docs_lab",
    "test_failover",
    "test_agent_bfd",
    "test_zones",
    "test_edge_lab",
    "test_provider",
)
"""Files that take the longest begin first, so that no worker is left alone with one at the end."""
APART = {"test_docs_lab": "page", "test_routers": "backend"}
"""Files whose parameter of this name asks for a lab of its own: each may be another worker's."""


def work_unit(item: pytest.Item) -> str:
    """Name what one worker must run as a whole: mostly a file, whose tests share a lab."""
    unit = item.path.stem
    callspec = getattr(item, "callspec", None)
    if callspec is not None and APART.get(unit) in callspec.params:
        wants = callspec.params[APART[unit]]
        return f"{unit}-{getattr(wants, '__name__', wants)}"
    return unit


def is_agents(item: pytest.Item) -> bool:
    return "agent" in item.path.parent.name or item.path.name.startswith("test_agent_")


def rank(unit: str) -> int:
    return next((n for n, name in enumerate(LONGEST) if unit.startswith(name)), len(LONGEST))


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """Order lab tests so that at all times some ask for much (labs), others mostly wait (agents)."""
    units = list(dict.fromkeys(work_unit(item) for item in items))
    units.sort(key=rank)
    agents = {work_unit(item) for item in items if is_agents(item)}
    place: dict[str, float] = {}
    for kind in (agents, set(units) - agents):
        mine = [unit for unit in units if unit in kind]
        place |= {unit: (number + 0.5) / len(mine) for number, unit in enumerate(mine)}
    return sorted(items, key=lambda item: place[work_unit(item)])


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is a lab test; without the daemons it is skipped, and says so."""
    here = Path(__file__).parent
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [p for p in ("bird", "knotd", "unbound", "nginx") if not shutil.which(p, path=path)]
    labs = [item for item in items if here in item.path.parents]
    for item in labs:
        item.add_marker(pytest.mark.lab)
        item.add_marker(pytest.mark.xdist_group(work_unit(item)))
        if is_agents(item):
            item.add_marker(pytest.mark.agent)
        if missing:
            item.add_marker(
                pytest.mark.skip(reason=f"not installed: {missing}; scripts/setup packages")
            )
    items[:] = [item for item in items if here not in item.path.parents] + spread(labs)


@dataclass(frozen=True)
class Lab:
    """A lab under test, driven as a user would."""

    name: str

    def run(self, *arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
        """Run `ridgeline lab ...` on this lab."""
        verb, *rest = arguments
        return ridgeline("lab", verb, "--name", self.name, *rest, timeout=timeout)

    def program(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run any other command."""
        return ridgeline(*arguments)

    def ask(self, *arguments: str) -> Any:
        """Run it with --json, expect success, return the document."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def sites(self, service: str = "dns", *options: str) -> dict[str, str | None]:
        """Say which site answers each client."""
        status = self.ask("status", *options)
        return {c: d["services"][service]["site"] for c, d in status["clients"].items()}


def ridgeline(*arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    return subprocess.run(
        [sys.executable, "-m", "ridgeline", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def fresh_name() -> str:
    """Name a lab as no other test does."""
    return f"test-{os.getpid()}-{next(_numbers)}"


def lab_of(spec: Path, *options: str) -> Iterator[Lab]:
    """Bring a lab up for as long as a test needs it."""
    lab = Lab(fresh_name())
    done = ridgeline("lab", "up", str(spec), "--name", lab.name, *options)
    assert done.returncode == 0, done.stderr
    try:
        yield lab
    finally:
        lab.run("down")


@pytest.fixture(scope="module")
def demo_lab() -> Iterator[Lab]:
    """The example of the README, up; a module's tests share it and leave it healthy."""
    yield from lab_of(EXAMPLE)


@pytest.fixture(scope="module")
def bfd_lab() -> Iterator[Lab]:
    """Two sites, BFD on every uplink."""
    yield from lab_of(SPECS / "bfd.yaml")
