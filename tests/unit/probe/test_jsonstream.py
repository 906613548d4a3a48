"""JSON objects one by one, whatever they come in."""

import io
import json
from collections.abc import Sequence

import pytest

from ridgeline.probe import jsonstream
from ridgeline.probe.jsonstream import iter_objects


def read(text: str) -> tuple[Sequence[object], list[tuple[int, str]]]:
    garbage: list[tuple[int, str]] = []
    found = list(iter_objects(io.StringIO(text), lambda at, why: garbage.append((at, why))))
    return found, garbage


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": 2}]',
        '{"a": 1}\n{"a": 2}\n',
        '{"a": 1}{"a": 2}',
        '[{"a": 1}]\n[{"a": 2}]',
        '\ufeff[\n  {"a": 1},\n  {"a": 2}\n]\n',
        '\x1e{"a": 1}\n\x1e{"a": 2}\n',
        '{"results": [{"a": 1}, {"a": 2}], "next": null}',
        '{"target": {"x": [1]}, "measurement_results": [{"a": 1}, 7, {"a": 2}]}',
        '{"meta": {}, "objects": [{"a": 1}, {"a": 2}]}',
    ],
)
def test_every_way_to_write_many_objects_is_read(text: str) -> None:
    assert read(text) == ([{"a": 1}, {"a": 2}], [])


def test_a_measurement_that_has_results_is_no_wrapper() -> None:
    document = {"prb_id": 1, "results": [{"a": 1}]}
    assert read(json.dumps(document)) == ([document], [])


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_objects_that_chunks_cut_anywhere_are_whole(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonstream, "_CHUNK", chunk)
    document = {
        "text": 'a "quoted" \\ thing',
        "n": -12.5e3,
        "deep": [{"x": [True, None, "é\u2028"]}],
    }
    text = json.dumps([document] * 5) + "\n" + json.dumps(document)
    assert read(text) == ([document] * 6, [])


def test_a_broken_line_is_told_and_the_next_is_read() -> None:
    found, garbage = read('{"a": 1}\n{"a": oops}\n{"a": 2}\n')
    assert found == [{"a": 1}, {"a": 2}]
    assert garbage == [(9, "no JSON object: Expecting value after 6 characters")]


def test_a_cut_end_is_told() -> None:
    found, garbage = read('[{"a": 1}, {"a": "tw')
    assert found == [{"a": 1}]
    assert garbage == [(11, "no JSON object: Unterminated string starting at after 6 characters")]


def test_other_text_is_told_once_and_skipped() -> None:
    found, garbage = read('HTTP/1.1 200 OK\n\n[{"a": 1}]')
    assert found == [{"a": 1}]
    assert [at for at, _ in garbage] == [0]


def test_endless_nesting_is_garbage_and_no_crash() -> None:
    found, garbage = read('{"a":' * 100_000)
    assert found == []
    assert garbage


def test_nothing_holds_nothing() -> None:
    assert read("") == read(" \n[]\n") == ([], [])
