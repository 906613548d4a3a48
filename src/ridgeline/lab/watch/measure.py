"""What clients and routers see of an event: real queries from every city, real route changes."""

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from ridgeline.errors import MachineError
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.kernel.netlink import RouteEvent
from ridgeline.lab.material.cookies import server_cookie
from ridgeline.lab.plan import Node
from ridgeline.lab.watch.outage import Sample, measure_outage
from ridgeline.lab.watch.prober import ProbePlan, ProbeResult, Question, Series, read_result
from ridgeline.render.identity import TRACE_PATH, WHOAMI_ZONE
from ridgeline.spec.model import Address, Service, ServiceKind

INTERVAL_MS: Final = 10.0
BASELINE_S: Final = 1.0
TAIL_S: Final = 0.5
_LOOKS: Final = 5
_RESULT_LIMIT: Final = 1 << 28  # one line holds every sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something done to a site, to be measured."""

    name: str
    """``fail``, ``heal`` or ``drain``."""
    site: str
    how: str
    notice_s: float
    """How long the network may need to notice; it is watched at least so long."""
    notes: tuple[str, ...] = ()


async def client_catchments(fabric: Fabric, *, ipv6: bool) -> dict[str, dict[str, Any]]:
    """Ask every service from every client, now: ``{client: {service: {"site", "rtt_ms"}}}``."""
    found: dict[str, dict[str, Any]] = {node.name: {} for node in fabric.plan.clients}
    questions = list(_questions(fabric, fabric.plan.spec.services, ipv6=ipv6))
    if not questions:
        return found
    # An absent site costs a timeout: ask a little longer than the longest way round the Earth.
    plan = ProbePlan(questions=tuple(questions), interval_ms=100, grace=1.0, timeout=1.0)
    prober = await _start(plan)
    await _begun(prober)
    await asyncio.sleep(0.1 * _LOOKS)
    result = await _run(prober)
    for series in result.series:
        good = [sample for sample in series.samples if sample.is_good]
        last = good[-1] if good else None
        found[series.client][series.service] = {
            "site": last.site if last else None,
            "rtt_ms": round(median(s.rtt_ms or 0.0 for s in good), 3) if good else None,
            **({} if last else {"error": _commonest_error(series)}),
        }
    return found


async def measure(
    fabric: Fabric,
    event: Event,
    act: Callable[[], Awaitable[None]],
    *,
    quiet_s: float,
    services: Sequence[str] = (),
    with_samples: bool = False,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Do something to the network while every client asks every 10 ms; report what was seen.

    `with_samples` adds every single query of the clients that noticed something.
    """
    chosen = _chosen_services(fabric, services)
    plan = ProbePlan(
        questions=tuple(_questions(fabric, chosen, ipv6=False)), interval_ms=INTERVAL_MS
    )
    prober = await _start(plan)
    changes: list[tuple[float, str, RouteEvent]] = []

    def record(router: str, change: RouteEvent) -> None:
        changes.append((change.time, router, change))

    fabric.recorders.append(record)
    try:
        tell(f"{event.name} {event.site}: asking every {INTERVAL_MS:.0f} ms from every client")
        await _begun(prober)
        await asyncio.sleep(BASELINE_S)
        at = time.monotonic()
        tell(f"{event.name} {event.site}: {event.how}")
        await act()
        left = event.notice_s - (time.monotonic() - at)
        if left > 0:
            tell(f"{event.name} {event.site}: watching for {left:.0f} s")
            await asyncio.sleep(left)
        await fabric.until_still(quiet_s)
        await asyncio.sleep(TAIL_S)
        tell(f"{event.name} {event.site}: counting")
        result = await _run(prober)
    finally:
        fabric.recorders.remove(record)
        if prober.returncode is None:
            prober.kill()
            await prober.wait()
    at_ms = (at - result.started) * 1000
    clients = [_client(series, at_ms) for series in result.series]
    return {
        "schema": "ridgeline.failover/1",
        "event": event.name,
        "site": event.site,
        "how": event.how,
        "interval_ms": INTERVAL_MS,
        "monotonic_s": at,
        "watched_s": round(time.monotonic() - at, 2),
        "queries_not_sent": result.skipped,
        "clients": clients,
        "routing": [
            {
                "t_ms": round((when - at) * 1000, 2),
                "router": router,
                "change": _describe(fabric, router, change),
            }
            for when, router, change in changes
            if when >= at
        ],
        "notes": list(event.notes),
        **({"timeline": list(_samples(result, clients, at_ms))} if with_samples else {}),
    }


def _samples(
    result: ProbeResult, clients: Sequence[dict[str, Any]], at_ms: float
) -> Iterator[dict[str, Any]]:
    for series, client in zip(result.series, clients, strict=True):
        if client["queries_lost"] or client["before"] != client["after"]:
            for sample in series.samples:
                yield {
                    "city": client["city"],
                    "service": client["service"],
                    "t_ms": round(sample.t_ms - at_ms, 1),
                    "site": sample.site if sample.is_good else None,
                    "rtt_ms": sample.rtt_ms if sample.is_good else None,
                }


def _client(series: Series, at_ms: float) -> dict[str, Any]:
    outage = measure_outage(series.samples, at_ms)
    answered = [s for s in series.samples if s.is_good]
    return {
        "city": series.client.removeprefix("client."),
        "service": series.service,
        "queries": outage.queries,
        "queries_lost": outage.queries_lost,
        "outage_ms": _rounded(outage.outage_ms),
        "unanswered_ms": _rounded(unanswered_ms(series.samples)),
        "moved_ms": _rounded(outage.moved_ms),
        "before": outage.before,
        "after": outage.after,
        "rtt_before_ms": _median_rtt(s for s in answered if s.t_ms < at_ms),
        "rtt_after_ms": _median_rtt(answered[-50:]) if outage.after else None,
        "timeline": [
            {
                "start_ms": _rounded(span.start_ms),
                "end_ms": _rounded(span.end_ms),
                "site": span.site,
                "queries": span.queries,
            }
            for span in outage.timeline
        ],
    }


def unanswered_ms(samples: Iterable[Sample]) -> float | None:
    """Sum the time in which queries were lost, by when they were *sent*; None if it never ended.

    This is the outage with the network's round trip left aside.
    """
    total = 0.0
    lost_since: float | None = None
    for sample in sorted(samples, key=lambda s: s.t_ms):
        if not sample.is_good:
            lost_since = sample.t_ms if lost_since is None else lost_since
        elif lost_since is not None:
            total += sample.t_ms - lost_since
            lost_since = None
    return None if lost_since is not None else total


def _median_rtt(samples: Iterable[Sample]) -> float | None:
    times = [s.rtt_ms for s in samples if s.rtt_ms is not None]
    return round(median(times), 3) if times else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _commonest_error(series: Series) -> str:
    counts: dict[str, int] = defaultdict(int)
    for sample in series.samples:
        counts[sample.error or "no identity"] += 1
    return max(counts, key=lambda error: counts[error]) if counts else "not asked"


def _describe(fabric: Fabric, router: str, change: RouteEvent) -> str:
    if not change.added:
        return f"{change.destination} gone"
    towards = fabric.neighbour(router, change.index) if change.index is not None else None
    return f"{change.destination} via {towards or change.gateway}"


def _chosen_services(fabric: Fabric, names: Sequence[str]) -> list[Service]:
    """Take the named services; by default one: DNS if there is any, as it costs one packet."""
    services = [s for s in fabric.plan.spec.services if s.kind is not ServiceKind.CUSTOM]
    if names:
        return [service for service in services if service.name in names]
    services.sort(key=lambda s: s.kind is ServiceKind.HTTP_CACHE)  # stable: DNS first
    if not services:
        raise MachineError(
            "the spec has no service that could be asked, so nothing can be measured",
            hint="add a service such as `dns: {kind: authoritative-dns, ...}` to the spec",
        )
    return services[:1]


def _questions(fabric: Fabric, services: Iterable[Service], *, ipv6: bool) -> Iterable[Question]:
    for service in services:
        if service.kind is ServiceKind.CUSTOM:
            continue
        # A service may have addresses of one family alone; then that is what clients use.
        wanted = [a for a in service.addresses if a.version == (6 if ipv6 else 4)]
        address = str((wanted or service.addresses)[0])
        for node in fabric.plan.clients:
            is_http = service.kind is ServiceKind.HTTP_CACHE
            yield Question(
                client=node.name,
                service=service.name,
                namespace=fabric.namespace(node.name).fd,
                address=address,
                kind="http" if is_http else "dns",
                port=80 if is_http else 53,
                # The one name that every site of every network can answer.
                name="trace" if is_http else WHOAMI_ZONE,
                type="TXT",
                path=TRACE_PATH,
                recursion=service.kind is ServiceKind.RECURSIVE_DNS,
                cookie=_cookie(fabric, node, wanted or service.addresses)
                if service.kind is ServiceKind.AUTHORITATIVE_DNS
                else "",
            )


def _cookie(fabric: Fabric, client: Node, asked: Sequence[Address]) -> str:
    """Give a client the DNS cookie that any site would give it: the rate limit is for others."""
    own = client.address6 if asked[0].version == 6 else client.address4
    if own is None:
        return ""
    mine = bytes.fromhex("72696467656c696e")  # any eight bytes
    secret = fabric.secrets.dns_cookies[0]
    return (mine + server_cookie(secret, mine, own, now=time.time())).hex()


async def _start(plan: ProbePlan) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ridgeline.lab.watch.prober",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=plan.namespaces,
        limit=_RESULT_LIMIT,
    )
    if process.stdin is None:
        raise MachineError("the prober has no standard input")
    process.stdin.write(plan.render().encode())
    await process.stdin.drain()
    return process


async def _begun(prober: asyncio.subprocess.Process) -> None:
    if prober.stdout is None or "started" not in json.loads(await prober.stdout.readline() or "{}"):
        raise MachineError("the prober ended before it asked anything")


async def _run(prober: asyncio.subprocess.Process) -> ProbeResult:
    """End the asking (unless the plan does) and read the result."""
    if prober.stdin is None or prober.stdout is None:
        raise MachineError("the prober has no pipes")
    prober.stdin.close()
    lines = (await prober.stdout.read()).splitlines()
    await prober.wait()
    if not lines:
        raise MachineError("the prober ended without a result")
    return read_result(lines[-1].decode())
