"""From address tables to PoPs: what is read, what is refused, and where ASes end up."""

import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.topology.as_rel import read_as_rel
from ridgeline.topology.checks import complaints
from ridgeline.topology.cities import cities, countries
from ridgeline.topology.geography import MAX_POPS, holdings, place
from ridgeline.topology.graph import as_graph
from ridgeline.topology.internet import Internet
from ridgeline.topology.ip_ranges import NO_PLACE, IpRanges, read_asn_ranges, read_place_ranges

TABLE = cities()


def asns(*lines: str) -> IpRanges:
    return read_asn_ranges("\n".join(lines).encode(), file="asn.csv")


def places(*lines: str) -> IpRanges:
    return read_place_ranges("\n".join(lines).encode(), file="place.csv", cities=TABLE)


def rows(ranges: IpRanges) -> list[tuple[int, int, int]]:
    return list(zip(ranges.start.tolist(), ranges.end.tolist(), ranges.value.tolist(), strict=True))


def pops(net: Internet, asn: int) -> list[tuple[str, float]]:
    index = net.index_of(asn)
    assert index is not None
    return [(net.pop_code[i], float(net.pop_users[i])) for i in net.pops_of(index)]


def test_the_table_of_cities_covers_every_country_once_at_least() -> None:
    assert len(TABLE) > 1000
    assert set(TABLE.country) == set(countries())
    codes = [code for code in TABLE.code if code]
    assert len(set(codes)) == len(codes)
    assert {"nrt", "lhr", "iad", "gru", "jnb", "syd", "fra", "sin", "lax", "bom"} <= set(codes)
    assert TABLE.people[0] == TABLE.people.max()
    assert TABLE.code[TABLE.largest_of()["BR"]] == "gru"


@pytest.mark.parametrize(
    "lines",
    [
        ("192.0.2.0,192.0.2.255,64512,Example", '198.51.100.0,198.51.100.0,64513,"A, B"'),
        ("3221225984,3221226239,64512,Example", "3325256704,3325256704,64513,X"),
        ("198.51.100.0,198.51.100.0,64513,X", "192.0.2.0,192.0.2.255,64512,Example"),
        (
            "192.0.2.0,192.0.2.255,64512",
            "198.51.100.0,198.51.100.0,64513",
            "203.0.113.0,203.0.113.9,0",
        ),
    ],
    ids=["text", "numbers", "unsorted", "without names, and nobody's"],
)
def test_ipv4_tables_are_read(lines: tuple[str, ...]) -> None:
    found = asns(*lines)
    assert not found.is_ipv6
    assert rows(found) == [
        (0xC0000200, 0xC00002FF, 64512),
        (0xC6336400, 0xC6336400, 64513),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ("2001:db8::,2001:db8:0:1:ffff:ffff:ffff:ffff,64512,Example",),
        ("42540766411282592856903984951653826560,42540766411282592893797473099072929791,64512,X",),
    ],
    ids=["text", "numbers"],
)
def test_ipv6_tables_are_read_in_networks_of_64_bits(lines: tuple[str, ...]) -> None:
    found = asns(*lines)
    assert found.is_ipv6
    assert rows(found) == [(0x20010DB800000000, 0x20010DB800000001, 64512)]


def test_where_ranges_overlap_the_later_one_counts() -> None:
    found = asns(
        "0.0.0.0,0.0.0.99,1", "0.0.0.50,0.0.0.59,2", "0.0.0.50,0.0.0.199,3", "0.0.1.0,0.0.1.1,4"
    )
    assert rows(found) == [(0, 49, 1), (50, 59, 2), (256, 257, 4)]


def test_countries_become_their_largest_city_and_unknown_ones_nothing() -> None:
    found = places("0.0.0.0,0.0.0.1,BR", "0.0.0.2,0.0.0.3,ZZ", "0.0.0.4,0.0.0.5,jp")
    assert [TABLE.code[i] for i in found.value] == ["gru", "nrt"]
    assert NO_PLACE not in found.value


def test_coordinates_become_the_nearest_city() -> None:
    found = places(
        "0.0.0.0,0.0.0.1,BR,Rio de Janeiro,,Niterói,,-22.88,-43.10,",
        '0.0.0.2,0.0.0.3,US,"Virginia, State of",,Ashburn,20147,39.04,-77.49,America/New_York',
        "0.0.0.4,0.0.0.5,US,,,,,,,",
    )
    assert [TABLE.code[i] for i in found.value] == ["gig", "iad"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("192.0.2.0,192.0.2.256,1,x",), "asn.csv:1:1: end: '192.0.2.256' is not an address"),
        (
            ("192.0.2.0,192.0.2.1,1,x", "x,192.0.2.3,1,x"),
            "asn.csv:2:1: start: 'x' is not an address",
        ),
        (("192.0.2.9,192.0.2.1,1,x",), "comes before the range's start"),
        (("192.0.2.0,192.0.2.1,AS1,x",), "asn.csv:1:1: asn: 'AS1' is not an AS number"),
        (("192.0.2.0,192.0.2.1,4294967296,x",), "'4294967296' is not an AS number"),
        (("192.0.2.0,2001:db8::,1,x",), "mixes IPv4 and IPv6"),
        (("192.0.2.0,192.0.2.1",), "lines have 2 fields, not 3 or 4"),
        (("192.0.2.0,192.0.2.1,1", "x"), "asn.csv:2:1: Expected 3 columns, got 1: x"),
        (("",), "asn.csv: it is empty"),
    ],
)
def test_wrong_tables_are_refused_with_the_line(lines: tuple[str, ...], told: str) -> None:
    with pytest.raises(InputError) as caught:
        asns(*lines)
    assert told in str(caught.value)


def test_latitudes_off_the_globe_are_refused() -> None:
    with pytest.raises(InputError, match=r"place.csv:1:1: latitude: '91.0' is not a latitude"):
        places("0.0.0.0,0.0.0.1,BR,,,,,91.0,0.0,")


def test_wrong_lines_beyond_a_limit_are_counted() -> None:
    with pytest.raises(InputError) as caught:
        asns(*["0.0.0.0,0.0.0.0,x"] * 60)
    told = str(caught.value).splitlines()
    assert len(told) == 51
    assert told[-1] == "asn.csv:51:1: here and below, 10 more lines are wrong"


def test_addresses_are_counted_by_as_and_city() -> None:
    held = holdings(
        [asns("0.0.0.0,0.0.0.99,1", "0.0.0.100,0.0.0.199,2", "0.0.0.200,0.0.0.209,1")],
        [places("0.0.0.10,0.0.0.109,JP", "0.0.0.110,0.0.0.255,BR")],
    )
    assert [TABLE.code[i] for i in held.city] == ["nrt", "gru", "nrt", "gru"] or held.asn.size == 4
    found = {
        (int(n), TABLE.code[c]): w for n, c, w in zip(held.asn, held.city, held.weight, strict=True)
    }
    assert found == {(1, "nrt"): 90, (1, "gru"): 10, (2, "nrt"): 10, (2, "gru"): 90}
    assert held.users.tolist() == held.weight.tolist()


def test_ipv6_places_only_who_has_no_ipv4() -> None:
    held = holdings(
        [
            asns("0.0.0.0,0.0.0.99,1"),
            asns("2001:db8::,2001:db8:1::,1", "2001:db9::,2001:db9:1::,2"),
        ],
        [places("0.0.0.0,0.0.0.255,JP"), places("2001:db8::,2001:dbf::,BR")],
    )
    assert held.asn.tolist() == [1, 2]
    assert [TABLE.code[i] for i in held.city] == ["nrt", "gru"]
    assert held.users.tolist() == [100, 0]


def test_an_as_in_two_countries_has_two_pops_and_meets_its_neighbours_there() -> None:
    net = read_as_rel(b"1|2|-1\n1|3|-1\n1|4|-1\n2|3|0\n", file="x")
    held = holdings(
        [asns("0.0.0.0,0.0.0.255,1", "0.0.1.0,0.0.1.99,2", "0.0.2.0,0.0.2.9,3")],
        [places("0.0.0.0,0.0.0.99,JP", "0.0.0.100,0.0.1.99,BR", "0.0.2.0,0.0.2.9,JP")],
    )
    placed = place(net, held, TABLE)
    assert complaints(placed) == []
    assert pops(placed, 1) == [("gru", 156), ("nrt", 100)]
    assert (pops(placed, 2), pops(placed, 3), pops(placed, 4)) == (
        [("gru", 100)],
        [("nrt", 10)],
        [("", 0)],
    )
    met = {
        (placed.pop_code[a], placed.pop_code[b], int(rel))
        for a, b, rel in zip(placed.link_a, placed.link_b, placed.link_rel, strict=True)
    }
    assert met == {("gru", "gru", -1), ("nrt", "nrt", -1), ("", "gru", -1), ("gru", "nrt", 0)}


def test_placing_changes_no_relationship() -> None:
    net = read_as_rel(b"1|2|-1\n1|3|-1\n2|3|0\n", file="x")
    held = holdings(
        [asns("0.0.0.0,0.0.0.255,1", "0.0.1.0,0.0.1.255,2")],
        [places("0.0.0.0,0.0.0.127,JP", "0.0.0.128,0.0.1.127,BR", "0.0.1.128,0.0.1.255,JP")],
    )
    before, after = as_graph(net), as_graph(place(net, held, TABLE))
    np.testing.assert_array_equal(before.provider_idx, after.provider_idx)
    np.testing.assert_array_equal(before.peer_idx, after.peer_idx)


def test_crumbs_count_at_the_nearest_pop() -> None:
    net = read_as_rel(b"1|2|-1\n", file="x")
    held = holdings(
        [asns("0.0.0.0,0.0.255.255,1")],
        [
            places(
                "0.0.0.0,0.0.127.255,JP", "0.0.128.0,0.0.255.251,BR", "0.0.255.252,0.0.255.255,KR"
            )
        ],
    )
    assert pops(place(net, held, TABLE), 1) == [("nrt", 2**15 + 4), ("gru", 2**15 - 4)]


def test_an_as_in_many_countries_keeps_the_largest() -> None:
    net = read_as_rel(b"1|2|-1\n", file="x")
    lands = sorted(countries())[: MAX_POPS + 5]
    lines, at = [], 0
    for i, land in enumerate(lands):
        size = 10_000 + i
        lines.append(f"{at},{at + size - 1},{land}")
        at += size
    placed = place(net, holdings([asns(f"0,{at - 1},1")], [places(*lines)]), TABLE)
    assert len(pops(placed, 1)) == MAX_POPS
    assert placed.pop_users.sum() == at
