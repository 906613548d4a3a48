"""The JSON Schema of the spec: what editors complete and check while the author types.

The shipped file is what `render_schema` says; a test fails when it is not. To renew it:
``python -m ridgeline.spec.schema > src/ridgeline/spec/data/ridgeline.schema.json``.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

SCHEMA_FILE: Final = Path(__file__).parent / "data" / "ridgeline.schema.json"
"""The shipped schema."""


def read_schema() -> str:
    """Return the text of the shipped schema."""
    return SCHEMA_FILE.read_text(encoding="utf-8")


def render_schema() -> str:
    """Write the schema from the models of the file."""
    from ridgeline.spec._raw import RawSpec

    found = _tidy(RawSpec.model_json_schema())
    schema = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "ridgeline.yaml",
        **found,
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Any) -> Any:
    """Drop what only pydantic needs: made-up titles, and `null` for a field that may be left out."""
    match node:
        case {"anyOf": [*kinds, {"type": "null"}], **rest}:
            return _tidy({**(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}), **rest})
        case {"patternProperties": _, "type": "object", **rest} if (
            "additionalProperties" not in rest
        ):
            return _tidy({**node, "additionalProperties": False})
        case dict():
            return {
                key.removeprefix("Raw") if key.startswith("Raw") else key: _tidy(value)
                for key, value in node.items()
                if not (key == "title" and isinstance(value, str))
                and not (key == "default" and value is None)
            }
        case list():
            return [_tidy(item) for item in node]
        case str():
            return node.replace("#/$defs/Raw", "#/$defs/")
        case _:
            return node


if __name__ == "__main__":
    sys.stdout.write(render_schema())
