"""What only BIRD's back-end has: an include file, and other people's protocols beside its own."""

from collections.abc import Iterator

import pytest

from ridgeline.agent.router import Router, Stance

from .backends import (
    ANNOUNCED,
    DRAINED,
    DRAINED_LONGER,
    FOUR,
    SIX,
    WITHDRAWN,
    Bird,
    backend_of,
    run,
)

OPERATORS = """\
protocol static any_192_0_2_0_24x { ipv4; route 203.0.113.0/24 blackhole; }
protocol static any_x { ipv4; route 198.51.100.0/25 blackhole; }
"""


@pytest.fixture
def bird() -> Iterator[Bird]:
    with backend_of(Bird) as backend:
        assert isinstance(backend, Bird)
        backend.reset()
        yield backend


def test_what_the_operator_names_like_ours_is_left_alone(bird: Bird) -> None:
    file = bird.here / "bird.conf"
    file.write_text(file.read_text() + OPERATORS)

    async def story(router: Router) -> None:
        await router.apply({FOUR: ANNOUNCED, SIX: ANNOUNCED})
        assert "Reconfigured" in bird.at_bird("configure")
        bird.wait_route("203.0.113.0/24")
        for wanted in (WITHDRAWN, DRAINED, ANNOUNCED, WITHDRAWN):
            await router.apply({FOUR: wanted, SIX: wanted})
        await bird.fence(router)
        assert bird.bed.route("203.0.113.0/24")
        assert bird.bed.route("198.51.100.0/25")
        assert not bird.bed.route(str(FOUR))

    run(bird.router(), story)


def test_a_drain_is_not_kept_waiting_by_a_mistake_in_the_operators_file(bird: Bird) -> None:
    """More copies of our ASN need `configure`, which BIRD refuses: then it drains without them."""

    async def story(router: Router) -> None:
        await router.apply({FOUR: ANNOUNCED})
        await bird.wait_heard("present", FOUR)
        file = bird.here / "bird.conf"
        right = file.read_text()
        file.write_text(right + "garbage here;\n")
        bird.bed.mark()
        (complaint,) = await router.apply({FOUR: DRAINED_LONGER})
        assert "drained with 0 copies of our ASN, not 2: BIRD refuses" in complaint
        await bird.wait_heard("present", FOUR)
        route = bird.bed.route(str(FOUR))
        assert route is not None
        assert (route["as_path"], route["community"]) == ("64500", "(65535,0)")
        file.write_text(right)
        bird.bed.mark()
        assert await router.apply({FOUR: DRAINED_LONGER}) == ()
        await bird.wait_heard("present", FOUR)
        route = bird.bed.route(str(FOUR))
        assert route is not None
        assert route["as_path"] == "64500 64500 64500"

    run(bird.router(), story)


def test_what_an_operator_switched_on_by_hand_is_seen_and_put_right(bird: Bird) -> None:
    async def story(router: Router) -> None:
        await router.apply({FOUR: WITHDRAWN, SIX: WITHDRAWN})
        await router.read_back()
        bird.at_bird("enable any_192_0_2_0_24")
        bird.at_bird("enable drn_192_0_2_0_24")
        await bird.wait_heard("present", FOUR)
        seen = await router.read_back()
        assert seen.held[FOUR] is Stance.DRAINED
        bird.bed.mark()
        await router.apply({FOUR: WITHDRAWN})
        await bird.wait_heard("removed", FOUR)
        assert (await router.read_back()).held[FOUR] is Stance.WITHDRAWN

    run(bird.router(), story)
