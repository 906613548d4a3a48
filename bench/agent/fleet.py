"""Eight sites that fail in one moment and share a budget of two, on a real etcd of three members."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from ridgeline.agent.fleet import FleetSettings
from ridgeline.agent.fleet_guard import FleetGuard
from ridgeline.lab.beds.router import missing
from ridgeline.spec.model import Prefix

SITES = tuple(f"site{number}" for number in range(8))
BUDGET = 2


@dataclass(slots=True)
class Races:
    """What a hundred races showed."""

    withdrawn: list[int] = field(default_factory=list)
    """Sites that were let withdraw, one number for each race."""
    granted_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)


def measure_fleet(times: int) -> Races | None:
    """Let all sites ask at once, again and again; None if there is no etcd."""
    if missing(["etcd"]):
        print("fleet: not installed: etcd-server", flush=True)
        return None
    with etcd() as endpoints:
        return asyncio.run(_race(endpoints, times))


async def _race(endpoints: tuple[str, ...], times: int) -> Races:
    guards = [
        FleetGuard(FleetSettings(network="bench", site=site, endpoints=endpoints, budget=BUDGET))
        for site in SITES
    ]
    races = Races()

    async def ask(guard: FleetGuard, prefix: Prefix) -> bool:
        began = time.perf_counter()
        answer = await guard.ask(prefix)
        took = (time.perf_counter() - began) * 1000
        (races.granted_ms if answer.granted else races.refused_ms).append(took)
        return answer.granted

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(guard.run()) for guard in guards]
        await _until_elected(guards)
        for number in range(times):
            prefix = ip_network((0x0A000000 + 256 * number, 24))
            granted = await asyncio.gather(*(ask(guard, prefix) for guard in guards))
            holders = await guards[0].holders(prefix)
            races.withdrawn.append(max(sum(granted), len(holders)))
            for guard in guards:
                await guard.release(prefix)
        for task in running:
            task.cancel()
    return races


async def _until_elected(guards: list[FleetGuard]) -> None:
    """Open every guard's connections, and wait until the members have a leader."""
    warm_up = ip_network("192.0.2.0/24")
    deadline = time.monotonic() + 30
    for guard in guards:
        while not (await guard.ask(warm_up)).granted:
            if time.monotonic() > deadline:
                raise TimeoutError("etcd has no leader")
            await asyncio.sleep(0.2)
        await guard.release(warm_up)


@contextmanager
def etcd() -> Iterator[tuple[str, ...]]:
    """Run three members on loopback; yield their addresses."""
    folder = Path(tempfile.mkdtemp(prefix="ridgeline-etcd-"))
    ports = _free_ports(6)
    clients = [f"http://127.0.0.1:{port}" for port in ports[:3]]
    peers = [f"http://127.0.0.1:{port}" for port in ports[3:]]
    cluster = ",".join(f"m{number}={peer}" for number, peer in enumerate(peers))
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, folder, ignore_errors=True)
        for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
            log = ends.enter_context((folder / f"m{number}.log").open("wb"))
            member = subprocess.Popen(
                [
                    *("etcd", "--name", f"m{number}", "--data-dir", f"{folder}/m{number}"),
                    *("--listen-client-urls", client, "--advertise-client-urls", client),
                    *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                    *("--initial-cluster", cluster, "--initial-cluster-state", "new"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            ends.callback(member.wait)
            ends.callback(member.kill)
        yield tuple(clients)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
