"""Maps keep what they are given, in memory, as JSON Lines and as Parquet."""

import io
import json
import subprocess
import sys

import pytest

from ridgeline.catchment.jsonl import read_jsonl, render_jsonl
from ridgeline.catchment.model import CatchmentMap, Certainty, Kind, Row, vantage_name
from ridgeline.catchment.parquet import read_parquet, write_parquet
from ridgeline.errors import InputError

ROWS = (
    Row(
        name="yuzu.nrt",
        asn=64533,
        city="nrt",
        country="JP",
        lat=35.7647,
        lon=140.386,
        weight=66e6,
        service="dns",
        site="nrt",
        rtt_ms=2.0,
        certainty=Certainty.LIKELY,
        possible=("nrt", "syd"),
        as_path=(65550, 64500),
    ),
    Row(name="ein Ort, sprich: São Paulo", site=None, weight=0.0),
    Row(name="direct", site="syd", as_path=()),
)


def a_map(*rows: Row) -> CatchmentMap:
    return CatchmentMap.from_rows(
        rows or ROWS,
        kind=Kind.PREDICTED,
        network="example-anycast",
        sites=("nrt", "syd"),
        prefix="192.0.2.0/24",
        source="builtin:demo",
        when="2026-11-22T14:00:00Z",
    )


def test_rows_come_back_as_they_went_in() -> None:
    assert tuple(a_map().rows()) == ROWS


def test_columns_of_different_length_are_refused() -> None:
    columns = {name: getattr(a_map(), name) for name in CatchmentMap.__slots__}
    with pytest.raises(ValueError, match="column site has 1 rows, not 3"):
        CatchmentMap(**columns | {"site": ("nrt",)})


def test_json_lines_keep_everything() -> None:
    assert read_jsonl(render_jsonl(a_map()), file="map.jsonl") == a_map()


def test_parquet_keeps_everything() -> None:
    stream = io.BytesIO()
    write_parquet(a_map(), stream)
    stream.seek(0)
    assert read_parquet(stream, file="map.parquet") == a_map()


def test_the_first_line_is_the_header_and_rows_say_only_what_is_known() -> None:
    lines = [json.loads(line) for line in render_jsonl(a_map())]
    assert lines[0] == {
        "schema": "ridgeline.catchment/1",
        "kind": "predicted",
        "network": "example-anycast",
        "prefix": "192.0.2.0/24",
        "source": "builtin:demo",
        "when": "2026-11-22T14:00:00Z",
        "sites": ["nrt", "syd"],
        "n_rows": 3,
    }
    assert lines[2] == {"name": ROWS[1].name, "weight": 0.0, "site": None}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"name": "x", "site": 3}', "map.jsonl:2:1: site: expected text, found 3"),
        ('{"site": "nrt"}', "map.jsonl:2:1: name: every row needs one"),
        ('{"name": "x", "asn": -1}', "map.jsonl:2:1: asn: expected an AS number, found -1"),
        ('{"name": "x", "weight": -1}', "expected a number of users, found -1"),
        ('{"name": "x", "certainty": "sure"}', "certainty: expected certain, likely, possible"),
        ('{"name": "x", "rtt": 3}', "map.jsonl:2:1: rtt: no such column; columns: name, asn"),
        ('{"name": "x"', "map.jsonl:2:1: no JSON document"),
        ("[1]", "map.jsonl:2:1: expected an object, found [1]"),
        ("", "map.jsonl:1:1: n_rows: 1 rows are announced, but 0 follow: a cut file?"),
    ],
)
def test_a_wrong_line_is_named(line: str, complaint: str) -> None:
    head = json.loads(next(render_jsonl(a_map()))) | {"n_rows": 1}
    with pytest.raises(InputError) as caught:
        read_jsonl([json.dumps(head), line], file="map.jsonl")
    assert complaint in str(caught.value)


def test_every_wrong_line_is_named_at_once() -> None:
    head = next(render_jsonl(a_map()))
    with pytest.raises(InputError) as caught:
        read_jsonl([head, '{"name": 1}', "", '{"name": "x", "lat": "y"}'], file="map.jsonl")
    assert [problem.line for problem in caught.value.problems] == [2, 4]


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        ("", "map.jsonl:1:1: the file is empty"),
        (
            '{"schema": "ridgeline.lab/1"}',
            "expected 'ridgeline.catchment/1', found 'ridgeline.lab/1'",
        ),
        (
            '{"schema": "ridgeline.catchment/1", "kind": "dreamt"}',
            "kind: expected predicted, rehearsed, observed; found 'dreamt'",
        ),
        (
            '{"schema": "ridgeline.catchment/1", "kind": "observed", "sites": "nrt"}',
            "sites: expected a list of names, found 'nrt'",
        ),
    ],
)
def test_a_wrong_header_is_named(first: str, complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        read_jsonl([first], file="map.jsonl")
    assert complaint in str(caught.value)


def test_what_is_no_parquet_file_or_a_cut_one_is_refused() -> None:
    stream = io.BytesIO()
    write_parquet(a_map(), stream)
    with pytest.raises(InputError, match=r"map\.parquet:1:1: no Parquet file"):
        read_parquet(io.BytesIO(stream.getvalue()[:-10]), file="map.parquet")


def test_a_parquet_file_of_somebody_else_is_refused() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.table({"name": ["x"]}), stream)
    stream.seek(0)
    with pytest.raises(InputError, match="no catchment map of ours"):
        read_parquet(stream, file="map.parquet")


def test_vantage_points_are_named_by_network_and_city() -> None:
    assert vantage_name(64533, "yuzu", "nrt") == "yuzu.nrt"
    assert vantage_name(64533, "", "nrt") == "as64533.nrt"
    assert vantage_name(64533, "", "") == "as64533"


def test_the_room_needs_no_numpy() -> None:
    modules = ["model", "shares", "diff", "inflation", "jsonl", "parquet"]
    imports = "; ".join(f"import ridgeline.catchment.{module}" for module in modules)
    code = f"{imports}; import sys; print({{'numpy', 'pyarrow'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
