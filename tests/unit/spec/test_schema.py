import json
import re
from typing import Any

from ridgeline.spec import _raw
from ridgeline.spec.document import Entries, plain, read_document
from ridgeline.spec.parse import examine_spec
from ridgeline.spec.schema import read_schema, render_schema
from ridgeline.spec.words import flow


def test_the_shipped_schema_is_that_of_the_models() -> None:
    assert read_schema() == render_schema(), "run: python -m ridgeline.spec.schema > its data file"


def nodes(node: Any) -> list[dict[str, Any]]:
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return ([node] if isinstance(node, dict) else []) + [n for value in inner for n in nodes(value)]


def test_every_field_says_what_it_is() -> None:
    for node in nodes(json.loads(read_schema())):
        for name, field in node.get("properties", {}).items():
            assert field.get("description"), name


def test_no_mapping_takes_unknown_keys() -> None:
    mappings = [n for n in nodes(json.loads(read_schema())) if n.get("type") == "object"]
    assert len(mappings) >= 10
    assert all(mapping["additionalProperties"] is False for mapping in mappings)


def test_nothing_may_be_null_and_nothing_is_named_after_our_classes() -> None:
    text = read_schema()
    assert '"null"' not in text
    assert "Raw" not in text


def test_the_patterns_take_the_examples() -> None:
    checked = 0
    for node in nodes(json.loads(read_schema())):
        item = node.get("items", node)
        for example in node.get("examples", []) if isinstance(node.get("examples"), list) else []:
            for text in example if isinstance(example, list) else [example]:
                if "pattern" in item and isinstance(text, str):
                    assert re.search(item["pattern"], text), (item["pattern"], text)
                    checked += 1
    assert checked >= 8


def test_the_example_in_a_message_can_be_typed_as_it_stands() -> None:
    examples = {name: info.examples for name, info in _raw.RawSpec.model_fields.items()}
    text = "\n".join(f"{name}: {flow(found[0])}" for name, found in examples.items() if found)
    root, problems = read_document(text, file="x")
    assert problems == []
    assert isinstance(root, Entries)
    assert plain(root)["prefixes"] == ["192.0.2.0/24", "2001:db8:53::/48"]
    found = examine_spec(text, file="x")
    assert found.problems == ()
    assert found.warnings == ()
