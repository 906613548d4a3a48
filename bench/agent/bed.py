"""What the agent's benchmark runs on: the tests' pair of BIRDs, and clocks on what is seen."""

import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
for folder in (ROOT / "src", ROOT / "bench", ROOT / "tests" / "lab"):
    sys.path.insert(0, str(folder))

from agent.pair import Pair

from ridgeline.lab.kernel.namespaces import entered

TICKS = os.sysconf("SC_CLK_TCK")


def wait_change(pair: Pair, prefix: str, *, added: bool, seconds: float) -> float:
    """Wait for a change of a route at the neighbour; return when the kernel told of it."""
    deadline = time.monotonic() + seconds
    at = len(pair.seen)
    while time.monotonic() < deadline:
        for _, event in pair.seen[at:]:
            if str(event.destination) == prefix and event.added is added:
                return event.time
        at = len(pair.seen)
        pair.read_events(0.05)
    raise TimeoutError(f"{prefix} added={added} not seen within {seconds} s\n{pair.log()[-2000:]}")


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1)]


def summary(values: Sequence[float]) -> str:
    middle = statistics.median(values)
    return f"n={len(values)} median {middle:.1f} ms, p95 {percentile(values, 0.95):.1f} ms"


def tree(pid: int) -> list[int]:
    """List a process and everything below it."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += tree(int(child))
    return found


def cpu_s(pid: int) -> float:
    """Return processor seconds of a process, its threads, and the children that it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def rss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def first_query_after(watch: socket.socket, stopped: float) -> float | None:
    """Return when the first packet to port 53 passed the loopback after that moment."""
    while True:
        try:
            data, extra, _, _ = watch.recvmsg(256, 64)
        except BlockingIOError:
            return None
        at = struct.unpack("=qq", extra[0][2])
        seconds = at[0] + at[1] / 1e9 - (time.time() - time.monotonic())
        is_dns = len(data) > 24 and data[9] == 17 and data[22:24] == b"\0\x35"
        if is_dns and seconds > stopped:
            return seconds


def watch_loopback(pair: Pair) -> socket.socket:
    """Open a packet socket on the site's loopback, with the kernel's time stamps."""
    with entered(pair.site):
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        opened.bind(("lo", 0x0800))
    opened.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
    opened.setblocking(False)
    return opened
