"""Traceroute as a timeline: what is sent when, and what is concluded."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.probe.tracecore import (
    Command,
    Event,
    Finished,
    Heard,
    Reply,
    SendFailed,
    SendProbe,
    TracePolicy,
    TracerouteCore,
    WakeAt,
    Woken,
)

QUICK = TracePolicy(queries=1, spacing=0.0, timeout=1.0, window=4, silent_hops=3)


def hop(sequence: int | None, address: str, at: float) -> Reply:
    return Reply(sequence=sequence, address=address, heard=Heard.HOP, at=at)


def target(sequence: int, at: float) -> Reply:
    return Reply(sequence=sequence, address="192.0.2.53", heard=Heard.TARGET, at=at)


def play(core: TracerouteCore, *timeline: tuple[float, Event]) -> list[Command]:
    return [command for now, event in timeline for command in core.handle(event, now=now)]


def sends(commands: list[Command]) -> list[int]:
    return [command.ttl for command in commands if isinstance(command, SendProbe)]


class Path:
    """A network in which everyone answers after `delay`, but for the silent hops."""

    def __init__(
        self,
        length: int,
        silent: frozenset[int] = frozenset(),
        delay: float = 0.01,
        terse: frozenset[int] = frozenset(),
    ) -> None:
        self.length, self.silent, self.delay = length, silent, delay
        self.terse = terse
        """Hops that quote too little of a probe to tell which one it was."""

    def run(self, core: TracerouteCore) -> float:
        """Play the trace to its end; return the time that it took."""
        now, wake = 0.0, 0.0
        coming: list[tuple[float, Reply]] = []
        commands = core.handle(Woken(), now=now)
        for _ in range(10_000):
            for command in commands:
                match command:
                    case SendProbe(ttl=ttl, sequence=sequence):
                        at = now + self.delay
                        if ttl >= self.length and self.length not in self.silent:
                            coming.append((at, target(sequence, at)))
                        elif ttl < self.length and ttl not in self.silent:
                            seen = None if ttl in self.terse else sequence
                            coming.append((at, hop(seen, f"198.51.100.{ttl}", at)))
                    case WakeAt(at=at):
                        wake = at
                    case Finished():
                        return now
            coming.sort(key=lambda item: item[0])
            if coming and coming[0][0] <= wake:
                now, reply = coming.pop(0)
                commands = core.handle(reply, now=now)
            else:
                now = wake
                commands = core.handle(Woken(), now=now)
        raise AssertionError("the trace does not end")


def test_every_hop_is_asked_as_often_as_the_policy_says() -> None:
    core = TracerouteCore(TracePolicy(queries=3))
    Path(7).run(core)
    assert core.reached
    assert [h.address for h in core.hops()] == [f"198.51.100.{n}" for n in range(1, 7)] + [
        "192.0.2.53"
    ]
    assert [len(h.replies) for h in core.hops()[:-1]] == [3] * 6
    assert len(core.hops()[-1].replies) >= 3


def test_a_trace_needs_little_more_than_its_slowest_round_trips() -> None:
    core = TracerouteCore(TracePolicy(queries=3))
    assert Path(10, delay=0.1).run(core) < 1.0


def test_silent_hops_stand_between_others_and_do_not_end_the_trace() -> None:
    core = TracerouteCore(TracePolicy())
    Path(9, silent=frozenset({3, 4, 5, 8})).run(core)
    assert core.reached
    assert [h.ttl for h in core.hops() if h.address is None] == [3, 4, 5, 8]


def test_a_target_that_is_silent_ends_the_trace_and_is_said() -> None:
    core = TracerouteCore(TracePolicy())
    took = Path(5, silent=frozenset({5})).run(core)
    assert not core.reached
    assert core.problem == "the last hops do not answer"
    assert [h.ttl for h in core.hops()] == [1, 2, 3, 4]
    assert took < 6


def test_a_dead_network_is_said_to_be_silent() -> None:
    core = TracerouteCore(TracePolicy())
    Path(3, silent=frozenset({1, 2, 3})).run(core)
    assert (core.reached, core.problem, core.hops()) == (False, "no answer", ())


def test_one_probe_at_once_still_passes_a_silent_hop() -> None:
    core = TracerouteCore(TracePolicy(window=1, timeout=0.5))
    Path(6, silent=frozenset({2})).run(core)
    assert core.reached
    assert len(core.hops()) == 6


def test_hops_beyond_the_target_are_not_shown() -> None:
    core = TracerouteCore(QUICK)
    asked = play(core, (0, Woken()))
    assert sends(asked) == [1, 2, 3]
    play(core, (0.1, target(2, 0.1)), (0.1, target(1, 0.1)), (0.2, hop(0, "198.51.100.1", 0.2)))
    assert core.is_finished
    assert [h.address for h in core.hops()] == ["198.51.100.1", "192.0.2.53"]


def test_the_round_trip_is_from_the_sending_of_that_probe() -> None:
    core = TracerouteCore(QUICK)
    play(core, (10, Woken()), (10.5, hop(0, "198.51.100.1", 10.25)))
    assert core.hops()[0].rtt == pytest.approx(0.25)


def test_a_prohibition_ends_the_trace_and_names_who_said_so() -> None:
    core = TracerouteCore(QUICK)
    refusal = Reply(
        sequence=1, address="198.51.100.2", heard=Heard.REFUSED, at=0.1, note="filtered"
    )
    play(core, (0, Woken()), (0.1, hop(0, "198.51.100.1", 0.1)), (0.1, refusal), (1.5, Woken()))
    assert core.is_finished
    assert not core.reached
    assert core.problem == "filtered (said 198.51.100.2)"
    assert core.hops()[-1].note == "filtered"


def test_an_answer_after_its_time_still_tells_who_is_there() -> None:
    core = TracerouteCore(TracePolicy(queries=2, spacing=0, silent_hops=3, window=8))
    play(core, (0, Woken()), (1.0, Woken()), (1.2, hop(0, "198.51.100.1", 1.2)))
    assert core.hops()[0].address == "198.51.100.1"


def test_the_same_answer_twice_counts_once() -> None:
    core = TracerouteCore(QUICK)
    play(core, (0, Woken()), *[(0.1, hop(0, "198.51.100.1", 0.1))] * 3)
    assert len(core.hops()[0].replies) == 1


def test_an_answer_to_nothing_that_was_asked_is_ignored() -> None:
    core = TracerouteCore(QUICK)
    play(core, (0, Woken()), (0.1, hop(999, "203.0.113.1", 0.1)))
    assert core.hops() == ()


def test_answers_that_quote_too_little_make_it_ask_one_hop_at_a_time() -> None:
    core = TracerouteCore(QUICK)
    first = play(core, (0, Woken()), (0.1, hop(None, "198.51.100.2", 0.1)))
    assert sends(first) == [1, 2, 3]
    # Nothing was concluded; after a pause in which stragglers pass, one probe goes out.
    assert core.hops() == ()
    again = play(core, (1.1, Woken()))
    assert sends(again) == [1]
    play(core, (1.2, hop(None, "198.51.100.1", 1.2)))
    assert core.hops()[0].address == "198.51.100.1"


def test_a_machine_that_cannot_send_says_why_and_stops() -> None:
    core = TracerouteCore(QUICK)
    failures = [(0.0, SendFailed(sequence=n, why="no route")) for n in range(3)]
    play(core, (0, Woken()), *failures)
    assert core.is_finished
    assert (core.reached, core.problem) == (False, "no route")


def test_a_path_that_changes_shows_both_addresses() -> None:
    core = TracerouteCore(TracePolicy(queries=2, spacing=0, silent_hops=1, window=1))
    play(core, (0, Woken()), (0.1, hop(0, "198.51.100.1", 0.1)))
    play(core, (0.2, Reply(sequence=1, address="192.0.2.53", heard=Heard.TARGET, at=0.2)))
    play(core, (0.3, hop(2, "198.51.100.9", 0.3)))
    assert core.hops()[0].addresses == ("198.51.100.1", "198.51.100.9")


hop_sets = st.frozensets(st.integers(1, 12))


@given(
    length=st.integers(1, 12),
    silent=hop_sets,
    terse=hop_sets,
    delay=st.floats(0.001, 0.9),
    window=st.integers(1, 20),
    queries=st.integers(1, 3),
)
@settings(deadline=None)
def test_every_trace_ends_and_puts_nobody_at_a_wrong_hop(
    length: int,
    silent: frozenset[int],
    terse: frozenset[int],
    delay: float,
    window: int,
    queries: int,
) -> None:
    core = TracerouteCore(TracePolicy(window=window, queries=queries))
    Path(length, silent, delay, terse).run(core)
    for found in core.hops():
        expected = "192.0.2.53" if found.ttl == length else f"198.51.100.{found.ttl}"
        assert found.address in (None, expected)
    longest, run = 0, 0
    for ttl in range(1, length + 1):
        run = run + 1 if ttl in silent else 0
        longest = max(longest, run)
    assert core.reached is (longest < core.policy.silent_hops and length not in silent)


@pytest.mark.parametrize(
    "wrong", [{"max_hops": 0}, {"max_hops": 256}, {"queries": 0}, {"timeout": 0}]
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"hops|above 0"):
        TracePolicy(**wrong)
