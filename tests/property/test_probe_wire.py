"""Nothing that a stranger sends breaks a parser."""

import contextlib
import struct

import dns.edns
import dns.message
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.probe.certificate import certificate_names
from ridgeline.probe.icmp import Echo, IcmpError, Version, read_icmp, strip_ipv4
from ridgeline.probe.identity import MAX_SHOWN, DnsQuestion, Outcome, read_http
from ridgeline.probe.sweepsockets import read_landing, read_report

QUESTION = DnsQuestion(name="id.server", is_chaos=True)
VERSIONS: st.SearchStrategy[Version] = st.sampled_from((4, 6))


def good_answer() -> bytes:
    query = dns.message.from_wire(QUESTION.wire(7))
    response = dns.message.make_response(query)
    response.answer.append(dns.rrset.from_text("id.server.", 0, "CH", "TXT", '"nrt"'))
    response.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"nrt")])
    return response.to_wire()


@st.composite
def damaged(draw: st.DrawFn, wire: bytes) -> bytes:
    """A good message with a few bytes changed, cut out or put in."""
    data = bytearray(wire)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("change", "cut", "insert"))):
            case "change" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


@given(st.one_of(st.binary(max_size=300), damaged(good_answer())))
def test_any_dns_answer_is_read_or_called_malformed(wire: bytes) -> None:
    for answer in QUESTION.answer(wire, transport="udp", version=4):
        assert isinstance(answer.outcome, Outcome)
        assert (answer.value is not None) == (answer.outcome is Outcome.ANSWERED)
        assert answer.value is None or (
            answer.value.isprintable() and len(answer.value) <= MAX_SHOWN
        )


@given(VERSIONS, st.binary(max_size=120))
def test_any_icmp_message_is_read_or_refused(version: Version, data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(read_icmp(version, data), Echo | IcmpError)


@given(VERSIONS, st.sampled_from((1, 2, 3, 4, 11, 12)), st.binary(max_size=120))
def test_any_icmp_error_is_read_or_refused(version: Version, kind: int, quoted: bytes) -> None:
    with contextlib.suppress(ValueError):
        message = read_icmp(version, struct.pack("!BBHI", kind, 0, 0, 0) + quoted)
        assert isinstance(message, Echo | IcmpError)
        if isinstance(message, IcmpError):
            assert len(message.destination) == (4 if version == 4 else 16)


@given(st.binary(max_size=80))
def test_any_packet_has_a_header_or_is_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert len(strip_ipv4(data)) <= len(data) - 20


HTTP = b"HTTP/1.1 200 OK\r\nX-Served-By: nrt\r\nCF-Ray: 0a1b-NRT\r\n\r\nsite=nrt\n"


@given(st.one_of(st.binary(max_size=300), damaged(HTTP)))
def test_any_http_answer_is_read_or_called_malformed(data: bytes) -> None:
    answers = read_http(data, path="/", transport="http", version=4)
    assert answers[0].way == "/"
    for answer in answers:
        assert answer.value is None or (
            answer.value.isprintable() and len(answer.value) <= MAX_SHOWN
        )


@given(st.binary(max_size=200))
def test_any_certificate_is_read_or_refused(der: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(name.isprintable() for name in certificate_names(der))


@given(VERSIONS, st.binary(max_size=120))
def test_any_packet_at_a_listener_is_a_landing_of_this_sweep_or_ignored(
    version: Version, data: bytes
) -> None:
    token = b"12345678"
    assert read_landing(version, data, token) is None
    reply = bytes((129 if version == 6 else 0, 0, 0, 0)) + bytes(4)
    payload = struct.pack("!4s8sIQ", b"RDGL", token, 7, 9) + data
    header = b"" if version == 6 else b"\x45" + bytes(19)
    assert read_landing(version, header + reply + payload, token) == (7, 9)
    assert read_landing(version, header + reply + payload, b"87654321") is None


@given(st.one_of(st.binary(max_size=100), st.from_regex(rb'\{"index": ?.{0,20}"source".{0,20}\}')))
def test_any_line_of_a_remote_listener_is_a_landing_or_ignored(line: bytes) -> None:
    landed = read_report(line, "nrt")
    assert landed is None or (isinstance(landed.index, int) and landed.site == "nrt")
