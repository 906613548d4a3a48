"""Gives the site's router its orders, one batch at a time, and reads it back.

A router is asked one thing at a time (`ridgeline.agent.router`). What befalls it ends as
`RouterFailed`, and so does an answer that nobody can read: nothing is known then, and the core asks
again. Only what is wrong with this process ends the agent (no memory, no thread): the next one
begins with what it needs.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from ridgeline.agent.core import Applied, Event, Observed, RouterFailed, Say
from ridgeline.agent.router import Router, Wanted
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

RECONCILE_S: Final = 0.5
"""How often the router is read back when nothing happens."""
ROUTER_WITHIN_S: Final = 5.0
"""How long one order or one reading may take."""
COALESCE_S: Final = 0.0005

_UNREADABLE: Final = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError)
"""What comes of an answer other than was expected."""

Deed = Callable[[Router], Awaitable[None]]


class Tender:
    """All that is asked of one router.

    Parameters
    ----------
    post
        Takes the events for the core.
    say
        Takes what goes into the log.
    """

    def __init__(
        self, router: Router, *, post: Callable[[Event], None], say: Callable[[Say], None]
    ) -> None:
        self.router = router
        self.is_applying = False
        """An order is on its way: nothing else is urgent."""
        self.read_at = float("-inf")
        """When the router was read last."""
        self.turn = asyncio.Lock()
        """Held while the router is asked something; to replace it, hold this."""
        self._post, self._say = post, say
        self._orders: dict[Prefix, Wanted] = {}
        self._deeds: list[Deed] = []
        self._said = ""
        self._work = asyncio.Event()
        self._work.set()  # the first reading comes at once

    def order(self, wanted: Mapping[Prefix, Wanted]) -> None:
        """Give an order as soon as may be; a newer one for a prefix replaces an older one."""
        self._orders.update(wanted)
        self.is_applying = True
        self._work.set()

    def forget(self, prefixes: list[Prefix]) -> None:
        """Drop what was not ordered yet: the prefixes are not ours any more."""
        for prefix in prefixes:
            self._orders.pop(prefix, None)

    def do(self, deed: Deed) -> None:
        """Do something else with the router, after its orders; again until it succeeds."""
        self._deeds.append(deed)
        self._work.set()

    async def run(self) -> None:
        """Give orders as they come, and read back after each and every half second."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECONCILE_S):
                    await self._work.wait()
            self._work.clear()
            await self._until_all_is_ordered()
            async with self.turn:
                problem = await self.within(self._tend)
                if problem:
                    self.is_applying = False
                    self._post(RouterFailed(problem))
                else:
                    await self._do_deeds()

    async def close(self) -> None:
        """Let go of the router; change nothing there."""
        await self.router.close()

    async def _tend(self) -> None:
        orders, self._orders = self._orders, {}
        if orders:
            self._post(Applied(orders, await self.router.apply(orders)))
        self.is_applying = bool(self._orders)
        observation = await self.router.read_back()
        self.read_at = asyncio.get_running_loop().time()
        self._post(Observed(observation))

    async def _do_deeds(self) -> None:
        deeds, self._deeds = self._deeds, []
        while deeds:
            deed = deeds[0]
            problem = await self.within(lambda deed=deed: deed(self.router))  # type: ignore[misc] # mypy knows no lambda with a default
            if problem:
                if problem != self._said:
                    self._said = problem
                    self._say(Say("error", "sessions_failed", problem))
                self._deeds = [*deeds, *self._deeds]
                return
            del deeds[0]
        self._said = ""

    async def within(self, work: Callable[[], Awaitable[object]]) -> str:
        """Do it in time; return what went wrong, or an empty string."""
        try:
            async with asyncio.timeout(ROUTER_WITHIN_S):
                await work()
        except MachineError as error:
            return str(error)
        except TimeoutError:
            return f"the router does not answer within {ROUTER_WITHIN_S:g} s"
        except _UNREADABLE as error:
            return f"the router's answer makes no sense: {type(error).__name__}: {error}"
        return ""

    async def _until_all_is_ordered(self) -> None:
        """Let what fails in the same moment become one order; half a millisecond for one."""
        known = 0
        while len(self._orders) > known:
            known = len(self._orders)
            await asyncio.sleep(COALESCE_S)
