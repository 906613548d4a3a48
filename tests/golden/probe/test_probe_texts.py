"""What `probe` prints about files: run ``python tests/golden/probe/test_probe_texts.py --rewrite``."""

import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from click.testing import CliRunner

from ridgeline.cli.probe import command

FOLDER = Path(__file__).parent


def show(*arguments: str) -> str:
    with chdir(FOLDER):  # so that names are short, and tables as wide everywhere
        result = CliRunner().invoke(command, arguments, standalone_mode=False)
    text = result.stdout + (str(result.exception) if result.exception else "")
    return text.rstrip("\n") + "\n"


CASES: dict[str, Callable[[], str]] = {
    "enumerate": lambda: show("enumerate", "rtts.tsv"),
    "enumerate_unicast": lambda: show("enumerate", "rtts_unicast.tsv"),
    "enumerate_wrong": lambda: show("enumerate", "rtts_wrong.tsv"),
    "decode": lambda: show(
        "decode", "--rtt", "agp=1", "maes1.example.net", "NRT57-P2", "mail.example.com"
    ),
    "changes": lambda: show("changes", "monday.jsonl", "tuesday.jsonl", "wednesday.jsonl"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_people_read_is_still_this(name: str) -> None:
    assert CASES[name]() == (FOLDER / f"{name}.txt").read_text()


if __name__ == "__main__" and "--rewrite" in sys.argv:
    for name, make in CASES.items():
        (FOLDER / f"{name}.txt").write_text(make())
