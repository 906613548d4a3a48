"""What `Router` promises, of every back-end: a real daemon, and a neighbour that says what it heard."""

import asyncio
import re
import signal
import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from tests.freezing import freeze

from ridgeline.agent.router import Router, Severity, Stance, Wanted
from ridgeline.errors import MachineError

from .backends import (
    ANNOUNCED,
    BACKENDS,
    DRAINED,
    DRAINED_LONGER,
    FOUR,
    SIX,
    WITHDRAWN,
    Backend,
    answer_within,
    backend_of,
    run,
    wait_for,
)

SOON_S = 5.0
"""What takes milliseconds, on a machine with other work; `make bench-agent` has the figures."""

MANY = tuple(ip_network((0x64400000 + 256 * n, 24)) for n in range(1000))


@pytest.fixture(scope="module", params=BACKENDS, ids=lambda kind: kind.kind.value)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with backend_of(request.param) as backend:
        yield backend


@pytest.fixture
def fresh(backend: Backend) -> Backend:
    """Nothing is announced, and nothing was heard yet."""
    backend.reset()
    return backend


def test_announces_drains_and_withdraws_with_one_update_each(fresh: Backend) -> None:
    bed = fresh.bed

    async def story(router: Router) -> None:
        for wanted, attributes in (
            (ANNOUNCED, {"as_path": "64500"}),
            (DRAINED_LONGER, {"as_path": "64500 64500 64500", "community": "(65535,0)"}),
            (DRAINED_LONGER, None),
            (ANNOUNCED, {"as_path": "64500"}),
            (ANNOUNCED, None),
        ):
            for prefix in (FOUR, SIX):
                await router.apply({prefix: wanted})
            await fresh.fence(router)
            for prefix in (FOUR, SIX):
                heard = [event.is_present for event in bed.heard(str(prefix))]
                assert heard == ([True] if attributes else []), (wanted, bed.heard())
                if attributes:
                    route = bed.route(str(prefix))
                    assert route is not None
                    assert {key: route.get(key) for key in attributes} == attributes
                    assert ("community" in route) is ("community" in attributes)
            bed.mark()
        began = time.time()
        await router.apply({FOUR: WITHDRAWN, SIX: WITHDRAWN})
        gone = [await fresh.wait_heard("removed", prefix) for prefix in (FOUR, SIX)]
        assert max(event.at for event in gone) - began < SOON_S
        await fresh.settle(router)
        await router.apply({FOUR: WITHDRAWN, SIX: WITHDRAWN})
        await fresh.fence(router)
        assert not bed.heard(str(FOUR)) + bed.heard(str(SIX))

    run(fresh.router(), story)


def test_an_agent_restarted_with_another_prepend_drains_by_it(fresh: Backend) -> None:
    def attributes() -> tuple[str, str]:
        route = fresh.bed.route(str(FOUR))
        assert route is not None
        return route["as_path"], route["community"]

    async def drain(router: Router) -> None:
        await router.apply({FOUR: DRAINED_LONGER})
        await fresh.wait_heard("present", FOUR)
        assert attributes() == ("64500 64500 64500", "(65535,0)")

    async def drain_anew(router: Router) -> None:
        await fresh.settle(router)
        await router.apply({FOUR: DRAINED})
        await fresh.wait_heard("present", FOUR)
        assert attributes() == ("64500", "(65535,0)")
        await fresh.fence(router)
        assert [event.is_present for event in fresh.bed.heard(str(FOUR))] == [True]

    run(fresh.router(), drain)
    run(fresh.router(), drain_anew)


def test_reads_back_what_is_held_and_what_is_sent(fresh: Backend) -> None:
    four, six = fresh.sessions

    async def story(router: Router) -> None:
        await router.apply({FOUR: ANNOUNCED, SIX: DRAINED})
        await fresh.wait_heard("present", SIX)
        await fresh.wait_heard("present", FOUR)
        seen = await router.read_back()
        assert (seen.held[FOUR], seen.held[SIX]) == (Stance.ANNOUNCED, Stance.DRAINED)
        assert seen.exported[FOUR] == {four: Stance.ANNOUNCED}
        assert seen.exported[SIX] == {six: Stance.DRAINED}
        assert [(n.name, n.address, n.asn, n.established) for n in seen.neighbours] == [
            (four, "198.18.0.1", 65550, True),
            (six, "2001:2::1", 65550, True),
        ]
        await router.apply({FOUR: WITHDRAWN})
        await fresh.wait_heard("removed", FOUR)
        seen = await router.read_back()
        assert seen.held[FOUR] is Stance.WITHDRAWN
        assert FOUR not in seen.exported

    run(fresh.router(), story)


def test_a_restarted_agent_that_says_the_same_causes_no_update(fresh: Backend) -> None:
    run(fresh.router(), lambda router: router.apply({FOUR: ANNOUNCED, SIX: DRAINED_LONGER}))

    async def story(router: Router) -> None:
        await fresh.settle(router)
        await router.apply({FOUR: ANNOUNCED, SIX: DRAINED_LONGER})
        await fresh.fence(router)
        assert not fresh.bed.heard(str(FOUR)) + fresh.bed.heard(str(SIX))

    run(fresh.router(), story)


def test_a_call_that_was_cancelled_may_be_repeated(fresh: Backend) -> None:
    """At whatever moment it is cancelled, the next calls read their own answers."""

    async def story(router: Router) -> None:
        for pause in (0, 0.0005, 0.002, 0.008, 0.02):
            for wanted in (ANNOUNCED, DRAINED, WITHDRAWN):
                doing = asyncio.create_task(router.apply({FOUR: wanted, SIX: wanted}))
                await asyncio.sleep(pause)
                doing.cancel()
                await asyncio.wait([doing])
                await router.apply({FOUR: wanted, SIX: wanted})
                seen = await router.read_back()
                assert (seen.held[FOUR], seen.held[SIX]) == (wanted.stance, wanted.stance)

    run(fresh.router(), story)


def test_a_thousand_prefixes_go_in_one_call(fresh: Backend) -> None:
    """A sanity bound; `make bench-agent` measures it."""
    bed = fresh.bed

    async def all_heard(*, present: bool) -> None:
        def heard() -> bool:
            last = {event.prefix: event.is_present for event in bed.heard()}
            return sum(is_present is present for is_present in last.values()) >= len(MANY)

        await wait_for(heard, f"all are {'announced' if present else 'withdrawn'}", seconds=30)

    async def story(router: Router) -> float:
        await router.apply(dict.fromkeys(MANY, ANNOUNCED))
        await all_heard(present=True)
        seen = await router.read_back()
        assert {seen.held[prefix] for prefix in MANY} == {Stance.ANNOUNCED}
        assert {next(iter(seen.exported[p].values())) for p in MANY} == {Stance.ANNOUNCED}
        bed.mark()
        began = time.time()
        await router.apply(dict.fromkeys(MANY, WITHDRAWN))
        await all_heard(present=False)
        return max(event.at for event in bed.heard()) - began

    assert run(fresh.router(*MANY), story) < 2 * SOON_S


def test_a_restarted_router_shows_what_it_holds_and_takes_the_order_again(fresh: Backend) -> None:
    kept = Stance.DRAINED if fresh.remembers else Stance.WITHDRAWN

    async def story(router: Router) -> None:
        await router.apply({FOUR: DRAINED})
        await fresh.wait_heard("present", FOUR)
        fresh.bed.mark()
        fresh.end()
        await fresh.wait_heard("removed", FOUR)
        with pytest.raises(MachineError, match=r"cannot be (asked|opened)|was lost"):
            await router.read_back()
        fresh.daemon = fresh.start()
        seen = await router.read_back()
        assert seen.held[FOUR] is kept
        fresh.bed.mark()
        await router.apply({FOUR: DRAINED})
        await fresh.wait_heard("present", FOUR, seconds=30)
        assert "(65535,0)" in fresh.bed.ask_neighbour(f"show route {FOUR} all")

    run(fresh.router(), story)


def test_a_stopped_router_is_an_error_in_time_and_recovers(
    fresh: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_within(monkeypatch, type(fresh), 1.0)

    async def story(router: Router) -> None:
        await router.read_back()
        try:
            freeze(fresh.daemon)
            began = time.monotonic()
            with pytest.raises(MachineError, match=r"no answer in|does not answer"):
                await router.apply({FOUR: ANNOUNCED})
            assert time.monotonic() - began < SOON_S
        finally:
            fresh.daemon.send_signal(signal.SIGCONT)
        monkeypatch.undo()
        await router.apply({FOUR: ANNOUNCED})
        await fresh.wait_heard("present", FOUR)

    run(fresh.router(), story)


def test_closes_sessions_with_a_reason_and_opens_them(fresh: Backend) -> None:
    """RFC 9003; a router that takes no text says so, and leaves its sessions alone."""
    bed = fresh.bed
    if not fresh.shuts:
        assert run(fresh.router(), lambda router: router.shut_sessions("disk swap")) is False
        assert fresh.is_up()
        return

    def shown() -> str:
        return "".join(bed.ask_neighbour(f"show protocols all {n}") for n in ("site4", "site6"))

    async def story(router: Router) -> None:
        assert await router.shut_sessions("disk   swap, back at 14:00")
        await wait_for(
            lambda: len(re.findall(r"disk +swap, back at 14:00", shown())) == 2,
            "the neighbour shows the reason of both",
        )
        findings = await router.inspect()
        assert sum(f.severity is Severity.ERROR for f in findings) >= 2
        await router.open_sessions()

    run(fresh.router(), story)
    fresh.wait_sessions()


def test_inspect_finds_what_this_set_up_lacks_and_nothing_else(fresh: Backend) -> None:
    async def story(router: Router) -> list[str]:
        await router.apply({FOUR: ANNOUNCED, SIX: ANNOUNCED})
        await fresh.wait_heard("present", FOUR)
        await fresh.wait_heard("present", SIX)
        return [f"{f.severity.value}: {f.what}" for f in await router.inspect()]

    told = run(fresh.router(FOUR, SIX), story)
    assert not [text for text in told if text.startswith("error")], told
    four, six = fresh.sessions
    for pattern in (
        rf"ok: .*\b{re.escape(four)} \(AS65550.* is established",
        rf"ok: 192\.0\.2\.0/24 is (sent|announced) to {re.escape(four)}",
        rf"ok: 2001:db8:53::/48 is (sent|announced) to {re.escape(six)}",
        re.escape(fresh.dead_man),
        r"note: 192\.0\.2\.0/24: this machine cannot see its ROA",
    ):
        assert [text for text in told if re.search(pattern, text)], (pattern, told)


def test_inspect_finds_graceful_restart_and_a_foreign_asn(fresh: Backend) -> None:
    """A neighbour that helps would keep a dead route; and the agent must announce as the spec says."""
    fresh.write(graceful=True)
    try:
        fresh.restart()
        findings = run(fresh.router(), lambda router: router.inspect())
        offered = [f for f in findings if re.search(r"graceful restart is (offered|on)", f.what)]
        assert offered, findings
        assert all(f.severity in {Severity.WARNING, Severity.ERROR} for f in offered)
        assert all(f.lines for f in offered)
        findings = run(fresh.router(asn=64501), lambda router: router.inspect())
        told = [f"{f.severity.value}: {f.what}" for f in findings]
        foreign = r"^(error|warning): .*(64500.*64501|64501.*64500)"
        assert [text for text in told if re.search(foreign, text)], told
    finally:
        fresh.write(graceful=False)
        fresh.restart()


def test_an_unreachable_router_is_a_finding_with_what_to_do(fresh: Backend) -> None:
    fresh.end()
    try:
        (finding,) = run(fresh.router(), lambda router: router.inspect())
        assert finding.severity is Severity.ERROR
        assert str(fresh.here) in finding.what + " ".join(finding.lines)
        with pytest.raises(MachineError):
            run(fresh.router(), lambda router: router.apply({FOUR: Wanted(Stance.ANNOUNCED)}))
    finally:
        fresh.daemon = fresh.start()
        fresh.wait_sessions()
