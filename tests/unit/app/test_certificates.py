"""What is said of certificates that are really signed, and really wrong in one thing each."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ridgeline.app.certificates import Judged, Pem, host_matches, judge_certificate
from ridgeline.lab.material.certificates import Authority, Pair
from ridgeline.spec.model import Service
from ridgeline.spec.parse import parse_spec

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WEB, RESOLVER = parse_spec(
    """
network: example
asn: 64500
prefixes: [192.0.2.0/24, 2001:db8:53::/48]
services:
  web:
    kind: http-cache
    addresses: [192.0.2.80, 2001:db8:53::80]
    origin: https://origin.example.test
  resolver: {kind: recursive-dns, addresses: [192.0.2.1]}
sites: {nrt: {upstreams: [{asn: 65550}]}}
""",
    file="ridgeline.yaml",
).services
HOSTS = ("origin.example.test",)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("example", now=NOW)


def judge(pair: Pair, *, service: Service = WEB, at: datetime = NOW) -> Judged:
    certificate = Pem(path=Path("a.pem"), data=pair.certificate)
    return judge_certificate(certificate, Pem(path=Path("a.key"), data=pair.key), service, at)


def told(judged: Judged) -> tuple[list[str], list[str]]:
    return [str(p) for p in judged.problems], [str(w) for w in judged.warnings]


def test_a_good_certificate_gets_no_word(authority: Authority) -> None:
    assert told(judge(authority.sign(HOSTS, WEB.addresses))) == ([], [])
    assert told(judge(authority.sign(["*.example.test"], ()))) == ([], [])


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        (NOW + timedelta(days=40), "expired 10 days ago, on 2026-12-22"),
        (NOW + timedelta(days=30, hours=3), "expired 3 h ago, on 2026-12-22"),
        (NOW - timedelta(hours=5), "is not valid before 2026-11-22 11:00 UTC"),
    ],
)
def test_dates_are_judged_for_the_whole_chain(
    authority: Authority, at: datetime, problem: str
) -> None:
    problems, warnings = told(judge(authority.sign(HOSTS, WEB.addresses), at=at))
    assert problems == [
        f"a.pem:1:1: {problem}",
        f"a.pem:1:1: certificate 2 of the chain {problem}",
    ]
    assert warnings == []


def test_a_certificate_that_ends_soon_is_a_warning(authority: Authority) -> None:
    pair = authority.sign(HOSTS, WEB.addresses, valid=timedelta(days=5))
    assert told(judge(pair)) == ([], ["a.pem:1:1: ends in 5 days, on 2026-11-27"])


def test_a_certificate_made_to_have_expired_has(authority: Authority) -> None:
    pair = authority.sign(HOSTS, WEB.addresses, valid=timedelta(hours=-1))
    assert told(judge(pair))[0] == ["a.pem:1:1: expired 1 h ago, on 2026-11-22"]


def test_a_key_of_another_certificate_is_found_out(authority: Authority) -> None:
    one, other = (authority.sign(HOSTS, WEB.addresses) for _ in range(2))
    problems, _ = told(judge(Pair(certificate=one.certificate, key=other.key)))
    assert problems == ["a.key:1:1: is not the key of a.pem: the two were not made together"]


@pytest.mark.parametrize(
    ("hosts", "addresses", "service", "problems", "warnings"),
    [
        (
            HOSTS,
            ["192.0.2.80"],
            WEB,
            ["is for 192.0.2.80, and not for 2001:db8:53::80, where web answers"],
            [],
        ),
        (
            ["www.example", "*.example"],
            [],
            WEB,
            [],
            [
                (
                    "is for www.example, *.example, and not for origin.example.test, the host of the "
                    "origin: right only if clients ask for another name"
                )
            ],
        ),
        (
            [],
            ["192.0.2.80", "2001:db8:53::80"],
            WEB,
            [],
            ["is for addresses alone: who asks for origin.example.test cannot verify it"],
        ),
        (["dns.example.test"], [], RESOLVER, [], []),
        (
            ["dns.example.test"],
            ["192.0.2.2"],
            RESOLVER,
            ["is for 192.0.2.2, and not for 192.0.2.1, where resolver answers"],
            [],
        ),
    ],
)
def test_names_are_those_by_which_clients_ask(
    authority: Authority,
    hosts: Sequence[str],
    addresses: Sequence[str],
    service: Service,
    problems: list[str],
    warnings: list[str],
) -> None:
    pair = authority.sign(hosts, map(ip_address, addresses))
    found = judge(pair, service=service)
    assert [p.message for p in found.problems] == problems
    assert [w.message for w in found.warnings] == warnings


def test_a_key_with_a_passphrase_is_refused_and_what_is_no_pem_too(authority: Authority) -> None:
    sealed = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    good = authority.sign(HOSTS, WEB.addresses)
    for pair, problem in (
        (
            Pair(certificate=good.certificate, key=sealed),
            "a.key:1:1: is encrypted: a server cannot ask for a passphrase when it starts",
        ),
        (
            Pair(certificate=good.certificate, key=b"-----BEGIN PRIVATE KEY-----\nx\n"),
            "a.key:1:1: holds no private key that can be read (PEM, RFC 7468)",
        ),
        (
            Pair(certificate=b"", key=good.key),
            "a.pem:1:1: holds no certificate that can be read (PEM, RFC 7468)",
        ),
    ):
        assert told(judge(pair))[0] == [problem]


def test_files_that_are_not_there_are_told_as_such(tmp_path: Path) -> None:
    gone = Pem.read(tmp_path / "gone.pem")
    found = judge_certificate(gone, Pem.read(tmp_path), WEB, NOW)
    assert {p.message for p in found.problems} == {
        "cannot be read: Is a directory",
        "cannot be read: No such file or directory",
    }


@pytest.mark.parametrize(
    ("host", "pattern", "yes"),
    [
        ("a.example", "A.example.", True),
        ("a.example", "*.example", True),
        ("a.b.example", "*.example", False),
        ("example", "*.example", False),
        ("a.example", "*", False),
        (".example", "*.example", False),
    ],
)
def test_a_star_is_one_whole_label(host: str, pattern: str, *, yes: bool) -> None:
    assert host_matches(host, pattern) is yes


def test_neither_a_pair_nor_a_file_shows_a_key(authority: Authority) -> None:
    pair = authority.sign(HOSTS, ())
    for shown in (repr(pair), repr(Pem(path=Path("a.key"), data=pair.key))):
        assert "PRIVATE" not in shown
