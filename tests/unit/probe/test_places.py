"""Places read into names, and held against the speed of light."""

import re
from dataclasses import replace

import pytest

from ridgeline.net.airports import find_place
from ridgeline.net.place import great_circle_km
from ridgeline.probe.places import (
    Decoded,
    Sighting,
    decode,
    decode_header,
    header_words,
)
from ridgeline.probe.rules import parse_rules, shipped_rules


def where(decoded: Decoded) -> str:
    """Name the largest airport that is nearest to the guess, of a few."""
    if decoded.best is None:
        return "-"
    place = decoded.best.place
    known = "nrt kix lhr cdg fra ams vie prg arn mxp iad jfk ord sjc lax dfw sea gru syd sin hkg bom mad"
    distances = {}
    for code in known.split():
        airport = find_place(code)
        assert airport is not None
        distances[code] = great_circle_km(place.lat, place.lon, airport.lat, airport.lon)
    nearest = min(distances, key=lambda code: distances[code])
    return nearest if distances[nearest] <= 100 else place.city


@pytest.mark.parametrize(
    ("name", "code"),
    [
        # Caches and name servers.
        ("NRT57-P2", "nrt"),
        ("8c5e6f7a8b9c0d1e-NRT", "nrt"),
        ("cache-lhr-egll1980050-LHR", "lhr"),
        ("cache-lhr-egll1980050-LHR, cache-nrt-rjtf7700044-NRT", "nrt"),
        ("server-192-0-2-1.fra50.r.cdn.example.net", "fra"),
        ("ns1.fr-par.k.example.net", "cdg"),
        ("ns1.lon.example.net", "lhr"),
        ("lax1b.f.example.org", "lax"),
        ("M-NRT-DIXIE-1", "nrt"),
        ("rootns-elfra1", "fra"),
        ("s1.sth", "arn"),
        ("eddf1.example.net", "fra"),
        ("tojp1.example.net", "nrt"),
        ("abva3.example.net", "iad"),
        # Routers.
        ("ae-1.r20.tokyjp05.jp.bb.example.net", "nrt"),
        ("be2390.ccr41.fra05.atlas.example.com", "fra"),
        ("xe-0-0-0.cr1.nrt.tanuki.example", "nrt"),
        ("ae1.cr5-fra2.ip4.example.net", "fra"),
        ("100ge5-1.core1.nyc4.example.net", "jfk"),
        ("ae-7.r24.londen12.uk.bb.example.net", "lhr"),
        ("ae-3.r25.frnkge13.de.bb.example.net", "fra"),
        ("ae-1.r00.sngpsi07.sg.bb.example.net", "sin"),
        ("ae-6.r23.snjsca04.us.bb.example.net", "sjc"),
        ("be-33141-cr01.sanjose.ca.ibone.example.net", "sjc"),
        ("be-10214-cr02.newyork.ny.ibone.example.net", "jfk"),
        ("be-2211-pe11.350ecermak.il.ibone.example.net", "ord"),
        ("cr2.cgcil.ip.example.net", "ord"),
        ("ae-1-9.bar1.Tokyo1.example.net", "nrt"),
        ("4.WashingtonDC12.example.net", "iad"),
        ("dallas-tx.example.net", "dfw"),
        ("ffm-bb2-link.ip.example.net", "fra"),
        ("ge-0-0-1.cr1.praha.example.cz", "prg"),
        ("wien1.example.at", "vie"),
        ("sao-paulo2.example.net", "gru"),
        ("ec2-192-0-2-1.ap-northeast-1.compute.example.com", "nrt"),
        ("Amsterdam, NL", "ams"),
    ],
)
def test_the_conventions_of_operators_are_read(name: str, code: str) -> None:
    assert where(decode(name)) == code


@pytest.mark.parametrize(
    "name",
    ["", ".", "...", "customer-1-2-3.static.example.com", "mail.example.com", "ns1.example.net",
     "192.0.2.1", "2001:db8::1", "a.b.c", "tanuki.example", "\x00\xff", "x" * 10_000],
)  # fmt: skip
def test_names_without_a_place_tell_none(name: str) -> None:
    decoded = decode(name)
    assert decoded.best is None or decoded.best.confidence < 0.3


def test_a_guess_says_what_it_read_and_as_what() -> None:
    best = decode("ns1.fr-par.k.example.net").best
    assert best is not None
    assert best.reason == "fr-par: country and place, as in UN/LOCODE, Paris, FR"
    assert (best.token, best.rule) == ("fr-par", "locode")
    assert best.confidence > 0.9


def test_words_that_agree_strengthen_each_other() -> None:
    alone, both = decode("fra1.example.net").best, decode("fra1.frankfurt.example.net").best
    assert alone is not None
    assert both is not None
    assert both.confidence > alone.confidence


def test_a_country_beside_it_decides_between_cities_of_one_name() -> None:
    spain, chile = decode("cordoba.es.example.net").best, decode("cordoba.ar.example.net").best
    assert spain is not None
    assert chile is not None
    assert (spain.place.country, chile.place.country) == ("ES", "AR")


MADRID = Sighting(lat=40.42, lon=-3.70, rtt_ms=3.0, name="Madrid")


def test_a_place_from_which_light_is_too_slow_is_rejected() -> None:
    decoded = decode("NRT57-P2", sightings=[MADRID])
    assert decoded.best is None
    (rejected,) = decoded.rejected
    assert rejected.guess.place.code == "nrt"
    assert re.fullmatch(
        r"faster than light: 107\d\d km from Madrid, where 3 ms allow 300 km", rejected.reason
    )


def test_the_tightest_sighting_counts() -> None:
    far = Sighting(lat=35.0, lon=135.0, rtt_ms=100.0, name="far")
    assert decode("NRT57-P2", sightings=[far]).best is not None
    assert decode("NRT57-P2", sightings=[far, MADRID]).best is None


def test_what_light_forbids_makes_the_rest_likelier() -> None:
    blind = decode("maes1.example.net").best
    malaga = Sighting(lat=36.72, lon=-4.42, rtt_ms=1.0)
    seen = decode("maes1.example.net", sightings=[malaga])
    assert blind is not None
    assert blind.place.city == "Madrid"
    assert seen.best is not None
    assert seen.best.place.city == "Málaga"
    assert seen.best.confidence > 0.4
    assert "Madrid" in [r.guess.place.city for r in seen.rejected]


def test_a_city_is_allowed_where_only_its_airport_is_too_far() -> None:
    # Narita is 60 km from the middle of Tokyo; a server that is 0.3 ms from it stands in town.
    tokyo = Sighting(lat=35.69, lon=139.69, rtt_ms=0.3)
    best = decode("nrt1.example.net", sightings=[tokyo]).best
    assert best is not None
    assert tokyo.excess_km(best.place) <= 0


def test_operators_words_come_before_general_rules() -> None:
    best = decode("sjo-b23-link.ip.twelve99.net").best
    assert best is not None
    assert (best.place.country, best.rule) == ("US", "operator")
    other = decode("sjo-b23-link.ip.example.net").best
    assert other is not None
    assert other.place.country == "CR"


def test_rules_can_be_replaced() -> None:
    rules = replace(shipped_rules(), abbreviations={"tanuki": "nrt"}, patterns=())
    assert decode("NRT57-P2", rules=rules).best is None


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("cf-ray", "8c5e6f7a8b9c0d1e-NRT", "nrt"),
        ("CF-RAY", " 8c5e6f7a8b9c0d1e-FRA ", "fra"),
        ("x-amz-cf-pop", "NRT57-P2", "nrt"),
        ("x-served-by", "cache-lhr-egll1980050-LHR, cache-nrt-rjtf7700044-NRT", "nrt"),
        ("x-vercel-id", "hnd1::sfo1::abcde-1700000000000-0123456789ab", "nrt"),
        ("fly-request-id", "01HF0000000000000000000000-nrt", "nrt"),
        ("x-msedge-ref", "Ref A: 0123 Ref B: TYO01EDGE0911 Ref C: 2024-01-01T00:00:00Z", "nrt"),
        ("via", "1.1 varnish, 2.0 nrt-cache1.example.net (Varnish/7.1)", "nrt"),
        ("cache-status", '"edge-nrt1"; hit; ttl=30', "nrt"),
        ("server-timing", 'cdn-cache; desc=HIT, cdn-pop; desc="NRT57-P2", edge; dur=1', "nrt"),
        ("server", "ECAcc (nrt/5678)", "nrt"),
        ("server", "nginx", "-"),
    ],
)
def test_headers_are_read_where_their_makers_write_the_place(
    header: str, value: str, code: str
) -> None:
    decoded = decode_header(header, value)
    assert where(decoded) == code
    assert decoded.name == value


def test_headers_that_no_rule_knows_tell_nothing() -> None:
    assert header_words("x-tanuki", "NRT57-P2") == []
    assert decode_header("x-tanuki", "NRT57-P2").guesses == ()


def test_shipped_rules_are_whole() -> None:
    rules = shipped_rules()
    kinds = {frozenset(p.match.groupindex) for p in rules.patterns}
    assert kinds <= {
        frozenset(k)
        for k in (
            ("iata",), ("icao",), ("cc", "loc"), ("abbr", "region"), ("city", "region"), ("city",),
            ("abbr",), ("known",),
        )
    }  # fmt: skip
    codes = {*rules.abbreviations.values(), *rules.locodes.values()}
    codes |= {code for operator in rules.operators for code in operator.codes.values()}
    assert [code for code in sorted(codes) if find_place(code) is None] == []
    assert not rules.silent & rules.doubtful
    assert all(0 < pattern.confidence < 1 for pattern in rules.patterns)


def test_rules_that_are_none_are_refused() -> None:
    with pytest.raises((ValueError, KeyError)):
        parse_rules("patterns = 7")
