"""The wire of the lab: carries frames between pairs of interfaces with delay, loss and rate.

A process of its own inside the wire namespace, with its control socket as standard input. It
imports little of the standard library and nothing else, so that it starts in 20 ms.

::

    router A ──veth── a ┐                                       ┌ a ──veth── router A
                        ├─> ring ─> heap of due times ─> sendto ┤
    router B ──veth── b ┘    (one socket for all interfaces)    └ b ──veth── router B

One packet socket hears every interface of the namespace through a ring in shared memory
(packet(7), PACKET_RX_RING): receiving costs no system call, and the kernel has stamped each frame's
arrival. Frames of up to 64 KB that TCP segmentation offload makes pass whole, each behind its
virtio header (PACKET_VNET_HDR). Under load, passes keep `_TICK_NS` apart, so that many frames share
one wake-up, which costs more than a frame. How late frames leave on average is measured, and
everything is sent so much ahead: single frames are up to half a tick early or late, but the errors
of the links on a path do not add up.

Control lines, each answered by one line, ``ok`` or ``error ...`` unless said otherwise:

``link ID INDEX_A INDEX_B US_AB US_BA LOSS BITS``
    Join two interfaces: delay of each direction in microseconds, share of frames lost (0..1), bits
    per second each way (0: no limit).
``set ID US_AB US_BA LOSS BITS``
    Change a link. What is under way keeps its due time.
``silence ID``, ``restore ID``
    Drop everything, both ways, while both interfaces keep their carrier; carry again.
``statistics``
    Answered by one JSON object, counted since the start.

The process ends when its control socket is closed: when its parent closes it, or dies, however.
"""

import contextlib
import ctypes
import gc
import heapq
import mmap
import os
import random
import resource
import select
import signal
import socket
import struct
import time

_TICK_NS = 250_000
_MOST_AHEAD_NS = _TICK_NS / 2
_QUEUE_NS = 100_000_000  # a link with a rate queues this much, then drops (drop-tail)
_MOST_FRAMES = 512  # read at most so many before looking at what is due
_OLDEST_NS = 1_000_000_000  # a stamp that is older is wrong: someone has set the clock

# <linux/if_packet.h>
_SOL_PACKET = 263
_PACKET_RX_RING = 5
_PACKET_STATISTICS = 6
_PACKET_COPY_THRESH = 7
_PACKET_VERSION = 10
_PACKET_VNET_HDR = 15
_PACKET_QDISC_BYPASS = 20
_PACKET_IGNORE_OUTGOING = 23
_TPACKET_V2 = 1
_TP_STATUS_KERNEL = 0
_TP_STATUS_USER = 1
_TP_STATUS_COPY = 2
_ETH_P_ALL = 3
_VNET_HEADER_BYTES = 10
_SO_RCVBUFFORCE = 33

# struct tpacket2_hdr, then struct sockaddr_ll up to its ifindex:
# status, length, captured, offset of the frame, -, seconds, nanoseconds, -, index
_FRAME = struct.Struct("=IIIHHII12xi")
_STATUS = struct.Struct("=I")
_FRAME_BYTES = 2048  # bigger ones come through the socket, beside the ring (PACKET_COPY_THRESH)
_BLOCK_BYTES = 64 * 1024
_BLOCKS = 128
_FRAMES = _BLOCK_BYTES // _FRAME_BYTES * _BLOCKS
_BIGGEST_FRAME = 70_000
_BIG_FRAME_QUEUE = 16 * 1024 * 1024
_ADDRESS_BYTES = 20

Address = ctypes.Array[ctypes.c_char]
_NOWHERE = ctypes.create_string_buffer(_ADDRESS_BYTES)
_libc = ctypes.CDLL(None)


class Direction:
    """One way of one link."""

    __slots__ = ("delay_ns", "free_at", "loss", "ns_per_byte", "out")

    def __init__(self, out: Address, delay_us: float, loss: float, bits_per_second: float) -> None:
        self.out = out
        self.delay_ns = int(delay_us * 1000)
        self.loss = loss
        self.ns_per_byte = 8e9 / bits_per_second if bits_per_second else 0.0
        self.free_at = 0.0

    def due(self, arrived: int, size: int) -> int:
        """When a frame comes out at the other end, in ns; 0 if it is lost."""
        if self.loss and random.random() < self.loss:  # noqa: S311  no secret hangs on it
            return 0
        if not self.ns_per_byte:
            return arrived + self.delay_ns
        begins = max(float(arrived), self.free_at)
        if begins - arrived > _QUEUE_NS:
            return 0
        self.free_at = begins + size * self.ns_per_byte
        return int(self.free_at) + self.delay_ns


class Link:
    """Two interfaces and the way between them."""

    def __init__(self, index_a: int, index_b: int) -> None:
        self.ends = (index_a, index_b)
        self.addresses = (_address(index_a), _address(index_b))
        self.shape = (0.0, 0.0, 0.0, 0.0)
        self.is_silent = False

    def directions(self) -> tuple[tuple[int, Direction], tuple[int, Direction]]:
        """Each way, by the interface at which frames come in."""
        us_ab, us_ba, loss, bits = self.shape
        a, b = self.addresses
        return (
            (self.ends[0], Direction(b, us_ab, loss, bits)),
            (self.ends[1], Direction(a, us_ba, loss, bits)),
        )


class Relay:
    """The links, and the loop that carries their frames."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._control.setblocking(False)
        self._unread = b""
        self._socket, self._ring = _open_ring()
        self._sender = _open_sender()
        self._links: dict[str, Link] = {}
        # By interface index. A link without loss and rate is in `_plain`: (where to, delay in ns).
        self._plain: dict[int, tuple[Address, int]] = {}
        self._shaped: dict[int, Direction] = {}
        self._heap: list[tuple[int, int, Address, bytes]] = []
        self.received = self.sent = self.dropped = self.missed = self.wakes = 0
        self.late_sum_ns = self.late_max_ns = 0
        self._ahead_ns = 0.0

    def run(self) -> None:
        """Carry frames until the control socket is closed."""
        both, control = [self._socket, self._control], [self._control]
        began = worked = 0
        clock = time.monotonic_ns
        while True:
            last, began = began, clock()
            before, worked = worked, self.received + self.sent
            is_busy = worked > before and began - last < 2 * _TICK_NS
            self.wakes += 1
            self._receive(began)
            self._send(clock() + int(self._ahead_ns))
            now = clock()
            if is_busy and now - began < _TICK_NS:
                watched, rest = control, began + _TICK_NS - now
            elif self._heap:
                watched, rest = both, max(0, self._heap[0][0] - int(self._ahead_ns) - now)
            else:
                watched, rest = both, -1
            ready, _, _ = select.select(watched, (), (), rest / 1e9 if rest >= 0 else None)
            if self._control in ready and not self._obey():
                return

    def _receive(self, now: int) -> None:
        """Take what the ring holds and give every frame the time at which it is due."""
        ring, heap, plain = self._ring, self._heap, self._plain
        unpack, push, free = _FRAME.unpack_from, heapq.heappush, _STATUS.pack_into
        to_monotonic = _monotonic_minus_wall()
        number = self.received
        enough = number + _MOST_FRAMES
        while number < enough:
            at = number % _FRAMES * _FRAME_BYTES
            status, size, captured, offset, _, seconds, ns, index = unpack(ring, at)
            if not status & _TP_STATUS_USER:
                break
            if size == captured:
                begin = at + offset - _VNET_HEADER_BYTES
                frame = ring[begin : begin + _VNET_HEADER_BYTES + size]
            else:
                frame = self._big_frame() if status & _TP_STATUS_COPY else b""
            free(ring, at, _TP_STATUS_KERNEL)
            number += 1
            arrived = seconds * 1_000_000_000 + ns + to_monotonic
            if not now - _OLDEST_NS < arrived <= now:
                now = time.monotonic_ns()
                if not now - _OLDEST_NS < arrived <= now:
                    arrived = now
            way = plain.get(index)
            if way is not None:
                out, due = way[0], arrived + way[1]
            elif (direction := self._shaped.get(index)) is not None:
                out, due = direction.out, direction.due(arrived, size)
            else:
                out, due = _NOWHERE, 0
            if due and frame:
                push(heap, (due, number, out, frame))
            else:
                self.dropped += 1
        self.received = number

    def _send(self, until: int) -> None:
        """Put out every frame that is due by `until`."""
        heap, pop, sendto, clock = self._heap, heapq.heappop, _libc.sendto, time.monotonic_ns
        fd, dontwait = self._sender.fileno(), int(socket.MSG_DONTWAIT)
        sent = late_sum = 0
        late_max = self.late_max_ns
        while heap and heap[0][0] <= until:
            due, _, out, frame = pop(heap)
            if sendto(fd, frame, len(frame), dontwait, out, _ADDRESS_BYTES) < 0:
                self.dropped += 1  # the interface is down (a carrier cut), or its queue is full
                continue
            sent += 1
            late = clock() - due
            late_sum += late
            if late > late_max:  # noqa: PLR1730 - no call for each frame
                late_max = late
        if sent:
            self.sent += sent
            self.late_sum_ns += late_sum
            self.late_max_ns = late_max
            error = min(late_sum / sent, _TICK_NS)
            self._ahead_ns += error * min(sent, 16) / 64
            self._ahead_ns = min(max(self._ahead_ns, 0.0), _MOST_AHEAD_NS)

    def _big_frame(self) -> bytes:
        try:
            return self._socket.recv(_BIGGEST_FRAME)
        except BlockingIOError:
            return b""

    def _obey(self) -> bool:
        """Carry out the control lines that have come; False at the end of the connection."""
        try:
            data = self._control.recv(1 << 20)
        except BlockingIOError:
            return True
        if not data:
            return False
        *lines, self._unread = (self._unread + data).split(b"\n")
        answers = []
        for line in lines:
            try:
                answers.append(self._command(line.decode().split()))
            except (KeyError, ValueError, IndexError, OSError) as error:
                answers.append(f"error {line.decode()!r}: {error!r}")
        self._control.setblocking(True)
        self._control.sendall("".join(f"{answer}\n" for answer in answers).encode())
        self._control.setblocking(False)
        return True

    def _command(self, words: list[str]) -> str:
        match words:
            case ["link", name, index_a, index_b, *shape]:
                self._links[name] = Link(int(index_a), int(index_b))
                self._shape(self._links[name], shape)
            case ["set", name, *shape]:
                self._shape(self._links[name], shape)
            case ["silence" | "restore" as verb, name]:
                self._links[name].is_silent = verb == "silence"
                self._connect(self._links[name])
            case ["statistics"]:
                counts = ", ".join(f'"{name}": {n}' for name, n in self._statistics().items())
                return f"{{{counts}}}"
            case _:
                raise ValueError("no such command")
        return "ok"

    def _shape(self, link: Link, words: list[str]) -> None:
        us_ab, us_ba, loss, bits = map(float, words)
        link.shape = (us_ab, us_ba, loss, bits)
        self._connect(link)

    def _connect(self, link: Link) -> None:
        for index, way in link.directions():
            self._plain.pop(index, None)
            self._shaped.pop(index, None)
            if link.is_silent:
                continue
            if way.loss or way.ns_per_byte:
                self._shaped[index] = way
            else:
                self._plain[index] = (way.out, way.delay_ns)

    def _statistics(self) -> dict[str, float]:
        counters = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.missed += struct.unpack("=II", counters)[1]  # the kernel counts from the last reading
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "received": self.received,
            "sent": self.sent,
            "dropped": self.dropped,
            "missed": self.missed,
            "waiting": len(self._heap),
            "late_mean_us": self.late_sum_ns / max(1, self.sent) / 1000,
            "late_max_us": self.late_max_ns / 1000,
            "ahead_us": self._ahead_ns / 1000,
            "wakes": self.wakes,
            "cpu_s": cpu.ru_utime + cpu.ru_stime,
        }


def _open_ring() -> tuple[socket.socket, mmap.mmap]:
    """Open the socket that hears every interface, with its ring."""
    # The protocol is given here and not by bind, which would name one interface.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    sock.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
    sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_COPY_THRESH, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BIG_FRAME_QUEUE)
    with contextlib.suppress(PermissionError):  # past the host's limit, which root alone may
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BIG_FRAME_QUEUE)
    request = struct.pack("=IIII", _BLOCK_BYTES, _BLOCKS, _FRAME_BYTES, _FRAMES)
    sock.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
    ring = mmap.mmap(sock.fileno(), _BLOCK_BYTES * _BLOCKS)
    sock.setblocking(False)
    return sock, ring


def _open_sender() -> socket.socket:
    """Open a socket that only sends (protocol 0), past any queue of the interfaces.

    One for all: closing a packet socket takes the kernel a grace period of 10 ms.
    """
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
    return sock


def _address(index: int) -> Address:
    """Make the struct sockaddr_ll of an interface; socket.sendto would look it up each time."""
    socket.if_indextoname(index)  # raises if there is none
    packed = struct.pack("=HHiHBB8x", socket.AF_PACKET, 0, index, 0, 0, 0)
    return ctypes.create_string_buffer(packed, _ADDRESS_BYTES)


def _monotonic_minus_wall() -> int:
    """Compare the two clocks; if the process is interrupted meanwhile, try again."""
    before = time.monotonic_ns()
    for _ in range(4):
        wall, after = time.time_ns(), time.monotonic_ns()
        if after - before < 20_000:
            return after - wall
        before = after
    return time.monotonic_ns() - time.time_ns()


def _hurry() -> None:
    """Ask for prompt wake-ups; each request may be refused, and then the delays are less exact."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    with contextlib.suppress(OSError), open("/proc/self/timerslack_ns", "w") as file:  # noqa: PTH123
        file.write("1")


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who holds the control
    relay = Relay(socket.socket(fileno=os.dup(0)))
    _hurry()
    gc.disable()  # the loop makes no cycles, and a collection would stop the wire
    relay.run()
