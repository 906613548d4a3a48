"""The two documents between the lab and its prober."""

import json

import pytest

from ridgeline.lab.watch.outage import Sample
from ridgeline.lab.watch.prober import ProbePlan, Question, Series, parse_plan, read_result

QUESTION = Question(
    client="nrt", service="dns", namespace=7, kind="dns", address="192.0.2.53", port=53
)


def test_a_plan_reads_back_as_it_was_written_in_one_line() -> None:
    other = Question(
        client="lhr",
        service="web",
        namespace=9,
        kind="http",
        address="2001:db8::80",
        port=80,
        name="www.example.test",
        path="/trace",
    )
    plan = ProbePlan(questions=(QUESTION, other, QUESTION), duration=2.5, timeout=0.7)
    line = plan.render()
    assert line.count("\n") == 1
    assert line.endswith("\n")
    assert parse_plan(line) == plan
    assert sorted(plan.namespaces) == [7, 9]


def test_a_plan_that_asks_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        ProbePlan(questions=())
    with pytest.raises(ValueError, match="an interval above 0"):
        ProbePlan(questions=(QUESTION,), interval_ms=0)


def test_a_result_reads_as_samples() -> None:
    rows = [[0.1, "nrt", 12.5, None], [10.2, None, None, "timeout"]]
    series = [{"client": "nrt", "service": "dns", "samples": rows}]
    line = json.dumps({"started": 5.5, "skipped": 0, "cpu_s": 0.1, "series": series})
    result = read_result(line)
    assert result.started == 5.5
    assert result.series == (
        Series(
            client="nrt",
            service="dns",
            samples=(Sample(0.1, "nrt", 12.5, None), Sample(10.2, None, None, "timeout")),
        ),
    )
