"""All that is asked of the fleet guard. Whatever befalls it is no slot, and no reason to end."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from ridgeline.agent.core import Event, GuardAnswered, Say
from ridgeline.spec.model import Prefix

AGAIN_S: Final = 1.0


class Guard(Protocol):
    """The fleet guard, as far as the runner needs it (`ridgeline.agent.fleet_guard`)."""

    async def ask(self, prefix: Prefix) -> GuardAnswered: ...

    async def release(self, prefix: Prefix) -> None: ...

    async def run(self) -> None: ...


class Slots:
    """Asks for slots and gives them back.

    Parameters
    ----------
    guard
        None: there is none, and no slot is to be had.
    post
        Takes the events for the core.
    say
        Takes what goes into the log.
    """

    def __init__(
        self, guard: Guard | None, *, post: Callable[[Event], None], say: Callable[[Say], None]
    ) -> None:
        self._guard, self._post, self._say = guard, post, say

    @property
    def are_counted(self) -> bool:
        """Whether there is a guard."""
        return self._guard is not None

    async def ask(self, prefix: Prefix) -> None:
        """Ask for a slot, and post what came of it."""
        why = "there is no fleet guard"
        if self._guard is not None:
            try:
                self._post(await self._guard.ask(prefix))
            except Exception as error:  # noqa: BLE001 - no failure of a store may end the agent
                why = self._failed(error)
            else:
                return
        self._post(GuardAnswered(prefix, granted=False, reason=why, silent=True))

    async def release(self, prefix: Prefix) -> None:
        """Give a slot back."""
        if self._guard is not None:
            try:
                await self._guard.release(prefix)
            except Exception as error:  # noqa: BLE001 - no failure of a store may end the agent
                self._failed(error)

    async def run(self) -> None:
        """Keep what is held, until cancelled."""
        while self._guard is not None:
            try:
                await self._guard.run()
            except Exception as error:  # noqa: BLE001 - no failure of a store may end the agent
                self._failed(error)
            await asyncio.sleep(AGAIN_S)

    def _failed(self, error: Exception) -> str:
        reason = f"the fleet guard failed: {type(error).__name__}: {error}"
        self._say(Say("error", "guard_failed", reason))
        return reason
