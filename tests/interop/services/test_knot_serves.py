"""Knot DNS takes our text and answers as the site."""

import signal
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import pytest

from ridgeline.render.identity import WHOAMI_ZONE, SiteIdentity
from ridgeline.render.knot import (
    WHOAMI_FILE,
    KnotSite,
    ZoneFile,
    render_knot,
    render_whoami_zone,
)

from .daemons import (
    DNS_PORT,
    LOOPBACK6,
    Daemons,
    answers_dns,
    ask,
    need,
    nsid,
    own_address,
    sentence,
    texts,
)

ZONE = """\
$ORIGIN example.test.
$TTL 60
@    SOA  ns hostmaster 1 3600 600 86400 60
@    NS   ns
ns   A    192.0.2.53
www  A    192.0.2.80
www  AAAA 2001:db8:53::80
long TXT  {long}
"""
HERE = own_address(53)
NOT_YET_THERE = ip_address("192.0.2.53")


@pytest.fixture
def site(nrt: SiteIdentity, tmp_path: Path) -> KnotSite:
    directory = tmp_path / "sité nrt 100%s"
    directory.mkdir()
    zone = directory / "example.test.zone"
    zone.write_text(ZONE.format(long=" ".join(f'"{"x" * 250}"' for _ in range(6))))
    return KnotSite(
        identity=nrt,
        directory=str(directory),
        listen=(HERE, LOOPBACK6, NOT_YET_THERE),
        zones=(ZoneFile(domain="example.test", path=str(zone)),),
        port=DNS_PORT,
    )


def start(daemons: Daemons, site: KnotSite) -> subprocess.Popen[bytes]:
    return daemons.start("knotd", "-c", write(site), ready=answers_dns(HERE))


def write(site: KnotSite) -> str:
    directory = Path(site.directory)
    file = directory / "knot.conf"
    file.write_text(render_knot(site))
    (directory / WHOAMI_FILE).write_text(render_whoami_zone(site.identity, site.listen))
    return str(file)


def test_knot_finds_no_fault_in_text_or_zones(site: KnotSite) -> None:
    need("knotc")
    file = write(site)
    checked = subprocess.run(
        ["knotc", "-c", file, "conf-check"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "Configuration is valid\n")


def test_kzonecheck_finds_no_fault_in_the_whoami_zone(site: KnotSite) -> None:
    need("kzonecheck")
    write(site)
    file = str(Path(site.directory) / WHOAMI_FILE)
    subprocess.run(["kzonecheck", "-o", WHOAMI_ZONE, file], check=True)


def test_every_identity_names_the_site(daemons: Daemons, site: KnotSite) -> None:
    start(daemons, site)
    said = {
        name: texts(ask(HERE, name, "TXT", rdclass="CH"))
        for name in ("id.server.", "hostname.bind.", "version.server.", "version.bind.")
    }
    assert said == {
        "id.server.": ['"nrt"'],
        "hostname.bind.": ['"nrt"'],
        "version.server.": ['"anycast"'],
        "version.bind.": ['"anycast"'],
    }
    assert nsid(ask(HERE, "www.example.test.")) == b"nrt"


def test_a_name_that_looks_like_hexadecimal_stays_a_name(daemons: Daemons, site: KnotSite) -> None:
    start(daemons, replace(site, identity=replace(site.identity, site="0x6e")))
    assert nsid(ask(HERE, "www.example.test.")) == b"0x6e"


@pytest.mark.parametrize("label", ["", "site."])
def test_whoami_is_the_site_and_is_never_kept(daemons: Daemons, site: KnotSite, label: str) -> None:
    start(daemons, site)
    answer = ask(HERE, f"{label}{WHOAMI_ZONE}", "TXT")
    assert texts(answer) == ['"nrt"']
    assert answer.answer[0].ttl == 0


def test_zones_are_served_over_udp_and_tcp_on_ipv4_and_ipv6(
    daemons: Daemons, site: KnotSite
) -> None:
    start(daemons, site)
    answers = [
        ask(server, "www.example.test.", rdtype, tcp=tcp)
        for server in (HERE, LOOPBACK6)
        for rdtype in ("A", "AAAA")
        for tcp in (False, True)
    ]
    assert [texts(answer) for answer in answers] == [
        *[["192.0.2.80"]] * 2, *[["2001:db8:53::80"]] * 2,
        *[["192.0.2.80"]] * 2, *[["2001:db8:53::80"]] * 2,
    ]  # fmt: skip
    assert all(answer.flags & dns.flags.AA for answer in answers)


def test_names_of_others_are_refused(daemons: Daemons, site: KnotSite) -> None:
    start(daemons, site)
    assert sentence(ask(HERE, "www.example.com.")) == "REFUSED"


def test_no_datagram_grows_past_1232_bytes(daemons: Daemons, site: KnotSite) -> None:
    start(daemons, site)
    cut = ask(HERE, "long.example.test.", "TXT", payload=4096)
    whole = ask(HERE, "long.example.test.", "TXT", payload=4096, tcp=True)
    assert cut.flags & dns.flags.TC
    assert len(whole.to_wire()) > 1232
    assert not whole.flags & dns.flags.TC


def test_the_file_is_the_truth_and_nothing_is_journaled(daemons: Daemons, site: KnotSite) -> None:
    start(daemons, site)
    zone = Path(site.zones[0].path)
    before = zone.read_text()
    # A serial that stays is what an editor in a hurry leaves behind.
    zone.write_text(before.replace("192.0.2.80", "192.0.2.81"))
    file = str(Path(site.directory) / "knot.conf")
    subprocess.run(
        ["knotc", "-b", "-c", file, "zone-reload", "example.test"], check=True, capture_output=True
    )
    assert texts(ask(HERE, "www.example.test.")) == ["192.0.2.81"]
    assert not (Path(site.directory) / "journal").exists()
    assert "192.0.2.80" in before


def test_it_comes_back_after_being_killed(daemons: Daemons, site: KnotSite) -> None:
    daemons.end(start(daemons, site), signal.SIGKILL)
    assert not answers_dns(HERE)()
    start(daemons, site)
    assert texts(ask(HERE, "www.example.test.")) == ["192.0.2.80"]


def test_it_needs_no_second_user(daemons: Daemons, site: KnotSite) -> None:
    need("unshare")
    daemons.start(
        *("unshare", "--user", "--map-root-user", "knotd", "-c", write(site)),
        ready=answers_dns(HERE),
    )
    assert texts(ask(HERE, "www.example.test.")) == ["192.0.2.80"]
