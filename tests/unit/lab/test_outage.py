"""What clients noticed, from sequences written by hand."""

import pytest

from ridgeline.lab.watch.outage import Outage, Sample, Span, draw_timeline, measure_outage

RTT = 4.0


def samples(text: str, *, every_ms: float = 10.0, rtt_ms: float = RTT) -> list[Sample]:
    """One letter per query: a site, or ``.`` for a query that nobody answered."""
    return [
        Sample(number * every_ms, None, None, "timeout")
        if letter == "."
        else Sample(number * every_ms, letter, rtt_ms, None)
        for number, letter in enumerate(text)
    ]


def measure(text: str, event_ms: float) -> Outage:
    return measure_outage(samples(text), event_ms)


def test_a_clean_move_loses_nothing() -> None:
    outage = measure("aaaabbbb", event_ms=35)
    assert (outage.queries, outage.queries_lost) == (4, 0)
    assert (outage.outage_ms, outage.longest_ms) == (0, 0)
    assert (outage.before, outage.after) == ("a", "b")
    assert outage.moved_ms == 40 + RTT - 35


def test_an_outage_lasts_from_the_first_lost_query_to_the_next_good_answer() -> None:
    outage = measure("aaaa...bbb", event_ms=35)
    assert (outage.queries, outage.queries_lost) == (6, 3)
    assert outage.outage_ms == outage.longest_ms == 70 + RTT - 40
    assert outage.moved_ms == 70 + RTT - 35


def test_a_query_under_way_when_it_happened_counts() -> None:
    late = [*samples("aaa"), Sample(30, None, None, "timeout"), *samples("aaaabbbb")[4:]]
    assert measure_outage(late, 31).queries_lost == 1
    assert measure_outage(late, 31).outage_ms == 40 + RTT - 30
    assert measure_outage(late, 38).queries_lost == 0  # that one was lost for another reason


def test_a_client_that_comes_back_to_its_site_has_not_moved() -> None:
    outage = measure("aaaa..aaaa", event_ms=35)
    assert (outage.before, outage.after, outage.moved_ms) == ("a", "a", None)
    assert outage.outage_ms == 60 + RTT - 40


def test_a_client_that_is_never_answered_again_has_an_outage_without_end() -> None:
    outage = measure("aaaa......", event_ms=35)
    assert (outage.queries_lost, outage.outage_ms, outage.longest_ms) == (6, None, None)
    assert (outage.before, outage.after, outage.moved_ms) == ("a", None, None)


def test_loss_at_the_end_is_an_outage_without_end_too() -> None:
    outage = measure("aaaabbbb.", event_ms=35)
    assert (outage.queries_lost, outage.outage_ms, outage.after) == (1, None, None)
    assert outage.moved_ms == 40 + RTT - 35


def test_a_flap_adds_up_and_names_the_longest() -> None:
    outage = measure("aaaa..bb...bbb", event_ms=35)
    assert outage.queries_lost == 5
    assert outage.outage_ms == (60 + RTT - 40) + (110 + RTT - 80)
    assert outage.longest_ms == 110 + RTT - 80


def test_answers_out_of_order_count_when_they_arrive() -> None:
    sent = [
        *samples("aaaa"),
        Sample(40, None, None, "timeout"),
        Sample(50, "b", 300.0, None),  # the long way round: arrives at 350
        Sample(60, "b", RTT, None),  # the first good answer: at 64
        Sample(70, "b", RTT, None),
    ]
    assert measure_outage(sent, 35).outage_ms == 60 + RTT - 40
    assert measure_outage(sent, 35).moved_ms == 60 + RTT - 35
    assert measure_outage(reversed(sent), 35) == measure_outage(sent, 35)


def test_an_answer_that_overtakes_the_loss_makes_no_negative_outage() -> None:
    sent = [*samples("aa"), Sample(20, None, None, "reset"), Sample(20, "b", 0.0, None)]
    assert measure_outage(sent, 15).outage_ms == 0


def test_a_late_answer_from_the_old_site_is_still_from_before() -> None:
    sent = [Sample(0, "a", 50.0, None), Sample(10, "b", 1.0, None), Sample(60, "b", 1.0, None)]
    outage = measure_outage(sent, 30)
    assert outage.before == "b"  # what had answered by 30 ms; a's answer arrives at 50
    assert outage.after == "b"
    assert outage.moved_ms is None


def test_an_answer_with_an_error_is_no_service() -> None:
    failing = [
        Sample(s.t_ms, s.site, s.rtt_ms, "SERVFAIL") if s.site == "x" else s
        for s in samples("aaaaxxbb")
    ]
    outage = measure_outage(failing, 35)
    assert (outage.queries_lost, outage.outage_ms) == (2, 60 + RTT - 40)
    assert [span.site for span in outage.timeline] == ["a", None, "b"]


def test_nothing_before_the_event_and_nothing_at_all() -> None:
    outage = measure("bbb", event_ms=-5)
    assert (outage.before, outage.after, outage.queries) == (None, "b", 3)
    assert outage.moved_ms == RTT + 5
    empty = measure_outage([], 0)
    assert (empty.queries, empty.outage_ms, empty.before, empty.after) == (0, 0, None, None)
    assert empty.timeline == ()


def test_the_timeline_joins_what_had_the_same_fate() -> None:
    assert draw_timeline(samples("aaa..bbb"), 25) == (
        Span(start_ms=-25, end_ms=5, site="a", queries=3),
        Span(start_ms=5, end_ms=25, site=None, queries=2),
        Span(start_ms=25, end_ms=45, site="b", queries=3),
    )


@pytest.mark.parametrize("text", ["a", "...", "ab.ab.ab", "aaaaaaaaaa.........."])
def test_the_timeline_leaves_no_query_and_no_moment_out(text: str) -> None:
    spans = draw_timeline(samples(text), 0)
    assert sum(span.queries for span in spans) == len(text)
    assert [span.end_ms for span in spans[:-1]] == [span.start_ms for span in spans[1:]]
    assert (spans[0].start_ms, spans[-1].end_ms) == (0, 10 * (len(text) - 1))
