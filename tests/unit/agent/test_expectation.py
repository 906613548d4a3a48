"""What is expected of a site: who moved where one differs, and what is never a reason to withdraw."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ridgeline.agent.checks.consistency import ExpectedChecker
from ridgeline.agent.checks.expectation import Expectation, Memory, parse_expectation
from ridgeline.agent.checks.plan import DnsCheck, ExpectedCheck
from ridgeline.agent.config_file import parse_config
from ridgeline.agent.health import Round
from ridgeline.agent.router import Severity
from ridgeline.app.agent import checks_findings
from ridgeline.errors import InputError
from ridgeline.render.fingerprint import Fleet, file_fingerprint
from ridgeline.spec.model import ServiceKind
from ridgeline.spec.parse import parse_spec


def expecting(**facts: str) -> Expectation:
    return Expectation(facts={name: frozenset(values.split()) for name, values in facts.items()})


def judge(memory: Memory, told: dict[str, str], *expected: Expectation) -> tuple[bool, bool]:
    outcome = memory.judge(told, expected[0], expected[-1])
    return outcome.ok, outcome.shared


GOOD, MOVED, LEFT_BEHIND = (True, False), (False, False), (False, True)


def test_a_site_that_moves_away_fails_and_one_that_is_left_behind_only_drains() -> None:
    memory, one, both, two = Memory(), expecting(c="1"), expecting(c="1 2"), expecting(c="2")
    assert judge(memory, {"c": "1"}, one) == GOOD
    assert judge(memory, {"c": "9"}, one) == MOVED
    assert judge(memory, {"c": "1"}, one) == GOOD
    assert judge(memory, {"c": "1"}, both) == GOOD
    assert judge(memory, {"c": "1"}, two) == LEFT_BEHIND  # the expectation may be what is wrong
    assert judge(memory, {"c": "9"}, two) == MOVED
    assert judge(memory, {"c": "2"}, two) == GOOD


def test_a_site_that_differs_from_the_start_is_not_announced() -> None:
    assert judge(Memory(), {"c": "9"}, expecting(c="1")) == MOVED


def test_one_thing_that_moved_is_enough_among_others_left_behind() -> None:
    memory = Memory()
    assert judge(memory, {"c": "1", "p": "1"}, expecting(c="1", p="1")) == GOOD
    assert judge(memory, {"c": "1", "p": "9"}, expecting(c="2", p="1")) == MOVED


@pytest.mark.parametrize("told", ["1", "2"])
def test_a_change_within_a_round_is_right_before_and_after(told: str) -> None:
    memory = Memory()
    assert judge(memory, {"c": "1"}, expecting(c="1")) == GOOD
    assert judge(memory, {"c": told}, expecting(c="1"), expecting(c="2")) == GOOD


def test_silence_is_no_difference_and_does_not_mend_one() -> None:
    memory, expected = Memory(), expecting(c="1")
    assert judge(memory, {}, expected) == GOOD
    assert judge(memory, {"c": "9"}, expected) == MOVED
    assert judge(memory, {}, expected) == MOVED
    assert judge(memory, {"c": "1"}, expected) == GOOD
    assert judge(memory, {}, expected) == GOOD


def test_what_is_no_longer_expected_is_not_judged() -> None:
    memory = Memory()
    assert judge(memory, {"c": "9", "p": "1"}, expecting(c="1", p="1")) == MOVED
    assert judge(memory, {"c": "9", "p": "1"}, expecting(p="1")) == GOOD
    assert judge(memory, {"c": "9"}, expecting(p="1"), expecting(c="1", p="1")) == GOOD


def document(facts: dict[str, Any], **more: Any) -> str:
    return json.dumps(
        {"schema": "ridgeline.expected/1", "addresses": [], "services": {"dns": facts}} | more
    )


def test_an_empty_list_expects_nothing_and_a_service_that_is_not_named_neither() -> None:
    assert parse_expectation(document({"c": []}), "dns").facts == {}
    assert parse_expectation(document({"c": ["1"]}), "web").facts == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no JSON"),
        (document({"c": ["1"]})[:-9], "is no JSON"),
        ("[]", "has schema None, not 'ridgeline.expected/1'"),
        (document({}, schema="ridgeline.expected/2"), "has schema 'ridgeline.expected/2'"),
        (document({"c": "1"}), "services.dns: 'c' has no list of texts"),
        (document({}, services=[]), "`services` has no facts of dns"),
        (document({}, addresses="198.51.100.1"), "`addresses` is no list of texts"),
    ],
)
def test_a_document_that_is_wrong_is_trusted_in_nothing(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_expectation(text, "dns")


SPEC = parse_spec(
    """
network: example
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns: {kind: authoritative-dns, addresses: [192.0.2.53], zones: [a.zone]}
  web: {kind: http-cache, addresses: [192.0.2.80], origin: "http://www.example.test", tls: {}}
sites:
  nrt: {upstreams: [{asn: 65550}]}
  lhr: {upstreams: [{asn: 65540}]}
""",
    file="ridgeline.yaml",
)
TEXT = 'identity: "{site}"\nlisten: {address}@53\nstorage: "{folder}/db"\nsecret: {key}\n'


class Site:
    """The files of a site, and a checker that asks nobody: nothing listens at its address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.expected = folder, folder / "expected.json"
        self.checker = self.another()

    def another(self) -> ExpectedChecker:
        check = ExpectedCheck(
            expected=str(self.expected),
            service="dns",
            kind=ServiceKind.AUTHORITATIVE_DNS,
            asks=SPEC.services[0].addresses[0],
            sites=("nrt", "lhr"),
            folder=str(self.folder),
        )
        return ExpectedChecker(check)

    def has(self, key: str) -> None:
        text = TEXT.format(site="nrt", address="203.0.113.1", folder=self.folder, key=key)
        (self.folder / "knot.conf").write_text(text)

    def expects(self, *keys: str) -> None:
        fleet = Fleet(
            sites=("nrt", "lhr"), addresses=("203.0.113.1", "203.0.113.2"), folders=("/srv/lhr",)
        )
        prints = [
            file_fingerprint(
                TEXT.format(site="lhr", address="203.0.113.2", folder="/srv/lhr", key=key).encode(),
                fleet,
            )
            for key in keys
        ]
        facts = {"file knot.conf": prints, "configuration": ["9" * 16]}
        self.expected.write_text(document(facts, addresses=list(fleet.addresses)))

    def round(self) -> Round:
        async def one() -> Round:
            heard: asyncio.Future[Round] = asyncio.get_running_loop().create_future()
            self.checker.begin(heard.set_result)
            return await heard

        return asyncio.run(one())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_file_is_compared_with_what_it_is_at_another_site(site: Site) -> None:
    site.has("a1")
    site.expects("a1")
    assert site.round().ok
    site.has("b2")
    outcome = site.round()
    assert (outcome.ok, outcome.shared) == (False, False)
    assert outcome.reason.startswith("file knot.conf is ")
    assert outcome.reason.endswith(": not like the others")
    site.has("a1")
    assert site.round().ok


def test_a_rollout_that_widens_first_never_fails_a_site(site: Site) -> None:
    site.has("a1")
    for expected, key in (
        (["a1"], "a1"),
        (["a1", "b2"], "a1"),
        (["a1", "b2"], "b2"),
        (["b2"], "b2"),
    ):
        site.expects(*expected)
        site.has(key)
        assert site.round().ok


def test_a_file_that_is_gone_differs(site: Site) -> None:
    site.has("a1")
    site.expects("a1")
    assert site.round().ok
    (site.folder / "knot.conf").unlink()
    assert site.round().reason.startswith("file knot.conf is absent, and the fleet's is ")


def test_without_an_expectation_nothing_is_judged(site: Site) -> None:
    site.has("a1")
    outcome = site.round()
    problem = f"{site.expected} cannot be read: No such file or directory"
    assert (outcome.ok, outcome.reason) == (True, f"not judged: {problem}")
    site.expected.write_text("{")
    assert site.round().ok
    site.expects("b2")
    assert not site.round().ok


def test_an_expectation_that_cannot_be_read_any_more_holds_on(site: Site) -> None:
    site.has("a1")
    site.expects("a1")
    assert site.round().ok
    site.expected.write_text('{"schema": ')
    assert site.round().ok
    site.expected.unlink()
    outcome = site.round()
    assert outcome.ok
    assert outcome.reason.endswith("No such file or directory; the last one holds)")
    site.has("b2")
    assert not site.round().ok


def test_what_a_check_knew_survives_a_reload_of_the_agent(site: Site) -> None:
    site.has("a1")
    site.expects("a1")
    assert site.round().ok
    before, site.checker = site.checker, site.another()
    site.checker.memory = before.memory
    site.expects("b2")
    outcome = site.round()
    assert (outcome.ok, outcome.shared) == (False, True)


def configured(checks: str) -> list[Any]:
    text = f"services: {{{checks}}}"
    config = parse_config(
        text, file="agent.yaml", spec=SPEC, site="nrt", zones={"dns": ("example.test.",)}
    )
    return [planned.check for planned in config.checks]


def test_the_check_stands_beside_the_default_ones_and_knows_its_service() -> None:
    said = "{checks: [{consistency: {expected: /etc/expected.json, folder: /srv}}]}"
    found = configured(f"dns: {said}, web: {said}")
    assert any(isinstance(check, DnsCheck) for check in found)
    dns, web = (check for check in found if isinstance(check, ExpectedCheck))
    assert (dns.service, dns.tls, dns.folder) == ("dns", False, "/srv")
    assert (web.host, web.tls, web.sites) == ("www.example.test", True, ("nrt", "lhr"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("expected: /e, file: /k", "`file` is said by the file that `expected` names"),
        ("expected: /e, own: [/k]", "`own` is said by the file that `expected` names"),
        ("file: /k, expect: 8c1f0e2a9b3d4c5f, folder: /s", "`folder` goes with `expected`"),
        ("expected: /e/", "'/e/' names no file"),
    ],
)
def test_what_is_wrong_with_the_check_is_told(fields: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        configured(f"dns: {{checks: [{{consistency: {{{fields}}}}}]}}")
    assert problem in str(caught.value)


def test_a_file_that_is_not_there_is_found_by_agent_check(tmp_path: Path) -> None:
    path = tmp_path / "expected.json"
    said = f"services: {{dns: {{checks: [{{consistency: {{expected: {path}}}}}]}}}}"
    config = parse_config(said, file="agent.yaml", spec=SPEC, site="nrt", zones={"dns": ()})
    (finding,) = (found for found in checks_findings(config) if str(path) in found.what)
    assert finding.severity is Severity.WARNING
    path.write_text("{}")
    assert not any(str(path) in found.what for found in checks_findings(config))
