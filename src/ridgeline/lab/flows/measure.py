"""Hold sessions open, do something to the network, and count who lived (see `model`)."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.flows.model import HANG_S, Flow, FlowPlan, Held, parse_flows, tally
from ridgeline.lab.flows.quic_sites import PORT as QUIC_PORT
from ridgeline.lab.flows.quic_sites import quic_sites
from ridgeline.lab.plan import Node
from ridgeline.render.origin import BIG_FILE, STEADY_FILE
from ridgeline.spec.model import Address, Service, ServiceKind, Spec

ASKING: Final = 2
SETTLE_S: Final = 0.5
_STEADY: Final = f"/{STEADY_FILE}"
_BIG: Final = f"/{BIG_FILE}"
_RESULT_LIMIT: Final = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be held."""

    clients: tuple[Node, ...]
    n: int = 1000
    """Downloads, over all clients together."""
    asking: int = ASKING
    """Sessions of each other class, per client."""
    quic: bool = False
    """Hold QUIC connections too, to an echo at every site that the spec knows nothing of."""
    ipv6: bool = False
    watch_s: float = 6.0
    """For how long they are watched after the event began, at least."""
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
    addresses = list(dict.fromkeys(held.address for held in plan.held))
    before = await _landings(fabric, addresses, wish.clients)
    async with AsyncExitStack() as stack:
        if wish.quic:
            await stack.enter_async_context(quic_sites(fabric, plan.held[-1].address))
        watched = await _watch(plan, wish, event, act, tell)
    after = await _landings(fabric, addresses, wish.clients)
    landed = {key: (before[key], after[key]) for key in before}
    at, until = watched.at, watched.until
    return {
        "schema": "ridgeline.sessions/1",
        **event,
        "ipv6": wish.ipv6,
        "opened": watched.n_open,
        "wanted": sum(held.n for held in plan.held),
        "monotonic_s": at,
        "watched_s": round(until - at, 2),
        "hang_s": wish.hang_s,
        "cpu_s": round(watched.cpu_s, 2),
        "clients": {
            name.removeprefix("client."): {"before": old, "after": new}
            for (name, address), (old, new) in landed.items()
            if address == addresses[0]
        },
        "classes": tally(watched.flows, landed, at, until, wish.hang_s),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    n_open: int
    at: float
    """When the event began (CLOCK_MONOTONIC)."""
    until: float
    flows: list[Flow]
    cpu_s: float


async def _watch(
    plan: FlowPlan,
    wish: Wish,
    event: Mapping[str, str],
    act: Callable[[], Awaitable[None]],
    tell: Callable[[str], None],
) -> _Watched:
    """Open the sessions in a process of their own, act, and wait until enough has been seen."""
    tell(
        f"{event['event']} {event['site']}: opening {sum(held.n for held in plan.held):,} sessions"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ridgeline.lab.flows.run",
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
        # What hangs since the last thing that happened must have had the time to.
        enough = max(at + wish.watch_s, time.monotonic() + wish.hang_s + 1)
        await asyncio.sleep(enough - time.monotonic())
        until = time.monotonic()
        process.stdin.close()
        line = await process.stdout.readline()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _Watched(
        n_open=n_open,
        at=at,
        until=until,
        flows=parse_flows(line.decode()),
        cpu_s=float(json.loads(line)["cpu_s"]),
    )


async def _landings(
    fabric: Fabric, addresses: Sequence[str], clients: Sequence[Node]
) -> dict[tuple[str, str], str | None]:
    """Follow the routers' choices from each client to the site of each address."""
    prefixes = {address: str(_prefix(fabric.plan.spec, address)) for address in addresses}
    routes = {prefix: await fabric.best_routes(prefix) for prefix in set(prefixes.values())}
    landed = {}
    for node in clients:
        for address, prefix in prefixes.items():
            route = routes[prefix].get(fabric.router_of(node.name))
            landed[node.name, address] = route["site"] if route else None
    return landed


def _prefix(spec: Spec, address: str) -> object:
    from ipaddress import ip_address

    there = ip_address(address)
    return next(p for p in spec.prefixes if p.version == there.version and there in p)


def _held(fabric: Fabric, wish: Wish) -> Iterator[Held]:
    spec = fabric.plan.spec
    for service in spec.services:
        address = _address(service, wish)
        if address is None:
            continue
        if service.kind is ServiceKind.HTTP_CACHE:
            host = _host(service.origin)
            yield from _each(fabric, wish, "download", address, 80, host=host, path=_STEADY)
            if any(_BIG.startswith(prefix) for prefix in service.handoff):
                yield from _each(fabric, wish, "handoff", address, 80, host=host, path=_BIG)
            yield from _each(fabric, wish, "keep-alive", address, 80, host=host)
        elif service.kind is ServiceKind.AUTHORITATIVE_DNS:
            yield from _each(fabric, wish, "dns-over-tcp", address, 53)
        elif service.kind is ServiceKind.RECURSIVE_DNS and service.tls is not None:
            yield from _each(fabric, wish, "dns-over-tls", address, 853)
    anywhere = [a for service in spec.services if (a := _address(service, wish)) is not None]
    if wish.quic and anywhere:
        yield from _each(fabric, wish, "quic", anywhere[0], QUIC_PORT)


def _each(
    fabric: Fabric,
    wish: Wish,
    kind: str,
    address: Address,
    port: int,
    host: str = "",
    path: str = "/",
) -> Iterator[Held]:
    """Share downloads out over the clients; hold as many of the other classes at each."""
    n_clients = len(wish.clients)
    counts = _spread(wish.n, n_clients) if kind == "download" else [wish.asking] * n_clients
    for node, n in zip(wish.clients, counts, strict=True):
        if n:
            yield Held(
                client=node.name,
                namespace=fabric.namespace(node.name).fd,
                kind=kind,
                address=str(address),
                port=port,
                n=n,
                host=host,
                path=path,
            )


def _address(service: Service, wish: Wish) -> Address | None:
    return next((a for a in service.addresses if (a.version == 6) is wish.ipv6), None)


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or "origin"


def _spread(n: int, parts: int) -> list[int]:
    """Share n out as evenly as whole numbers allow."""
    return [n // parts + (i < n % parts) for i in range(parts)] if parts else []
