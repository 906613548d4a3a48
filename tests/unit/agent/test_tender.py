"""One router asked one thing at a time, whatever it does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_network

import pytest

from ridgeline.agent.core import Applied, Event, Observed, RouterFailed, Say
from ridgeline.agent.router import Finding, Observation, Router, Stance, Wanted
from ridgeline.agent.tender import Tender
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

P = ip_network("192.0.2.0/24")
GONE = {P: Wanted(Stance.WITHDRAWN)}


class Script:
    """A router that does what the test says: raises what is first in `fails`, else obeys."""

    def __init__(self) -> None:
        self.fails: list[Exception] = []
        self.asked: list[str] = []
        self.busy = 0

    async def _ask(self, what: str) -> None:
        self.busy += 1
        assert self.busy == 1, "asked two things at once"
        await asyncio.sleep(0.001)
        self.busy -= 1
        self.asked.append(what)
        if self.fails:
            raise self.fails.pop(0)

    async def apply(self, wanted: Mapping[Prefix, Wanted]) -> tuple[str, ...]:
        await self._ask(f"apply {len(wanted)}")
        return ()

    async def read_back(self) -> Observation:
        await self._ask("read")
        return Observation(held={}, exported={}, neighbours=())

    async def shut_sessions(self, reason: str) -> bool:
        await self._ask(f"shut {reason}")
        return True

    async def open_sessions(self) -> None:
        await self._ask("open")

    async def inspect(self) -> tuple[Finding, ...]:
        return ()

    async def close(self) -> None: ...


Story = Callable[[Script, Tender, list[Event], list[Say]], Awaitable[None]]


def play(story: Story, *, runs: bool = True) -> None:
    async def run() -> None:
        router, events, said = Script(), list[Event](), list[Say]()
        tender = Tender(router, post=events.append, say=said.append)
        task = asyncio.create_task(tender.run()) if runs else None
        async with asyncio.timeout(60):
            await story(router, tender, events, said)
        if task is not None:
            assert not task.done()
            task.cancel()

    asyncio.run(run())


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)


def test_an_answer_that_makes_no_sense_is_a_failure_and_the_next_reading_goes_on() -> None:
    async def story(router: Script, tender: Tender, events: list[Event], said: list[Say]) -> None:
        router.fails = [KeyError("peers"), MachineError("no socket")]
        await until(lambda: any(isinstance(e, Observed) for e in events))
        assert events[:2] == [
            RouterFailed("the router's answer makes no sense: KeyError: 'peers'"),
            RouterFailed("no socket"),
        ]

    play(story)


def test_what_is_wrong_with_this_process_ends_it() -> None:
    async def story(router: Script, tender: Tender, events: list[Event], said: list[Say]) -> None:
        router.fails = [RuntimeError("can't start new thread")]
        with pytest.raises(RuntimeError):
            await tender.run()

    play(story, runs=False)


def test_sessions_that_could_not_be_opened_are_opened_later_and_readings_go_on() -> None:
    async def story(router: Script, tender: Tender, events: list[Event], said: list[Say]) -> None:
        await until(lambda: events)

        async def reopen(asked: Router) -> None:
            router.fails = [MachineError("no such peer")] if "open" not in router.asked else []
            await asked.open_sessions()

        tender.do(reopen)
        await until(lambda: router.asked.count("open") == 2)
        assert [say.reason for say in said] == ["no such peer"]
        assert not any(isinstance(e, RouterFailed) for e in events)

    play(story)


def test_while_the_router_is_replaced_nothing_is_asked_of_it() -> None:
    async def story(router: Script, tender: Tender, events: list[Event], said: list[Say]) -> None:
        await until(lambda: events)
        async with tender.turn:
            tender.order(GONE)
            before = list(router.asked)
            await asyncio.sleep(0.7)
            assert router.asked == before
            assert tender.is_applying
            tender.router = other = Script()
        await until(lambda: any(isinstance(e, Applied) for e in events))
        assert other.asked[0] == "apply 1"
        assert "apply 1" not in router.asked
        await until(lambda: not tender.is_applying)

    play(story)
