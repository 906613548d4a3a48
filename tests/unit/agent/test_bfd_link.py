"""Datagrams on the tunnel device: right for the kernel at the other end, closed to strangers."""

import struct
from ipaddress import ip_address

import pytest

from ridgeline.agent.bfd_link import Address, parse_datagram, render_datagram

ENDS = [
    (ip_address("198.18.5.1"), ip_address("198.18.5.2")),
    (ip_address("2001:2::1"), ip_address("2001:2::2")),
]


def ones_complement_sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    return (total & 0xFFFF) + (total >> 16)


@pytest.mark.parametrize(("ours", "theirs"), ENDS)
def test_what_is_written_is_read_back(ours: Address, theirs: Address) -> None:
    datagram = render_datagram(b"payload!", source=theirs, target=ours)
    assert parse_datagram(datagram) == (ours, theirs, b"payload!")


@pytest.mark.parametrize(("ours", "theirs"), ENDS)
def test_checksums_are_right(ours: Address, theirs: Address) -> None:
    datagram = render_datagram(bytes(24), source=ours, target=theirs)
    header = 20 if ours.version == 4 else 40
    if ours.version == 4:
        assert ones_complement_sum(datagram[:header]) == 0xFFFF
    pseudo = ours.packed + theirs.packed + struct.pack("!II", 32, 17)
    assert ones_complement_sum(pseudo + datagram[header:]) == 0xFFFF


@pytest.mark.parametrize(("ours", "theirs"), ENDS)
def test_a_packet_from_beyond_the_link_is_refused(ours: Address, theirs: Address) -> None:
    datagram = bytearray(render_datagram(bytes(24), source=theirs, target=ours))
    hops = 8 if ours.version == 4 else 7
    assert datagram[hops] == 255
    datagram[hops] = 254
    assert parse_datagram(bytes(datagram)) is None


@pytest.mark.parametrize("data", [b"", b"\x45" * 27, b"\x60" + bytes(40), b"\x00" * 60])
def test_rubbish_is_refused(data: bytes) -> None:
    assert parse_datagram(data) is None
