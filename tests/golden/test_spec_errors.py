"""What the author of a wrong spec reads: each `spec_errors/*.yaml` has its answer beside it.

To add a case, write the YAML and run ``python tests/golden/test_spec_errors.py --rewrite``; then
read what it wrote.
"""

import sys
from pathlib import Path

import pytest

from ridgeline.cli.check import render_problems
from ridgeline.spec.parse import decode_spec, examine_spec

FOLDER = Path(__file__).parent / "spec_errors"
CASES = sorted(FOLDER.glob("*.yaml"))


def answer(case: Path) -> str:
    text = decode_spec(case.read_bytes(), file=case.name)
    found = examine_spec(text, file=case.name)
    return "".join(f"{line}\n" for line in render_problems(found.problems, found.warnings))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_author_is_told_this(case: Path) -> None:
    assert answer(case) == case.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_only_a_warning_leaves_a_spec(case: Path) -> None:
    found = examine_spec(decode_spec(case.read_bytes(), file=case.name), file=case.name)
    assert (found.spec is None) == bool(found.problems)
    assert bool(found.problems) != (case.stem.startswith("warning_") and "beside" not in case.stem)


def test_there_are_cases_and_each_answer_has_its_question() -> None:
    assert len(CASES) >= 25
    assert {case.stem for case in CASES} == {path.stem for path in FOLDER.glob("*.txt")}


if __name__ == "__main__" and sys.argv[1:] == ["--rewrite"]:
    for path in CASES:
        path.with_suffix(".txt").write_text(answer(path), encoding="utf-8")
