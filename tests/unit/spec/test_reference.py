"""The reference page is right: its examples are read, its tables name what the schema has."""

import json
import re
from pathlib import Path
from typing import Any

from ridgeline.spec.parse import examine_spec
from ridgeline.spec.schema import read_schema

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "spec.md"
ROW = re.compile(r"^\| `([a-z_]+)` \| (.+?) \| (.+?) \| .+ \|$", re.MULTILINE)
SECTIONS = {
    "The network": None,
    "`services.NAME`": "Service",
    "`health`": "Health",
    "`sites.NAME`": "Site",
    "`sites.NAME.upstreams[]`": "Upstream",
}


def tables() -> dict[str, dict[str, str]]:
    """Read field -> default, by section."""
    sections = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {
        text.partition("\n")[0]: {field: default for field, _, default in ROW.findall(text)}
        for text in sections
    }


def test_the_example_is_a_spec_without_problem_or_warning() -> None:
    (example,) = re.findall(r"^```yaml\n(.+?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found = examine_spec(example, file=PAGE.name)
    assert found.problems == ()
    assert found.warnings == ()


def test_every_field_stands_in_its_table_in_order_with_its_default() -> None:
    schema: dict[str, Any] = json.loads(read_schema())
    found = tables()
    assert found.keys() == SECTIONS.keys()
    for section, name in SECTIONS.items():
        model = schema if name is None else schema["$defs"][name]
        assert found[section].keys() == model["properties"].keys()
        for field, default in found[section].items():
            assert (default == "required") == (
                field in model["required"] if "required" in model else False
            )
            stated = model["properties"][field].get("default")
            if stated not in (None, [], {}):
                text = str(stated).lower() if isinstance(stated, bool) else str(stated)
                assert default == f"`{text}`", (section, field)


def test_the_problems_on_the_page_are_those_that_one_gets() -> None:
    page = PAGE.read_text()
    (example,) = re.findall(r"^```yaml\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    wrong = example.replace("    origin: http://origin.example.test:8080\n", "")
    found = examine_spec(wrong.replace("200000", "200k"), file="ridgeline.yaml")
    lines = "".join(f"{problem}\n" for problem in found.problems)
    assert f"$ ridgeline check ridgeline.yaml\n{lines}ridgeline.yaml: 2 problems\n" in page


def test_the_json_on_the_page_is_json() -> None:
    (document,) = re.findall(r"^```json\n(.+?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert json.loads(document)["schema"] == "ridgeline.check/1"
