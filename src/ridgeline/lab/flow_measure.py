"""Hold sessions open, do something to the network, and count who lived (see `flows`)."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.flows import HANG_S, FlowPlan, Held, parse_flows, tally
from ridgeline.lab.plan import Node
from ridgeline.render.origin import BIG_FILE, STEADY_FILE
from ridgeline.spec.model import Address, ServiceKind, Spec

SETTLE_S: Final = 1.0
_STEADY: Final = f"/{STEADY_FILE}"
_BIG: Final = f"/{BIG_FILE}"
_RESULT_LIMIT: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be held."""

    clients: tuple[Node, ...]
    n: int = 1000
    """Downloads, over all clients together."""
    asking: int = 2
    """Keep-alive HTTP and DNS sessions of each class, per client."""
    ipv6: bool = False
    watch_s: float = 6.0
    """For how long they are watched after the event, at least."""
    hang_s: float = HANG_S
    """A session in which nothing came for so long hangs."""


async def measure_flows(
    fabric: Fabric,
    wish: Wish,
    event: Mapping[str, str],
    act: Callable[[], Awaitable[None]],
    *,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Do something to the network while sessions are open; say what became of them.

    Raises
    ------
    InputError
        The spec has no service with which a session could be held.
    MachineError
        The sessions could not be opened.
    """
    plan = FlowPlan(held=tuple(_held(fabric, wish)))
    if not plan.held:
        raise InputError("the spec has no service with which a session could be held")
    prefix = str(_prefix(fabric.plan.spec, plan.held[0].address))
    before = await _landing(fabric, prefix, wish.clients)
    n = sum(held.n for held in plan.held)
    tell(f"{event['event']} {event['site']}: opening {n:,} sessions")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ridgeline.lab.flows_run",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=plan.namespaces,
        limit=_RESULT_LIMIT,
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise MachineError("the sessions' process has no pipes")
        process.stdin.write(plan.render().encode())
        await process.stdin.drain()
        n_open = int(json.loads(await process.stdout.readline() or '{"open": 0}')["open"])
        if not n_open:
            raise MachineError("none of the sessions could be opened")
        await asyncio.sleep(SETTLE_S)
        tell(f"{event['event']} {event['site']}: {event['how']}, with {n_open:,} sessions open")
        at = time.monotonic()
        await act()
        left = at + max(wish.watch_s, wish.hang_s + 1) - time.monotonic()
        await asyncio.sleep(max(0.0, left))
        until = time.monotonic()
        process.stdin.close()
        line = await process.stdout.readline()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    flows = parse_flows(line.decode())
    after = await _landing(fabric, prefix, wish.clients)
    landed = {node.name: (before[node.name], after[node.name]) for node in wish.clients}
    return {
        "schema": "ridgeline.sessions/1",
        **event,
        "ipv6": wish.ipv6,
        "opened": n_open,
        "wanted": n,
        "monotonic_s": at,
        "watched_s": round(until - at, 2),
        "hang_s": wish.hang_s,
        "cpu_s": round(float(json.loads(line)["cpu_s"]), 2),
        "clients": {
            name.removeprefix("client."): {"before": old, "after": new}
            for name, (old, new) in landed.items()
        },
        "classes": tally(flows, landed, at, until, wish.hang_s),
    }


async def _landing(fabric: Fabric, prefix: str, clients: Sequence[Node]) -> dict[str, str | None]:
    """Follow the routers' choices from each client to a site."""
    routes = await fabric.best_routes(prefix)
    found = {node.name: routes.get(fabric.router_of(node.name)) for node in clients}
    return {name: route["site"] if route else None for name, route in found.items()}


def _prefix(spec: Spec, address: str) -> object:
    from ipaddress import ip_address

    there = ip_address(address)
    return next(p for p in spec.prefixes if p.version == there.version and there in p)


def _held(fabric: Fabric, wish: Wish) -> Iterator[Held]:
    spec = fabric.plan.spec

    def each(
        kind: str, address: Address, port: int, counts: Sequence[int], **more: Any
    ) -> Iterator[Held]:
        for node, n in zip(wish.clients, counts, strict=True):
            if n:
                yield Held(
                    client=node.name,
                    namespace=fabric.namespace(node.name).fd,
                    kind=kind,
                    address=str(address),
                    port=port,
                    n=n,
                    **more,
                )

    asking = [wish.asking] * len(wish.clients)
    for service in spec.services:
        address = next((a for a in service.addresses if (a.version == 6) is wish.ipv6), None)
        if address is None:
            continue
        if service.kind is ServiceKind.HTTP_CACHE:
            host = _host(service.origin)
            slow = _spread(wish.n, len(wish.clients))
            yield from each("download", address, 80, slow, host=host, path=_STEADY)
            if any(_BIG.startswith(prefix) for prefix in service.handoff):
                yield from each("handoff", address, 80, asking, host=host, path=_BIG)
            yield from each("keep-alive", address, 80, asking, host=host)
        elif service.kind is ServiceKind.AUTHORITATIVE_DNS:
            yield from each("dns-over-tcp", address, 53, asking)
        elif service.kind is ServiceKind.RECURSIVE_DNS and service.tls is not None:
            yield from each("dns-over-tls", address, 853, asking)


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or "origin"


def _spread(n: int, parts: int) -> list[int]:
    """Share n out as evenly as whole numbers allow."""
    return [n // parts + (i < n % parts) for i in range(parts)] if parts else []
