"""The netem request, byte by byte as `tc` sends it."""

import struct

import pytest

from ridgeline.lab.kernel import rtnetlink as rt
from ridgeline.lab.links.delay import LinkShape, netem_body


def parts(shape: LinkShape) -> tuple[tuple[int, ...], tuple[int, ...], dict[int, bytes]]:
    """Header, netem's fixed options, and its further fields."""
    body = netem_body(9, shape)
    fields = rt.attributes(body, 20)
    assert fields[1] == b"netem\0"
    options = fields[2]
    return (
        struct.unpack_from("=BBHiIII", body),
        struct.unpack_from("=IIIIII", options),
        rt.attributes(options, 24),
    )


def test_netem_becomes_the_root_queue_with_its_delay_in_nanoseconds() -> None:
    header, (ticks, limit, loss, gap, duplicate, jitter), fields = parts(LinkShape(delay_ms=12.5))
    assert header == (0, 0, 0, 9, 0, 0xFFFFFFFF, 0)
    assert fields == {10: struct.pack("=q", 12_500_000)}
    assert ticks == 12_500_000 // 64
    assert (loss, gap, duplicate, jitter) == (0, 0, 0, 0)
    assert limit >= 1e9 * 0.1 / 8 / 1500  # a tenth of a second of full packets at 1 Gbit/s


def test_netem_counts_loss_as_a_share_of_two_to_the_32() -> None:
    assert parts(LinkShape(loss=1.0))[1][2] == 0xFFFFFFFF
    assert parts(LinkShape(loss=0.25))[1][2] == pytest.approx(2**30, abs=1)


def test_netem_counts_rate_in_bytes_and_big_ones_in_a_field_of_their_own() -> None:
    _, _, fields = parts(LinkShape(bits_per_second=8_000_000))
    assert fields[6] == struct.pack("=IiIi", 1_000_000, 0, 0, 0)
    assert 8 not in fields
    _, _, fields = parts(LinkShape(bits_per_second=100e9))
    assert fields[6][:4] == b"\xff\xff\xff\xff"
    assert fields[8] == struct.pack("=Q", 12_500_000_000)
