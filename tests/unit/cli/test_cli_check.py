import json
import subprocess
import sys
from pathlib import Path

import pytest

from ridgeline.app.new import new_network
from ridgeline.cli import main
from ridgeline.spec.schema import read_schema


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    out, err = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, out, err


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    return new_network(tmp_path / "not a name")[0]


def test_a_right_spec_gets_one_line(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("check", str(spec), capsys=capsys)
    assert (code, err) == (0, "")
    assert out == f"{spec}: ok: 3 sites, 3 services, 2 prefixes\n"


def test_a_warning_is_told_and_counted_and_is_no_failure(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.write_text(spec.read_text().replace("192.0.2.0/24, 2", "192.0.2.0/25, 2"))
    code, out, err = run("check", str(spec), capsys=capsys)
    assert code == 0
    assert out.endswith(": ok: 3 sites, 3 services, 2 prefixes, 1 warning\n")
    assert ": warning: prefixes[0]: 192.0.2.0/25 is longer than /24" in err


def test_every_spec_is_judged_even_after_a_wrong_one(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = spec.with_name("wrong.yaml")
    wrong.write_text("network: X\n")
    gone = spec.with_name("gone.yaml")
    code, out, err = run("check", str(wrong), str(gone), str(spec), capsys=capsys)
    assert code == 2
    assert [line.rpartition("/")[2] for line in out.splitlines()] == [
        "wrong.yaml: 4 problems",
        "gone.yaml: 1 problem",
        "ridgeline.yaml: ok: 3 sites, 3 services, 2 prefixes",
    ]
    assert f"{wrong}:1:10: network: 'X' is not a name" in err
    assert f"{gone}:1:1: there is no such file" in err


def test_json_says_the_same_one_document_a_line(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = spec.with_name("wrong.yaml")
    wrong.write_text(spec.read_text().replace("asn: 64500 ", "asn: 0").replace("/24, 2", "/25, 2"))
    code, out, err = run("check", "--json", str(spec), str(wrong), capsys=capsys)
    assert (code, err) == (2, "")
    good, bad = map(json.loads, out.splitlines())
    assert good == {
        "schema": "ridgeline.check/1",
        "file": str(spec),
        "ok": True,
        "problems": [],
        "summary": {
            "network": "example-anycast",
            "asn": 64500,
            "sites": 3,
            "services": 3,
            "prefixes": 2,
        },
    }
    assert (bad["ok"], bad["summary"]) == (False, None)
    assert bad["problems"][0] == {
        "file": str(wrong),
        "line": 9,
        "column": 6,
        "where": "asn",
        "message": "AS0 is reserved and cannot announce a prefix",
        "severity": "error",
    }
    assert bad["problems"][1]["severity"] == "warning"


def test_json_of_a_missing_file_is_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run("check", "--json", str(tmp_path / "x.yaml"), capsys=capsys)
    assert code == 2
    (problem,) = json.loads(out)["problems"]
    assert (problem["line"], problem["column"], problem["severity"]) == (1, 1, "error")


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--schema", capsys=capsys) == (0, read_schema(), "")


@pytest.mark.parametrize("arguments", [(), ("--schema", "ridgeline.yaml")])
def test_a_misuse_is_told(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("check", *arguments, capsys=capsys)
    assert (code, out) == (2, "")
    assert "Usage: ridgeline check" in err


def test_new_lists_its_files_and_says_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run("new", str(tmp_path / "net"), "--sites", "gru, syd", capsys=capsys)
    assert code == 0
    assert [Path(line).name for line in out.splitlines()] == [
        "ridgeline.yaml",
        "example.test.zone",
        "index.html",
    ]
    assert err == f"next: ridgeline check {tmp_path}/net/ridgeline.yaml\n"
    code, out, err = run("new", "--json", str(tmp_path / "net"), capsys=capsys)
    assert (code, out) == (2, "")
    assert "exists already" in err


def test_new_speaks_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run("new", "--json", str(tmp_path / "net"), capsys=capsys)
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["schema"] == "ridgeline.new/1"
    assert all(Path(file).is_file() for file in document["files"])


def test_check_loads_no_simulator() -> None:
    program = (
        "import sys; from ridgeline.app.check import check_spec; check_spec('-');"
        "print(sorted(m for m in sys.modules if m in {'numpy', 'numba', 'rich', 'pyarrow'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="network: x",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
