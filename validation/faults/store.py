"""The fleet's store: an etcd of three members, each in a namespace of its own around a hub.

Any part can be killed, stopped, cut off from another, or made slow, as a network would do it.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

from ridgeline.agent.fleet import FleetSettings
from ridgeline.agent.fleet_etcd import Etcd, StoreError
from ridgeline.agent.fleet_guard import FleetGuard
from ridgeline.lab.beds.router import missing, program, wait_until
from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.netlink import LOOPBACK, Batch, VethEnd

from .routers import PREFIX

_CLIENT: Final = 2379
_PEER: Final = 2380
_SLOW: Final = 7000
_HUB: Final = "198.18.22.1"
_ALL: Final = "198.18.20.0/22"
SLOW_PROXY: Final = Path(__file__).with_name("slow_proxy.py")


class Store:
    """The members, the hub, and the sites that are attached to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = NetworkNamespace.create({"net.ipv4.ip_forward": 1})
        self.members: list[NetworkNamespace] = []
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.proxies: list[subprocess.Popen[bytes]] = []
        self._links = 0
        self._sites = 0
        self._rules: list[tuple[str, ...]] = []
        with Batch(self.hub) as batch:
            batch.up(LOOPBACK)
        in_namespace(self.hub, "ip", "address", "add", f"{_HUB}/32", "dev", "lo")
        for number in range(3):
            member = NetworkNamespace.create()
            self.members.append(member)
            self._connect(member, f"m{number}", f"198.18.20.{2 * number}")
            with Batch(member) as batch:
                batch.up(LOOPBACK)
            self._start(number)

    def _connect(self, namespace: NetworkNamespace, name: str, address: str) -> None:
        """Lay a link to the hub; `address` is even, and the hub's end has the next one."""
        head, _, last = address.rpartition(".")
        other = f"{head}.{int(last) + 1}"
        self._links += 1
        index = 50 + self._links
        with Batch() as batch:
            batch.veth(
                VethEnd(name="store0", namespace=namespace, index=50, mac=_mac(1, index)),
                VethEnd(name=name, namespace=self.hub, index=index, mac=_mac(2, index)),
            )
        for where, device, own in ((namespace, "store0", address), (self.hub, name, other)):
            in_namespace(where, "ip", "address", "add", f"{own}/31", "dev", device)
            in_namespace(where, "ip", "link", "set", device, "up")
        in_namespace(namespace, "ip", "route", "add", _ALL, "via", other)

    def attach(self, namespace: NetworkNamespace) -> str:
        """Connect a site; return its address."""
        number, self._sites = self._sites, self._sites + 1
        address = f"198.18.21.{2 * number}"
        self._connect(namespace, f"site{number}", address)
        return address

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(f"http://198.18.20.{2 * n}:{_CLIENT}" for n in range(3))

    @property
    def slow_endpoints(self) -> tuple[str, ...]:
        return tuple(f"http://{_HUB}:{_SLOW + n}" for n in range(3))

    def _start(self, number: int) -> None:
        def url(of: int, port: int) -> str:
            return f"http://198.18.20.{2 * of}:{port}"

        client, peer = url(number, _CLIENT), url(number, _PEER)
        cluster = ",".join(f"m{i}={url(i, _PEER)}" for i in range(3))
        with (
            (self.folder / f"m{number}.log").open("ab") as log,
            entered(self.members[number]),
        ):
            self.processes[number] = subprocess.Popen(
                [
                    *(program("etcd"), "--name", f"m{number}"),
                    *("--data-dir", f"{self.folder}/m{number}"),
                    *("--listen-client-urls", client, "--advertise-client-urls", client),
                    *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                    *("--initial-cluster", cluster, "--initial-cluster-state", "new"),
                    *("--heartbeat-interval", "50", "--election-timeout", "500"),
                    "--unsafe-no-fsync",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    # Faults.

    def kill(self, *numbers: int) -> None:
        for number in numbers:
            process = self.processes.pop(number)
            process.kill()
            process.wait(10)

    def stop(self, *numbers: int) -> None:
        for number in numbers:
            self.processes[number].send_signal(signal.SIGSTOP)

    def cut(self, addresses: list[str], others: list[str]) -> None:
        """Lose every packet between two groups, without a word."""
        for a in addresses:
            for b in others:
                for one, other in ((a, b), (b, a)):
                    rule = ("from", one, "to", other, "blackhole")
                    in_namespace(self.hub, "ip", "rule", "add", *rule)
                    self._rules.append(rule)

    def member(self, number: int) -> str:
        return f"198.18.20.{2 * number}"

    def slow_down(self, seconds: float) -> None:
        """Let whoever uses `slow_endpoints` wait so long for every answer."""
        for number in range(3):
            argv = (str(_SLOW + number), self.member(number), str(_CLIENT), str(seconds))
            with entered(self.hub):
                self.proxies.append(
                    subprocess.Popen(
                        [sys.executable, "-S", "-E", str(SLOW_PROXY), _HUB, *argv],
                        stdin=subprocess.DEVNULL,
                    )
                )

    def mend(self) -> None:
        """Bring back whatever was broken, and empty the store."""
        while self._rules:
            in_namespace(self.hub, "ip", "rule", "del", *self._rules.pop())
        while self.proxies:
            proxy = self.proxies.pop()
            proxy.kill()
            proxy.wait()
        for number in range(3):
            if number in self.processes:
                self.processes[number].send_signal(signal.SIGCONT)
            else:
                self._start(number)
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until every member serves reads and writes; leave no key behind."""
        everything = {"key": "AA==", "range_end": "AA=="}

        async def empty() -> None:
            for endpoint in self.endpoints:
                etcd = Etcd(self._settings("nobody", (endpoint,)))
                try:
                    await etcd.call("/v3/kv/deleterange", everything, seconds=0.5)
                finally:
                    etcd.close()

        def is_ready() -> bool:
            with suppress(StoreError):
                with entered(self.hub):
                    asyncio.run(empty())
                return True
            return False

        wait_until(is_ready, "the three members of etcd answer", seconds=60, pause=0.1)

    # Another site.

    def _settings(self, site: str, endpoints: tuple[str, ...], **more: Any) -> FleetSettings:
        return FleetSettings(
            network="example-anycast", site=site, endpoints=endpoints, budget=1, **more
        )

    def ask_for(self, site: str) -> bool:
        """Ask for the only slot as another site would, from the hub; say whether it was granted."""

        async def ask() -> bool:
            guard = FleetGuard(self._settings(site, self.endpoints))
            try:
                return (await guard.ask(ip_network(PREFIX))).granted
            finally:
                guard.close()

        return self._from_hub(ask)

    def _from_hub(self, work: Callable[[], Awaitable[bool]]) -> bool:
        async def run() -> bool:
            return await work()

        with entered(self.hub):
            return asyncio.run(run())

    def close(self) -> None:
        for process in (*self.proxies, *self.processes.values()):
            process.kill()
            process.wait()
        for namespace in (*self.members, self.hub):
            namespace.close()


@contextmanager
def store_of(folder: Path) -> Iterator[Store]:
    """Start a store; end it whatever happens. It may still elect its leader."""
    store = Store(folder)
    try:
        yield store
    finally:
        store.close()


def lacks_store() -> str:
    """Say what this machine lacks for the store; empty: nothing."""
    return ", ".join(missing(["etcd"]))


def in_namespace(namespace: NetworkNamespace, *argv: str) -> None:
    with entered(namespace):
        subprocess.run(argv, check=True, capture_output=True, timeout=10)


def _mac(end: int, number: int) -> bytes:
    return bytes((2, 0, 0, end, 2, number))
