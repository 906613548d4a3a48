"""What the documentation shows of a lab is what a lab does."""

import importlib.util
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def load_run_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_docs", ROOT / "scripts" / "run_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


run_docs = load_run_docs()
PAGES = [page for page in run_docs.PAGES if run_docs.has_lab(page)]


def test_pages_that_show_a_lab_are_found() -> None:
    assert {"README.md", "docs/tutorial/first-network.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_can_be_followed_from_its_first_line_to_its_last(page: str) -> None:
    found = run_docs.run_page(page, lab=f"docs-{os.getpid()}")
    assert not found, "\n\n".join(map(str, found))


def fields_described(schema: str) -> set[str]:
    text = (ROOT / "docs" / "reference" / "json.md").read_text()
    section = text.split(f"\n## {schema}\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"\w+", section))


def fields_of(document: Any) -> set[str]:
    """Name the keys of a document and of what its lists hold."""
    if isinstance(document, list):
        return fields_of(document[0]) if document else set()
    if not isinstance(document, dict):
        return set()
    below = [fields_of(value) for value in document.values() if isinstance(value, list)]
    return set(document).union(*below)


def test_every_field_of_the_lab_s_documents_is_described(demo_lab: Any) -> None:
    status = demo_lab.ask("status", "--nodes")
    status["sites"], status["clients"] = (
        list(status["sites"].values()),
        [*status["clients"].values()],
    )
    described = fields_described("ridgeline.lab/1")
    # How long the start took, step by step, is for benchmarks.
    assert fields_of(status) - {"schema", "built_s", "converged_s"} <= described
    described = fields_described("ridgeline.traces/1")
    for question in (("trace",), ("dig", "www.example.test"), ("get",)):
        answer = demo_lab.ask(*question, "--from", "nrt,lhr")
        assert fields_of(answer) - {"schema", "from", "note"} <= described
    failover = demo_lab.ask("fail", "nrt")
    assert demo_lab.ask("heal", "nrt").keys() == failover.keys()
    assert fields_of(failover) - {"schema"} <= fields_described("ridgeline.failover/1")
