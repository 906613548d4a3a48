"""Counting what an event did to sessions."""

from dataclasses import replace
from typing import Any

import pytest

from ridgeline.lab.flows.model import Flow, FlowPlan, Held, fate, parse_plan, share, tally
from ridgeline.lab.steady import STEADY_FILE_BYTES, steady_bytes

OPEN = Flow(
    client="client.lhr",
    kind="download",
    address="192.0.2.80",
    site="lhr",
    n_bytes=100,
    last=19.0,
    opened=8.0,
    ended=None,
    how="open",
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "survived"),
        ({"last": 16.9}, "hung"),
        ({"last": None, "opened": None}, "early"),
        ({"opened": 10.5}, "early"),
        ({"ended": 11.0, "how": "reset"}, "reset"),
        ({"ended": 11.0, "how": "closed"}, "closed"),
        ({"ended": 11.0, "how": "complete", "last": 11.0}, "survived"),
        ({"ended": 9.0, "how": "complete"}, "early"),
        ({"ended": 9.0, "how": "reset"}, "early"),
    ],
)
def test_the_fate_of_a_session_is_what_its_user_saw(change: dict[str, Any], expected: str) -> None:
    assert fate(replace(OPEN, **change), at=10.0, until=20.0, hang_s=3.0) == expected


def test_sessions_of_clients_that_moved_are_counted_apart() -> None:
    reset = replace(OPEN, ended=10.5, how="reset")
    elsewhere = replace(OPEN, client="client.nrt")
    early = replace(OPEN, ended=5.0, how="refused: no")
    other_prefix = replace(OPEN, kind="dns-over-tls", address="198.51.100.1")
    landed = {
        ("client.lhr", "192.0.2.80"): ("lhr", "nrt"),
        ("client.lhr", "198.51.100.1"): ("lhr", "lhr"),
        ("client.nrt", "192.0.2.80"): ("nrt", "nrt"),
    }
    flows = [OPEN, reset, reset, elsewhere, early, other_prefix]
    classes = tally(flows, landed, at=10.0, until=20.0)
    moved, stayed = classes["download"]["moved"], classes["download"]["stayed"]
    assert (moved["sessions"], moved["survived"], moved["reset"]) == (3, 1, 2)
    assert (moved["hung"], moved["other"], moved["ended_early"]) == (0, 0, 1)
    assert moved["share"] == 0.3333
    assert moved["median_end_ms"] == moved["last_end_ms"] == 500.0
    assert (stayed["sessions"], stayed["share"]) == (1, 1.0)
    assert share({"classes": classes}) == 0.3333
    assert [classes["dns-over-tls"][w]["sessions"] for w in ("moved", "stayed")] == [0, 1]
    assert share({"classes": {}}) == 0.0


def test_a_plan_survives_the_pipe() -> None:
    held = Held(client="a", namespace=7, kind="download", address="192.0.2.80", port=80, n=3)
    plan = FlowPlan(held=(held, replace(held, namespace=8)))
    assert parse_plan(plan.render()) == plan
    assert set(plan.namespaces) == {7, 8}


def test_every_piece_of_the_steady_file_tells_its_place() -> None:
    whole = steady_bytes(0, STEADY_FILE_BYTES)
    assert len(whole) == STEADY_FILE_BYTES
    for start, end in ((0, 1), (3, 29), (8, 16), (1000, 2013), (5, 5)):
        assert steady_bytes(start, end) == whole[start:end]
    assert len({whole[i : i + 8] for i in range(0, len(whole), 8)}) == STEADY_FILE_BYTES // 8
