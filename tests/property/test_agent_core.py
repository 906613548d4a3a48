"""What must hold of the agent whatever happens, in whatever order."""

from ipaddress import ip_network
from typing import TypeAlias

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ridgeline.agent.core import (
    Applied,
    Apply,
    AskGuard,
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

Step: TypeAlias = tuple[float, Event, bool]
"""A pause, what happens then, and whether the router's answer to it is heard."""


def settled(
    core: Core, now: float, held: Stance, *, grants: bool = True, seconds: int = 60
) -> tuple[float, Stance]:
    """Let a while pass with a router that obeys and is read every half second, and a guard."""
    core.handle(RouterFailed("reconnecting"), now=now)  # whatever it orders here is lost, too
    for _ in range(2 * seconds):
        now += 0.5
        events: list[Event] = [Woken()]
        while events:
            commands = core.handle(*events, now=now)
            events = [] if isinstance(events[0], Observed) else [observed(held)]
            for command in commands:
                if isinstance(command, AskGuard):
                    events.insert(0, GuardAnswered(P, granted=grants))
                if isinstance(command, Apply):
                    held = command.wanted[P].stance
                    events = [Applied(command.wanted), *events, observed(held)]
    return now, held


def lived(core: Core, history: list[Step], held: Stance) -> tuple[float, Stance]:
    """Play a history with a router that takes every order, and is heard where the step says so."""
    now = 0.0
    for pause, event, is_heard in history:
        now += pause
        for command in core.handle(event, now=now):
            if isinstance(command, Apply):
                held = command.wanted[P].stance
                if is_heard:
                    core.handle(Applied(command.wanted), observed(held), now=now)
        if isinstance(event, Observed):
            held = event.observation.held[P]
    return now, held


HISTORIES = st.lists(st.tuples(st.floats(0, 10), EVENTS, st.booleans()), max_size=40)
WELL, FAILS = Checked("a", GOOD), Checked("a", BAD)
DRAIN, LOST = DrainAsked("maintenance"), RouterFailed("no socket")


@given(HISTORIES, st.booleans(), st.sampled_from(list(Stance)))
@settings(max_examples=300, deadline=None)
# The order to withdraw falls into the moment in which the connection is lost, and is lost with it.
@example([(0, DRAIN, False), *[(10, WELL, False)] * 3], False, Stance.ANNOUNCED)
@example(
    [
        (0, DRAIN, False),
        (0, WELL, False),
        (10, LOST, False),
        (10, Woken(), False),
        (10, WELL, False),
    ],
    False,
    Stance.ANNOUNCED,
)
def test_after_any_history_a_router_that_obeys_ends_up_as_wanted(
    history: list[Step], guarded: bool, held: Stance
) -> None:
    core = core_of(Policy(guarded=guarded, damping=60), held)
    now, held = lived(core, history, held)
    now, held = settled(core, now, held)
    state = core.prefixes[P]
    assert state.target is not None
    assert held is state.target.stance
    assert state.held is held
    assert state.confirmed


@given(HISTORIES, st.booleans(), st.sampled_from(list(Stance)))
@settings(max_examples=300, deadline=None)
def test_after_any_history_the_last_word_of_the_checks_is_carried_out(
    history: list[Step], guarded: bool, held: Stance
) -> None:
    for last_word, ending in ((WELL, Stance.ANNOUNCED), (FAILS, Stance.WITHDRAWN)):
        core = core_of(Policy(guarded=guarded, damping=1, damping_most=20), held)
        steps = [*history, (1.0, ResumeAsked(), True), (0.0, last_word, True)]
        now, last = lived(core, steps, held)
        now, last = settled(core, now, last)
        assert last is ending
        assert core.prefixes[P].confirmed


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
