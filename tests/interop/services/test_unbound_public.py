"""A resolver that everybody may use: encrypted, validating, never stale for long, no amplifier."""

import contextlib
import math
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.rrset
import pytest

from ridgeline.lab.material.nametree import NameTree
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.knot_tree import FAILED, OUTSIDE, OUTSIDE_ADDRESS, render_knot_tree
from ridgeline.render.unbound import (
    OPEN_RATE_LIMIT,
    ROOT_FILE,
    DnsTls,
    StubZone,
    UnboundSite,
    render_root_zone,
    render_unbound,
)

from .daemons import (
    DNS_PORT,
    HTTP_PORT,
    TLS_PORT,
    Address,
    Daemons,
    answers_dns,
    ask,
    need,
    nsid,
    own_address,
    sentence,
    texts,
)

AUTHORITY = own_address(53)
NRT = own_address(1)
LHR = own_address(2)
STRANGER = own_address(9)
NAME = "resolver.example-anycast.example"
RECORDS = (
    f"$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A {AUTHORITY}\n"
    "www A 192.0.2.80\nbrief 1 A 192.0.2.81\n"
    + "".join(f'big TXT "{number:03}{"x" * 200}"\n' for number in range(15))
)
N_SESSIONS = 20
KEEPALIVE = dns.edns.OptionType.make(11)  # RFC 7828


def site_at(address: Address, folder: Path, identity: SiteIdentity) -> UnboundSite:
    folder.mkdir()
    (folder / ROOT_FILE).write_text(render_root_zone())
    return UnboundSite(
        identity=identity,
        directory=str(folder),
        listen=(address,),
        outgoing=(address,),
        stubs=(StubZone(domain="example.test", addresses=(AUTHORITY,), port=DNS_PORT),),
        clients=(ip_network("0.0.0.0/0"),),
        port=DNS_PORT,
    )


@pytest.fixture
def site(nrt: SiteIdentity, tmp_path: Path) -> UnboundSite:
    return site_at(NRT, tmp_path / "nrt", nrt)


def start(daemons: Daemons, site: UnboundSite, more: str = "") -> subprocess.Popen[bytes]:
    file = Path(site.directory) / "unbound.conf"
    file.write_text(render_unbound(site) + more)
    return daemons.start("unbound", "-d", "-p", "-c", str(file), ready=answers_dns(site.listen[0]))


def start_knot(daemons: Daemons, folder: Path, zones: dict[str, str]) -> subprocess.Popen[bytes]:
    folder.mkdir()
    files = {}
    for domain, text in zones.items():
        file = folder / f"{domain}zone"
        file.write_text(text)
        files[domain] = str(file)
    configuration = folder / "knot.conf"
    configuration.write_text(
        render_knot_tree(directory=str(folder), listen=(AUTHORITY,), zones=files, port=DNS_PORT)
    )
    return daemons.start("knotd", "-c", str(configuration), ready=answers_dns(AUTHORITY))


def extended_errors(answer: dns.message.Message) -> list[int]:
    return [int(o.code) for o in answer.options if isinstance(o, dns.edns.EDEOption)]


# --- TLS and HTTPS ---


@pytest.fixture
def certificate(tmp_path: Path) -> DnsTls:
    pytest.importorskip("cryptography")
    from ridgeline.lab.material.certificates import Authority

    authority = Authority("example-anycast")
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    files = authority.sign([NAME], [NRT, LHR]).write(tmp_path, "resolver")
    return DnsTls(
        certificate=str(files.certificate),
        key=str(files.key),
        tls_port=TLS_PORT,
        https_port=HTTP_PORT,
    )


def ticket_key(folder: Path, number: int) -> str:
    file = folder / f"ticket-{number}.key"
    file.write_bytes(bytes((number + at) % 256 for at in range(80)))
    file.chmod(0o600)
    return str(file)


def test_tls_and_https_answer_with_a_certificate_that_a_client_verifies(
    daemons: Daemons, site: UnboundSite, certificate: DnsTls, tmp_path: Path
) -> None:
    need("curl")
    start_knot(daemons, tmp_path / "knot", {"example.test.": RECORDS})
    start(daemons, replace(site, tls=certificate))
    trusted = tmp_path / "authority.pem"
    context = ssl.create_default_context(cafile=str(trusted))
    query = dns.message.make_query("www.example.test", "A", use_edns=0)
    query.use_edns(options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")])
    for hostname in (NAME, str(NRT)):
        answer = dns.query.tls(
            query, str(NRT), 3, TLS_PORT, server_hostname=hostname, ssl_context=context
        )
        assert (texts(answer), nsid(answer)) == (["192.0.2.80"], b"nrt")
    with pytest.raises(ssl.SSLCertVerificationError):
        dns.query.tls(
            query, str(NRT), 3, TLS_PORT, server_hostname="a.example", ssl_context=context
        )
    question, reply = tmp_path / "question", tmp_path / "reply"
    question.write_bytes(query.to_wire())
    done = subprocess.run(
        [
            *("curl", "-sS", "--cacert", str(trusted), "--data-binary", f"@{question}"),
            *("-H", "content-type: application/dns-message", "-o", str(reply)),
            *("--connect-to", f"::{NRT}:{HTTP_PORT}", "-w", "%{http_version} %{content_type}"),
            f"https://{NAME}/dns-query",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2 application/dns-message"
    assert texts(dns.message.from_wire(reply.read_bytes())) == ["192.0.2.80"]


def resumed(first: Address, second: Address, context: ssl.SSLContext) -> bool:
    """Begin a session at one site; say whether it goes on at the other."""
    query = dns.message.make_query("id.server.", "TXT", "CH").to_wire()
    session = None
    for address in (first, second):
        with (
            socket.create_connection((str(address), TLS_PORT), timeout=3) as plain,
            context.wrap_socket(plain, server_hostname=NAME, session=session) as secure,
        ):
            secure.sendall(struct.pack("!H", len(query)) + query)
            assert secure.recv(2)  # TLS 1.3: the ticket comes before the first answer
            if session is not None:
                return bool(secure.session_reused)
            session = secure.session
    raise AssertionError


def test_every_session_begun_at_one_site_goes_on_at_another(
    daemons: Daemons, site: UnboundSite, certificate: DnsTls, nrt: SiteIdentity, tmp_path: Path
) -> None:
    old, new, other = (ticket_key(tmp_path, number) for number in (1, 2, 3))
    lhr = site_at(LHR, tmp_path / "lhr", replace(nrt, site="lhr"))
    context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))

    def share(at_nrt: tuple[str, ...], at_lhr: tuple[str, ...], n: int) -> float:
        running = [
            start(daemons, replace(where, tls=replace(certificate, ticket_keys=keys)))
            for where, keys in ((site, at_nrt), (lhr, at_lhr))
        ]
        share = sum(resumed(NRT, LHR, context) for _ in range(n)) / n
        for process in running:
            daemons.end(process)
        return share

    assert share((old,), (old,), N_SESSIONS) == 1
    assert share((old,), (new, old), 3) == 1  # lhr has turned to a new key, nrt has not yet
    assert share((old,), (other,), 3) == 0


def test_an_idle_tcp_client_is_told_how_long_it_may_stay(
    daemons: Daemons, site: UnboundSite
) -> None:
    start(daemons, site)
    query = dns.message.make_query("www.example.com.", "A")
    query.use_edns(options=[dns.edns.GenericOption(KEEPALIVE, b"")])
    answer = dns.query.tcp(query, str(NRT), timeout=3, port=DNS_PORT)
    told = [option.to_wire() for option in answer.options if option.otype == KEEPALIVE]
    assert told == [struct.pack("!H", 100)]  # in tenths of a second


# --- stale answers ---


def test_while_the_authority_is_away_an_expired_answer_comes_in_time_and_says_so(
    daemons: Daemons, site: UnboundSite, tmp_path: Path
) -> None:
    knot = start_knot(daemons, tmp_path / "knot", {"example.test.": RECORDS})
    start(daemons, site)
    fresh = ask(NRT, "brief.example.test.")
    assert fresh.answer[0].ttl == 1
    daemons.end(knot)
    with silent_at(AUTHORITY):
        time.sleep(2.2)
        began = time.monotonic()
        stale = ask(NRT, "brief.example.test.", timeout=30)
        took = time.monotonic() - began
    assert texts(stale) == ["192.0.2.81"]
    assert stale.answer[0].ttl == 30
    assert extended_errors(stale) == [dns.edns.EDECode.STALE_ANSWER]
    assert 1.7 < took < 5  # who asked gives up after five


@contextlib.contextmanager
def silent_at(address: Address) -> Iterator[socket.socket]:
    """Take what comes for a name server and answer nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((str(address), DNS_PORT))
        yield silent


# --- validation ---


@pytest.fixture
def tree() -> NameTree:
    pytest.importorskip("cryptography")
    return NameTree(server=(AUTHORITY,), authority=(), hosts={"a.net.example.": (NRT,)})


@pytest.fixture
def validating(
    daemons: Daemons, site: UnboundSite, tree: NameTree, tmp_path: Path
) -> subprocess.Popen[bytes]:
    start_knot(daemons, tmp_path / "names", tree.zones())
    return start(
        daemons,
        replace(
            site,
            stubs=(StubZone(domain=".", addresses=(AUTHORITY,), port=DNS_PORT),),
            validate=True,
            trust_anchors=(tree.trust_anchor,),
        ),
    )


def test_what_the_root_vouches_for_is_validated_and_a_wrong_signature_is_refused(
    validating: object,
) -> None:
    right = ask(NRT, f"www.{OUTSIDE}", flags=dns.flags.RD | dns.flags.AD)
    assert (texts(right), bool(right.flags & dns.flags.AD)) == ([OUTSIDE_ADDRESS[0]], True)
    host = ask(NRT, "a.net.example.", flags=dns.flags.RD | dns.flags.AD)
    assert (texts(host), bool(host.flags & dns.flags.AD)) == ([str(NRT)], True)
    wrong = ask(NRT, f"www.{FAILED}")
    assert sentence(wrong) == "SERVFAIL"
    assert extended_errors(wrong) == [dns.edns.EDECode.DNSSEC_BOGUS]
    unchecked = ask(NRT, f"www.{FAILED}", flags=dns.flags.RD | dns.flags.CD)
    assert texts(unchecked) == [OUTSIDE_ADDRESS[0]]


def test_what_is_proved_not_to_exist_is_not_asked_for_again(
    validating: object, site: UnboundSite
) -> None:
    need("unbound-control")
    for name in ("m", "n", "o", "p"):
        assert sentence(ask(NRT, f"{name}.{OUTSIDE}")) == "NXDOMAIN"
    file = f"{site.directory}/unbound.conf"
    said = subprocess.run(
        ["unbound-control", "-c", file, "stats_noreset"], check=True, capture_output=True, text=True
    )
    assert "num.query.aggressive.NXDOMAIN=3\n" in said.stdout


def test_names_are_asked_for_from_the_address_that_is_given(
    daemons: Daemons, site: UnboundSite
) -> None:
    start(daemons, replace(site, outgoing=(STRANGER,)))
    with silent_at(AUTHORITY) as authority:
        authority.settimeout(3)
        with pytest.raises(dns.exception.Timeout):
            ask(NRT, "www.example.test.", timeout=0.3)
        _, (source, _) = authority.recvfrom(4096)
    assert source == str(STRANGER)


# --- who may ask, and how much ---


def test_whoever_is_not_a_client_is_refused(daemons: Daemons, site: UnboundSite) -> None:
    # Unbound lets all of 127.0.0.0/8 ask by itself, and this test has no other addresses.
    elsewhere = "server:\n    access-control: 127.0.0.0/8 refuse\n"
    start(daemons, replace(site, clients=(ip_network(f"{LHR}/32"),)), elsewhere)
    query = dns.message.make_query("www.example.com.", "A")
    said = {
        source: sentence(
            dns.query.udp(query, str(NRT), timeout=3, port=DNS_PORT, source=str(source))
        )
        for source in (LHR, NRT, STRANGER)
    }
    assert said == {LHR: "NXDOMAIN", NRT: "NXDOMAIN", STRANGER: "REFUSED"}


def test_where_everybody_may_ask_nobody_gets_more_than_the_limit(
    daemons: Daemons, site: UnboundSite
) -> None:
    start(daemons, replace(site, clients=()))
    n = 6 * OPEN_RATE_LIMIT
    n_answers, took = flood(STRANGER, "id.server.", n=n, seconds=1.5)
    # So many seconds of the clock were touched at most: three, if the machine has time for us.
    assert 1 <= n_answers <= min(math.ceil(took) + 1, 5) * OPEN_RATE_LIMIT
    assert sentence(ask(NRT, "www.example.com.")) == "NXDOMAIN"  # somebody else is served


def flood(source: Address, name: str, *, n: int, seconds: float) -> tuple[int, float]:
    """Ask the same again and again from one address; return the number of answers and the time it took."""
    wire = dns.message.make_query(name, "TXT", "CH").to_wire()
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.bind((str(source), 0))
        asker.settimeout(0.5)

        def count() -> None:
            nonlocal answers
            with contextlib.suppress(TimeoutError):
                while asker.recv(4096):
                    answers += 1

        counting = threading.Thread(target=count)
        counting.start()
        began = time.monotonic()
        for number in range(n):
            asker.sendto(wire, (str(NRT), DNS_PORT))
            time.sleep(max(0.0, began + number * seconds / n - time.monotonic()))
        took = time.monotonic() - began
        counting.join()
    return answers, took


def test_no_question_makes_a_large_answer_over_udp(
    daemons: Daemons, site: UnboundSite, tmp_path: Path
) -> None:
    start_knot(daemons, tmp_path / "knot", {"example.test.": RECORDS})
    start(daemons, site)
    sizes = {}
    for name, kind in (("big", "TXT"), ("big", "ANY"), ("www", "ANY"), ("www", "A")):
        query = dns.message.make_query(f"{name}.example.test.", kind, use_edns=0, payload=4096)
        asked = len(query.to_wire())
        answer = dns.query.udp(query, str(NRT), timeout=3, port=DNS_PORT)
        sizes[name, kind] = len(answer.to_wire()) / asked
        assert len(answer.to_wire()) <= 1232
        truncated = bool(answer.flags & dns.flags.TC)
        assert truncated == ((name, kind) == ("big", "TXT"))
    assert max(sizes.values()) < 3
    whole = ask(NRT, "big.example.test.", "TXT", tcp=True)
    assert len(texts(whole)) == 15
