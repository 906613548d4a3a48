"""Keeps the state file up to date beside the event loop, which a slow disk must not hold up."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from ridgeline.agent.core import Drain
from ridgeline.agent.state import StateDirectory
from ridgeline.spec.model import Prefix

SAVED_WITHIN_S: Final = 2.0
"""How long an operator waits for the disk before the answer says how things are."""

Drains = list[tuple[Prefix, Drain]]


class Saver:
    """Writes the drains down whenever they change.

    Parameters
    ----------
    drains
        Returns what is to be kept now.
    complain
        Hears what prevented it.
    """

    def __init__(
        self,
        state: StateDirectory,
        *,
        drains: Callable[[], Drains],
        complain: Callable[[str], None],
    ) -> None:
        self._state, self._drains, self._complain = state, drains, complain
        self._unsaved, self._saved = asyncio.Event(), asyncio.Event()
        self._saved.set()
        self._writing = threading.Lock()

    def changed(self) -> None:
        """Say that there is something to write."""
        self._saved.clear()
        self._unsaved.set()

    async def settle(self) -> None:
        """Wait until all is written, or the disk has had its time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SAVED_WITHIN_S):
                await self._saved.wait()

    async def run(self) -> None:
        """Write what changed, until cancelled."""
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            self._tell(await asyncio.to_thread(self._write, self._drains()))
            if not self._unsaved.is_set():
                self._saved.set()

    def finish(self) -> None:
        """Write what is left, now: the agent ends."""
        if not self._saved.is_set():
            self._tell(self._write(self._drains()))

    def _write(self, drains: Drains) -> str:
        with self._writing:  # a thread may still be at it
            return self._state.write(drains, now=time.monotonic(), wall=time.time())

    def _tell(self, complaint: str) -> None:
        if complaint:
            self._complain(complaint)
