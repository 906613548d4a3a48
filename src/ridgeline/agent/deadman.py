"""The dead-man switch: a thread that speaks BFD while the agent's event loop is alive.

The router holds the route only while it hears us. So the thread must fall silent when the agent is
killed, stopped or hung, and must not when the agent is merely busy: it has its own schedule, and
speaks for `patience` seconds after the loop's last `beat`.

A session that comes up lets the router's routes out again. So none does before somebody has
looked whether they should, and said so with `vouch`; each fall asks for another look.
"""

import os
import secrets
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ridgeline.agent.bfd import (
    BfdSession,
    ControlPacket,
    Resume,
    State,
    parse_packet,
    render_packet,
)
from ridgeline.agent.bfd_link import Address, BfdLink

_LONGEST_SLEEP: Final = 0.25


@dataclass(frozen=True, slots=True)
class Pair:
    """The two ends of a session."""

    local: Address
    """The agent's end: the next hop of the router's route."""
    peer: Address
    """The router's end."""


class DeadMan:
    """BFD sessions with the router: up once somebody says `vouch`, and while somebody calls `beat`.

    Parameters
    ----------
    link
        Closed by `stop`.
    pairs
        Usually one for IPv4 and one for IPv6.
    interval, multiplier
        The router notices a death after `interval` times `multiplier` seconds, or after its own
        minimum interval times the multiplier if that is longer.
    patience
        Seconds without `beat` after which the event loop counts as hung.
    resume
        Sessions that a predecessor rested: they go on without `vouch`, having never been down.
    on_fall
        Called in the switch's own thread when sessions may have gone down: `vouch` is needed again.
    """

    def __init__(
        self,
        link: BfdLink,
        pairs: Sequence[Pair],
        *,
        interval: float = 0.04,
        multiplier: int = 3,
        slow_interval: float = 0.2,
        patience: float = 2.0,
        resume: Mapping[Pair, Resume] | None = None,
        on_fall: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._patience = patience
        self._on_fall = on_fall
        self._may_rise = False
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_ending = False
        draw = secrets.SystemRandom().random
        now = time.monotonic()
        self._beat_at = now
        self._has_stalled = False
        self._sessions = {
            pair: BfdSession(
                my_discriminator=secrets.randbelow(2**32 - 1) + 1,
                draw=draw,
                now=now,
                interval=interval,
                multiplier=multiplier,
                slow_interval=slow_interval,
                resume=(resume or {}).get(pair),
            )
            for pair in pairs
        }
        self._thread = threading.Thread(target=self._run, name="dead-man", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beat(self) -> None:
        """Say that the event loop is alive."""
        now = time.monotonic()
        self._has_stalled |= now - self._beat_at > self._patience
        self._beat_at = now

    def vouch(self) -> None:
        """Let sessions come up: the router's routes are as they should be."""
        with self._lock:
            self._may_rise = True
        self._wake()

    def states(self) -> dict[Address, State]:
        """Return the state of the session with each router address."""
        with self._lock:
            return {pair.peer: session.state for pair, session in self._sessions.items()}

    def rest(self, hold: float, *, seconds: float = 1.0) -> dict[Pair, Resume]:
        """Ask the router to keep the route for `hold` seconds while we restart.

        Returns what the successor passes as `resume`: the sessions whose router agreed within
        `seconds`; the others go down as after a death.
        """
        with self._lock:
            for session in self._sessions.values():
                session.rest(hold, now=time.monotonic())
        self._wake()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with self._lock:
                if all(s.is_resting or not s.is_up for s in self._sessions.values()):
                    break
            time.sleep(0.005)
        with self._lock:
            return {
                pair: left
                for pair, session in self._sessions.items()
                if session.is_resting and (left := session.resume()) is not None
            }

    def stop(self, *, tell: bool = True) -> None:
        """End; with `tell` the router hears that the session goes down on purpose."""
        with self._lock:
            self._is_ending = True
            if tell:
                for pair, session in self._sessions.items():
                    self._send(pair, [session.shut(now=time.monotonic())])
        self._wake()
        if self._thread.is_alive():
            self._thread.join()
        self._link.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._link.fileno(), select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            with self._lock:
                if self._is_ending:
                    return
                has_fallen = self._turn(time.monotonic())
                next_at = min((s.next_at for s in self._sessions.values()), default=0.0)
            if has_fallen:
                self._on_fall()
            pause = min(max(next_at - time.monotonic(), 0.0), _LONGEST_SLEEP)
            for fd, _ in poll.poll(pause * 1000):
                if fd == self._wake_read:
                    os.read(fd, 64)

    def _turn(self, now: float) -> bool:
        """Do what is due; say whether `vouch` is needed again."""
        could_rise = self._may_rise
        is_beaten = now - self._beat_at <= self._patience
        if self._has_stalled or not is_beaten:
            self._has_stalled = self._may_rise = False
        before = {pair for pair, session in self._sessions.items() if session.is_up}
        for local, peer, payload in self._link.receive():
            pair = Pair(local, peer)
            session = self._sessions.get(pair)
            if session is None or not (session.is_up or self._may_rise):
                continue
            try:
                packet = parse_packet(payload)
            except ValueError:  # RFC 5880, section 6.8.6: discard
                continue
            answers = session.receive(packet, now=now)
            if pair in before and not session.is_up:
                self._may_rise = False
            elif is_beaten:
                self._send(pair, answers)
        for pair, session in self._sessions.items():
            packets = session.due(now=now)
            if pair in before and not session.is_up:
                self._may_rise = False
            if is_beaten and (session.is_up or self._may_rise):
                self._send(pair, packets)
        has_fallen = any(not self._sessions[pair].is_up for pair in before)
        return has_fallen or (could_rise and not self._may_rise)

    def _send(self, pair: Pair, packets: Sequence[ControlPacket]) -> None:
        for packet in packets:
            self._link.send(render_packet(packet), local=pair.local, peer=pair.peer)

    def _wake(self) -> None:
        os.write(self._wake_write, b"!")
