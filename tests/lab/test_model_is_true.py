"""The model against real routers: what it calls certain happens, what happens it called possible."""

from pathlib import Path

import numpy as np
import pytest

from ridgeline.app.check import read_spec
from ridgeline.app.internet import load_internet
from ridgeline.app.verify import random_network, verify

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo" / "ridgeline.yaml"


@pytest.mark.parametrize("seed", range(20))
def test_every_router_of_a_random_network_chooses_as_predicted(seed: int) -> None:
    spec, internet = random_network(np.random.default_rng(seed))
    verdicts = verify(spec, internet, name=f"model-{seed}")
    assert len(verdicts) == 2 * len(internet.pop_as)
    assert any(verdict.chosen for verdict in verdicts)
    wrong = [verdict for verdict in verdicts if not verdict.is_foreseen]
    assert wrong == []


def test_the_example_settles_alike_in_three_boots_with_shuffled_start_order() -> None:
    spec, internet = read_spec(str(EXAMPLE)), load_internet("builtin:demo")
    boots = [verify(spec, internet, name=f"boot-{seed}", shuffle=seed) for seed in (1, 2, 3)]
    assert boots[0] == boots[1] == boots[2]  # site and AS path, at every router
    assert [verdict for verdict in boots[0] if not verdict.is_foreseen] == []
