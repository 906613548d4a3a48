"""A long TCP download, read slowly: what a route change does to it."""

import socket
import time
from dataclasses import dataclass
from typing import Any, Final

from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered

READ_BYTES: Final = 16_384
GIVE_UP_S: Final = 15.0
"""A client that hears nothing for so long hangs, as far as its user is concerned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to fetch, and how patiently."""

    address: str
    host: str
    path: str
    port: int = 80
    bytes_per_s: float = 400_000.0
    seconds: float = 20.0
    """Stop by ourselves after so long."""


def download(namespace: NetworkNamespace, wanted: Wanted) -> dict[str, Any]:
    """Fetch over one connection and say how it ended (blocking: give it a thread of its own).

    ``how`` is ``complete``, ``stopped`` (time was up, data still flowed), ``reset`` (the other end
    knew nothing of the connection, RFC 9293 section 3.10.7.1), ``hang`` or ``closed`` (early end).
    Times are seconds of CLOCK_MONOTONIC.
    """
    started = time.monotonic()
    state: dict[str, Any] = {
        "address": wanted.address,
        "url": f"http://{wanted.host}{wanted.path}",
        "started": started,
        "site": None,
        "bytes": 0,
        "length": None,
        "last_data": None,
    }
    try:
        family = socket.AF_INET6 if ":" in wanted.address else socket.AF_INET
        with entered(namespace):
            connection = socket.socket(family, socket.SOCK_STREAM)
        with connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            connection.settimeout(GIVE_UP_S)
            connection.connect((wanted.address, wanted.port))
            connection.sendall(
                f"GET {wanted.path} HTTP/1.1\r\nHost: {wanted.host}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            how = _read(connection, wanted, state)
    except ConnectionResetError:
        how = "reset"
    except TimeoutError:
        how = "hang"
    except OSError as error:
        how = f"refused: {error.strerror or error}"
    return {**state, "how": how, "ended": time.monotonic()}


def _read(connection: socket.socket, wanted: Wanted, state: dict[str, Any]) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(READ_BYTES)
        if not data:
            return "closed"
        head += data
    head, _, body = head.partition(b"\r\n\r\n")
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "x-served-by":
            state["site"] = value.strip()
        if name.lower() == "content-length":
            state["length"] = int(value)
    state["bytes"] = len(body)
    begun = state["last_data"] = time.monotonic()
    while state["length"] is None or state["bytes"] < state["length"]:
        now = time.monotonic()
        if now - state["started"] > wanted.seconds:
            return "stopped"
        ahead = state["bytes"] / wanted.bytes_per_s - (now - begun)
        if ahead > 0:
            time.sleep(min(ahead, 0.1))
        data = connection.recv(READ_BYTES)
        if not data:
            return "closed"
        state["bytes"] += len(data)
        state["last_data"] = time.monotonic()
    return "complete"
