"""What four kinds of router read, whole.

After a change on purpose run ``python tests/golden/bird/test_bird_text.py --rewrite`` with the
package importable; then read what it wrote.
"""

import sys
from pathlib import Path

import pytest

from ridgeline.app.check import read_spec
from ridgeline.lab.layout import plan_lab
from ridgeline.lab.sessions import router_config
from ridgeline.render.bird import render_bird
from ridgeline.topology.demo import demo

FOLDER = Path(__file__).parent
EXAMPLE = FOLDER.parents[2] / "examples" / "demo" / "ridgeline.yaml"
NODES = ["yuzu.nrt", "tancho.nrt", "edge.nrt", "server.nrt"]


def text_of(name: str) -> str:
    plan = plan_lab(read_spec(str(EXAMPLE)), demo())
    return render_bird(router_config(plan, plan.node(name), log=f"{name}.log"))


@pytest.mark.parametrize("name", NODES)
def test_configuration_is_as_reviewed(name: str) -> None:
    assert text_of(name) == (FOLDER / f"{name}.conf").read_text()


if __name__ == "__main__" and sys.argv[1:] == ["--rewrite"]:
    for node in NODES:
        (FOLDER / f"{node}.conf").write_text(text_of(node))
