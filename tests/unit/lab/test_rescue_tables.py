"""What the rescue program is told, and what it puts around a packet."""

import re
import struct
from importlib.resources import files
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.lab.rescue.libbpf import BpfObject
from ridgeline.lab.rescue.program import object_image
from ridgeline.lab.rescue.tables import (
    EVERYBODY,
    MAX_ASKED,
    MAX_HOPS,
    MAX_SITES,
    OVERHEAD4,
    OVERHEAD6,
    Counter,
    Settings,
    Wrapped,
    address_bytes,
    client_key,
    order_table,
    order_value,
    quic_site_bytes,
    site_value,
    sum_counters,
    unwrap,
    wrap,
)

TOKEN = bytes(range(8))
SETTINGS = Settings(token=TOKEN, self_index=1, n_sites=3, rate=1000, burst=100)


def source() -> str:
    return files("ridgeline.lab.rescue").joinpath("data", "rescue.bpf.c").read_text()


def test_every_table_has_the_size_that_the_program_expects() -> None:
    opened = BpfObject.load(object_image(), only_open=True)
    try:
        shape = opened.shape()
    finally:
        opened.close()
    four, client = IPv4Address("198.19.0.2"), client_key(IPv4Network("198.19.0.0/28"))
    assert shape["settings"][1] == len(SETTINGS.pack())
    assert shape["sites"][1:] == (len(site_value(four, None, 1500)), MAX_SITES)
    assert shape["services"][0] == len(address_bytes(four))
    assert shape["orders"][:2] == (len(client), len(order_value([1, 2])))
    assert shape["counters"][1:] == (8, len(Counter))


def test_counters_stand_in_the_order_of_the_program() -> None:
    enum = re.search(r"enum counter \{(.*?)N_COUNTERS", source(), re.DOTALL)
    assert enum is not None
    without_comments = re.sub(r"/\*.*?\*/", "", enum[1], flags=re.DOTALL)
    assert re.findall(r"\w+", without_comments) == [counter.name for counter in Counter]


def test_constants_are_those_of_the_program() -> None:
    defined = dict(re.findall(r"#define (\w+) (\d+)", source()))
    assert (int(defined["MAX_SITES"]), int(defined["MAX_HOPS"])) == (MAX_SITES, MAX_HOPS)


def test_a_wrapped_packet_has_the_layout_that_the_wire_shows() -> None:
    inner = bytes([0x45]) + bytes(39)
    payload = wrap(Wrapped(token=TOKEN, at=1, hops=(0, 500, 3), inner=inner))
    assert payload[:4] == bytes([9, 4, 0, 0])  # GUE version 0, nine more words, IPv4 inside
    assert payload[4:8] == bytes([2, 1, 3, 0])  # ours: version, at, number of hops
    assert payload[8:16] == TOKEN
    assert payload[16:40] == bytes([0, 0, 1, 0xF4, 0, 3]) + bytes(18)
    assert payload[40:] == inner
    assert len(payload) - len(inner) + 20 + 8 == OVERHEAD4
    assert OVERHEAD6 == OVERHEAD4 + 20


@given(
    hops=st.lists(st.integers(0, MAX_SITES - 1), min_size=1, max_size=MAX_HOPS),
    first=st.sampled_from([0x45, 0x60]),
    data=st.data(),
)
def test_what_is_wrapped_is_unwrapped(hops: list[int], first: int, data: st.DataObject) -> None:
    packet = Wrapped(
        token=TOKEN,
        at=data.draw(st.integers(0, len(hops) - 1)),
        hops=tuple(hops),
        inner=bytes([first]) + data.draw(st.binary(max_size=60)),
    )
    assert unwrap(wrap(packet)) == packet


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (bytes(39), "too few"),
        (bytes(60), "not a wrapped packet"),
        (bytes([9, 4, 0, 0, 2, 3, 3, 0]) + bytes(40), "hop 3 of 3"),
        (bytes([9, 4, 0, 0, 2, 0, 13, 0]) + bytes(40), "of 13"),
        (bytes([9, 6, 0, 0, 2, 0, 3, 0]) + bytes(40), "not a wrapped packet"),
        (bytes([9, 4, 0, 0, 1, 0, 3, 0]) + bytes(40), "not a wrapped packet"),
    ],
)
def test_what_no_site_wrapped_is_refused(payload: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        unwrap(payload)


def test_clients_of_both_families_share_one_table() -> None:
    four, six = IPv4Network("198.19.0.16/28"), IPv6Network("2001:2:0:1000::/64")
    table = order_table([(four, (2, 0)), (six, (700,))], everybody=(0, 1, 2))
    assert client_key(four)[:4] == (96 + 28).to_bytes(4, "little")
    assert client_key(four)[4:] == IPv6Address("::ffff:198.19.0.16").packed
    assert table[client_key(six)] == struct.pack("=HH", 1, 700) + bytes(24)
    assert table[EVERYBODY] == struct.pack("=4H", 3, 0, 1, 2) + bytes(20)


def test_an_order_holds_one_site_more_than_a_packet_visits() -> None:
    value = order_value(range(100))
    assert struct.unpack("=14H", value) == (MAX_ASKED, *range(MAX_ASKED))
    assert MAX_ASKED == MAX_HOPS + 1


@pytest.mark.parametrize(("n_sites", "n_bytes"), [(1, 1), (256, 1), (257, 2), (MAX_SITES, 2)])
def test_a_connection_id_has_room_for_the_number_of_every_site(n_sites: int, n_bytes: int) -> None:
    assert quic_site_bytes(n_sites) == n_bytes
    assert n_sites - 1 < 256**n_bytes


def test_no_rate_means_that_nothing_may_be_sent() -> None:
    off = Settings(token=TOKEN, self_index=0, n_sites=3, rate=0, burst=100)
    assert off.pack()[8:24] == bytes(16)
    assert SETTINGS.pack()[8:16] == (1_000_000).to_bytes(8, "little")  # ns per packet


def test_counters_of_all_processors_are_added_up() -> None:
    raw = b"".join((c + 1).to_bytes(8, "little") + (10).to_bytes(8, "little") for c in Counter)
    assert sum_counters(raw) == {c: c + 11 for c in Counter}
