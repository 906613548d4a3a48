"""When a frame is due, decided by one direction of a link."""

import ctypes
import random

from ridgeline.lab.links.relay import Direction

NOWHERE = ctypes.create_string_buffer(20)
MS = 1_000_000


def direction(*, ms: float = 10, loss: float = 0, bits: float = 0) -> Direction:
    return Direction(NOWHERE, ms * 1000, loss, bits)


def test_a_frame_is_due_after_the_delay_whatever_its_size() -> None:
    way = direction(ms=10)
    assert [way.due(5 * MS, size) for size in (60, 1514, 65_000)] == [15 * MS] * 3


def test_a_rate_lets_frames_out_one_after_the_other() -> None:
    way = direction(ms=10, bits=8_000_000)  # a byte a microsecond
    assert [way.due(0, 1000) for _ in range(3)] == [11 * MS, 12 * MS, 13 * MS]
    assert way.due(50 * MS, 1000) == 61 * MS  # an idle link owes nothing


def test_a_full_queue_drops_and_is_not_made_longer_by_what_it_drops() -> None:
    way = direction(ms=0, bits=8_000_000)
    passed = [way.due(0, 1000) for _ in range(300)]
    assert passed[100] == 101 * MS  # 100 ms of queue, and the one being sent
    assert set(passed[101:]) == {0}
    assert way.due(2 * MS, 1000) == 102 * MS


def test_loss_takes_its_share() -> None:
    random.seed(1)
    way = direction(loss=0.3)
    lost = sum(way.due(0, 100) == 0 for _ in range(10_000))
    assert 2700 < lost < 3300
    assert direction(loss=1.0).due(0, 100) == 0
