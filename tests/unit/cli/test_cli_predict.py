"""`ridgeline predict` and `ridgeline compare` as they are typed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = "examples/demo/ridgeline.yaml"


def ridgeline(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ridgeline", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_table_tells_shares_certainty_and_detours() -> None:
    done = ridgeline("predict", DEMO)
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("Tokyo", "certainty of users:", "detours:", "fynbos.jnb", "norrsken"):
        assert text in done.stdout


def test_one_json_document_and_nothing_else() -> None:
    done = ridgeline("predict", DEMO, "--json", "--clients", "none", "--down", "syd")
    document = json.loads(done.stdout)
    assert document["schema"] == "ridgeline.prediction/1"
    assert "syd" not in document["sites"]
    assert "clients" not in document


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--down", "tyo"], "no site is named 'tyo'"),
        (["--prepend", "syd"], "expected SITE=N"),
        (["--internet", "builtin:mars"], "builtin:mars"),
        (["--internet", "no/such/file"], "no/such/file"),
        (["--output", "map.csv"], "map.csv: a map is written as .jsonl or .parquet"),
        (["--map", "map.jpeg"], "map.jpeg: a map is drawn as .svg, .png, .html"),
        (
            [a for s in ["nrt", "lhr", "iad", "gru", "jnb", "syd"] for a in ("--down", s)],
            "every site is down",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_code_2(
    arguments: list[str], complaint: str
) -> None:
    done = ridgeline("predict", DEMO, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_internet_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n")
    done = ridgeline("predict", DEMO, "--internet", str(empty))
    assert (done.returncode, done.stdout) == (2, "")
    assert str(empty) in done.stderr


def test_compare_says_who_moved_and_obeys_require(tmp_path: Path) -> None:
    a, b = str(tmp_path / "a.jsonl"), str(tmp_path / "b.parquet")
    assert ridgeline("predict", DEMO, "-o", a).returncode == 0
    assert ridgeline("predict", DEMO, "-o", b, "--down", "syd").returncode == 0
    same, other = ridgeline("compare", a, a, "--require", "100"), ridgeline("compare", a, b)
    assert same.returncode == other.returncode == 0
    assert "100.0 %" in same.stdout
    assert "banyan.bom" in other.stdout
    refused = ridgeline("compare", a, b, "--require", "99.5", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["agreement"] < 1
    assert "99.5 % are required" in refused.stderr


def test_a_prediction_starts_no_compiler() -> None:
    code = (
        "import sys; from ridgeline.app.predict import predict_file;"
        f"predict_file({DEMO!r}, 'builtin:demo'); print('numba' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
