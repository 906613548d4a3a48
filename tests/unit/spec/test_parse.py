from ipaddress import ip_address, ip_network

import pytest

from ridgeline.errors import InputError, Problem
from ridgeline.net.place import Place
from ridgeline.spec.model import EdgeEngine, Health, ServiceKind, SiteState, Tls
from ridgeline.spec.parse import (
    FileKind,
    decode_spec,
    examine_spec,
    parse_spec,
    parse_spec_with_warnings,
)

MINIMAL = """\
network: example
asn: 64500
prefixes: [192.0.2.0/24, 2001:db8:53::/48]
sites:
  nrt: {upstreams: [{asn: 65550}]}
"""
HEAD = MINIMAL.partition("sites:")[0]


def with_service(text: str) -> str:
    return f"{MINIMAL}services:\n  it:\n    addresses: [192.0.2.53]\n{text}"


def test_what_is_left_out_has_its_default() -> None:
    spec = parse_spec(MINIMAL, file="spec.yaml")
    assert spec.services == ()
    (site,) = spec.sites
    assert (site.capacity, site.state, site.line) == (None, SiteState.ACTIVE, 5)
    (upstream,) = site.upstreams
    assert (
        upstream.prefixes
        == spec.prefixes
        == (ip_network("192.0.2.0/24"), ip_network("2001:db8:53::/48"))
    )
    assert (upstream.prepend, upstream.communities, upstream.bfd) == (0, (), False)


def test_a_service_takes_the_networks_health_where_it_has_no_own() -> None:
    text = with_service("    kind: custom\n    health: {timeout: 250ms, fall: 1}\n")
    (service,) = parse_spec(f"{text}health: {{interval: 2m, rise: 9}}\n", file="x").services
    assert service.health == Health(interval=120.0, timeout=0.25, fall=1, rise=9)


def test_health_that_nobody_mentions_is_the_documented_one() -> None:
    (service,) = parse_spec(with_service("    kind: custom\n"), file="x").services
    assert service.health == Health(interval=1.0, timeout=0.5, fall=2, rise=3)


def test_a_cache_has_an_origin_and_may_have_tls() -> None:
    text = with_service(
        "    kind: http-cache\n    origin: https://origin.example.test\n"
        "    tls: {certificate: tls/a.pem, key: /etc/tls/a.key}\n"
    )
    (service,) = parse_spec(text, file="x").services
    assert service.kind is ServiceKind.HTTP_CACHE
    assert service.origin == "https://origin.example.test"
    assert service.tls == Tls(certificate="tls/a.pem", key="/etc/tls/a.key")
    assert service.addresses == (ip_address("192.0.2.53"),)


def test_a_resolver_validates_unless_told_and_a_name_server_signs_only_if_told() -> None:
    zones, resolver = "    kind: authoritative-dns\n    zones: [a]\n", "    kind: recursive-dns\n"
    for text, signed in (
        (zones, False),
        (f"{zones}    primary: true\n    dnssec: true\n", True),
        (resolver, True),
        (f"{resolver}    dnssec: false\n", False),
    ):
        (service,) = parse_spec(with_service(text), file="x").services
        assert service.dnssec is signed


def test_an_edge_is_light_and_alone_unless_told() -> None:
    plain = "    kind: http-cache\n    origin: http://198.51.100.1\n"
    (service,) = parse_spec(with_service(plain), file="x").services
    assert (service.engine, service.cache_cookies) == (EdgeEngine.NGINX, False)
    assert (service.shield, service.handoff, service.rate_limit) == ((), (), None)
    (service,) = parse_spec(with_service(f"{plain}    tls: {{}}\n"), file="x").services
    assert service.tls == Tls(certificate="", key="")


def test_shared_keys_are_in_a_folder_or_nowhere_and_no_flow_is_rescued_unasked() -> None:
    plain = parse_spec(MINIMAL, file="x")
    assert (plain.secrets, plain.rescue) == ("", False)
    told = parse_spec(f"{MINIMAL}secrets: keys/\nrescue: true\n", file="x")
    assert (told.secrets, told.rescue) == ("keys", True)


@pytest.mark.parametrize(
    ("tls", "other", "n_problems"),
    [("    tls: {}\n", "    tls: {}\n", 1), ("", "    tls: {}\n", 0), ("    tls: {}\n", "", 0)],
)
def test_a_resolver_and_a_cache_share_an_address_unless_both_speak_tls(
    tls: str, other: str, n_problems: int
) -> None:
    text = with_service(f"    kind: recursive-dns\n{tls}") + (
        "  web:\n    kind: http-cache\n    addresses: [192.0.2.53]\n"
        f"    origin: http://198.51.100.1\n{other}"
    )
    assert len(examine_spec(text, file="x").problems) == n_problems


def test_a_site_named_in_capitals_is_named_in_small_letters() -> None:
    (site,) = parse_spec(MINIMAL.replace("nrt", "NRT"), file="x").sites
    assert site.name == "nrt"
    assert site.place.city == "Tokyo"


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("HND", Place(code="hnd", city="Tokyo", country="JP", lat=35.5523, lon=139.78)),
        ("{lat: 1.5, lon: -2}", Place(code="nrt-2", city="nrt-2", country="", lat=1.5, lon=-2.0)),
        (
            "{lat: +90, lon: -180, city: São Paulo, country: br}",
            Place(code="nrt-2", city="São Paulo", country="BR", lat=90.0, lon=-180.0),
        ),
    ],
)
def test_a_location_places_a_site(location: str, place: Place) -> None:
    text = f"{HEAD}sites:\n  nrt-2: {{location: {location}, upstreams: [{{asn: 65550}}]}}\n"
    (site,) = parse_spec(text, file="x").sites
    assert site.place == place


def test_coordinates_near_the_airport_that_names_a_site_are_in_its_city() -> None:
    here, there = (
        parse_spec(MINIMAL.replace("{up", f"{{location: {at}, up"), file="x").sites[0].place
        for at in ("{lat: 35.68, lon: 139.77}", "{lat: 51.5, lon: -0.1, country: GB}")
    )
    assert here == Place(code="nrt", city="Tokyo", country="JP", lat=35.68, lon=139.77)
    assert there == Place(code="nrt", city="nrt", country="GB", lat=51.5, lon=-0.1)


def test_one_upstream_may_stand_twice_for_different_prefixes() -> None:
    text = MINIMAL.replace(
        "[{asn: 65550}]",
        "[{asn: 65550, prefixes: [192.0.2.0/24]},"
        " {asn: AS65550, prefixes: ['2001:db8:53::/48'], prepend: 3, bfd: true}]",
    )
    (site,) = parse_spec(text, file="x").sites
    first, second = site.upstreams
    assert first.asn == second.asn
    assert set(first.prefixes).isdisjoint(second.prefixes)
    assert (first.prepend, second.prepend, second.bfd) == (0, 3, True)


def test_dns_and_a_cache_may_share_an_address() -> None:
    text = with_service("    kind: recursive-dns\n") + (
        "  web: {kind: http-cache, addresses: [192.0.2.53], origin: 'http://198.51.100.1'}\n"
    )
    assert len(parse_spec(text, file="x").services) == 2


@pytest.mark.parametrize("asn", ["64500", "64496", "65000", "4200000000", "65551"])
def test_private_and_documentation_numbers_are_as_good_as_others(asn: str) -> None:
    _, warnings = parse_spec_with_warnings(MINIMAL.replace("64500", asn), file="x")
    assert warnings == ()


@pytest.mark.parametrize(
    "prefix", ["10.0.0.0/24", "198.51.100.0/24", "fd00:1::/48", "2001:db8::/32"]
)
def test_private_and_documentation_prefixes_are_as_good_as_others(prefix: str) -> None:
    text = MINIMAL.replace("[192.0.2.0/24, 2001:db8:53::/48]", f"['{prefix}']")
    _, warnings = parse_spec_with_warnings(text, file="x")
    assert warnings == ()


def test_a_warning_does_not_stop_a_spec() -> None:
    text = MINIMAL.replace("192.0.2.0/24", "192.0.2.0/25")
    spec, (warning,) = parse_spec_with_warnings(text, file="spec.yaml")
    assert spec == parse_spec(text, file="spec.yaml")
    assert (warning.line, warning.column, warning.where) == (3, 12, "prefixes[0]")


def test_an_error_carries_every_problem_in_file_order() -> None:
    with pytest.raises(InputError) as caught:
        parse_spec("asn: x\nnetwork: Y\nprefixes: [z]\nsites: {nrt: {upstreams: []}}\n", file="s")
    assert [problem.where for problem in caught.value.problems] == [
        "asn",
        "network",
        "prefixes[0]",
        "sites.nrt.upstreams",
    ]
    assert caught.value.exit_code == 2


def test_one_slip_hides_no_other() -> None:
    text = (
        with_service("    kind: authoritative-dns\n")
        .replace("64500", "x")
        .replace("nrt", "atlantis")
    )
    found = examine_spec(text, file="x")
    assert [problem.where for problem in found.problems] == [
        "asn",
        "sites.atlantis",
        "services.it.zones",
    ]


def test_the_files_that_a_spec_names_are_told_with_their_place() -> None:
    text = with_service("    kind: authoritative-dns\n    zones: [a.zone, b.zone]\n") + (
        "  web:\n    kind: http-cache\n    addresses: [192.0.2.80]\n"
        "    origin: http://198.51.100.1\n    tls: {certificate: a.pem, key: a.key}\n"
    )
    found = examine_spec(text, file="spec.yaml")
    assert [(named.path, named.holds) for named in found.files] == [
        ("a.zone", FileKind.ZONE),
        ("b.zone", FileKind.ZONE),
        ("a.pem", FileKind.CERTIFICATE),
        ("a.key", FileKind.KEY),
    ]
    assert found.files[1].problem("is gone") == Problem(
        "spec.yaml", 10, 21, "services.it.zones[1]", "is gone"
    )


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"\xff", 1, 1),
        (b"network: caf\xe9\n", 1, 13),
        ("network: é\n# ü".encode() + b"\xc3", 2, 4),
        (b"\xef\xbb\xbfa\n\xfe", 2, 1),
    ],
)
def test_bytes_that_are_not_utf8_are_placed(data: bytes, line: int, column: int) -> None:
    with pytest.raises(InputError) as caught:
        decode_spec(data, file="spec.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (line, column)


def test_bytes_of_utf8_are_text_with_or_without_a_mark() -> None:
    assert (
        decode_spec("é".encode(), file="x") == decode_spec(b"\xef\xbb\xbf\xc3\xa9", file="x") == "é"
    )
