"""A site whose file is not the fleet's is not like the others."""

import os
from pathlib import Path

import pytest

from ridgeline.agent.checks.consistency import ConsistencyChecker
from ridgeline.agent.checks.plan import ConsistencyCheck, DnsCheck
from ridgeline.agent.config import AgentConfig
from ridgeline.agent.config_file import parse_config
from ridgeline.agent.health import Round
from ridgeline.errors import InputError
from ridgeline.render.fingerprint import Fleet, fingerprint
from ridgeline.spec.parse import parse_spec

SPEC = parse_spec(
    """
network: example
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns: {kind: authoritative-dns, addresses: [192.0.2.53], zones: [a.zone]}
sites:
  nrt: {upstreams: [{asn: 65550}]}
  lhr: {upstreams: [{asn: 65540}]}
""",
    file="ridgeline.yaml",
)
SITES = ("nrt", "lhr")
TEXT = 'identity: "{site}"\nlisten: {address}@53\nstorage: "{folder}/db"\nsecret: {secret}\n'
OWN = ("203.0.113.1", "203.0.113.2")


def written(folder: Path, site: str = "nrt", key: str = "a1") -> Path:
    file = folder / "knot.conf"
    address = OWN[SITES.index(site)]
    file.write_text(TEXT.format(site=site, address=address, folder=folder, secret=key))
    return file


def expected(key: str = "a1") -> str:
    text = TEXT.format(site="lhr", address=OWN[1], folder="/srv/lhr", secret=key)
    return fingerprint(text, Fleet(sites=SITES, addresses=OWN, folders=("/srv/lhr",)))


def checker(file: Path, *expect: str) -> ConsistencyChecker:
    own = (str(file.parent), *OWN)
    return ConsistencyChecker(ConsistencyCheck(file=str(file), expect=expect, sites=SITES, own=own))


def ask(one: ConsistencyChecker) -> Round:
    heard: list[Round] = []
    one.begin(heard.append)
    (outcome,) = heard
    return outcome


def test_a_file_that_means_the_same_as_another_sites_is_the_fleets(tmp_path: Path) -> None:
    outcome = ask(checker(written(tmp_path), expected()))
    assert outcome.ok, outcome.reason


def test_an_edited_file_is_noticed_in_the_next_round_and_so_is_its_mending(tmp_path: Path) -> None:
    file = written(tmp_path)
    one = checker(file, expected())
    assert ask(one).ok
    written(tmp_path, key="b2")
    outcome = ask(one)
    assert not outcome.ok
    assert outcome.reason.endswith(f"and the fleet's is {expected()}: not like the others")
    written(tmp_path)
    assert ask(one).ok


def test_a_change_may_go_from_site_to_site(tmp_path: Path) -> None:
    file = written(tmp_path)
    one = checker(file, expected(), expected("b2"))
    assert ask(one).ok
    written(tmp_path, key="b2")
    assert ask(one).ok


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    file = written(tmp_path)
    one = checker(file, expected())
    assert ask(one).ok
    status = file.stat()
    with file.open("r+") as stream:  # same size, and the time is set back
        stream.write("I")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ask(one).ok


def test_a_file_that_is_gone_is_not_the_fleets(tmp_path: Path) -> None:
    outcome = ask(checker(tmp_path / "gone", expected()))
    assert (outcome.ok, outcome.reason) == (
        False,
        f"{tmp_path}/gone cannot be read: No such file or directory",
    )


def configured(text: str) -> AgentConfig:
    return parse_config(
        text, file="agent.yaml", spec=SPEC, site="nrt", zones={"dns": ("example.test.",)}
    )


def test_the_check_stands_beside_the_default_ones_unless_others_are_named() -> None:
    alone = "services: {dns: {checks: [{consistency: {file: /etc/k, expect: 8c1f0e2a9b3d4c5f}}]}}"
    checks = [planned.check for planned in configured(alone).checks]
    assert any(isinstance(check, DnsCheck) for check in checks)
    assert checks[-1] == ConsistencyCheck(
        file="/etc/k", expect=("8c1f0e2a9b3d4c5f",), sites=SITES, own=()
    )
    beside = alone.replace("[{cons", "[{icmp: {}}, {cons")
    names = [planned.name for planned in configured(beside).checks]
    assert names == ["dns/icmp@192.0.2.53", "dns/consistency"]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("file: /etc/k", "`expect` is missing: the fingerprint that the fleet tells, such as"),
        ("file: /etc/k, expect: 8c1f", "'8c1f' is no fingerprint: 16 hex digits"),
        ("expect: 8c1f0e2a9b3d4c5f", "is missing: `file` is needed here"),
        (
            "file: /etc/k, expect: 8c1f0e2a9b3d4c5f, own: [nrt]",
            "'nrt' is not an address such as 192.0.2.53",
        ),
    ],
)
def test_what_is_wrong_with_the_check_is_told(fields: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        configured(f"services: {{dns: {{checks: [{{consistency: {{{fields}}}}}]}}}}")
    assert problem in str(caught.value)
