"""Recursion from a signed root to the anycast service itself, in clear and encrypted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.conftest import Lab, lab_of

SPEC = Path(__file__).parent / "specs" / "resolver.yaml"
SITES = {"nrt", "lhr"}
CITIES = "nrt,lhr,iad,syd"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    yield from lab_of(SPEC)


def ask(lab: Lab, name: str, *options: str, cities: str = CITIES) -> list[dict[str, Any]]:
    done = lab.ask("dig", name, *options, "--from", cities)
    answers: list[dict[str, Any]] = done["answers"]
    assert [answer["from"] for answer in answers] == cities.split(",")
    return answers


@pytest.mark.parametrize(
    "how",
    [
        ("--server", "resolver"),
        ("--server", "resolver", "--tcp"),
        ("--tls",),
        ("--https",),
        ("--tls", "-6"),
        ("--https", "--tls-name", "resolver.resolver-net.example"),
    ],
    ids=" ".join,
)
def test_the_networks_own_signed_zone_is_validated_from_every_city(
    lab: Lab, how: tuple[str, ...]
) -> None:
    for answer in ask(lab, "www.example.test", *how):
        assert answer["status"] == "NOERROR", answer
        assert answer["answer"] == ["A 192.0.2.80"]
        assert answer["validated"], answer
        assert answer["site"] in SITES


def test_a_zone_held_by_somebody_else_resolves_and_is_validated(lab: Lab) -> None:
    for answer in ask(lab, "www.outside.test", "--server", "resolver"):
        assert (answer["answer"], answer["validated"]) == (["A 198.51.100.80"], True), answer


def test_a_wrong_signature_is_refused_and_the_client_is_told_why(lab: Lab) -> None:
    for answer in ask(lab, "www.dnssec-failed.test", "--server", "resolver"):
        assert answer["status"] == "SERVFAIL", answer
        assert answer["ede"][0].startswith("6 (DNSSEC Bogus)")


def test_the_worlds_names_do_not_exist_and_that_is_proved(lab: Lab) -> None:
    for answer in ask(lab, "www.example.net", "--server", "resolver"):
        assert (answer["status"], answer["validated"]) == ("NXDOMAIN", True), answer


def test_a_site_asks_others_from_the_addresses_that_status_lists(lab: Lab) -> None:
    sites = lab.ask("status")["sites"]
    assert all(set(sites[site]["egress"]) == {"dns", "resolver", "closed"} for site in SITES)
    four, _ = sites["lhr"]["egress"]["resolver"]
    # Near the root: nobody keeps this answer, and one that takes 1.9 s is thrown away. It is empty
    # where the resolver chose to ask over IPv6.
    answers: list[str] = []
    for _ in range(20):
        (answer,) = ask(lab, "whoami.outside.test", "--server", "resolver", cities="lhr")
        assert answer["site"] == "lhr"
        answers = answer["answer"]
        if answers:
            break
    assert answers == [f"A {four}"]


def test_whoever_is_not_a_client_is_refused(lab: Lab) -> None:
    for answer in ask(lab, "www.example.test", "--server", "closed"):
        assert (answer["status"], answer["answer"]) == ("REFUSED", []), answer


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("www.example.test", "--tls", "--tls-name", "a.example"), 1, "hostname mismatch"),
        (("www.example.test", "--tls", "--server", "closed"), 2, "closed does not speak DNS over"),
    ],
)
def test_who_cannot_be_asked_in_secret_is_named(
    lab: Lab, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = lab.run("dig", *arguments, "--from", "nrt")
    assert done.returncode == status, done.stderr
    assert said in done.stdout + done.stderr
