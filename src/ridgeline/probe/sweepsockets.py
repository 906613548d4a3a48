"""A sweep's hands: echoes from an anycast address, and ears at every site.

A probe carries a token of its run and the place of its target in the hitlist, so that a listener
needs no list, and nobody who did not see a probe can answer for another.
"""

import contextlib
import json
import select
import shlex
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ridgeline.errors import MachineError
from ridgeline.probe.icmp import ECHO_REPLY, Echo, Version, echo_request, read_icmp, strip_ipv4
from ridgeline.probe.journal import Journal
from ridgeline.probe.sockets import MakeSocket, error_word, family_of, open_raw_icmp, open_socket
from ridgeline.probe.sweepcore import Ask, Finished, Landed, SendFailed, SweepCore, WakeAt, Woken

TOKEN_BYTES: Final = 8
_MARK: Final = b"RDGL"
_PAYLOAD: Final = struct.Struct("!4s8sIQ")  # mark, token, place in the hitlist, when sent in ns
_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1  # <linux/icmp.h>
_ICMP6_FILTER: Final = 1  # RFC 3542, section 3.2
_SO_RCVBUFFORCE: Final = 33
_BUFFER_BYTES: Final = 8 << 20
_READ_AT_ONCE: Final = 512
_PROGRESS_S: Final = 0.5


class Listener(Protocol):
    """Hears replies at one site."""

    site: str

    def fileno(self) -> int: ...

    def hear(self) -> list[Landed]:
        """Read every reply that has come; never wait."""

    def close(self) -> None: ...


class Sender:
    """Sends echoes from the anycast address."""

    def __init__(self, address: str, token: bytes, *, make: MakeSocket = open_socket) -> None:
        self._version: Version = 6 if ":" in address else 4
        self._token = token
        self._socket = _open(address, make, replies=False)

    def send(self, index: int, address: str) -> str:
        """Send a probe; return why it could not be sent, or nothing."""
        payload = _PAYLOAD.pack(_MARK, self._token, index, time.monotonic_ns())
        ident = int.from_bytes(self._token[:2], "big")
        packet = echo_request(self._version, ident, index & 0xFFFF, payload)
        try:
            self._socket.sendto(packet, (address, 0))
        except OSError as error:
            return error_word(error)
        return ""

    def close(self) -> None:
        self._socket.close()


class SiteListener:
    """Hears replies with a raw socket, here or in a namespace of this machine."""

    def __init__(
        self, site: str, address: str, token: bytes, *, make: MakeSocket = open_socket
    ) -> None:
        self.site = site
        self._version: Version = 6 if ":" in address else 4
        self._token = token
        self._socket = _open(address, make, replies=True)

    def fileno(self) -> int:
        return self._socket.fileno()

    def hear(self) -> list[Landed]:
        landed = []
        for _ in range(_READ_AT_ONCE):
            try:
                data, sender = self._socket.recvfrom(2048)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error about a probe; who does not answer is silent
            now_ns = time.monotonic_ns()
            found = read_landing(self._version, data, self._token)
            if found is not None:
                index, sent_ns = found
                rtt = (now_ns - sent_ns) / 1e9
                source = str(sender[0]).partition("%")[0]
                # A sending time that this machine's clock cannot explain is another machine's.
                landed.append(Landed(index, self.site, source, rtt if 0 <= rtt < 60 else None))
        return landed

    def close(self) -> None:
        self._socket.close()


class CommandListener:
    """Hears what a command reports, such as ``ssh SITE ridgeline probe listen ...``."""

    def __init__(self, site: str, argv: Sequence[str]) -> None:
        self.site = site
        self._argv = argv
        try:
            self._process = subprocess.Popen(  # the listener lives as long as the sweep
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise MachineError(f"cannot listen at {site}: {argv[0]}: {error.strerror}") from None
        self._rest = b""
        self._is_ready = False

    def fileno(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        return self._process.stdout.fileno()

    def wait_until_ready(self, timeout: float) -> None:
        """Wait until the command says that it hears.

        Raises
        ------
        MachineError
            It ended, or said nothing in time.
        """
        ends = time.monotonic() + timeout
        while not self._is_ready:
            left = ends - time.monotonic()
            if left <= 0 or not select.select([self], [], [], left)[0]:
                self._give_up(f"did not say within {timeout:.0f} s that it listens")
            self.hear()

    def hear(self) -> list[Landed]:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        data = self._process.stdout.read(1 << 16)
        if not data:
            self._give_up("ended")
        *lines, self._rest = (self._rest + data).split(b"\n")
        landed = []
        for line in lines:
            found = read_report(line, self.site)
            if found is not None:
                landed.append(found)
            elif b'"listening"' in line:
                self._is_ready = True
        return landed

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()  # its end tells the listener to end
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _give_up(self, how: str) -> None:
        raise MachineError(
            f"the listener at {self.site} {how}: `{shlex.join(self._argv)}`",
            hint="run it by hand and see what it says",
        )


def read_landing(version: Version, data: bytes, token: bytes) -> tuple[int, int] | None:
    """Read a packet of a raw socket: (place in the hitlist, when sent in ns), if it is a reply."""
    try:
        message = read_icmp(version, strip_ipv4(data) if version == 4 else data)
    except ValueError:
        return None
    if not isinstance(message, Echo) or not message.is_reply:
        return None
    if len(message.payload) < _PAYLOAD.size:
        return None
    mark, theirs, index, sent_ns = _PAYLOAD.unpack_from(message.payload)
    return (index, sent_ns) if mark == _MARK and theirs == token else None


def read_report(line: bytes, site: str) -> Landed | None:
    """Read a line of a remote listener: ``{"index": 5, "source": "192.0.2.1"}``."""
    try:
        entry = json.loads(line)
        index, source = entry["index"], entry["source"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(index, int) or isinstance(index, bool) or not isinstance(source, str):
        return None
    return Landed(index, site, source, None)


class Sweeping:
    """Carries out what the core says until it has finished."""

    def __init__(
        self,
        core: SweepCore,
        addresses: Sequence[str],
        sender: Sender,
        listeners: Sequence[Listener],
        *,
        journal: Journal | None = None,
        progress: Callable[[SweepCore], None] | None = None,
    ) -> None:
        self._core, self._addresses, self._sender = core, addresses, sender
        self._journal, self._progress = journal, progress
        self._poll = select.poll()
        self._by_fd = {listener.fileno(): listener for listener in listeners}
        for fd in self._by_fd:
            self._poll.register(fd, select.POLLIN)
        self._wake = self._shown = time.monotonic()

    def run(self) -> None:
        """Ask everybody, and hear every answer."""
        clock = time.monotonic
        while not self._core.is_finished:
            if clock() >= self._wake:
                self._go_on()
            for fd, _ in self._poll.poll(max(0.0, (self._wake - clock()) * 1000)):
                self._hear(self._by_fd[fd])
            if self._progress is not None and clock() - self._shown > _PROGRESS_S:
                self._shown = clock()
                self._progress(self._core)

    def _go_on(self) -> None:
        for command in self._core.handle(Woken(), now=time.monotonic()):
            match command:
                case Ask(indices=indices):
                    self._ask(indices)
                case WakeAt(at=at):
                    self._wake = at
                case Finished():
                    return

    def _ask(self, indices: Sequence[int]) -> None:
        if self._journal is not None:
            self._journal.write_asked(indices)
        for index in indices:
            why = self._sender.send(index, self._addresses[index])
            if why:
                self._core.handle(SendFailed(index, why), now=time.monotonic())

    def _hear(self, listener: Listener) -> None:
        landed = listener.hear()
        if self._journal is not None:
            self._journal.write_landed(landed)
        now = time.monotonic()
        for landing in landed:
            self._core.handle(landing, now=now)


def _open(address: str, make: MakeSocket, *, replies: bool) -> socket.socket:
    """Open a raw ICMP socket at the anycast address, that hears echo replies or nothing."""
    family = family_of(address)
    sock = open_raw_icmp(family, make)
    try:
        sock.setblocking(False)
        version: Version = 6 if family == socket.AF_INET6 else 4
        passed = ECHO_REPLY[version] if replies else None
        if version == 4:
            mask = 0xFFFFFFFF if passed is None else 0xFFFFFFFF & ~(1 << passed)
            sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", mask))
        else:
            words = [0xFFFFFFFF] * 8
            if passed is not None:
                words[passed >> 5] &= ~(1 << (passed & 31))
            sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))
        with contextlib.suppress(OSError):  # for root alone
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        sock.bind((address, 0))
    except OSError as error:
        sock.close()
        raise MachineError(
            f"cannot use the address {address} here: {error_word(error)}",
            hint="a sweep from inside runs where the anycast address is configured",
        ) from None
    return sock
