"""What must hold of the agent whatever happens, in whatever order."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.agent.core import (
    Applied,
    Apply,
    Checked,
    Command,
    Core,
    DrainAsked,
    Event,
    GuardAnswered,
    Observed,
    Policy,
    ResumeAsked,
    RouterFailed,
    Woken,
)
from ridgeline.agent.health import CheckState, Round, all_of
from ridgeline.agent.router import Observation, Stance, Wanted
from ridgeline.agent.routers.bird_text import patterns

P = ip_network("192.0.2.0/24")
GOOD = Round(ok=True, reason="answers")
BAD = Round(ok=False, reason="no answer")
STARVED = Round(ok=False, reason="answers SERVFAIL", shared=True)

pytestmark = pytest.mark.agent


def observed(held: Stance) -> Observed:
    return Observed(Observation(held={P: held}, exported={}, neighbours=()))


def core_of(policy: Policy, held: Stance) -> Core:
    core = Core({P: all_of("a")}, {"a": CheckState(rise=1, fall=1)}, policy)
    core.handle(observed(held), now=0.0)
    return core


def orders(commands: list[Command]) -> list[Stance]:
    return [c.wanted[P].stance for c in commands if isinstance(c, Apply) and P in c.wanted]


@given(st.lists(st.tuples(st.floats(0.05, 40), st.booleans()), max_size=60))
def test_a_flapping_service_causes_at_most_two_updates_in_any_minute(
    rounds: list[tuple[float, bool]],
) -> None:
    core = core_of(Policy(damping=60), Stance.ANNOUNCED)
    now, held = 0.0, Stance.ANNOUNCED
    changes: list[float] = []

    def play(event: Event) -> None:
        nonlocal held
        for stance in orders(core.handle(event, now=now)):
            if stance is not held:
                changes.append(now)
            held = stance
            core.handle(Applied({P: Wanted(stance)}), observed(stance), now=now)

    for pause, ok in rounds:
        end = now + pause
        while (at := core.wake_at) is not None and at <= end:
            now = max(now, at)
            play(Woken())
        now = end
        play(Checked("a", GOOD if ok else BAD))
    for start in changes:
        assert sum(start <= at < start + 60 for at in changes) <= 2


EVENTS = st.one_of(
    st.sampled_from([GOOD, BAD, STARVED]).map(lambda r: Checked("a", r)),
    st.sampled_from(list(Stance)).map(observed),
    st.just(RouterFailed("no socket")),
    st.booleans().map(lambda granted: GuardAnswered(P, granted)),
    st.just(DrainAsked("maintenance")),
    st.just(ResumeAsked()),
    st.just(Woken()),
)


@given(
    st.lists(st.tuples(st.floats(0, 10), EVENTS), max_size=40),
    st.booleans(),
    st.sampled_from(list(Stance)),
)
@settings(max_examples=300, deadline=None)
def test_after_any_history_a_router_that_obeys_ends_up_as_wanted(
    history: list[tuple[float, Event]], guarded: bool, held: Stance
) -> None:
    core = core_of(Policy(guarded=guarded, damping=60), held)
    now = 0.0
    for pause, event in history:
        now += pause
        commands = core.handle(event, now=now)
        for stance in orders(commands):
            held = stance  # taken, but nobody answers: the connection was lost
        if isinstance(event, Observed):
            held = event.observation.held[P]
    # From here on the router answers, and is read every half second.
    core.handle(RouterFailed("reconnecting"), now=now)
    for _ in range(20):
        now += 0.5
        for stance in orders(core.handle(Woken(), now=now)):
            held = stance
            core.handle(Applied({P: core.prefixes[P].target or Wanted(stance)}), now=now)
        for stance in orders(core.handle(observed(held), now=now)):
            held = stance
            core.handle(Applied({P: core.prefixes[P].target or Wanted(stance)}), now=now)
    state = core.prefixes[P]
    assert state.target is not None
    assert held is state.target.stance
    assert state.held is held


@given(st.lists(st.sampled_from([GOOD, STARVED]), max_size=40), st.sampled_from(list(Stance)))
def test_failures_of_shared_inputs_alone_never_withdraw(rounds: list[Round], held: Stance) -> None:
    core = core_of(Policy(damping=0.01), held)
    for number, outcome in enumerate(rounds):
        commands = core.handle(Checked("a", outcome), now=float(number))
        assert Stance.WITHDRAWN not in orders(commands)


@given(
    st.sets(st.text("ab_1", min_size=1, max_size=6), max_size=30),
    st.sets(st.text("ab_1", min_size=1, max_size=6), max_size=30),
)
def test_patterns_match_exactly_what_they_should(wanted: set[str], others: set[str]) -> None:
    others -= wanted
    found = list(patterns(wanted, others))

    def is_hit(name: str) -> bool:
        return any(
            name == p or (p.endswith("*") and name.startswith(p.removesuffix("*"))) for p in found
        )

    assert all(is_hit(name) for name in wanted)
    assert not any(is_hit(name) for name in others)
