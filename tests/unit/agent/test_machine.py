"""What `agent check` says of the machine."""

import os
from ipaddress import ip_address
from pathlib import Path

import pytest

from ridgeline.agent.config import AgentConfig
from ridgeline.agent.config_file import parse_config
from ridgeline.agent.lease import is_here
from ridgeline.agent.machine import machine_findings, prepend_findings
from ridgeline.agent.router import Finding, Neighbour, Severity
from ridgeline.app.agent import check_agent
from ridgeline.spec.parse import parse_spec

SPEC = """\
network: example-anycast
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns: {kind: custom, addresses: [192.0.2.53]}
sites:
  nrt: {upstreams: [{asn: 65550}]}
"""
NOBODY = 65534


def config(here: Path, more: str = "") -> AgentConfig:
    spec = parse_spec(SPEC, file="ridgeline.yaml")
    text = f"state: {here}/state\ncontrol: {here}/run/agent.sock\n{more}"
    return parse_config(text, file="agent.yaml", spec=spec, site="nrt", zones={})


def look(made: AgentConfig) -> list[Finding]:
    return list(machine_findings(made, wall=0.0))


def errors(made: AgentConfig) -> list[Finding]:
    return [f for f in look(made) if f.severity is Severity.ERROR]


def errors_of_nobody(made: AgentConfig) -> list[Finding]:
    """Look with the rights of a user who owns nothing."""
    errors(made)  # so that nothing is left to import, which nobody might not read
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        return errors(made)
    finally:
        os.seteuid(before)


def test_folders_that_are_there_or_can_be_made_are_fine(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert errors(config(tmp_path)) == []
    said = [finding.what for finding in look(config(tmp_path))]
    assert any(f"{tmp_path}/state can be written by" in text for text in said)
    assert any(f"does not exist, and can be made in {tmp_path}" in text for text in said)
    assert not (tmp_path / "run").exists(), "the check changes nothing"


def test_folders_that_cannot_be_written_come_with_the_command(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    found = errors_of_nobody(config(tmp_path, "metrics: /proc/metrics.sock\n"))
    assert [f.what.partition(":")[0] for f in found] == [
        "state directory",
        "folder of the control socket",
        "folder of the metrics' socket",
    ]
    assert found[0].lines[0].startswith("install -d -m 0750 -o ")
    assert found[0].lines[0].endswith(f" {tmp_path}/state")


def test_a_state_file_that_makes_no_sense_is_found_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "agent.json").write_text("{")
    (found,) = errors(config(tmp_path))
    assert "agent.json cannot be read" in found.what
    assert f"rm {tmp_path}/state/agent.json" in found.lines[0]


def test_a_switch_without_its_device_or_its_right_comes_with_what_is_missing(
    tmp_path: Path,
) -> None:
    bfd = "dead_man: {kind: bfd, interface: nosuch0, addresses: ['10.255.53.2,10.255.53.1']}\n"
    (found,) = errors(config(tmp_path, bfd))
    assert found.lines[0].startswith("ip tuntap add dev nosuch0 mode tun user ")
    lease = config(tmp_path, "dead_man: {kind: lease, addresses: [198.18.255.1/32]}\n")
    assert any("CAP_NET_ADMIN" in f.what for f in errors_of_nobody(lease))


def test_next_hops_and_ends_that_do_not_meet_are_told(tmp_path: Path) -> None:
    bfd = "dead_man: {kind: bfd, addresses: ['10.255.53.2,10.255.53.1']}\n"

    def told(router: str) -> list[str]:
        found = look(config(tmp_path, f"router: {{{router}}}\n{bfd}"))
        return [f.what for f in found if "next hop" in f.what or "none for" in f.what]

    assert told("bfd: 10.255.53.2") == []
    assert told("kind: bird") == ["dead-man switch: none for the IPv4 prefixes"]
    assert told("kind: frr") == []
    (stray,) = told("bfd: 10.255.53.9")
    assert stray.startswith("dead-man switch: 10.255.53.9 is a next hop for the router")


@pytest.mark.parametrize(("prepend", "asn", "said"), [(2, 64500, 1), (2, 65540, 0), (0, 64500, 0)])
def test_a_prepended_drain_is_no_drain_for_a_neighbour_of_the_same_as(
    tmp_path: Path, prepend: int, asn: int, said: int
) -> None:
    made = config(tmp_path, f"drain: {{prepend: {prepend}}}\n")
    inside = Neighbour(name="rr1", address="198.18.0.1", asn=asn, established=True)
    found = list(prepend_findings(made, (inside,)))
    assert len(found) == said
    for finding in found:
        assert "rr1 is an iBGP neighbour" in finding.what
        assert finding.lines == ("drain: {prepend: 0}",)


def test_an_address_is_here_or_is_not() -> None:
    assert is_here(ip_address("127.0.0.1"))
    assert not is_here(ip_address("192.0.2.1"))


def test_a_prefix_that_no_check_guards_is_told(tmp_path: Path) -> None:
    more = SPEC.replace("[192.0.2.0/24]", "[192.0.2.0/24, 198.51.100.0/24]")
    (tmp_path / "ridgeline.yaml").write_text(more)
    (tmp_path / "agent.yaml").write_text(f"router: {{socket: {tmp_path}/none}}\n")
    found = [f.what for f in check_agent(str(tmp_path / "ridgeline.yaml"), "nrt")]
    assert "198.51.100.0/24: no check of any service belongs to it" in found
    assert not any(text.startswith("192.0.2.0/24: no check") for text in found)
