"""Run on a node of a lab by `ridgeline lab exec`: packets that no well-behaved stack would send.

segments.py stray SERVICE PORT N        N segments of flows that nobody has; prints the resets
segments.py icmp SERVICE CLIENT SPORT   "too big" about a segment of another client's flow
segments.py sink SERVICE                a server that swallows what it is sent and says how much
segments.py push SERVICE N              sends N bytes in two halves, the second when told to
segments.py hold SERVICE PORT           opens a connection, prints its port, waits
"""

import socket
import struct
import sys
import time
from collections.abc import Callable

SINK_PORT = 9000


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def own_address(service: str) -> bytes:
    with socket.socket(family(service), socket.SOCK_DGRAM) as probe:
        probe.connect((service, 9))
        return socket.inet_pton(family(service), probe.getsockname()[0])


def tcp(source: bytes, target: bytes, ports: tuple[int, int], flags: int) -> bytes:
    head = struct.pack("!HHIIBBHHH", *ports, 1000, 2000, 5 << 4, flags, 1000, 0, 0)
    if len(source) == 4:
        pseudo = source + target + struct.pack("!BBH", 0, 6, len(head))
    else:
        pseudo = source + target + struct.pack("!II", len(head), 6)
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


def stray(service: str, port: int, n: int) -> None:
    """Send segments with ACK set; count the segments with RST that come back, per flow."""
    source, target = own_address(service), socket.inet_pton(family(service), service)
    with socket.socket(family(service), socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.settimeout(1.2)
        for i in range(n):
            raw.sendto(tcp(source, target, (20000 + i, port), 0x10), (service, 0))
        resets = 0
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            try:
                packet = raw.recv(2048)
            except TimeoutError:
                break
            head = packet[(packet[0] & 15) * 4 :] if len(source) == 4 else packet
            sport, dport, flags = *struct.unpack_from("!HH", head), head[13]
            if sport == port and 20000 <= dport < 20000 + n and flags & 4:
                resets += 1
    say(resets)


def icmp(service: str, client: str, client_port: int) -> None:
    """Send what a router on the way to `client` would, had it a narrow link."""
    six = ":" in service
    ours, theirs = (socket.inet_pton(family(service), a) for a in (service, client))
    segment = tcp(ours, theirs, (80, client_port), 0x10)
    if six:
        quoted = struct.pack("!IHBB", 6 << 28, len(segment), 6, 60) + ours + theirs + segment
        head, kind = struct.pack("!BBHI", 2, 0, 0, 1300), socket.IPPROTO_ICMPV6
    else:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 1500, 1, 0x4000, 60, 6, 0) + ours + theirs
        quoted = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + segment
        head, kind = struct.pack("!BBHHH", 3, 4, 0, 0, 1300), socket.IPPROTO_ICMP
        head = head[:2] + struct.pack("!H", checksum(head + quoted)) + head[4:]
    with socket.socket(family(service), socket.SOCK_RAW, kind) as raw:
        raw.sendto(head + quoted, (service, 0))


def sink(service: str) -> None:
    with socket.create_server((service, SINK_PORT), family=family(service)) as listener:
        say("ready")
        connection, _ = listener.accept()
        with connection:
            n = 0
            while data := connection.recv(1 << 16):
                n += len(data)
            connection.sendall(str(n).encode())


def push(service: str, n: int) -> None:
    with socket.create_connection((service, SINK_PORT), timeout=20) as connection:
        connection.sendall(bytes(n // 2))
        say("half")
        sys.stdin.readline()
        connection.sendall(bytes(n - n // 2))
        connection.shutdown(socket.SHUT_WR)
        say(connection.recv(100).decode())


def hold(service: str, port: int) -> None:
    with socket.create_connection((service, port), timeout=20) as connection:
        say(connection.getsockname()[1])
        sys.stdin.readline()


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    verbs: dict[str, Callable[..., None]] = {
        "stray": stray,
        "icmp": icmp,
        "sink": sink,
        "push": push,
        "hold": hold,
    }
    verbs[what](*(int(w) if w.isdigit() else w for w in words))
