"""A lab whose sites run the real agent."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo" / "ridgeline.yaml"
NAME = f"test-agents-{os.getpid()}"


def lab(*arguments: str) -> Any:
    """Run `ridgeline lab ... --json` on the lab of this module."""
    done = subprocess.run(
        [sys.executable, "-m", "ridgeline", "lab", *arguments, "--name", NAME, "--json"],
        capture_output=True,
        text=True,
        timeout=90,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sites() -> dict[str, str | None]:
    """Say which site answers each client."""
    return {c: d["services"]["dns"]["site"] for c, d in lab("status")["clients"].items()}


def settled() -> dict[str, str | None]:
    """Say the same once all six sites answer somebody; a crowded machine starves checks for a while."""
    deadline = time.monotonic() + 30
    while len(set((found := sites()).values()) - {None}) < 6 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert len(set(found.values())) == 6
    return found


@pytest.fixture(scope="module", autouse=True)
def lab_with_agents() -> Iterator[None]:
    lab("up", str(EXAMPLE), "--agents")
    yield
    down = [sys.executable, "-m", "ridgeline", "lab", "down", "--name", NAME]
    subprocess.run(down, check=False, capture_output=True, timeout=60)


def test_the_agent_heals_a_hang_that_would_last_for_ever() -> None:
    before = settled()
    seen = lab("fail", "nrt", "--how", "hang")
    moved = [c for c in seen["clients"] if c["before"] == "nrt"]
    assert moved
    assert all(c["after"] not in {None, "nrt"} for c in moved)
    assert max(c["outage_ms"] for c in moved) < 3500
    lab("heal", "nrt")
    assert settled() == before


def test_a_drain_goes_through_the_agent_and_loses_nothing() -> None:
    seen = lab("drain", "lhr")
    assert [c for c in seen["clients"] if c["before"] == "lhr"]
    assert all(c["queries_lost"] == 0 for c in seen["clients"])
    assert "lhr" not in sites().values()
    lab("heal", "lhr")
    assert "lhr" in sites().values()
