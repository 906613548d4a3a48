"""Rules over checks."""

import pytest

from ridgeline.agent.health import (
    CheckState,
    Condition,
    Round,
    Rule,
    all_of,
    any_of,
    culprit,
    judge,
)

D, I, U, G = Condition.DOWN, Condition.IMPAIRED, Condition.UNKNOWN, Condition.UP  # noqa: E741


def states(*conditions: Condition) -> dict[str, CheckState]:
    made = {}
    for name, condition in zip("abc", conditions, strict=False):
        made[name] = CheckState(rise=1, fall=1, condition=condition, reason=f"{name} says so")
    return made


@pytest.mark.parametrize(
    ("rule", "conditions", "expected"),
    [
        (all_of("a", "b", "c"), (G, G, G), G),
        (all_of("a", "b", "c"), (G, U, G), U),
        (all_of("a", "b", "c"), (G, U, D), D),
        (all_of("a", "b", "c"), (G, I, U), I),
        (any_of("a", "b", "c"), (D, U, G), G),
        (any_of("a", "b", "c"), (D, U, D), U),
        (any_of("a", "b", "c"), (D, I, D), I),
        (Rule(("a", "b", "c"), 2), (G, D, G), G),
        (Rule(("a", "b", "c"), 2), (G, D, U), U),
        (Rule(("a", "b", "c"), 2), (G, D, D), D),
        (Rule((any_of("a", "b"), "c"), 2), (D, G, G), G),
        (all_of(), (), G),
        (Rule(("a",), 2), (G,), D),
    ],
)
def test_a_rule_over_conditions(
    rule: Rule, conditions: tuple[Condition, ...], expected: Condition
) -> None:
    assert judge(rule, states(*conditions)) is expected


def test_the_culprit_is_named_with_its_reason() -> None:
    rule = all_of("a", Rule(("b", "c"), 1))
    assert culprit(rule, states(G, D, D)) == "b: b says so"


def test_a_check_needs_its_rounds_in_a_row() -> None:
    state = CheckState(rise=2, fall=2)
    good, bad = Round(ok=True, reason="yes"), Round(ok=False, reason="no")
    for outcome in (good, bad, good, bad, good):
        assert not state.take(outcome)
    assert state.condition is U
    assert state.take(good)
    assert state.condition is G
    assert not state.take(bad)
    assert state.take(bad)
    assert (state.condition, state.reason) == (D, "no")
