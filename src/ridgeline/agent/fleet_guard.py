"""The fleet guard of one site: takes slots, keeps their leases alive, gives them back.

It answers in the words of `ridgeline.agent.core`: `ask` for `AskGuard`, `release` for
`ReleaseGuard`. A doubt is a no: the site then stays announced, drained. Whatever a failed attempt
may have left in the store is bound to a lease of its own, which is revoked or runs out.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ridgeline.agent.core import GuardAnswered
from ridgeline.agent.fleet import (
    FleetSettings,
    Lease,
    Refused,
    Take,
    next_step,
    prefix_folder,
    read_slots,
    slot_key,
)
from ridgeline.agent.fleet_etcd import Etcd, StoreError
from ridgeline.spec.model import Prefix

_MOST_TURNS = 50


@dataclass(slots=True)
class _Held:
    slot: int
    lease: Lease


class FleetGuard:
    """One site's hold on the fleet's budget.

    `run` must be running, as a task of the agent, or leases end by themselves. `on_lost` hears of
    a slot that the store may have given to another site meanwhile.
    """

    def __init__(
        self,
        settings: FleetSettings,
        *,
        on_lost: Callable[[GuardAnswered], None] = lambda _lost: None,
    ) -> None:
        self._settings = settings
        self._etcd = Etcd(settings)
        self._on_lost = on_lost
        self._held: dict[Prefix, _Held] = {}
        self._returned: list[Lease] = []
        """Leases to revoke; the store may be unreachable meanwhile."""
        self._turns: dict[Prefix, asyncio.Lock] = {}
        self._changed = asyncio.Event()
        self.problem = ""
        """Why the store could not be used last; empty when it could."""

    @property
    def held(self) -> tuple[Prefix, ...]:
        """Prefixes for which this site has a slot."""
        return tuple(self._held)

    async def ask(self, prefix: Prefix) -> GuardAnswered:
        """Take a slot before `prefix` is withdrawn. Never raises for what the store does."""
        async with self._turns.setdefault(prefix, asyncio.Lock()):
            held = self._held.get(prefix)
            now = asyncio.get_running_loop().time()
            if held is not None and now < held.lease.expires_at:
                return GuardAnswered(prefix, granted=True, reason=f"slot {held.slot} is ours")
            try:
                async with asyncio.timeout(self._settings.timeout_s):
                    answer = await self._take(prefix)
            except (StoreError, TimeoutError) as error:
                self.problem = str(error) or f"no answer in {self._settings.timeout_s:g} s"
                reason = f"the fleet's store cannot be used: {self.problem}"
                return GuardAnswered(prefix, granted=False, reason=reason, silent=True)
            self.problem = ""
            return answer

    async def release(self, prefix: Prefix) -> None:
        """Give the slot back; the rest happens in `run`, however long the store takes."""
        async with self._turns.setdefault(prefix, asyncio.Lock()):
            held = self._held.pop(prefix, None)
            if held is not None:
                self._give_back(held.lease)

    async def holders(self, prefix: Prefix) -> dict[int, str]:
        """Return who has which slot, for `agent status`.

        Raises
        ------
        StoreError
            The store does not answer.
        """
        folder = prefix_folder(self._settings.network, prefix)
        pairs = await self._etcd.below(folder, seconds=self._settings.timeout_s)
        return read_slots(self._settings.network, prefix, pairs)

    async def run(self) -> None:
        """Keep what is held and give back what is not, until cancelled."""
        try:
            while True:
                await self._tend()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the connections; slots stay until their leases end."""
        self._etcd.close()

    async def _take(self, prefix: Prefix) -> GuardAnswered:
        network, site = self._settings.network, self._settings.site
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.timeout_s
        ttl = math.ceil(self._settings.lease_s)
        asked_at = loop.time()
        number = await self._etcd.grant(ttl, seconds=until - loop.time())
        lease = Lease(number, ttl, asked_at)
        try:
            for _ in range(_MOST_TURNS):
                folder = prefix_folder(network, prefix)
                pairs = await self._etcd.below(folder, seconds=until - loop.time())
                taken = read_slots(network, prefix, pairs)
                step = next_step(taken, site=site, budget=self._settings.budget)
                if isinstance(step, Refused):
                    self._give_back(lease)
                    return GuardAnswered(prefix, granted=False, reason=str(step))
                fresh = isinstance(step, Take)
                put = self._etcd.put_if_absent if fresh else self._etcd.put_if_same
                slot, key = step.slot, slot_key(network, prefix, step.slot)
                if await put(key, site, number, seconds=until - loop.time()):
                    self._held[prefix] = _Held(slot, lease)
                    self._changed.set()
                    return GuardAnswered(prefix, granted=True, reason=f"slot {slot} is ours")
        except BaseException:
            self._give_back(lease)  # the last request may have been carried out, or may yet be
            raise
        self._give_back(lease)
        raise StoreError("the slots change faster than they can be read")

    def _give_back(self, lease: Lease) -> None:
        self._returned.append(lease)
        self._changed.set()

    async def _tend(self) -> None:
        """Do what is due, then wait until something is."""
        loop = asyncio.get_running_loop()
        self._changed.clear()
        returned, self._returned = self._returned, []
        due = [prefix for prefix, held in self._held.items() if loop.time() >= held.lease.renew_at]
        async with asyncio.TaskGroup() as group:
            for lease in returned:
                group.create_task(self._revoke(lease))
            for prefix in due:
                group.create_task(self._renew(prefix))
        soon = loop.time() + min(1.0, self._settings.lease_s / 20)
        times = [soon] * bool(self._returned)
        times += [max(held.lease.renew_at, soon) for held in self._held.values()]
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min(times, default=None)):
                await self._changed.wait()

    async def _revoke(self, lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._etcd.revoke(lease.number, seconds=self._settings.timeout_s)
        except StoreError as error:
            self.problem = str(error)
            if loop.time() < lease.asked_at + lease.ttl:
                self._returned.append(lease)

    async def _renew(self, prefix: Prefix) -> None:
        loop = asyncio.get_running_loop()
        held = self._held[prefix]
        lease, asked_at = held.lease, loop.time()
        try:
            alive = await self._etcd.keep_alive(lease.number, seconds=self._settings.timeout_s)
        except StoreError as error:
            self.problem = str(error)
            if loop.time() < lease.expires_at:
                return
            reason = f"the slot's lease could not be renewed: {error}"
        else:
            if alive:
                self.problem = ""
                lease.renewed(asked_at=asked_at)
                return
            reason = "the store has ended the slot's lease"
        if self._held.get(prefix) is held:
            del self._held[prefix]
            self._give_back(lease)
            self._on_lost(GuardAnswered(prefix, granted=False, reason=reason))
