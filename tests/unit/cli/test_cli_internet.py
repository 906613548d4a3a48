"""What `ridgeline internet` says to people and to programs."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ridgeline.cli import main
from ridgeline.cli.internet import command


@pytest.fixture(autouse=True)
def _cache_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def said(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def document(*arguments: str) -> dict[str, object]:
    found = json.loads(said(*arguments, "--json"))
    assert isinstance(found, dict)
    assert found["schema"] == "ridgeline.internet/1"
    return found


def test_show_describes_the_demo() -> None:
    text = said("show", "builtin:demo")
    assert "ASes          40\n" in text
    assert "in one piece  yes" in text
    assert "IN              2       2   260,000,000" in text


def test_show_as_a_document() -> None:
    found = document("show", "builtin:demo")
    assert (found["ases"], found["pops"], found["sessions"]) == (40, 70, 68)
    assert found["tiers"] == {"tier1": 3, "transit": 11, "stub": 26}
    assert found["parts"] == {"count": 1, "largest": 40, "outside": []}
    assert "as" not in found


def test_show_describes_one_as() -> None:
    text = said("show", "builtin:demo", "--asn", "AS65540")
    assert text.startswith("AS65540 puffin\n  lhr  London, GB\n  ams  Amsterdam, NL\n")
    assert "    AS64523 harmattan  at lhr\n" in text
    assert text.endswith("3 ASes in the customer cone, itself included\n")
    found = document("show", "builtin:demo", "--asn", "65540")["as"]
    assert isinstance(found, dict)
    assert [n["asn"] for n in found["providers"]] == [65536, 65538]
    assert [n["asn"] for n in found["peers"]] == [64513, 64523, 65542]
    assert found["peers"][2]["at"] == ["lhr"]


def test_a_graph_in_pieces_is_told_and_not_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("1|2|-1\n2|3|0\n10|11|0\n")
    result = CliRunner().invoke(command, ["read", str(file)])
    assert result.exit_code == 0
    assert "no: 2 parts, the largest of 3 ASes; outside it are AS10, AS11" in result.stdout
    assert result.stderr.startswith("warning: ")


def test_a_loop_of_providers_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_text("9|1|-1\n1|2|-1\n2|3|-1\n3|1|-1\n3|4|-1\n")
    assert "3 ASes buy, through others, from themselves" in said("show", str(file))
    assert document("show", str(file))["provider_loops"] == [1, 2, 3]


def test_make_writes_what_show_reads(tmp_path: Path) -> None:
    out = str(tmp_path / "world.npz")
    made = document("make", "--size", "60", "--seed", "5", "-o", out)
    shown = document("show", out)
    assert made.pop("source") == "builtin:world:size=60,seed=5"
    assert shown.pop("source") == out
    assert made == shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["read", "x", "--geo-asn", "a.csv"], "only of use together"),
        (["read", "x", "--geo-asn", "a", "--geo-place", "b"], "say with -o where to write"),
        (["show", "builtin:demo", "--asn", "65535"], "AS65535 is reserved"),
        (["make"], "Missing option '-o'"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "builtin:dmeo"],
        ["show", "nowhere.txt"],
        ["show", "builtin:demo", "--asn", "64999"],
        ["make", "--size", "1", "-o", "x.npz"],
    ],
)
def test_bad_input_leaves_with_two_and_no_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["internet", *arguments])
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
