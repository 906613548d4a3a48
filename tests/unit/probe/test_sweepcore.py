"""A sweep as a timeline: the rate that was named, everybody once, where replies land."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.probe.sweepcore import (
    Ask,
    Finished,
    Landed,
    SendFailed,
    SweepCore,
    SweepPolicy,
    WakeAt,
    Woken,
)


def run(core: SweepCore, *, late: float = 0.0, until: int = 1_000_000) -> list[tuple[float, int]]:
    """Play a sweep in which nobody answers; every waking is `late`. Return (when, whom)."""
    asked: list[tuple[float, int]] = []
    now = 100.0
    for _ in range(until):
        for command in core.handle(Woken(), now=now):
            match command:
                case Ask(indices=indices):
                    asked += [(now, index) for index in indices]
                case WakeAt(at=at):
                    now = max(now, at + late)
                case Finished():
                    return asked
    return asked


def test_everybody_is_asked_once_in_the_order_given() -> None:
    asked = run(SweepCore([3, 1, 2, 0], SweepPolicy(rate=1000)))
    assert [index for _, index in asked] == [3, 1, 2, 0]


@given(rate=st.floats(0.5, 20_000), late=st.floats(0, 0.3), n=st.integers(1, 300))
def test_no_second_sees_more_probes_than_the_rate(rate: float, late: float, n: int) -> None:
    asked = run(SweepCore(range(n), SweepPolicy(rate=rate)), late=late)
    assert len(asked) == n
    times = [when for when, _ in asked]
    # However late the machine wakes: in no window more than the rate allows, and one small batch.
    batch = max(1, int(rate * 0.01))
    for at, first in enumerate(times):
        within = sum(1 for when in times[at:] if when < first + 1.0)
        assert within <= rate + batch + 1


def test_a_sweep_takes_as_long_as_its_rate_says() -> None:
    asked = run(SweepCore(range(1000), SweepPolicy(rate=500)))
    assert asked[-1][0] - asked[0][0] == pytest.approx(2.0, rel=0.02)


def test_replies_count_where_they_land_first() -> None:
    core = SweepCore([0, 1], SweepPolicy(rate=1000))
    core.handle(Woken(), now=0.0)
    core.handle(Woken(), now=0.1)
    for landed in (Landed(0, "nrt", "192.0.2.1", 0.1), Landed(0, "lhr", "192.0.2.1", 0.2)):
        core.handle(landed, now=0.2)
    assert core.landed[0].site == "nrt"
    assert core.n_repeated == 1


def test_a_reply_to_nothing_that_was_asked_is_not_believed() -> None:
    core = SweepCore([0, 1], SweepPolicy(rate=1))
    core.handle(Woken(), now=0.0)
    core.handle(Landed(1, "nrt", "192.0.2.1", None), now=0.1)
    assert (core.landed, core.n_unasked) == ({}, 1)


def test_it_ends_when_all_have_answered_and_waits_only_for_the_silent() -> None:
    core = SweepCore([0, 1], SweepPolicy(rate=1000, patience=5))
    core.handle(Woken(), now=0.0)
    core.handle(Woken(), now=0.01)
    core.handle(Landed(0, "nrt", "192.0.2.1", None), now=0.02)
    assert Finished() not in core.handle(Woken(), now=0.03)
    core.handle(SendFailed(1, "no route"), now=0.03)
    assert core.handle(Woken(), now=0.04) == [Finished()]
    silent = SweepCore([0], SweepPolicy(rate=1000, patience=5))
    silent.handle(Woken(), now=0.0)
    silent.handle(Woken(), now=0.01)
    assert Finished() not in silent.handle(Woken(), now=5.0)
    assert silent.handle(Woken(), now=5.02) == [Finished()]


def test_a_resumed_sweep_asks_only_the_rest() -> None:
    core = SweepCore([3, 1, 2, 0], SweepPolicy(rate=1000))
    core.remember([3, 1], [Landed(3, "nrt", "192.0.2.1", None)])
    assert [index for _, index in run(core)] == [2, 0]
    assert core.landed[3].site == "nrt"


@pytest.mark.parametrize("rate", [0, -1, 20_001])
def test_an_unreasonable_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="20,000 probes per second"):
        SweepPolicy(rate=rate)
