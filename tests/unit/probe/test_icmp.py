"""ICMP messages, made and read."""

import struct

import pytest

from ridgeline.probe.icmp import (
    Echo,
    IcmpError,
    Version,
    checksum,
    describe_error,
    echo_request,
    read_icmp,
    strip_ipv4,
)

IPV4 = bytes.fromhex("4500002c0000400001110000c6336401c0000235")
IPV6 = b"\x60" + bytes(3) + b"\x00\x10\x11\x01" + bytes(16) + bytes.fromhex("20010db8") + bytes(12)


def test_an_echo_sums_to_nothing() -> None:
    # RFC 1071: over a message with its checksum in place the sum is all ones.
    assert checksum(echo_request(4, 0x1234, 7, b"payload")) == 0


def test_an_echo_reads_back() -> None:
    for version in (4, 6):
        sent = read_icmp(version, echo_request(version, 9, 8, b"abc"))
        assert sent == Echo(is_reply=False, ident=9, sequence=8, payload=b"abc")


@pytest.mark.parametrize(
    ("version", "header", "kind", "destination"),
    [(4, IPV4, 11, bytes([192, 0, 2, 53])), (6, IPV6, 3, IPV6[24:40])],
)
def test_an_error_quotes_the_packet_that_failed(
    version: Version, header: bytes, kind: int, destination: bytes
) -> None:
    message = struct.pack("!BBHI", kind, 0, 0, 0) + header + b"12345678"
    assert read_icmp(version, message) == IcmpError(
        type=kind, code=0, protocol=17, destination=destination, quoted=b"12345678"
    )


def test_an_ip_header_with_options_is_taken_off_whole() -> None:
    packet = bytes([0x46]) + IPV4[1:] + bytes(4) + b"rest"
    assert strip_ipv4(packet) == b"rest"


def test_errors_are_in_words() -> None:
    assert describe_error(4, 3, 13) == "filtered"
    assert describe_error(6, 1, 0) == "network unreachable"
    assert describe_error(4, 42, 7) == "ICMP type 42 code 7"
