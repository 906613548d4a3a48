"""Have a running server read its files anew, without losing a client.

nginx starts new workers on SIGHUP, while the old ones end what they have begun. Unbound reads keys,
certificates and zones only when it starts, so a second one takes over the cache and the clients of
the first.
"""

import asyncio
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ridgeline.errors import MachineError
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.processes import Daemon, end_daemon
from ridgeline.lab.plan import Node
from ridgeline.lab.services.base import DaemonFiles
from ridgeline.render.unbound import CONTROL_SOCKET

RELOADED_WITHIN_S: Final = 10.0
_NGINX_OVERLAP_S: Final = 0.3
"""nginx lets old and new workers take connections side by side for 0.1 s."""
_POLL_S: Final = 0.02


async def reload_nginx(daemon: Daemon) -> None:
    """Send SIGHUP, and wait until new workers have taken over."""
    before = _children(daemon.pid)
    daemon.send(signal.SIGHUP)
    deadline = time.monotonic() + RELOADED_WITHIN_S
    while not _children(daemon.pid) - before:
        if time.monotonic() > deadline or not daemon.is_running:
            raise MachineError(
                f"{daemon.name} at {daemon.node} did not reload; it said: {daemon.last_words()}"
            )
        await asyncio.sleep(_POLL_S)
    await asyncio.sleep(_NGINX_OVERLAP_S)


def _children(pid: int) -> set[int]:
    try:
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return set()


async def replace_unbound(fabric: Fabric, node: Node, files: DaemonFiles) -> None:
    """Start an Unbound beside the one that runs, hand the cache over, and end the old one.

    Unbound reads keys and certificates only when it starts. Both listen for a moment (SO_REUSEPORT),
    and what waits in the old one's queue is moved to the new one (tcp_migrate_req, Linux 5.14).
    """
    control = files.configuration.parent / CONTROL_SOCKET
    cache = await _ask_unbound(control, "dump_cache")
    _let_connections_migrate(fabric.namespace(node.name))
    old = fabric.daemon(node.name, files.name)
    new = fabric.start_another(node, files)
    deadline = time.monotonic() + RELOADED_WITHIN_S
    while f"(pid {new.pid}) is running" not in await _ask_unbound(control, "status"):
        if time.monotonic() > deadline or not new.is_running:
            raise MachineError(
                f"{files.name} at {node.name} did not start anew; it said: {new.last_words()}"
            )
        await asyncio.sleep(_POLL_S)
    await _ask_unbound(control, "load_cache", cache)
    await end_daemon(old, signal.SIGTERM)


def _let_connections_migrate(namespace: NetworkNamespace) -> None:
    with suppress(OSError), entered(namespace):
        Path("/proc/sys/net/ipv4/tcp_migrate_req").write_text("1")


async def _ask_unbound(control: Path, command: str, data: str = "") -> str:
    """Speak Unbound's control protocol, version 1, over its unix socket."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(control))
    except OSError as error:
        return f"error {error.strerror}"
    try:
        writer.write(f"UBCT1 {command}\n{data}".encode())
        return (await asyncio.wait_for(reader.read(), RELOADED_WITHIN_S)).decode(errors="replace")
    except (OSError, TimeoutError) as error:
        return f"error {error}"
    finally:
        writer.close()
