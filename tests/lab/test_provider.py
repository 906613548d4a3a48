"""The example with everything on: six sites, all three services, signed, encrypted, shielded, rescued."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.lab
SPEC = Path(__file__).parents[2] / "examples" / "provider" / "ridgeline.yaml"
NAME = f"provider-{os.getpid()}"


def lab(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "ridgeline", "lab", *arguments, "--name", NAME, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", autouse=True)
def provider() -> Iterator[None]:
    lab("up", str(SPEC))
    yield
    down = [sys.executable, "-m", "ridgeline", "lab", "down", "--name", NAME]
    subprocess.run(down, check=False, capture_output=True, timeout=60)


def test_all_six_sites_are_the_same() -> None:
    seen = lab("status", "--consistency")
    assert seen["schema"] == "ridgeline.consistency/1"
    assert seen["consistent"] is True
    assert len(seen["sites"]) == 6


def test_a_signed_name_is_validated_over_tls_from_every_corner() -> None:
    answers = lab("dig", "www.example.test", "--tls", "--from", "nrt,jnb,gru")["answers"]
    assert len(answers) == 3
    assert all(one["validated"] and one["status"] == "NOERROR" for one in answers)


def test_a_page_comes_over_https_from_the_nearest_edge() -> None:
    answers = lab("get", "https://www.example.test/", "--from", "nrt,jnb,gru")["fetched"]
    assert {one["headers"]["x-served-by"] for one in answers} == {"nrt", "jnb", "gru"}
    assert all(one["status"] == 200 for one in answers)


def test_with_the_spec_s_rescue_no_session_is_lost_when_routes_move() -> None:
    moved = lab("sessions", "nrt", "--event", "fail", "-n", "100")["classes"]
    lab("heal", "nrt")
    for kind in ("download", "keep-alive", "dns-over-tcp", "dns-over-tls"):
        row = moved[kind]["moved"]
        assert row["sessions"] > 0, kind
        assert row["survived"] >= 0.99 * row["sessions"], kind
