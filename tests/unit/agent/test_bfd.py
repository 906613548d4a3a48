"""BFD: the packets of RFC 5880, section 4.1, and sessions as timelines."""

from dataclasses import replace

import pytest

from ridgeline.agent.bfd import (
    BfdSession,
    ControlPacket,
    Diagnostic,
    State,
    parse_packet,
    render_packet,
)

PACKET = ControlPacket(
    state=State.UP,
    my_discriminator=7,
    your_discriminator=9,
    desired_min_tx_us=50_000,
    required_min_rx_us=40_000,
    multiplier=3,
    diagnostic=1,
    is_poll=True,
)


def test_a_packet_is_24_bytes_as_the_rfc_draws_them() -> None:
    assert render_packet(PACKET).hex(" ", 4) == (
        "21e00318 00000007 00000009 0000c350 00009c40 00000000"
    )
    assert parse_packet(render_packet(PACKET)) == PACKET


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (0, 0x41, "version"),
        (1, 0xE4, "authenticated"),
        (1, 0xE1, "multipoint"),
        (2, 0, "zero"),
        (3, 23, "length"),
        (3, 25, "length"),
    ],
)
def test_discards_what_the_rfc_says_to_discard(at: int, value: int, says: str) -> None:
    data = bytearray(render_packet(PACKET))
    data[at] = value
    with pytest.raises(ValueError, match=says):
        parse_packet(bytes(data))


def test_discards_an_up_packet_without_our_discriminator() -> None:
    with pytest.raises(ValueError, match="discriminator"):
        parse_packet(render_packet(replace(PACKET, your_discriminator=0)))
    with pytest.raises(ValueError, match="too few"):
        parse_packet(b"\x20")


class Wire:
    """Two sessions, a lossless wire that can be cut, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ends = [
            BfdSession(my_discriminator=n, draw=lambda: 1.0, now=0.0, interval=0.04)
            for n in (11, 22)
        ]
        self.cut: set[int] = set()
        self.sent: list[tuple[float, int, ControlPacket]] = []

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            nearest = min(end.next_at for end in self.ends)
            if nearest > until:
                self.now = until
                return
            self.now = max(self.now, nearest)
            for number in (0, 1):
                self.carry(number, self.ends[number].due(now=self.now))

    def carry(self, sender: int, packets: list[ControlPacket]) -> None:
        for packet in packets:
            self.sent.append((self.now, sender, packet))
            if sender in self.cut:
                continue
            heard = parse_packet(render_packet(packet))
            self.carry(1 - sender, self.ends[1 - sender].receive(heard, now=self.now))

    def states(self) -> tuple[State, State]:
        return self.ends[0].state, self.ends[1].state


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_two_speakers_come_up_and_stay_up(wire: Wire) -> None:
    wire.run(2)
    assert wire.states() == (State.UP, State.UP)
    wire.run(60)
    assert wire.states() == (State.UP, State.UP)


def test_sends_once_a_second_until_up_and_then_at_the_interval(wire: Wire) -> None:
    wire.cut = {0, 1}
    wire.run(10)
    assert len([1 for _, sender, _ in wire.sent if sender == 0]) == 11
    wire.cut = set()
    wire.run(5)
    before = len(wire.sent)
    wire.run(1)
    assert len(wire.sent) - before == pytest.approx(50, abs=4)


def test_silence_is_noticed_after_the_detection_time_and_not_before(wire: Wire) -> None:
    wire.run(5)
    wire.cut = {0}
    began = wire.now
    wire.run(0.075)
    assert wire.states()[1] is State.UP
    wire.run(0.05)
    assert wire.states()[1] is State.DOWN
    assert wire.ends[1].diagnostic is Diagnostic.DETECTION_TIME_EXPIRED
    assert wire.now - began < 0.130


def test_one_lost_packet_changes_nothing(wire: Wire) -> None:
    wire.run(5)
    wire.cut = {0}
    wire.run(0.06)
    wire.cut = set()
    wire.run(1)
    assert wire.states() == (State.UP, State.UP)


def test_a_neighbour_that_starts_anew_takes_the_session_down_and_up_again(wire: Wire) -> None:
    wire.run(5)
    wire.ends[1] = BfdSession(my_discriminator=33, draw=lambda: 1.0, now=wire.now, interval=0.04)
    del wire.sent[:]
    wire.run(4)
    said = [packet.state for _, sender, packet in wire.sent if sender == 0]
    assert State.DOWN in said
    assert said[-1] is State.UP


def test_a_rested_session_survives_a_silence_and_its_successor_carries_it_on(wire: Wire) -> None:
    wire.run(5)
    wire.ends[0].rest(9, now=wire.now)
    wire.run(0.05)
    assert wire.ends[0].is_resting
    left = wire.ends[0].resume()
    assert left is not None
    wire.cut = {0, 1}
    wire.run(8)
    assert wire.ends[1].is_up
    wire.ends[0] = BfdSession(
        my_discriminator=99, draw=lambda: 1.0, now=wire.now, interval=0.04, resume=left
    )
    wire.cut = set()
    wire.run(1)
    assert wire.states() == (State.UP, State.UP)
    wire.cut = {0}
    wire.run(0.13)
    assert not wire.ends[1].is_up, "the short detection time is back"


def test_a_rested_session_whose_successor_never_comes_goes_down(wire: Wire) -> None:
    wire.run(5)
    wire.ends[0].rest(9, now=wire.now)
    wire.run(0.05)
    wire.cut = {0}
    wire.run(9.1)
    assert not wire.ends[1].is_up


def test_shutting_tells_the_neighbour_at_once(wire: Wire) -> None:
    wire.run(5)
    wire.carry(0, [wire.ends[0].shut(now=wire.now)])
    assert wire.ends[1].state is State.DOWN
    assert wire.ends[1].diagnostic is Diagnostic.NEIGHBOR_SIGNALED_DOWN
    wire.run(5)
    assert wire.states() == (State.ADMIN_DOWN, State.DOWN)


def test_a_packet_for_another_session_is_ignored(wire: Wire) -> None:
    wire.run(5)
    stranger = replace(PACKET, state=State.DOWN, your_discriminator=12345)
    assert wire.ends[0].receive(stranger, now=wire.now) == []
    assert wire.ends[0].is_up
