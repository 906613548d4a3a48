"""Whom a sweep may ask."""

from ipaddress import ip_network

import pytest

from ridgeline.errors import InputError
from ridgeline.probe.hitlist import Hitlist, read_hitlist

# Addresses of the public Internet that nothing here ever asks.
PUBLIC = ["8.8.8.8", "9.9.9.9,quad9,19281,zrh", "  1.1.1.1 # a comment", "", "# nothing", "8.8.8.8"]


def read(*lines: str, version: int = 4, most: int = 10, in_lab: bool = False) -> Hitlist:
    return read_hitlist(
        lines,
        file="hitlist",
        version=version,
        max_targets=most,
        ours=[ip_network("198.51.100.0/24")],
        in_lab=in_lab,
    )


def test_each_address_stands_once_with_what_is_known() -> None:
    hitlist = read(*PUBLIC)
    assert hitlist.addresses == ("8.8.8.8", "9.9.9.9", "1.1.1.1")
    row = hitlist.rows[1]
    assert (row.name, row.asn, row.city) == ("quad9", 19281, "zrh")
    assert row.lat is not None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("10.0.0.1", "public Internet"),
        ("192.0.2.1", "public Internet"),
        ("169.254.1.1", "public Internet"),
        ("240.0.0.1", "public Internet"),
        ("100.64.0.1", "public Internet"),
        ("224.0.0.1", "multicast"),
        ("127.0.0.1", "nobody else's"),
        ("0.0.0.0", "nobody else's"),
        ("198.51.100.9", "anycast network itself"),
        ("2001:4860:4860::8888", "no IPv4 address"),
        ("8.8.8.0/24", "does not appear to be"),
        ("8.8.8.8,x,notanumber", "AS number"),
        ("8.8.8.8,x,64500,zzzz", "IATA"),
    ],
)
def test_what_must_not_be_asked_is_refused_with_its_line(line: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        read("8.8.8.8", line)
    assert "hitlist:2:" in str(caught.value)


def test_in_a_lab_private_addresses_are_fair_but_ours_are_not() -> None:
    assert read("10.0.0.1", "192.0.2.1", in_lab=True).addresses == ("10.0.0.1", "192.0.2.1")
    with pytest.raises(InputError, match="anycast network itself"):
        read("198.51.100.9", in_lab=True)


def test_a_list_longer_than_the_user_said_is_refused() -> None:
    with pytest.raises(InputError, match="names 3 addresses, and --max-targets allows 2"):
        read(*PUBLIC, most=2)


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(InputError, match="names no address"):
        read("# nothing")


def test_the_order_is_shuffled_the_same_way_each_time() -> None:
    hitlist = read(*(f"8.8.8.{n}" for n in range(100)), most=100)
    assert hitlist.order(1) == hitlist.order(1)
    assert hitlist.order(1) != hitlist.order(2)
    assert sorted(hitlist.order(1)) == list(range(100))
    assert hitlist.order(1) != list(range(100))
