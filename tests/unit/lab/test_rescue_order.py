"""Whom a site asks about a flow that is not its own."""

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from ridgeline.lab.rescue.order import Catchments

SITES = ("lhr", "nrt", "gru")
CLIENT = IPv4Network("198.19.0.0/28")


def test_the_latest_catchment_is_asked_first() -> None:
    catchments = Catchments(SITES)
    catchments.learn({CLIENT: "gru"})
    assert catchments.order(CLIENT) == ("gru", "lhr", "nrt")
    catchments.learn({CLIENT: "nrt"})
    assert catchments.order(CLIENT) == ("nrt", "gru", "lhr")


def test_a_client_that_lands_nowhere_keeps_its_past() -> None:
    catchments = Catchments(SITES)
    catchments.learn({CLIENT: "gru"})
    catchments.learn({})
    catchments.learn({CLIENT: "somewhere else"})
    assert catchments.orders() == {CLIENT: ("gru", "lhr", "nrt")}


@given(st.lists(st.sampled_from(SITES), min_size=2))
def test_whoever_gets_a_moved_client_asks_the_site_before_it_first(landed: list[str]) -> None:
    """However early or late the table is brought up to date: a site skips itself."""
    catchments = Catchments(SITES)
    for site in landed[:-1]:
        catchments.learn({CLIENT: site})
    now = landed[-1]
    before = [s for s in landed[:-1] if s != now][-1:]
    for told in (False, True):
        if told:
            catchments.learn({CLIENT: now})
        asked = [site for site in catchments.order(CLIENT) if site != now]
        assert asked[:1] == (before or [s for s in SITES if s != now][:1])
        assert sorted([*asked, now]) == sorted(SITES)
