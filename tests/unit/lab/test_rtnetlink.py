"""Message bytes, against what iproute2 sends and the kernel answers."""

import struct
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from ridgeline.lab.kernel import rtnetlink as rt


def test_messages_are_padded_and_come_apart_again() -> None:
    data = rt.message(24, 0x405, 7, b"12345") + rt.message(25, 0x5, 8, b"")
    assert len(data) == 16 + 8 + 16
    assert list(rt.messages(data)) == [(24, 0x405, 7, b"12345"), (25, 0x5, 8, b"")]


def test_a_message_that_is_cut_short_ends_the_list() -> None:
    data = rt.message(24, 0, 7, b"1234")
    assert list(rt.messages(data + data[:10])) == [(24, 0, 7, b"1234")]


def test_attributes_nest_and_come_apart_again() -> None:
    data = rt.nested(18, rt.attribute(1, b"veth"), rt.attribute(2, b"x"))
    assert data.hex(" ", 2) == "1400 1280 0800 0100 7665 7468 0500 0200 7800 0000"
    outer = rt.attributes(data)
    assert rt.attributes(outer[18]) == {1: b"veth", 2: b"x"}


def test_an_attribute_of_impossible_length_ends_the_reading() -> None:
    assert rt.attributes(rt.attribute(1, b"abcd") + bytes(8)) == {1: b"abcd"}


def test_a_veth_pair_is_asked_for_with_both_ends_in_place() -> None:
    a = rt.VethEnd(name="left", namespace=5, index=10, mac=bytes.fromhex("020000000001"))
    b = rt.VethEnd(name="right", namespace=6, index=11)
    body = rt.veth_body(a, b, mtu=9000)
    _, _, _, index, _, _ = struct.unpack_from("=BBHiII", body)
    fields = rt.attributes(body, 16)
    assert (index, fields[3], fields[28], fields[4]) == (
        10,
        b"left\0",
        b"\5\0\0\0",
        b"\x28\x23\0\0",
    )
    assert fields[1].hex() == "020000000001"
    info = rt.attributes(fields[18])
    assert info[1] == b"veth"
    peer = rt.attributes(info[2])[1]
    assert struct.unpack_from("=BBHiII", peer)[3] == 11
    peer_fields = rt.attributes(peer, 16)
    assert (peer_fields[3], peer_fields[28]) == (b"right\0", b"\6\0\0\0")
    assert peer_fields[31] == peer_fields[32] == fields[31] == b"\1\0\0\0"  # one queue each
    assert 1 not in peer_fields  # no MAC given: the kernel's choice


def test_an_ipv6_address_skips_duplicate_detection_and_an_ipv4_one_has_none() -> None:
    six = rt.address_body(7, ip_interface("2001:db8::1/64"))
    assert six[:8].hex(" ") == "0a 40 02 00 07 00 00 00"
    four = rt.address_body(7, ip_interface("192.0.2.1/24"))
    assert four[:8].hex(" ") == "02 18 00 00 07 00 00 00"
    assert rt.attributes(four, 8) == {1: bytes([192, 0, 2, 1]), 2: bytes([192, 0, 2, 1])}


def test_a_route_without_a_gateway_is_for_the_link_alone() -> None:
    through = rt.route_body(ip_network("192.0.2.0/24"), index=7)
    via = rt.route_body(ip_network("192.0.2.0/24"), gateway=ip_address("198.51.100.1"))
    hole = rt.route_body(ip_network("0.0.0.0/0"), kind=rt.RouteKind.BLACKHOLE)
    assert (through[6], via[6], hole[6]) == (253, 0, 0)  # RT_SCOPE_LINK, RT_SCOPE_UNIVERSE
    assert (through[7], hole[7]) == (1, 6)
    assert rt.attributes(hole, 12) == {}  # the default route has no destination field


@pytest.mark.parametrize(
    ("destination", "gateway"), [("192.0.2.0/24", "198.51.100.1"), ("2001:db8::/32", "fe80::1")]
)
def test_a_route_reads_back_as_it_was_written(destination: str, gateway: str) -> None:
    body = rt.route_body(ip_network(destination), gateway=ip_address(gateway), index=300, metric=50)
    assert rt.parse_route(body) == rt.Route(
        destination=ip_network(destination),
        gateway=ip_address(gateway),
        index=300,
        protocol=rt.RTPROT_STATIC,
        kind=rt.RouteKind.UNICAST,
        metric=50,
    )


def test_of_several_next_hops_the_first_is_told() -> None:
    def hop(index: int, gateway: str) -> bytes:
        fields = rt.attribute(5, ip_address(gateway).packed)
        return struct.pack("=HBBi", 8 + len(fields), 0, 0, index) + fields

    hops = rt.attribute(9, hop(3, "198.51.100.1") + hop(4, "198.51.100.9"))
    header = rt.route_body(ip_network("0.0.0.0/0"), index=1)[:12]
    route = rt.parse_route(header + hops)
    assert route is not None
    assert (str(route.gateway), route.index) == ("198.51.100.1", 3)


def test_an_ipv4_route_may_go_through_an_ipv6_neighbour() -> None:
    via = rt.attribute(18, struct.pack("=H", 10) + ip_address("fe80::1").packed)
    route = rt.parse_route(rt.route_body(ip_network("192.0.2.0/24"), index=2) + via)
    assert route is not None
    assert str(route.gateway) == "fe80::1"


@pytest.mark.parametrize(
    ("offset", "value"),
    [(4, 255), (7, 2), (7, 3), (9, 2), (0, 7)],
    ids=["local table", "local address", "broadcast", "cached", "other family"],
)
def test_what_the_kernel_keeps_for_itself_is_no_route(offset: int, value: int) -> None:
    body = bytearray(rt.route_body(ip_network("192.0.2.0/24"), index=2))
    assert rt.parse_route(bytes(body)) is not None
    body[offset] = value
    assert rt.parse_route(bytes(body)) is None


def test_an_answer_is_an_error_number_and_the_kernels_words() -> None:
    request = rt.message(24, 0x5, 9, b"12345")
    words = rt.attribute(1, b"Nexthop has invalid gateway\0")
    whole = struct.pack("=i", -101) + request + words
    capped = struct.pack("=i", -101) + request[:16] + words
    assert rt.parse_error(0x200, whole) == (101, "Nexthop has invalid gateway")
    assert rt.parse_error(0x300, capped) == (101, "Nexthop has invalid gateway")
    assert rt.parse_error(0x100, struct.pack("=i", 0) + request[:16]) == (0, "")
