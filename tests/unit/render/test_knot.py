import re
from dataclasses import replace
from ipaddress import ip_address, ip_network

import dns.zone
import pytest

from ridgeline.render.identity import WHOAMI_ZONE, SiteIdentity
from ridgeline.render.knot import (
    KnotSite,
    Transfer,
    ZoneFile,
    render_knot,
    render_whoami_files,
    render_whoami_zone,
)

NRT = SiteIdentity(site="nrt", network="example-anycast", domain="example.test")
ANYCAST = (ip_address("192.0.2.53"), ip_address("2001:db8:53::53"))
SITE = KnotSite(
    identity=NRT,
    directory="/run/nrt",
    listen=(*ANYCAST, ip_address("198.18.0.1")),
    zones=(ZoneFile(domain="example.test", path="/etc/zones/example.test.zone"),),
)


def values(text: str, key: str) -> list[str]:
    """Return the values of a key, without quotes and comments."""
    found = re.findall(rf"^\s*(?:- )?{key}: (.*?)(?:\s+#.*)?$", text, re.MULTILINE)
    return [value.strip('"') for value in found]


def test_it_listens_where_it_is_told() -> None:
    assert values(render_knot(SITE), "listen") == [
        "192.0.2.53@53",
        "2001:db8:53::53@53",
        "198.18.0.1@53",
        "/run/nrt/knot.sock",
    ]
    assert "192.0.2.53@5353" in values(render_knot(replace(SITE, port=5353)), "listen")


def test_it_stays_who_started_it_unless_told_otherwise() -> None:
    assert values(render_knot(SITE), "user") == []
    assert values(render_knot(replace(SITE, user="knot:knot")), "user") == ["knot:knot"]


def test_it_has_one_thread_of_each_kind() -> None:
    text = render_knot(SITE)
    assert [values(text, f"{kind}-workers") for kind in ("udp", "tcp", "background")] == [["1"]] * 3


def test_every_site_has_its_own_zones_first() -> None:
    text = render_knot(SITE)
    own = [WHOAMI_ZONE, f"client.{WHOAMI_ZONE}", f"tcp.{WHOAMI_ZONE}"]
    assert values(text, "domain") == [*own, "example.test."]
    files = [f"/run/nrt/{name}" for name in render_whoami_files(NRT, ANYCAST)]
    assert values(text, "file") == [*files, "/etc/zones/example.test.zone"]


def test_a_percent_sign_in_a_path_is_not_expanded() -> None:
    zones = (ZoneFile(domain="example.test", path="/zones 100%/%s.zone"),)
    assert values(render_knot(replace(SITE, zones=zones)), "file")[-1] == "/zones 100%%/%%s.zone"


@pytest.mark.parametrize("twice", ["Example.TEST.", WHOAMI_ZONE])
def test_a_zone_stands_once(twice: str) -> None:
    zones = (*SITE.zones, ZoneFile(domain=twice, path="/a"))
    with pytest.raises(ValueError, match="stands twice at site nrt"):
        render_knot(replace(SITE, zones=zones))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"directory": "run/nrt"}, "directory 'run/nrt' is not an absolute path"),
        ({"directory": '/run/"nrt'}, "directory .* holds"),
        ({"directory": "/" + "x" * 100}, "control socket .* is longer than"),
        ({"listen": ()}, "listen names no address"),
        ({"port": 0}, "DNS port 0"),
        ({"user": "a\nb"}, "user .* holds"),
        ({"zones": (ZoneFile(domain="a b", path="/a"),)}, "zone 'a b' is not a domain name"),
        ({"zones": (ZoneFile(domain="a", path="a"),)}, r"file of zone a\. 'a' is not an absolute"),
    ],
)
def test_what_cannot_stand_in_the_file_is_refused(
    change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        render_knot(replace(SITE, **change))  # type: ignore[arg-type]  # wrong on purpose, by name


def test_the_whoami_zone_is_a_zone() -> None:
    zone = dns.zone.from_text(render_whoami_zone(NRT, ANYCAST), origin=WHOAMI_ZONE)
    assert {ttl for _, ttl, _ in zone.iterate_rdatas()} == {0}
    for name in ("@", "site"):
        assert [str(record) for record in zone.find_rdataset(name, "TXT")] == ['"nrt"']
    assert [str(record) for record in zone.find_rdataset("ns", "A")] == ["192.0.2.53"]
    assert [str(record) for record in zone.find_rdataset("ns", "AAAA")] == ["2001:db8:53::53"]


def test_the_whoami_zone_needs_a_server() -> None:
    with pytest.raises(ValueError, match="names no address"):
        render_whoami_zone(NRT, ())


def test_the_newest_cookie_secret_is_used_and_none_means_no_cookies() -> None:
    new, old = bytes(range(16)), bytes(16)
    text = render_knot(replace(SITE, cookie_secrets=(new, old)))
    assert values(text, "secret") == [f"0x{new.hex()}"]
    assert values(text, "global-module") == ["[mod-cookies/fleet, mod-rrl/answers]"]
    assert values(render_knot(SITE), "global-module") == ["[mod-rrl/answers]"]


@pytest.mark.parametrize("size", [0, 8, 15, 17, 32])
def test_a_cookie_secret_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"has {size} bytes and needs 16"):
        render_knot(replace(SITE, cookie_secrets=(bytes(16), bytes(size))))


def test_transfers_need_a_key_of_the_right_size() -> None:
    there = (ip_address("198.18.0.90"),)
    transfer = Transfer(primary=there, sources=there, tsig=bytes(31))
    with pytest.raises(ValueError, match="31 bytes and needs 32"):
        render_knot(replace(SITE, transfer=transfer))


def test_transfers_leave_from_unicast_and_only_the_fleet_is_unlimited() -> None:
    here, there = ip_address("198.18.0.1"), ip_address("198.18.0.90")
    text = render_knot(
        replace(
            SITE,
            transfer=Transfer(primary=(there,), sources=(here,), tsig=bytes(32)),
            unlimited=(ip_network("198.18.0.90/32"),),
        )
    )
    assert values(text, "via") == [f"[{here}]"]
    assert values(text, "whitelist") == ["[198.18.0.90/32]"]
    assert "catalog.anycast.test." in values(text, "domain")


def test_a_rate_limit_answers_somebody() -> None:
    with pytest.raises(ValueError, match="answers nobody"):
        render_knot(replace(SITE, rate_limit=0))
