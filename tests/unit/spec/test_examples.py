"""Whatever we show to people as a spec is one."""

import re
from pathlib import Path

import pytest

from ridgeline.app.check import check_spec
from ridgeline.spec.parse import examine_spec

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(
    path for path in ROOT.glob("examples/**/*.yaml") if "\nnetwork:" in f"\n{path.read_text()}"
)
PAGES = sorted(path for path in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("README.md")])
SHOWN = [
    (page, block)
    for page in PAGES
    for block in re.findall(r"^```yaml\n(.+?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    if "\nnetwork:" in f"\n{block}"
]


def test_there_are_examples() -> None:
    assert EXAMPLES
    assert SHOWN


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_is_right_and_its_files_are_there(path: Path) -> None:
    assert check_spec(str(path)).problems == ()


@pytest.mark.parametrize(("page", "block"), SHOWN, ids=[page.name for page, _ in SHOWN])
def test_a_spec_shown_in_the_documentation_is_right(page: Path, block: str) -> None:
    assert examine_spec(block, file=page.name).problems == ()
