"""RIPE Atlas results of every firmware, and the garbage among them."""

import base64
from typing import Any

import dns.edns
import dns.message
import dns.rrset
import pytest

from ridgeline.probe.atlas import (
    AtlasResult,
    Hop,
    Kind,
    Skipped,
    clean_identity,
    identity_of_wire,
    parse_result,
    readable_nsid,
)


def wire(*texts: str, nsid: bytes = b"", klass: str = "CH") -> str:
    query = dns.message.make_query("hostname.bind", "TXT", klass)
    options: list[dns.edns.Option] = [dns.edns.NSIDOption(nsid)] if nsid else []
    message = dns.message.make_response(query)
    message.use_edns(0, options=options)
    if texts:
        data = " ".join(f'"{text}"' for text in texts)
        message.answer.append(dns.rrset.from_text("hostname.bind.", 0, klass, "TXT", data))
    return base64.b64encode(message.to_wire()).decode()


def one(document: dict[str, Any]) -> AtlasResult:
    (result,) = parse_result(document)
    assert isinstance(result, AtlasResult), result
    return result


DNS = {
    "fw": 5080, "type": "dns", "prb_id": 7, "dst_addr": "192.0.2.1", "timestamp": 1700000000,
}  # fmt: skip


def test_a_chaos_answer_tells_who_answered() -> None:
    result = one({**DNS, "result": {"rt": 12.5, "abuf": wire("ns1.fr-par.example")}})
    assert result == AtlasResult(
        kind=Kind.DNS, probe="7", target="192.0.2.1", at=1700000000, rtt_ms=12.5,
        identity="ns1.fr-par.example",
    )  # fmt: skip


def test_what_the_probe_decoded_comes_before_the_message() -> None:
    answers = [{"TYPE": "TXT", "NAME": "hostname.bind", "RDATA": ["ns1.", "nrt"]}]
    result = one({**DNS, "result": {"rt": 1.0, "answers": answers, "abuf": wire("other")}})
    assert result.identity == "ns1.nrt"
    old = [{"TYPE": "TXT", "NAME": "hostname.bind", "RDATA": "ns1.nrt"}]
    assert one({**DNS, "result": {"rt": 1.0, "answers": old}}).identity == "ns1.nrt"


def test_an_nsid_tells_where_there_is_no_text() -> None:
    assert identity_of_wire(wire(nsid=b"gru1.example")) == "gru1.example"
    assert identity_of_wire(wire("chaos", nsid=b"nsid")) == "chaos"
    assert identity_of_wire(wire("an internet text", klass="IN")) == ""


def test_an_nsid_that_is_no_text_is_written_in_hexadecimal() -> None:
    assert readable_nsid(b"\x00\xff") == "00ff"
    assert readable_nsid(b"") == ""


@pytest.mark.parametrize(
    "abuf", [None, "", 7, "%%%", "AAAA", base64.b64encode(b"x" * 600).decode()]
)
def test_a_message_that_is_none_tells_nothing(abuf: object) -> None:
    assert identity_of_wire(abuf) == ""


def test_a_cut_message_tells_nothing() -> None:
    whole = base64.b64decode(wire("ns1.fr-par.example", nsid=b"x"))
    for length in range(len(whole)):
        assert identity_of_wire(base64.b64encode(whole[:length]).decode()) in ("", "x")


def test_every_resolver_of_a_set_is_a_result() -> None:
    document = {
        "fw": 4750, "msm_name": "Tdig", "prb_id": 7, "timestamp": 5,
        "resultset": [
            {"dst_addr": "192.0.2.1", "time": 6, "result": {"rt": 3.0, "abuf": wire("a")}},
            {"dst_addr": "192.0.2.2", "error": {"timeout": 5000}},
            "garbage",
        ],
    }  # fmt: skip
    first, second = parse_result(document)
    assert isinstance(first, AtlasResult)
    assert isinstance(second, AtlasResult)
    assert (first.identity, first.at, first.error) == ("a", 6, "")
    assert (second.target, second.at, second.rtt_ms, second.error) == (
        "192.0.2.2", 5, None, "timeout 5000",
    )  # fmt: skip


PING = {"type": "ping", "prb_id": 7, "dst_addr": "192.0.2.1", "timestamp": 5}


@pytest.mark.parametrize(
    ("fields", "rtt", "error"),
    [
        ({"result": [{"rtt": 3.5}, {"rtt": 2.5}, {"x": "*"}], "min": 2.5}, 2.5, ""),
        ({"result": [{"x": "*"}], "min": -1}, None, "timeout"),
        ({"result": [{"error": "Network is unreachable"}]}, None, "Network is unreachable"),
        ({"min": 4.5, "rcvd": 3}, 4.5, ""),
        ({"result": [{"rtt": True}, {"rtt": "3"}, {"rtt": -1}, {"rtt": 1e9}, 3]}, None, "timeout"),
    ],
)
def test_the_fastest_reply_of_a_ping_counts(
    fields: dict[str, Any], rtt: float | None, error: str
) -> None:
    result = one({**PING, **fields})
    assert (result.rtt_ms, result.error) == (rtt, error)


def test_the_first_firmware_names_no_type() -> None:
    result = one({"fw": 1, "prb_id": 165, "addr": "192.0.2.1", "min": 19.9, "rcvd": 3, "sent": 3})
    assert (result.kind, result.target, result.rtt_ms) == (Kind.PING, "192.0.2.1", 19.9)


def test_a_traceroute_tells_its_hops_and_the_time_to_the_target() -> None:
    hops = [
        {"hop": 1, "result": [{"from": "198.51.100.1", "rtt": 2.0}, {"from": "198.51.100.1", "rtt": 1.0}]},
        {"hop": 2, "result": [{"x": "*"}, {"x": "*"}]},
        {"hop": 3, "result": [{"from": "198.51.100.9", "late": 2}, {"from": "203.0.113.1", "rtt": 8.0}]},
        {"hop": 4, "result": [{"from": "192.0.2.1", "rtt": 9.5}]},
        {"hop": 0, "result": []}, {"hop": "x"}, "garbage", {"error": "sendto failed"},
    ]  # fmt: skip
    result = one({"type": "traceroute", "prb_id": 7, "dst_addr": "192.0.2.1", "result": hops})
    assert result.hops == (
        Hop(1, "198.51.100.1", 1.0), Hop(2, "", None), Hop(3, "203.0.113.1", 8.0),
        Hop(4, "192.0.2.1", 9.5),
    )  # fmt: skip
    assert (result.rtt_ms, result.error) == (9.5, "")


def test_a_traceroute_that_never_arrives_says_so() -> None:
    hops = [{"hop": 1, "result": [{"from": "198.51.100.1", "rtt": 2.0}]}]
    result = one({"type": "traceroute", "prb_id": 7, "dst_addr": "192.0.2.1", "result": hops})
    assert (result.rtt_ms, result.error) == (None, "the target did not answer")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({}, "no prb_id"),
        ({"prb_id": True, "type": "ping"}, "no prb_id"),
        ({"prb_id": " ", "type": "ping"}, "no prb_id"),
        ({"prb_id": 1, "type": "sslcert"}, "type 'sslcert'"),
        ({"prb_id": 1}, "type 'None'"),
        (
            {"prb_id": 1, "type": "traceroute", "result": "old text"},
            "traceroute without a list of hops",
        ),
    ],
)
def test_what_is_no_result_is_skipped_with_its_reason(
    document: dict[str, Any], reason: str
) -> None:
    assert parse_result(document) == [Skipped(reason)]


def test_an_identity_is_short_and_printable() -> None:
    assert clean_identity('"ns1.\x00nrt\n" ') == "ns1.nrt"
    assert len(clean_identity("x" * 9999)) == 255
