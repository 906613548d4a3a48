"""The fleet guard against a real etcd of three members: killed, cut, stopped, restarted."""

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.freezing import freeze
from tests.interop.services.daemons import own_address

from ridgeline.agent.core import GuardAnswered
from ridgeline.agent.fleet import FleetSettings
from ridgeline.agent.fleet_etcd import Etcd, StoreError
from ridgeline.agent.fleet_guard import FleetGuard
from ridgeline.app.agent import _make_guard, read_config
from ridgeline.lab.beds.router import missing, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(missing(["etcd"]) != [], reason="not installed: etcd-server"),
]

PREFIX = ip_network("192.0.2.0/24")
CLIENTS, PEERS = 22379, 22380  # below the ports that the kernel lends to whoever connects
SITES = [f"site{n}" for n in range(8)]
LONG_S = 30.0
"""What takes no second alone, on a machine with much other work."""
USUAL_S = 0.9
LATE_S = 5.0
"""An answer within the usual deadline, on such a machine."""
SPEC = """\
network: test
asn: 64500
prefixes: [192.0.2.0/24]
services:
  dns: {kind: custom, addresses: [192.0.2.53]}
sites:
  nrt: {upstreams: [{asn: 65550}]}
  lhr: {upstreams: [{asn: 65550}]}
"""


class Store:
    """Three etcd members on loopback, each killed, stopped or restarted by its number."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.members: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(self._url(number, CLIENTS) for number in range(3))

    def _url(self, number: int, port: int) -> str:
        return f"http://{own_address(1 + number)}:{port}"

    def start(self, number: int) -> None:
        client, peer = self._url(number, CLIENTS), self._url(number, PEERS)
        cluster = ",".join(f"m{i}={self._url(i, PEERS)}" for i in range(3))
        with (self.folder / f"m{number}.log").open("ab") as log:
            self.members[number] = subprocess.Popen(
                [
                    *("etcd", "--name", f"m{number}", "--data-dir", f"{self.folder}/m{number}"),
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

    def freeze(self, *numbers: int) -> None:
        for number in numbers:
            freeze(self.members[number])

    def thaw(self, number: int) -> None:
        self.members[number].send_signal(signal.SIGCONT)

    def kill(self, number: int) -> None:
        member = self.members.pop(number)
        member.kill()
        member.wait(10)

    def wait_ready(self) -> None:
        async def answers() -> None:
            etcd = Etcd(settings(self, "test"))
            try:
                await etcd.revoke(await etcd.grant(5, seconds=1), seconds=1)
            finally:
                etcd.close()

        def is_ready() -> bool:
            try:
                asyncio.run(answers())
            except StoreError:
                return False
            return True

        wait_until(is_ready, "etcd answers", seconds=30, pause=0.2)

    def mend(self) -> None:
        """Bring back whatever a test broke."""
        for number in range(3):
            if number in self.members:
                self.thaw(number)
            else:
                self.start(number)
        self.wait_ready()
        asyncio.run(self._empty())

    async def _empty(self) -> None:
        etcd = Etcd(settings(self, "test"))
        body = {"key": "AA==", "range_end": "AA=="}  # every key
        await etcd.call("/v3/kv/deleterange", body, seconds=5)
        etcd.close()

    def end(self) -> None:
        for number in list(self.members):
            self.kill(number)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("etcd"))
    try:
        for number in range(3):
            store.start(number)
        store.wait_ready()
        yield store
    finally:
        store.end()
        shutil.rmtree(store.folder, ignore_errors=True)


@pytest.fixture
def store(cluster: Store) -> Store:
    cluster.mend()
    return cluster


def settings(store: Store, site: str, **more: Any) -> FleetSettings:
    return FleetSettings(
        **{
            "network": "test",
            "site": site,
            "endpoints": store.endpoints,
            "budget": 2,
            "timeout_s": 5,  # an election takes its time on a machine with other work
            **more,
        }
    )


async def with_guards(
    guards: Sequence[Any], story: Callable[[], Coroutine[None, None, None]]
) -> None:
    """Tell a story while the guards run."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(guard.run()) for guard in guards]
        try:
            await story()
        finally:
            for task in tasks:
                task.cancel()


def test_eight_sites_failing_at_once_never_withdraw_more_than_two(store: Store) -> None:
    """100 races, each from an empty budget to a full one and back; told by the store's own words."""
    guards = [FleetGuard(settings(store, site)) for site in SITES]
    counts: list[int] = []

    async def story() -> None:
        for run in range(100):
            prefix = ip_network((0x0A000000 + run * 256, 24))
            answers = await asyncio.gather(*(guard.ask(prefix) for guard in guards))
            granted = {site for site, answer in zip(SITES, answers, strict=True) if answer.granted}
            assert set((await guards[0].holders(prefix)).values()) == granted
            counts.append(len(granted))
            for guard in guards:
                await guard.release(prefix)

    asyncio.run(with_guards(guards, story))
    assert counts == [2] * 100


def test_the_guard_that_the_settings_name_takes_and_loses_slots(
    store: Store, tmp_path: Path
) -> None:
    """From the files of an operator to the store: `_make_guard` is what the agent is given."""
    (tmp_path / "ridgeline.yaml").write_text(SPEC)
    endpoints = ", ".join(f"'{endpoint}'" for endpoint in store.endpoints)
    options = "{lease_s: 2, timeout_s: 1.7}"
    (tmp_path / "agent.yaml").write_text(
        f"fleet: {{endpoints: [{endpoints}], budget: 1, options: {options}}}\n"
    )
    told: asyncio.Queue[GuardAnswered] = asyncio.Queue()
    guards = {
        site: _make_guard(read_config(str(tmp_path / "ridgeline.yaml"), site), told.put_nowait)
        for site in ("nrt", "lhr")
    }

    async def story() -> None:
        assert (await guards["nrt"].ask(PREFIX)).granted
        refused = await guards["lhr"].ask(PREFIX)
        assert refused.reason == "1 of 1 sites are withdrawn already (nrt)"
        store.freeze(0, 1, 2)
        began = time.monotonic()
        assert not (await guards["lhr"].ask(PREFIX)).granted
        assert time.monotonic() - began > 1.5  # its own `timeout_s`, not the usual one
        async with asyncio.timeout(LONG_S):
            lost = await told.get()  # after its own `lease_s`
        assert (lost.prefix, lost.granted) == (PREFIX, False)

    asyncio.run(with_guards([*guards.values()], story))


def test_a_released_slot_is_free_for_another_site(store: Store) -> None:
    first, second = (FleetGuard(settings(store, site, budget=1)) for site in SITES[:2])

    async def story() -> None:
        assert (await first.ask(PREFIX)).granted
        refused = await second.ask(PREFIX)
        assert not refused.granted
        assert refused.reason == "1 of 1 sites are withdrawn already (site0)"
        await first.release(PREFIX)
        await wait_for(lambda: first.holders(PREFIX), {})
        assert (await second.ask(PREFIX)).granted

    asyncio.run(with_guards([first, second], story))


def test_a_restarted_agent_has_the_slot_that_it_had(store: Store) -> None:
    old, new, other = (
        FleetGuard(settings(store, site, budget=1)) for site in ("ams", "ams", "lhr")
    )

    async def story() -> None:
        assert (await old.ask(PREFIX)).granted
        assert (await new.ask(PREFIX)).granted
        await old.release(PREFIX)  # revokes a lease that the slot has left
        await asyncio.sleep(0.3)
        assert not (await other.ask(PREFIX)).granted
        assert await new.holders(PREFIX) != {}

    asyncio.run(with_guards([old, new, other], story))


def test_a_site_that_dies_gives_its_slot_back_by_its_lease(store: Store) -> None:
    dead, other = (FleetGuard(settings(store, site, budget=1, lease_s=2)) for site in SITES[:2])

    async def story() -> None:
        assert (await dead.ask(PREFIX)).granted
        dead.close()  # nothing more is heard of it
        began = time.monotonic()
        await wait_for(lambda: granted(other, PREFIX), True, seconds=LONG_S)
        assert time.monotonic() - began > 1.5

    asyncio.run(with_guards([other], story))


def test_a_held_slot_outlives_its_lease_many_times(store: Store) -> None:
    guard, other = (FleetGuard(settings(store, site, budget=1, lease_s=2)) for site in SITES[:2])

    async def story() -> None:
        assert (await guard.ask(PREFIX)).granted
        await asyncio.sleep(5)
        assert not (await other.ask(PREFIX)).granted
        assert guard.held == (PREFIX,)

    asyncio.run(with_guards([guard, other], story))


def test_one_member_killed_changes_nothing(store: Store) -> None:
    guard = FleetGuard(settings(store, "ams", timeout_s=USUAL_S))
    store.kill(0)
    asyncio.run(with_guards([guard], lambda: expect(guard, granted=True, within=LONG_S)))


@pytest.mark.parametrize("member", [0, 1, 2])
def test_one_member_stopped_costs_a_share_of_the_deadline_and_no_more(
    store: Store, member: int
) -> None:
    guard = FleetGuard(settings(store, "ams", timeout_s=USUAL_S))
    store.freeze(member)
    asyncio.run(with_guards([guard], lambda: expect(guard, granted=True, within=LONG_S)))


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_without_a_quorum_the_answer_is_no_in_time(store: Store, how: str) -> None:
    guard = FleetGuard(settings(store, "ams", timeout_s=USUAL_S))
    for member in (0, 1):
        if how == "killed":
            store.kill(member)
        else:
            store.freeze(member)

    async def story() -> None:
        began = time.monotonic()
        answer = await guard.ask(PREFIX)
        assert not answer.granted
        assert answer.reason.startswith("the fleet's store cannot be used: ")
        assert time.monotonic() - began < LATE_S

    asyncio.run(with_guards([guard], story))


def test_a_store_that_is_not_there_is_a_no_with_every_members_answer(store: Store) -> None:
    guard = FleetGuard(settings(store, "ams"))
    for member in range(3):
        store.kill(member)

    async def story() -> None:
        answer = await guard.ask(PREFIX)
        assert not answer.granted
        assert all(endpoint in answer.reason for endpoint in store.endpoints)

    asyncio.run(with_guards([guard], story))


def test_a_request_that_a_stopped_store_carries_out_later_leaves_no_slot(store: Store) -> None:
    """The grant of a slot was given up; when the store wakes, its lease is revoked."""
    guard = FleetGuard(settings(store, "ams", budget=1, timeout_s=USUAL_S))
    other = FleetGuard(settings(store, "lhr", budget=1))

    async def story() -> None:
        assert (await other.ask(PREFIX)).granted  # connections are open
        await other.release(PREFIX)
        await asyncio.sleep(0.2)
        asking = asyncio.create_task(guard.ask(PREFIX))
        await asyncio.sleep(0.002)
        store.freeze(0, 1, 2)
        answer = await asking
        for member in range(3):
            store.thaw(member)
        if answer.granted:  # it was faster
            await guard.release(PREFIX)
        await wait_for(lambda: granted(other, PREFIX), True, seconds=LONG_S)

    asyncio.run(with_guards([guard, other], story))


def test_a_lost_lease_is_told_before_the_store_gives_the_slot_away(store: Store) -> None:
    told: asyncio.Queue[GuardAnswered] = asyncio.Queue()
    guard = FleetGuard(
        settings(store, "ams", lease_s=3, timeout_s=USUAL_S), on_lost=told.put_nowait
    )

    async def story() -> None:
        assert (await guard.ask(PREFIX)).granted
        store.freeze(0, 1, 2)
        async with asyncio.timeout(LONG_S):
            lost = await told.get()
        assert (lost.prefix, lost.granted) == (PREFIX, False)
        assert guard.held == ()

    asyncio.run(with_guards([guard], story))


async def expect(guard: FleetGuard, *, granted: bool, within: float) -> None:
    """The answer may take more than one try while the members elect a leader."""
    until = time.monotonic() + within
    while True:
        began = time.monotonic()
        answer = await guard.ask(PREFIX)
        assert time.monotonic() - began < LATE_S
        if answer.granted is granted:
            return
        assert time.monotonic() < until, answer
        await asyncio.sleep(0.2)


async def granted(guard: FleetGuard, prefix: Any) -> bool:
    return (await guard.ask(prefix)).granted


async def wait_for(
    ask: Callable[[], Coroutine[None, None, Any]], wanted: object, *, seconds: float = LONG_S
) -> None:
    until = time.monotonic() + seconds
    seen: object = None
    while time.monotonic() < until:
        seen = await ask()
        if seen == wanted:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not {wanted} in {seconds} s but {seen}")
