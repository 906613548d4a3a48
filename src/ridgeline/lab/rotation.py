"""Change what all sites share while clients use it: TLS ticket keys, DNS cookies, certificates.

A key goes in three steps, each at every site before the next begins (RFC 9018, section 5): the new
one is accepted, it is used, the old one is dropped. nginx reads its files anew on SIGHUP with new
workers, while the old ones end what they have begun; a new Unbound takes over the cache and the
clients of the old one; Knot reloads. Knot 3.2 knows one cookie key, so it takes part in the second step alone, and answers an
old cookie with BADCOOKIE and a new one.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.namespaces import NetworkNamespace, entered
from ridgeline.lab.plan import Node, NodeKind
from ridgeline.lab.processes import Daemon, end_daemon
from ridgeline.lab.publish import knotc
from ridgeline.lab.secrets import write_private
from ridgeline.lab.services.authoritative import authoritative
from ridgeline.lab.services.base import DaemonFiles, of_kind
from ridgeline.lab.services.edge import edge
from ridgeline.lab.services.recursive import recursive
from ridgeline.render.unbound import CONTROL_SOCKET
from ridgeline.spec.model import ServiceKind
from ridgeline.spec.secrets import DNS_COOKIE_BYTES, TICKET_KEY_BYTES, Secrets

KINDS: Final = ("cookie", "tickets", "certificate")
RELOADED_WITHIN_S: Final = 10.0
_NGINX_OVERLAP_S: Final = 0.3
"""nginx lets old and new workers take connections side by side for 0.1 s."""
_POLL_S: Final = 0.02


async def rotate(fabric: Fabric, what: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Rotate one kind of secret at all sites; return when each step was done.

    Raises
    ------
    InputError
        Nothing in this lab uses that kind.
    MachineError
        A server refused what it was given, or did not reload in time.
    """
    begun = time.monotonic()
    steps: list[dict[str, Any]] = []

    async def everywhere(step: str) -> None:
        tell(f"{step}: {sum(1 for _ in fabric.plan.of_kind(NodeKind.SERVER))} sites")
        servers = fabric.plan.of_kind(NodeKind.SERVER)
        await asyncio.gather(*(_apply(fabric, node, what) for node in servers))
        steps.append({"step": step, "t_ms": round(1000 * (time.monotonic() - begun), 1)})

    _check(fabric, what)
    if what == "certificate":
        for service in fabric.plan.spec.services:
            if service.tls is not None:
                fabric.certificates.use(service, fabric.certificates.fresh(service))
        await everywhere("use the new certificate")
    else:
        for step, secrets in _steps(fabric.secrets, what):
            fabric.secrets = secrets
            await everywhere(step)
    return {
        "schema": "ridgeline.rotation/1",
        "what": what,
        "sites": [node.site for node in fabric.plan.of_kind(NodeKind.SERVER)],
        "steps": steps,
    }


def _check(fabric: Fabric, what: str) -> None:
    spec = fabric.plan.spec
    if what not in KINDS:
        raise InputError(f"{what!r} is none of {', '.join(KINDS)}")
    if what == "cookie" and not of_kind(spec, ServiceKind.AUTHORITATIVE_DNS):
        raise InputError(
            "nothing here gives DNS cookies: the spec has no authoritative-dns service"
        )
    if what != "cookie" and not any(service.tls for service in spec.services):
        raise InputError("nothing here speaks TLS: no service of the spec has `tls`")


def _steps(old: Secrets, what: str) -> list[tuple[str, Secrets]]:
    if what == "cookie":
        fresh = os.urandom(DNS_COOKIE_BYTES)
        orders = _orders(old.dns_cookies, fresh)
        return [(step, replace(old, dns_cookies=keys)) for step, keys in orders]
    orders = _orders(old.ticket_keys, os.urandom(TICKET_KEY_BYTES))
    return [(step, replace(old, ticket_keys=keys)) for step, keys in orders]


def _orders(old: tuple[bytes, ...], fresh: bytes) -> list[tuple[str, tuple[bytes, ...]]]:
    return [
        ("accept the new key", (*old, fresh)),
        ("use the new key", (fresh, *old)),
        ("drop the old key", (fresh,)),
    ]


async def _apply(fabric: Fabric, node: Node, what: str) -> None:
    """Write a site's files anew, and have its servers read them."""
    spec = fabric.plan.spec
    place = fabric.place(node)
    if what == "cookie":
        folder = place.folder("knot")
        configuration = folder / "knot.conf"
        before = configuration.read_text()
        authoritative(place)
        if configuration.read_text() != before:
            await _reload_knot(folder, configuration, before)
        return
    for service in of_kind(spec, ServiceKind.HTTP_CACHE):
        if service.tls is not None:
            for files in list(edge(place, service)):
                if files.name.startswith("nginx"):
                    await _reload_nginx(fabric.daemon(node.name, files.name))
    for service in of_kind(spec, ServiceKind.RECURSIVE_DNS):
        if service.tls is not None:
            await _replace_unbound(fabric, node, recursive(place, service))


async def _reload_knot(folder: Path, configuration: Path, before: str) -> None:
    try:
        await knotc(folder, "reload")
    except MachineError:
        write_private(configuration, before)
        await knotc(folder, "reload")
        raise
    await knotc(folder, "-b", "zone-reload", "whoami.anycast.test.")


async def _reload_nginx(daemon: Daemon) -> None:
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


async def _replace_unbound(fabric: Fabric, node: Node, files: DaemonFiles) -> None:
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
