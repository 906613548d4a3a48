"""A hidden primary and two sites, all real: zones arrive signed, by difference, and by catalog."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dns.dnssec
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from ridgeline.lab.material.cookies import server_cookie
from ridgeline.render.identity import WHOAMI_ZONE, SiteIdentity
from ridgeline.render.knot import (
    CATALOG_ZONE,
    KnotSite,
    Transfer,
    render_knot,
    render_whoami_files,
)
from ridgeline.render.knot_primary import KnotPrimary, PrimaryZone, Secondary, render_knot_primary

from .daemons import (
    DNS_PORT,
    Address,
    Daemons,
    answers_dns,
    ask,
    need,
    nsid,
    own_address,
    running_daemons,
    sentence,
    texts,
)

PRIMARY = own_address(60)
SITES = {"nrt": own_address(61), "lhr": own_address(62)}
CLIENT = own_address(80)
FLOODER = "127.250.1.1"  # in a network of its own: whole networks are limited
TSIG = bytes(range(32))
RATE_LIMIT, N_FLOOD = 50, 600
OLD_SECRET, SECRET = bytes(range(16)), bytes(range(16, 32))
MINE = bytes.fromhex("2464c4abcf10c957")


@dataclass
class Fleet:
    """What runs, and how to change it."""

    folder: Path
    daemons: Daemons
    primary: KnotPrimary
    sites: dict[str, KnotSite]
    outputs: dict[str, subprocess.Popen[bytes]]

    def write_zone(self, domain: str, *records: str) -> PrimaryZone:
        file = self.folder / f"{domain}zone"
        file.write_text(
            f"$ORIGIN {domain}\n$TTL 300\n@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\n"
            "ns A 192.0.2.53\n" + "".join(f"{record}\n" for record in records)
        )
        return PrimaryZone(domain=domain, path=str(file), signed=True)

    def knotc(self, name: str, *command: str) -> None:
        socket = self.folder / name / "knot.sock"
        done = subprocess.run(
            ["knotc", "-s", str(socket), *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def list_zones(self, *zones: PrimaryZone) -> None:
        self.primary = replace(self.primary, zones=zones)
        (self.folder / "primary" / "knot.conf").write_text(render_knot_primary(self.primary))
        self.knotc("primary", "reload")

    def use_secrets(self, name: str, *secrets: bytes) -> None:
        self.sites[name] = replace(self.sites[name], cookie_secrets=secrets)
        (self.folder / name / "knot.conf").write_text(render_knot(self.sites[name]))
        self.knotc(name, "reload")

    def output(self, name: str) -> str:
        return self.daemons.output(self.outputs[name])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    need("knotd", "knotc")
    folder = tmp_path_factory.mktemp("fleet")
    with running_daemons(folder) as daemons:
        made = Fleet(
            folder,
            daemons,
            KnotPrimary(
                network="example-anycast",
                directory=str(folder / "primary"),
                listen=(PRIMARY,),
                sites=tuple(Secondary(name=n, addresses=(a,)) for n, a in SITES.items()),
                zones=(),
                tsig=TSIG,
                port=DNS_PORT,
            ),
            {
                name: KnotSite(
                    identity=SiteIdentity(
                        site=name, network="example-anycast", domain="example-anycast.example"
                    ),
                    directory=str(folder / name),
                    listen=(address,),
                    zones=(),
                    transfer=Transfer(primary=(PRIMARY,), sources=(address,), tsig=TSIG),
                    cookie_secrets=(SECRET,),
                    rate_limit=RATE_LIMIT,
                    port=DNS_PORT,
                )
                for name, address in SITES.items()
            },
            {},
        )
        made.primary = replace(
            made.primary, zones=(made.write_zone("example.test.", "www A 192.0.2.80"),)
        )
        for name, address in {"primary": PRIMARY, **SITES}.items():
            (folder / name).mkdir()
            if name == "primary":
                text = render_knot_primary(made.primary)
            else:
                text = render_knot(made.sites[name])
                for file, zone in render_whoami_files(
                    made.sites[name].identity, (address,)
                ).items():
                    (folder / name / file).write_text(zone)
            conf = folder / name / "knot.conf"
            conf.write_text(text)
            made.outputs[name] = daemons.start("knotd", "-c", str(conf), ready=answers_dns(address))
        until(lambda: all(serial(a, "example.test.") for a in SITES.values()))
        yield made


def until(holds: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def serial(server: Address, zone: str) -> int | None:
    answer = ask(server, zone, "SOA", tcp=True)
    return answer.answer[0][0].serial if answer.answer else None


def everywhere(zone: str, name: str, text: str) -> bool:
    return all(
        text in " ".join(texts(ask(a, f"{name}.{zone}", "TXT", tcp=True))) for a in SITES.values()
    )


def with_cookie(
    server: Address, cookie: bytes, name: str = "www.example.test"
) -> dns.message.Message:
    query = dns.message.make_query(
        name, "A", use_edns=0, payload=1232, options=[dns.edns.CookieOption(cookie[:8], cookie[8:])]
    )
    return dns.query.udp(query, str(server), port=DNS_PORT, timeout=3, source=str(CLIENT))


def cookie_in(answer: dns.message.Message) -> bytes:
    found = [o for o in answer.options if o.otype == dns.edns.OptionType.COOKIE]
    return found[0].to_wire() or b"" if found else b""


# Zones.


def test_an_edit_is_sent_as_a_difference_and_every_edit_has_a_serial_of_its_own(
    fleet: Fleet,
) -> None:
    seen = [serial(PRIMARY, "example.test.")]
    for number in range(4):  # within a second
        fleet.write_zone("example.test.", "www A 192.0.2.80", f"edit TXT v{number}")
        fleet.knotc("primary", "-b", "zone-reload", "example.test")
        seen.append(serial(PRIMARY, "example.test."))
    assert len(set(seen)) == 5
    until(lambda: everywhere("example.test.", "edit", "v3"))
    for name in SITES:
        said = fleet.output(name)
        assert "[example.test.] IXFR, incoming" in said
        assert said.count("[example.test.] AXFR, incoming") == 2  # started, finished: the first


def test_a_new_zone_comes_by_the_catalog_and_goes_with_it(fleet: Fleet) -> None:
    first = fleet.primary.zones[0]
    fleet.list_zones(first, fleet.write_zone("new.test.", "www TXT hello"))
    until(lambda: everywhere("new.test.", "www", "hello"))
    fleet.list_zones(first)
    until(lambda: all(sentence(ask(a, "new.test.", "SOA")) == "REFUSED" for a in SITES.values()))


def test_the_chain_of_signatures_holds_at_every_site(fleet: Fleet) -> None:
    zone = dns.name.from_text("example.test.")
    for site in SITES.values():
        query = dns.message.make_query(zone, "DNSKEY", want_dnssec=True, payload=1232)
        answer = dns.query.udp(query, str(site), port=DNS_PORT, timeout=3)
        keys, signatures = answer.answer
        assert all(key.algorithm == dns.dnssec.ECDSAP256SHA256 for key in keys)
        dns.dnssec.validate(keys, signatures, {zone: keys})
        query = dns.message.make_query("www.example.test.", "A", want_dnssec=True)
        addresses, signatures = dns.query.udp(query, str(site), port=DNS_PORT, timeout=3).answer
        dns.dnssec.validate(addresses, signatures, {zone: keys})
        forged = dns.message.make_response(query)
        other = forged.find_rrset(
            forged.answer, addresses.name, addresses.rdclass, addresses.rdtype, create=True
        )
        other.add(dns.rdata.from_text("IN", "A", "198.51.100.66"), addresses.ttl)
        with pytest.raises(dns.exception.DNSException):
            dns.dnssec.validate(other, signatures, {zone: keys})


@pytest.mark.parametrize("zone", ["example.test.", CATALOG_ZONE])
def test_nobody_without_the_key_gets_a_zone(fleet: Fleet, zone: str) -> None:
    for server in (PRIMARY, *SITES.values()):
        query = dns.message.make_query(zone, "AXFR")
        answer = dns.query.tcp(query, str(server), port=DNS_PORT, timeout=3)
        assert sentence(answer) in {"NOTAUTH", "REFUSED"}
        assert not answer.answer


def test_a_zone_that_knot_refuses_leaves_the_old_one(fleet: Fleet) -> None:
    before = serial(PRIMARY, "example.test.")
    file = fleet.folder / "example.test.zone"
    good = file.read_text()
    file.write_text(good + "broken A 192.0.2.999\n")
    done = subprocess.run(
        [
            "knotc",
            "-s",
            str(fleet.folder / "primary/knot.sock"),
            "-b",
            "zone-reload",
            "example.test",
        ],
        capture_output=True,
        check=False,
    )
    file.write_text(good)
    assert done.returncode == 1
    assert [serial(a, "example.test.") for a in (PRIMARY, *SITES.values())] == [before] * 3


# Cookies (RFC 7873, RFC 9018).


def test_a_cookie_of_one_site_is_that_of_every_other_to_the_byte(fleet: Fleet) -> None:
    now = time.time()
    cookies = {cookie_in(with_cookie(a, MINE)) for a in SITES.values()}
    computed = {MINE + server_cookie(SECRET, MINE, CLIENT, now=now + s) for s in range(20)}
    assert cookies <= computed
    cookie = cookies.pop()
    for site in SITES.values():
        answer = with_cookie(site, cookie)
        assert (sentence(answer), cookie_in(answer)) == ("NOERROR", cookie)


def test_a_rollover_costs_a_client_one_round_trip_and_no_answer(fleet: Fleet) -> None:
    """Knot 3.2 knows one secret: an old cookie meets BADCOOKIE, with the cookie that is good."""
    old = MINE + server_cookie(OLD_SECRET, MINE, CLIENT, now=time.time())
    nrt, lhr = SITES.values()
    try:
        for name in SITES:
            fleet.use_secrets(name, OLD_SECRET)
        until(lambda: sentence(with_cookie(lhr, old)) == "NOERROR")
        assert sentence(with_cookie(nrt, old)) == "NOERROR"
        # One site has the new secret, the other has not yet: whoever moves is told, either way.
        fleet.use_secrets("nrt", SECRET, OLD_SECRET)
        until(lambda: sentence(with_cookie(nrt, old)) == "BADCOOKIE")
        fresh = cookie_in(with_cookie(nrt, old))
        assert sentence(with_cookie(nrt, fresh)) == "NOERROR"
        assert sentence(with_cookie(lhr, fresh)) == "BADCOOKIE"
        assert sentence(with_cookie(lhr, cookie_in(with_cookie(lhr, fresh)))) == "NOERROR"
    finally:
        for name in SITES:
            fleet.use_secrets(name, SECRET)
    until(lambda: all(sentence(with_cookie(a, fresh)) == "NOERROR" for a in SITES.values()))


# Limits, and who answers.


def test_the_rate_limit_slips_and_spares_cookies_and_tcp(fleet: Fleet) -> None:
    nrt = SITES["nrt"]
    cookie = cookie_in(with_cookie(nrt, MINE))
    query = dns.message.make_query("www.example.test.", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.bind((FLOODER, 0))
        flood.connect((str(nrt), DNS_PORT))
        flood.settimeout(0.3)
        began = time.monotonic()
        for number in range(N_FLOOD):
            flood.send(query)
            if number % 20 == 19:
                time.sleep(0.004)  # a queue that runs over would drop, and say nothing of a limit
        took = time.monotonic() - began
        answers = []
        try:
            while True:
                answers.append(dns.message.from_wire(flood.recv(4096)))
        except TimeoutError:
            pass
    truncated = sum(bool(a.flags & dns.flags.TC) for a in answers)
    answered, dropped = len(answers) - truncated, N_FLOOD - len(answers)
    # Knot saves up to four seconds of the limit; above it a coin decides: truncated, or dropped.
    # It counts whole seconds, and one more may begin meanwhile.
    assert 4 * RATE_LIMIT <= answered <= 4 * RATE_LIMIT + 40 + (took + 1) * RATE_LIMIT
    assert min(truncated, dropped) >= 10
    for _ in range(100):
        assert with_cookie(nrt, cookie).rcode() == dns.rcode.NOERROR
    for _ in range(60):
        assert sentence(ask(nrt, "www.example.test", tcp=True)) == "NOERROR"


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("id.server.", '"lhr"'),
        ("hostname.bind.", '"lhr"'),
        ("version.server.", '"anycast"'),
        ("version.bind.", '"anycast"'),
    ],
)
def test_every_answer_names_its_site(fleet: Fleet, name: str, answer: str) -> None:
    said = ask(SITES["lhr"], name, "TXT", rdclass="CH")
    assert (texts(said), nsid(said)) == ([answer], b"lhr")


def test_a_client_learns_how_it_is_seen(fleet: Fleet) -> None:
    lhr = SITES["lhr"]
    query = dns.message.make_query(f"client.{WHOAMI_ZONE}", "A")
    seen = dns.query.udp(query, str(lhr), port=DNS_PORT, timeout=3, source=str(CLIENT))
    assert texts(seen) == [str(CLIENT)]
    assert seen.answer[0].ttl == 0
    by_udp = ask(lhr, f"tcp.{WHOAMI_ZONE}", "TXT")
    assert by_udp.flags & dns.flags.TC
    assert not by_udp.answer
    assert texts(ask(lhr, f"tcp.{WHOAMI_ZONE}", "TXT", tcp=True)) == ['"lhr"']


def test_knot_3_2_tells_no_tcp_keepalive(fleet: Fleet) -> None:
    """RFC 7828 is not there: the docs say so, and an upgrade that brings it is told here."""
    query = dns.message.make_query(
        "www.example.test.",
        "A",
        use_edns=0,
        options=[dns.edns.GenericOption(dns.edns.OptionType(11), b"")],
    )
    answer = dns.query.tcp(query, str(SITES["nrt"]), port=DNS_PORT, timeout=3)
    assert 11 not in [option.otype for option in answer.options]
