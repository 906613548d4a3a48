"""Change what all sites share while clients use it: TLS ticket keys, DNS cookies, certificates.

A key goes in three steps, each at every site before the next begins (RFC 9018, section 5): the new
one is accepted, it is used, the old one is dropped. Knot 3.2 knows one cookie key, so it takes part
in the second step alone, and answers an old cookie with BADCOOKIE and a new one. During a step the
agents take a site for right with what was before it and with what is after.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.change.publish import knotc
from ridgeline.lab.change.reloading import reload_nginx, replace_unbound
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.material.secrets import write_private
from ridgeline.lab.plan import Node, NodeKind
from ridgeline.lab.services.authoritative import authoritative, write_own_zones
from ridgeline.lab.services.base import Place, of_kind
from ridgeline.lab.services.edge import edge
from ridgeline.lab.services.recursive import recursive
from ridgeline.render.identity import WHOAMI_ZONE
from ridgeline.spec.model import ServiceKind
from ridgeline.spec.secrets import DNS_COOKIE_BYTES, TICKET_KEY_BYTES, Secrets

KINDS: Final = ("cookie", "tickets", "certificate")


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

    # A site whose resolver starts anew may be slow for a moment; its agent then lets others answer.
    one_by_one = asyncio.Semaphore(1 if fabric.has_agents else sys.maxsize)

    async def everywhere(step: str) -> None:
        tell(f"{step}: {sum(1 for _ in fabric.plan.of_kind(NodeKind.SERVER))} sites")
        servers = fabric.plan.of_kind(NodeKind.SERVER)
        fabric.expected.widen(fabric.zones)
        await asyncio.gather(*(_apply(fabric, node, what, one_by_one) for node in servers))
        fabric.expected.settle(fabric.zones)
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


async def _apply(fabric: Fabric, node: Node, what: str, turn: asyncio.Semaphore) -> None:
    """Write a site's files anew, and have its servers read them."""
    spec = fabric.plan.spec
    place = fabric.place(node)
    if what == "cookie":
        folder = place.folder("knot")
        configuration = folder / "knot.conf"
        before = configuration.read_text()
        authoritative(place)
        if configuration.read_text() != before:
            await _reload_knot(place, configuration, before)
        return
    for service in of_kind(spec, ServiceKind.HTTP_CACHE):
        if service.tls is not None:
            for files in list(edge(place, service)):
                if files.name.startswith("nginx"):
                    await reload_nginx(fabric.daemon(node.name, files.name))
    for service in of_kind(spec, ServiceKind.RECURSIVE_DNS):
        if service.tls is not None:
            async with turn:
                await replace_unbound(fabric, node, recursive(place, service))


async def _reload_knot(place: Place, configuration: Path, before: str) -> None:
    folder = configuration.parent
    try:
        await knotc(folder, "reload")
    except MachineError:
        write_private(configuration, before)
        write_own_zones(place, before)
        await knotc(folder, "reload")
        raise
    await knotc(folder, "-b", "zone-reload", WHOAMI_ZONE)
