"""Verfploeter's files: totals, maps, and lines that are none."""

import json
from io import StringIO

import pytest

from ridgeline.catchment.jsonl import read_jsonl, render_jsonl
from ridgeline.errors import InputError
from ridgeline.probe.verfploeter import (
    percent,
    render_stats,
    replies,
    survey,
    to_jsonl,
    to_map,
)

HEADING = (
    b"task_id,client_id,transmit_time,receive_time,send_receive_time_diff,source_address,"
    b"destination_address,meta_source_address,meta_destination_address,ttl,"
    b"source_address_country,source_address_asn\n"
)


def line(
    site: str, target: str, rtt: str = "12.5", country: str = "JP", asn: str = "64500"
) -> bytes:
    return (
        f"0,{site},1646261274266073110,1646261274394554811,{rtt},{target},192.0.2.1,192.0.2.1,"
        f"{target},48,{country},{asn}\n"
    ).encode()


FILE = [
    HEADING,
    line("nrt", "198.51.100.1"),
    line("nrt", "198.51.100.2", rtt="0", country="-", asn=""),
    line("lhr", "2001:db8::1", rtt="250"),
    line("nrt", "198.51.100.9"),
    line("lhr", "198.51.100.9"),
    line("nrt", "198.51.100.3", country="", asn="99999999999"),
]


def test_targets_that_answer_twice_are_left_out_everywhere() -> None:
    found = survey(FILE, file="f")
    assert dict(found.counts) == {"nrt": 3, "lhr": 1}
    assert (found.n_replies, found.n_repeated, found.n_targets) == (6, 2, 4)
    assert [r.target for r in replies(FILE, found, file="f")] == [
        "198.51.100.1", "198.51.100.2", "2001:db8::1", "198.51.100.3",
    ]  # fmt: skip


def test_the_start_is_told_in_utc() -> None:
    assert survey(FILE, file="f").sent_at == "2022-03-02T22:47:54Z"
    assert survey([b"client_id,source_address\n", b"nrt,192.0.2.1\n"], file="f").sent_at == ""


def test_a_map_has_a_row_for_each_target() -> None:
    found = survey(FILE, file="f")
    made = to_map(FILE, found, file="f", network="n", prefix="192.0.2.0/24")
    assert made.name == ("198.51.100.1", "198.51.100.2", "2001:db8::1", "198.51.100.3")
    assert made.site == ("nrt", "nrt", "lhr", "nrt")
    assert made.rtt_ms == (12.5, None, 250.0, 12.5)
    assert made.asn == (64500, None, 64500, None)
    assert made.country == ("JP", "", "JP", "")
    assert made.sites == ("lhr", "nrt")


def test_lines_written_one_by_one_are_the_same_map() -> None:
    found = survey(FILE, file="f")
    made = to_map(FILE, found, file="f", network='a "name"', prefix="192.0.2.0/24")
    text = b"".join(to_jsonl(FILE, found, file="f", network='a "name"', prefix="192.0.2.0/24"))
    assert read_jsonl(StringIO(text.decode()), file="out") == made
    assert [json.loads(x) for x in text.decode().splitlines()] == [
        json.loads(x) for x in render_jsonl(made)
    ]


def test_odd_names_are_escaped() -> None:
    odd = [HEADING, line('"s""1"', "192.0.2.7"), line("s\\2", 'x\\"y'), line("nrt", "1.2.3.4")]
    found = survey(odd, file="f")
    text = b"".join(to_jsonl(odd, found, file="f")).decode()
    assert read_jsonl(StringIO(text), file="out") == to_map(odd, found, file="f")
    assert set(found.counts) == {'s"1', "s\\2", "nrt"}


def test_a_file_with_only_what_is_needed_is_enough() -> None:
    few = [b"source_address,client_id\r\n", b"192.0.2.1,nrt\r\n", b"192.0.2.2,lhr\r\n"]
    found = survey(few, file="f")
    text = b"".join(to_jsonl(few, found, file="f")).decode()
    assert read_jsonl(StringIO(text), file="out").site == ("nrt", "lhr")


def test_totals_are_written_as_the_testbed_does() -> None:
    assert render_stats(survey(FILE, file="f"), policy="base", timestamp="7") == (
        "#policy,base\n#timestamp,7\n#hitlist,not_provided\nsite,counts,percent\nnrt,3,75\nlhr,1,25\n\n"
    )


@pytest.mark.parametrize(
    ("n", "total", "shown"),
    [(8010, 8916, 89), (457, 8916, 5), (535, 8928, 6), (52, 8928, 0), (1, 1, 100), (0, 0, 0)],
)
def test_percents_are_cut_after_a_tenth(n: int, total: int, shown: int) -> None:
    assert percent(n, total) == shown


def test_a_few_bad_lines_are_counted_and_told() -> None:
    good = [line("nrt", f"198.51.100.{i}") for i in range(40)]
    found = survey([HEADING, *good, b"cut,here\n", line("", "192.0.2.1")], file="f")
    assert (found.n_targets, found.n_malformed) == (40, 2)
    assert found.first_malformed == "f:42:1: the line names no site and target: 'cut,here'"


def test_many_bad_lines_are_another_kind_of_file() -> None:
    with pytest.raises(InputError, match="f:2:1: the line names no site and target: 'what'"):
        survey([HEADING, b"what\n", b"is\n", line("nrt", "192.0.2.1")], file="f")


@pytest.mark.parametrize("heading", [b"", b"a,b,c\n", b"\x00\xff\n"])
def test_another_heading_is_refused_with_what_was_expected(heading: bytes) -> None:
    with pytest.raises(InputError) as caught:
        survey([heading], file="f")
    assert len(caught.value.problems) == 2
    assert "a Verfploeter file's heading names client_id and source_address" in str(caught.value)


def test_a_file_without_replies_has_no_sites() -> None:
    found = survey([HEADING], file="f")
    assert (dict(found.counts), found.n_targets, found.sent_at) == ({}, 0, "")
