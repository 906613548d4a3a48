"""The compiled program that is shipped is what its source gives."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_rescue.py"


def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_rescue", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shipped_object_is_what_the_source_gives() -> None:
    make = maker()
    why = make.missing()
    if why:
        pytest.skip(why)
    assert make.build() == make.OBJECT.read_bytes(), "run: python scripts/make_rescue.py"
