"""Bidirectional Forwarding Detection, one session: packets and time in, packets out.

RFC 5880 in asynchronous mode, without authentication, echo or demand mode; RFC 5881 says how the
packets travel (`ridgeline.agent.bfd_link`). A router binds its route to the session, so that the
route goes when the agent falls silent.

::

    packet ──> BfdSession.receive ──> answers to polls, at once
    time   ──> BfdSession.due     ──> the periodic packet; call it again at `next_at`

A planned stop need not look like a death: `rest` asks the router for patience, and a session made
with `resume` carries on where the old one left.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from math import inf
from typing import Final

_FORMAT: Final = struct.Struct("!BBBBIIIII")
_VERSION: Final = 1
_POLL, _FINAL, _AUTHENTICATED, _DEMAND, _MULTIPOINT = 0x20, 0x10, 0x04, 0x02, 0x01


class State(IntEnum):
    """Session state (RFC 5880, section 4.1)."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(IntEnum):
    """Why the session last left `State.UP`; those that we send (RFC 5880, section 4.1)."""

    NONE = 0
    DETECTION_TIME_EXPIRED = 1
    NEIGHBOR_SIGNALED_DOWN = 3
    ADMINISTRATIVELY_DOWN = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPacket:
    """A BFD control packet (RFC 5880, section 4.1)."""

    state: State
    my_discriminator: int
    your_discriminator: int
    desired_min_tx_us: int
    required_min_rx_us: int
    multiplier: int
    diagnostic: int = 0
    is_poll: bool = False
    is_final: bool = False


def render_packet(packet: ControlPacket) -> bytes:
    """Write the 24 bytes."""
    flags = packet.state << 6 | _POLL * packet.is_poll | _FINAL * packet.is_final
    return _FORMAT.pack(
        _VERSION << 5 | packet.diagnostic,
        flags,
        packet.multiplier,
        _FORMAT.size,
        packet.my_discriminator,
        packet.your_discriminator,
        packet.desired_min_tx_us,
        packet.required_min_rx_us,
        0,  # required min echo rx: we take no echo packets
    )


def parse_packet(data: bytes) -> ControlPacket:
    """Read a control packet.

    Raises
    ------
    ValueError
        RFC 5880, section 6.8.6, says to discard it.
    """
    if len(data) < _FORMAT.size:
        raise ValueError(f"{len(data)} bytes are too few for BFD")
    first, flags, multiplier, length, mine, yours, tx, rx, _ = _FORMAT.unpack_from(data)
    if first >> 5 != _VERSION:
        raise ValueError(f"BFD version {first >> 5}")
    if not _FORMAT.size <= length <= len(data):
        raise ValueError(f"length {length} in {len(data)} bytes")
    if flags & (_AUTHENTICATED | _MULTIPOINT):
        raise ValueError("authenticated or multipoint, which was not agreed")
    state = State(flags >> 6)
    if not multiplier or not mine:
        raise ValueError("multiplier or discriminator is zero")
    if not yours and state not in {State.DOWN, State.ADMIN_DOWN}:
        raise ValueError(f"no discriminator of ours in state {state.name}")
    return ControlPacket(
        state=state,
        my_discriminator=mine,
        your_discriminator=yours,
        desired_min_tx_us=tx,
        required_min_rx_us=rx,
        multiplier=multiplier,
        diagnostic=first & 0x1F,
        is_poll=bool(flags & _POLL),
        is_final=bool(flags & _FINAL),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """What a successor must know in order to carry a session on."""

    my_discriminator: int
    your_discriminator: int


class BfdSession:
    """One session with one neighbour.

    Parameters
    ----------
    interval
        Seconds between packets while up, and the least that we ask of the neighbour.
    multiplier
        Packets that may be missed; detection takes `interval` times this.
    slow_interval
        Seconds between packets while not up: one by RFC 5880, section 6.8.3, which spares shared
        links; less only where the link is private to the machine.
    draw
        Uniform numbers in [0, 1), for the jitter of section 6.8.7.
    resume
        Carry on a rested session as up, instead of beginning as down.
    """

    def __init__(
        self,
        *,
        my_discriminator: int,
        draw: Callable[[], float],
        now: float,
        interval: float = 0.04,
        multiplier: int = 3,
        slow_interval: float = 1.0,
        resume: Resume | None = None,
    ) -> None:
        self.state = State.DOWN
        self.diagnostic = Diagnostic.NONE
        self.next_at = now
        """When `due` has something to do."""
        self._mine = my_discriminator
        self._yours = 0
        self._draw = draw
        self._interval = interval
        self._multiplier = multiplier
        self._slow = slow_interval
        self._desired_tx = slow_interval
        self._waiting_tx: float | None = None
        """A longer interval that starts when the poll sequence has ended (section 6.8.3)."""
        self._is_polling = False
        self._send_at = now
        self._expires_at = inf
        self._remote_min_rx_us = 1  # bfd.RemoteMinRxInterval begins as 1 (section 6.8.1)
        if resume is not None:
            self._mine, self._yours = resume.my_discriminator, resume.your_discriminator
            self.state = State.UP
            self._desired_tx = interval
            self._is_polling = True
            self._expires_at = now + multiplier * slow_interval

    @property
    def is_up(self) -> bool:
        return self.state is State.UP

    @property
    def is_resting(self) -> bool:
        """Whether the neighbour has agreed to wait: now the process may end."""
        return self.is_up and self._desired_tx > self._interval and not self._is_polling

    @property
    def my_discriminator(self) -> int:
        return self._mine

    def resume(self) -> Resume | None:
        """Return what a successor needs; None unless the session is up."""
        if not self.is_up:
            return None
        return Resume(my_discriminator=self._mine, your_discriminator=self._yours)

    def rest(self, hold: float, *, now: float) -> None:
        """Ask the neighbour to wait `hold` seconds for our next packet, by a poll sequence."""
        if self.is_up:
            self._waiting_tx = hold / self._multiplier
            self._poll(now)

    def shut(self, *, now: float) -> ControlPacket:
        """Go administratively down on purpose; the packet tells the neighbour."""
        self._fall(State.ADMIN_DOWN, Diagnostic.ADMINISTRATIVELY_DOWN, now)
        self._send_at = self.next_at = inf
        return self._packet()

    def receive(self, packet: ControlPacket, *, now: float) -> list[ControlPacket]:
        """Take a packet that `parse_packet` accepted (RFC 5880, section 6.8.6)."""
        if self.state is State.ADMIN_DOWN:
            return []
        if packet.your_discriminator not in {0, self._mine}:
            return []
        if packet.your_discriminator == 0 and self.is_up and packet.my_discriminator != self._yours:
            self._yours = 0  # the neighbour has restarted; its state (down) ends ours below
        self._yours = packet.my_discriminator
        self._remote_min_rx_us = packet.required_min_rx_us
        if packet.is_final and self._is_polling:
            self._is_polling = False
            if self._waiting_tx is not None:
                self._desired_tx, self._waiting_tx = self._waiting_tx, None
        # Section 6.8.4: the neighbour's multiplier times the slower of the two.
        required = self._required_rx_us / 1e6
        detection = packet.multiplier * max(required, packet.desired_min_tx_us / 1e6)
        before = self.state
        self._follow(packet.state, now)
        self._expires_at = inf if self.state is State.DOWN else now + detection
        answers = []
        if packet.is_poll:
            answers.append(replace(self._packet(), is_poll=False, is_final=True))
        if self.state is not before:
            answers.append(self._packet())
            self._plan(now)
        self.next_at = min(self._send_at, self._expires_at)
        return answers

    def due(self, *, now: float) -> list[ControlPacket]:
        """Do what time asks for; call again at `next_at`."""
        packets = []
        if now >= self._expires_at and self.state in {State.INIT, State.UP}:
            self._fall(State.DOWN, Diagnostic.DETECTION_TIME_EXPIRED, now)
            self._yours = 0
            self._send_at = now
        if now >= self._send_at:
            if self._remote_min_rx_us:  # section 6.8.7: zero means "send me nothing"
                packets.append(self._packet())
            self._plan(now)
        self.next_at = min(self._send_at, self._expires_at)
        return packets

    def _follow(self, remote: State, now: float) -> None:
        """Change state as in the table of section 6.8.6."""
        if remote is State.ADMIN_DOWN:
            if self.state is not State.DOWN:
                self._fall(State.DOWN, Diagnostic.NEIGHBOR_SIGNALED_DOWN, now)
            return
        match self.state, remote:
            case State.DOWN, State.DOWN:
                self.state = State.INIT
            case (State.DOWN, State.INIT) | (State.INIT, State.INIT | State.UP):
                self.state = State.UP
                self.diagnostic = Diagnostic.NONE
                self._desired_tx = self._interval
                self._poll(now)
            case State.UP, State.DOWN:
                self._fall(State.DOWN, Diagnostic.NEIGHBOR_SIGNALED_DOWN, now)
            case _:
                pass

    def _fall(self, state: State, diagnostic: Diagnostic, now: float) -> None:
        self.state, self.diagnostic = state, diagnostic
        self._desired_tx, self._waiting_tx = self._slow, None
        self._is_polling = False
        self._expires_at = inf
        self._plan(now)

    def _poll(self, now: float) -> None:
        self._is_polling = True
        self._send_at = self.next_at = now

    def _plan(self, now: float) -> None:
        """Set when the next periodic packet goes, with 0 to 25 % jitter off (section 6.8.7)."""
        period = max(self._desired_tx, self._remote_min_rx_us / 1e6)
        spread = (0.75, 1.0) if self._multiplier > 1 else (0.75, 0.9)
        self._send_at = now + period * (spread[0] + (spread[1] - spread[0]) * self._draw())

    @property
    def _required_rx_us(self) -> int:
        return round(self._interval * 1e6)

    def _packet(self) -> ControlPacket:
        wanted = self._desired_tx if self._waiting_tx is None else self._waiting_tx
        return ControlPacket(
            state=self.state,
            diagnostic=self.diagnostic,
            my_discriminator=self._mine,
            your_discriminator=self._yours,
            desired_min_tx_us=round(wanted * 1e6),
            required_min_rx_us=self._required_rx_us,
            multiplier=self._multiplier,
            is_poll=self._is_polling,
        )
