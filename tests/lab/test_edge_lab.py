"""A whole lab whose edge is Varnish with a shield: pages are forgotten everywhere, also by who was away."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
NAME = f"edge-{os.getpid() % 10_000}"
PROGRAM = Path(sys.executable).with_name("ridgeline")


def ridgeline(*words: str, status: int = 0) -> Any:
    done = subprocess.run(
        [PROGRAM, "lab", *words, "--name", NAME, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def get(path: str = "/", *, city: str = "", scheme: str = "http") -> dict[str, dict[str, Any]]:
    some = ("--from", city) if city else ("--from", "nrt,lhr,jnb")
    fetched = ridgeline("get", f"{scheme}://192.0.2.80{path}", *some)["fetched"]
    return {one["from"]: one for one in fetched}


@pytest.fixture(scope="module", autouse=True)
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if shutil.which("varnishd", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("varnishd is not installed")
    text = (ROOT / "examples" / "demo" / "ridgeline.yaml").read_text()
    for site in ("iad", "gru", "syd"):  # three are enough, and start sooner
        text = re.sub(rf"(?m)^  {site}:.*\n(?:    .*\n?)*", "", text)
    wanted = "engine: varnish\n    tls: {}\n    shield: [nrt, lhr]\n    handoff: [/big]\n"
    kind = "    kind: http-cache\n"
    folder = tmp_path_factory.mktemp("edge")
    shutil.copytree(ROOT / "examples" / "demo" / "zones", folder / "zones")
    (folder / "ridgeline.yaml").write_text(text.replace(kind, f"{kind}    {wanted}"))
    ridgeline("up", str(folder / "ridgeline.yaml"))
    yield
    ridgeline("down")


def test_one_site_of_the_shield_fetches_for_all() -> None:
    get("/?shielded", scheme="https")
    answers = get("/?shielded", scheme="https")
    said = [one["headers"]["cache-status"] for one in answers.values()]
    assert all("; hit" in text for text in said)
    first = {one["headers"]["via"].split(", ")[0] for one in answers.values()}
    assert len(first) == 1  # whoever was asked, one site got it from the origin
    assert first <= {"1.1 nrt.example-anycast.example", "1.1 lhr.example-anycast.example"}
    assert {one["status"] for one in answers.values()} == {200}


def test_long_downloads_leave_the_anycast_address() -> None:
    moved = get("/big", city="jnb")["jnb"]
    assert moved["status"] == 307
    assert moved["headers"]["location"].startswith("http://198.19.")


def test_pages_are_forgotten_everywhere_and_by_who_was_away() -> None:
    here = get("/?purged", city="jnb")["jnb"]
    away = here["headers"]["x-served-by"]
    get("/?purged")
    assert "; hit" in get("/?purged", city="jnb")["jnb"]["headers"]["cache-status"]
    ridgeline("fail", away, "--how", "link")
    purged = ridgeline("purge", "all", status=1)
    assert purged["sites"][away]["state"] == "behind"
    assert {s["state"] for name, s in purged["sites"].items() if name != away} == {"purged"}
    ridgeline("heal", away)
    answer = get("/?purged", city="jnb")["jnb"]
    assert answer["headers"]["x-served-by"] == away
    assert answer["headers"]["cache-status"].rpartition(", ")[2].startswith(f"{away}.")
    assert "; fwd=miss" in answer["headers"]["cache-status"].rpartition(", ")[2]
    everywhere = ridgeline("purge", "http://192.0.2.80/?purged")
    assert everywhere["everywhere"]
    assert all(said["ms"] < 1000 for said in everywhere["sites"].values())


def test_what_is_no_key_is_refused_with_the_reason() -> None:
    said = ridgeline("purge", "a key", status=2)
    assert "neither a surrogate key nor a URL" in said
