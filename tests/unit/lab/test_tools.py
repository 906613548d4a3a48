"""What traceroute, dig and curl print, read."""

import pytest

from ridgeline.lab.birdctl import BirdControl
from ridgeline.lab.material.zonefiles import zone_domain
from ridgeline.lab.routes import parse_best_route
from ridgeline.lab.tools import parse_dig, parse_headers, parse_traceroute
from ridgeline.lab.watch.measure import unanswered_ms
from ridgeline.lab.watch.outage import Sample

TRACE = """\
traceroute to 192.0.2.53 (192.0.2.53), 24 hops max, 60 byte packets
 1  ae2.cr1.nrt.yuzu.example (198.19.0.193)  2.221 ms
 2  *
 3  198.18.0.248 (198.18.0.248)  2.705 ms !N
 4  dns.anycast.example-anycast.example (192.0.2.53)  2.687 ms
"""
DIG = """\
; <<>> DiG 9.18 <<>> -u +nsid @192.0.2.53 www.example.test A
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711
;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags:; udp: 1232
; NSID: 6e 72 74 ("nrt")
;; QUESTION SECTION:
;www.example.test.\t\tIN\tA

;; ANSWER SECTION:
www.example.test.\t60\tIN\tA\t192.0.2.80
www.example.test.\t60\tIN\tA\t192.0.2.81

;; Query time: 2873 usec
"""


def test_a_traceroute_is_read_hop_by_hop() -> None:
    hops = parse_traceroute(TRACE)
    assert [hop["ttl"] for hop in hops] == [1, 2, 3, 4]
    assert hops[0]["city"] == "nrt"
    assert hops[0]["network"] == "yuzu"
    assert hops[0]["rtt_ms"] == 2.221
    assert hops[1]["address"] is None
    assert hops[2]["name"] is None
    assert hops[2]["note"] == "!N"
    assert hops[3]["address"] == "192.0.2.53"


def test_hops_that_never_answer_at_the_end_are_dropped() -> None:
    assert len(parse_traceroute(TRACE + " 5  *\n 6  *\n")) == 4
    assert parse_traceroute("traceroute to x, 24 hops max\n 1  *\n") == []


def test_a_dig_answer_is_read() -> None:
    answer = parse_dig(DIG)
    assert answer == {
        "status": "NOERROR",
        "answer": ["A 192.0.2.80", "A 192.0.2.81"],
        "site": "nrt",
        "rtt_ms": 2.873,
        "validated": False,
        "ede": [],
        "error": None,
    }


def test_dig_tells_whether_an_answer_was_validated_and_why_not() -> None:
    flags = ";; flags: qr rd ra{}; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1\n"
    assert parse_dig(DIG + flags.format(" ad"))["validated"]
    assert not parse_dig(DIG + flags.format(""))["validated"]
    extended = "; EDE: 6 (DNSSEC Bogus): (signature crypto failed)\n; EDE: 3 (Stale Answer)\n"
    assert parse_dig(DIG + extended)["ede"] == [
        "6 (DNSSEC Bogus): (signature crypto failed)",
        "3 (Stale Answer)",
    ]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("communications error to 192.0.2.53#53: timed out", "TIMEOUT"),
        ("communications error to 192.0.2.80#443: failure", "FAILED"),
        ("Connection to 192.0.2.1#853(192.0.2.1) for a.test failed: connection refused", "FAILED"),
        (
            "TLS peer certificate verification for 192.0.2.1#853 failed: hostname mismatch",
            "FAILED",
        ),
    ],
)
def test_why_there_is_no_answer_is_told_in_digs_words(said: str, status: str) -> None:
    answer = parse_dig(f";; {said}.\n;; no servers could be reached\n")
    assert (answer["status"], answer["error"]) == (status, said)


def test_no_answer_is_a_timeout() -> None:
    answer = parse_dig("")
    assert (answer["status"], answer["answer"], answer["site"]) == ("TIMEOUT", [], None)


def test_headers_of_the_last_response_count() -> None:
    text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Served-By: nrt\r\nA: b: c\r\n\r\n"
    assert parse_headers(text) == {"x-served-by": "nrt", "a": "b: c"}
    assert parse_headers("") == {}


def test_bird_tells_its_best_route() -> None:
    lines = [
        "Table master4:",
        "192.0.2.0/24         unicast [provider_tanuki_nrt_eth0 14:28:37.254] * (100) [AS64500i]",
        "\tvia 198.18.1.6 on eth6",
        "BGP.as_path: 65537 64500",
        "BGP.local_pref: 100",
    ]
    route = parse_best_route(lines)
    assert route is not None
    assert route.protocol == "provider_tanuki_nrt_eth0"
    assert route.as_path == (65537, 64500)
    assert route.local_pref == 100
    assert parse_best_route([]) is None


@pytest.mark.parametrize(
    ("text", "name", "domain"),
    [
        ("$ORIGIN Example.TEST.\n@ SOA a b 1 1 1 1 1\n", "x.zone", "example.test."),
        ("example.test. 60 IN SOA a b 1 1 1 1 1\n", "x.zone", "example.test."),
        ("@ SOA a b 1 1 1 1 1\n", "zones/other.test.zone", "other.test."),
    ],
)
def test_a_zone_file_tells_its_domain(text: str, name: str, domain: str) -> None:
    assert zone_domain(text, name) == domain


def lost(t_ms: float) -> Sample:
    return Sample(t_ms, None, None, "timeout")


def good(t_ms: float) -> Sample:
    return Sample(t_ms, "nrt", 5.0, None)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([], 0.0),
        ([good(0), good(10)], 0.0),
        ([good(0), lost(10), lost(20), good(30)], 20.0),
        ([lost(0), good(10), lost(20), good(40)], 30.0),
        ([good(20), lost(10), good(0)], 10.0),
        ([good(0), lost(10)], None),
    ],
)
def test_unanswered_time_leaves_the_round_trip_aside(
    samples: list[Sample], expected: float | None
) -> None:
    assert unanswered_ms(samples) == expected


def test_a_control_socket_that_is_not_there_is_named(tmp_path: object) -> None:
    import asyncio
    from pathlib import Path

    from ridgeline.errors import MachineError

    control = BirdControl(Path(str(tmp_path)) / "bird.ctl")
    with pytest.raises(MachineError, match=r"bird\.ctl does not answer `show status`"):
        asyncio.run(control.command("show status"))
