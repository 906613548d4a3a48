"""What only GoBGP's back-end has."""

from collections.abc import Iterator

import pytest

from ridgeline.agent.router import Router, Severity

from .backends import ANNOUNCED, FOUR, SIX, Gobgp, backend_of, run


@pytest.fixture
def gobgp() -> Iterator[Gobgp]:
    with backend_of(Gobgp) as backend:
        assert isinstance(backend, Gobgp)
        backend.reset()
        yield backend


def test_a_shut_session_is_found_with_the_command_that_opens_it(gobgp: Gobgp) -> None:
    async def story(router: Router) -> None:
        await router.shut_sessions("rack move")
        findings = await router.inspect()
        shut = [f for f in findings if "is shut by" in f.what]
        assert [f.lines for f in shut] == [
            ("gobgp neighbor 198.18.0.1 enable",),
            ("gobgp neighbor 2001:2::1 enable",),
        ]
        assert {f.severity for f in shut} == {Severity.ERROR}

    run(gobgp.router(), story)


def test_the_dead_mans_lines_withdraw_what_is_announced(gobgp: Gobgp) -> None:
    """GoBGP has no switch of its own; the commands that `agent check` prints for systemd work."""

    async def story(router: Router) -> None:
        await router.apply({FOUR: ANNOUNCED, SIX: ANNOUNCED})
        await gobgp.wait_heard("present", SIX)
        (finding,) = [f for f in await router.inspect() if "no dead-man switch" in f.what]
        line = next(line for line in finding.lines if line.startswith("ExecStopPost="))
        commands = line.partition("{ ")[2].rpartition("; }")[0]
        gobgp.sh(commands)
        await gobgp.wait_heard("removed", FOUR)
        await gobgp.wait_heard("removed", SIX)

    run(gobgp.router(FOUR, SIX), story)
