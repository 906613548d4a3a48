"""What answers say about who gave them."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from ridgeline.probe.identity import (
    Answer,
    DnsQuestion,
    Outcome,
    agree,
    dns_questions,
    field_site,
    read_http,
)

ID_SERVER = DnsQuestion(name="id.server", is_chaos=True)


def response(
    *texts: str, nsid: bytes | None = None, rcode: dns.rcode.Rcode = dns.rcode.NOERROR
) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(ID_SERVER.wire(7)))
    if texts:
        quoted = " ".join(f'"{text}"' for text in texts)
        made.answer.append(dns.rrset.from_text("id.server.", 0, "CH", "TXT", quoted))
    if nsid is not None:
        made.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, nsid)])
    made.set_rcode(rcode)
    return made.to_wire()


def read(wire: bytes) -> tuple[Answer, Answer]:
    return ID_SERVER.answer(wire, transport="udp", version=4)


def test_the_questions_are_those_of_the_standards() -> None:
    chaos = [q.name for q in dns_questions(()) if q.is_chaos]
    assert chaos == ["id.server", "hostname.bind", "version.server", "version.bind"]
    message = dns.message.from_wire(ID_SERVER.wire(7))
    assert message.question[0].to_text() == "id.server. CH TXT"
    assert [option.otype for option in message.options] == [dns.edns.OptionType.NSID]


def test_text_and_nsid_are_both_read() -> None:
    text, nsid = read(response("nrt", nsid=b"nrt1.example"))
    assert (text.way, text.value) == ("id.server", "nrt")
    assert (nsid.way, nsid.value) == ("nsid", "nrt1.example")


def test_an_nsid_that_is_no_text_is_shown_in_hexadecimal() -> None:
    assert read(response("x", nsid=b"\x00\xff"))[1].value == "00ff"


def test_a_server_that_refuses_may_still_tell_its_nsid() -> None:
    text, nsid = read(response(nsid=b"nrt", rcode=dns.rcode.REFUSED))
    assert (text.outcome, text.detail) == (Outcome.REFUSED, "REFUSED")
    assert nsid.value == "nrt"


@pytest.mark.parametrize(
    ("wire", "outcome"),
    [
        (response(), Outcome.NO_RECORD),
        (response(rcode=dns.rcode.NXDOMAIN), Outcome.NO_RECORD),
        (response(rcode=dns.rcode.NOTIMP), Outcome.REFUSED),
        (response(rcode=dns.rcode.SERVFAIL), Outcome.FAILED),
        (ID_SERVER.wire(7), Outcome.MALFORMED),
        (b"\0\0", Outcome.MALFORMED),
        (response("nrt")[:-3], Outcome.MALFORMED),
    ],
)
def test_each_failure_is_called_what_it_is(wire: bytes, outcome: Outcome) -> None:
    assert read(wire)[0].outcome is outcome


def test_a_truncated_answer_says_to_ask_over_tcp() -> None:
    cut = dns.message.make_response(dns.message.from_wire(ID_SERVER.wire(7)))
    cut.flags |= dns.flags.TC
    answer = read(cut.to_wire())[0]
    assert answer.outcome is Outcome.TRUNCATED
    assert "TCP" in answer.detail


@pytest.mark.parametrize(
    ("field", "value", "site"),
    [
        ("x-served-by", "cache-fra-eddf1234-FRA, cache-nrt-rjtt5678-NRT", "cache-nrt-rjtt5678-NRT"),
        ("cf-ray", "8f0a1b2c3d4e5f60-NRT", "NRT"),
        ("cf-ray", "8f0a1b2c3d4e5f60", None),
        ("x-amz-cf-pop", "NRT57-P1", "NRT57-P1"),
        ("server-timing", 'cache;desc=hit, cdn-pop;desc="NRT"', "NRT"),
        ("server-timing", "total;dur=12", None),
        ("via", "1.1 varnish, 1.1 nrt1.example", "nrt1.example"),
        ("via", "1.1 varnish", None),
        ("cache-status", "origin-shield; hit, nrt; hit; ttl=20", "nrt"),
        ("cache-status", "Varnish; hit", None),
        ("x-cache", "HIT from nrt3.example", "nrt3.example"),
        ("x-cache", "Hit from cloudfront", None),
    ],
)
def test_http_fields_name_the_site_in_their_own_ways(
    field: str, value: str, site: str | None
) -> None:
    assert field_site(field, value) == site


def test_a_trace_page_names_the_site() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Served-By: nrt\r\n\r\nh=x\ncolo=NRT\n"
    answers = read_http(page, path="/cdn-cgi/trace", transport="http", version=4)
    assert [(a.way, a.value) for a in answers] == [
        ("/cdn-cgi/trace", "NRT"),
        ("x-served-by", "nrt"),
    ]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (404, Outcome.NO_RECORD),
        (403, Outcome.REFUSED),
        (429, Outcome.RATE_LIMITED),
        (503, Outcome.FAILED),
    ],
)
def test_http_refusals_are_told_apart(status: int, outcome: Outcome) -> None:
    head = f"HTTP/1.1 {status} x\r\n\r\n".encode()
    assert read_http(head, path="/", transport="http", version=4)[0].outcome is outcome


def answer(way: str, value: str) -> Answer:
    return Answer(way=way, transport="udp", version=4, outcome=Outcome.ANSWERED, value=value)


def test_ways_agree_whatever_the_case_and_versions_do_not_vote() -> None:
    found = agree([answer("nsid", "nrt"), answer("cf-ray", "NRT"), answer("version.bind", "9.20")])
    assert found.is_one
    assert found.site == "nrt"
    assert found.names == {"nrt": ("nsid/udp4", "cf-ray/udp4")}


def test_names_of_one_place_agree() -> None:
    answers = [answer("nsid", "ns1.tokyo"), answer("id.server", "nrt")]
    assert not agree(answers).is_one
    assert agree(answers, {"ns1.tokyo": "nrt", "nrt": "nrt"}).is_one


def test_the_commonest_name_leads_when_ways_differ() -> None:
    found = agree(
        [answer("nsid", "lhr"), answer("id.server", "nrt"), answer("hostname.bind", "nrt")]
    )
    assert (found.site, found.is_one) == ("nrt", False)


def test_nobody_tells_anything() -> None:
    assert agree([]).site is None
