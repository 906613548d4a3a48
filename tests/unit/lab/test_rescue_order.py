"""Whom a site asks about a flow that is not its own."""

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from ridgeline.lab.rescue.order import Catchments

SITES = ("lhr", "nrt", "gru")
MANY = tuple(f"site-{number:03}" for number in range(600))
CLIENT = IPv4Network("198.19.0.0/28")
OTHERS = [IPv4Network(f"198.19.{number}.0/28") for number in range(1, 6)]


def test_the_latest_catchment_is_asked_first() -> None:
    catchments = Catchments(SITES, most=13)
    catchments.learn({CLIENT: "gru"})
    assert catchments.orders() == {CLIENT: ("gru", "lhr", "nrt")}
    catchments.learn({CLIENT: "nrt"})
    assert catchments.orders() == {CLIENT: ("nrt", "gru", "lhr")}


def test_a_client_that_lands_nowhere_keeps_its_past() -> None:
    catchments = Catchments(SITES, most=13)
    catchments.learn({CLIENT: "gru"})
    catchments.learn({})
    catchments.learn({CLIENT: "somewhere else"})
    assert catchments.orders() == {CLIENT: ("gru", "lhr", "nrt")}


def test_a_stranger_s_flow_is_sought_where_most_clients_land() -> None:
    catchments = Catchments(MANY, most=4)
    for number, client in enumerate(OTHERS):
        catchments.learn({client: "site-500" if number < 3 else "site-077"})
    assert catchments.everybody() == ("site-500", "site-077", "site-000", "site-001")


def test_the_list_ends_however_many_sites_there_are_and_however_often_routes_moved() -> None:
    catchments = Catchments(MANY, most=13)
    for site in MANY:
        catchments.learn({CLIENT: site})
    assert catchments.orders() == {CLIENT: MANY[:-14:-1]}


@given(
    st.sampled_from([SITES, MANY]),
    st.lists(st.integers(0, 599), min_size=2, max_size=40),
)
def test_whoever_gets_a_moved_client_asks_the_site_before_it_first(
    sites: tuple[str, ...], numbers: list[int]
) -> None:
    """However early or late the table is brought up to date: a site skips itself."""
    catchments = Catchments(sites, most=13)
    landed = [sites[number % len(sites)] for number in numbers]
    for site in landed[:-1]:
        catchments.learn({CLIENT: site})
    now = landed[-1]
    before = [s for s in landed[:-1] if s != now][-1:]
    for told in (False, True):
        if told:
            catchments.learn({CLIENT: now})
        order = catchments.orders()[CLIENT]
        asked = [site for site in order if site != now]
        assert asked[:1] == (before or asked[:1])
        assert len(set(order)) == len(order) == min(13, len(sites))
