"""The prober's small DNS, held against dnspython."""

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from ridgeline.lab.watch.dnswire import Identity, identity_query, read_identity


def answer(*options: dns.edns.Option, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    query = dns.message.from_wire(identity_query("www.example.test", "A", recursion=False))
    response = dns.message.make_response(query)
    response.set_rcode(rcode)
    name = dns.rrset.from_text("www.example.test.", 60, "IN", "CNAME", "host.example.test.")
    response.answer += [name, dns.rrset.from_text("host.example.test.", 60, "IN", "A", "192.0.2.1")]
    response.use_edns(0, options=list(options))
    response.set_rcode(rcode)
    return response.to_wire()


def nsid(value: bytes) -> dns.edns.Option:
    return dns.edns.GenericOption(dns.edns.OptionType.NSID, value)


@pytest.mark.parametrize("recursion", [True, False])
@pytest.mark.parametrize(
    ("name", "kind"), [("example.test", "SOA"), (".", "NS"), ("a.b.c.", "TXT")]
)
def test_a_query_reads_as_one_that_asks_for_the_servers_name(
    name: str, kind: str, recursion: bool
) -> None:
    message = dns.message.from_wire(identity_query(name, kind, recursion=recursion))
    (question,) = message.question
    assert question.name == dns.message.make_query(name, kind).question[0].name
    assert question.to_text().endswith(f" IN {kind}")
    assert message.id == 0
    assert bool(message.flags & dns.flags.RD) is recursion
    assert (message.edns, message.payload) == (0, 1232)
    assert [(option.otype, option.to_wire()) for option in message.options] == [
        (dns.edns.OptionType.NSID, b"")
    ]


def test_a_query_for_an_impossible_name_or_type_is_refused() -> None:
    with pytest.raises(ValueError, match="too long for a domain name"):
        identity_query("x" * 64 + ".test", "A", recursion=False)
    with pytest.raises(ValueError, match="record type 'MX' is none of A, NS, SOA, TXT, AAAA"):
        identity_query("example.test", "MX", recursion=False)


def test_an_answer_names_its_server_behind_other_records_and_options() -> None:
    cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"01234567")
    assert read_identity(answer(cookie, nsid(b"nrt"))) == Identity("NOERROR", "nrt")


def test_a_name_that_is_no_text_is_told_in_hexadecimal() -> None:
    assert read_identity(answer(nsid(b"\x01\xff"))).nsid == "01ff"
    assert read_identity(answer(nsid(b"n\nt"))).nsid == "6e0a74"


def test_an_answer_without_a_name_has_none() -> None:
    assert read_identity(answer()) == Identity("NOERROR", None)
    plain = dns.message.make_response(dns.message.make_query("example.test", "A", use_edns=False))
    assert read_identity(plain.to_wire()) == Identity("NOERROR", None)


@pytest.mark.parametrize(
    "rcode", ["SERVFAIL", "REFUSED", "NXDOMAIN", "BADVERS", "NOTAUTH", "BADCOOKIE"]
)
def test_a_failure_is_told_with_its_name(rcode: str) -> None:
    wire = answer(nsid(b"nrt"), rcode=dns.rcode.from_text(rcode))
    assert read_identity(wire) == Identity(rcode, "nrt")


def test_a_rare_failure_is_told_by_number() -> None:
    assert read_identity(answer(rcode=dns.rcode.Rcode.BADTRUNC)).rcode == "RCODE22"


def test_what_is_no_answer_is_refused_wherever_it_ends() -> None:
    with pytest.raises(ValueError, match="a query came back"):
        read_identity(identity_query("example.test", "A", recursion=False))
    whole = answer(nsid(b"nrt"))
    for end in range(len(whole)):
        with pytest.raises(ValueError, match=r"ends too early|ends outside"):
            read_identity(whole[:end])
