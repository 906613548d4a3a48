"""nginx with Varnish behind it takes our texts and is the shared cache that RFC 9111 describes."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest

from ridgeline.errors import MachineError
from ridgeline.lab.change.purge import EVERYTHING, Order, order_varnish
from ridgeline.render.edge import EdgeSite
from ridgeline.render.varnish import VarnishPolicy, control_socket

from .daemons import HTTP_PORT, Daemons, own_address, running_daemons
from .edges import Answer, edge_folder, edge_site, fetch, healthy, start_edge
from .origin import Page, ScriptedOrigin, running_origin

EDGE, OTHER = own_address(84), own_address(85)
ORIGIN = own_address(10)
HOST = "nrt.example-anycast.example"
KEEP = {"Cache-Control": "max-age=60"}
MISS = "fwd=miss; fwd-status=200"
_numbers = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Two sites of one network, and the origin behind both."""

    site: EdgeSite
    daemons: Daemons
    origin: ScriptedOrigin

    def page(self, headers: dict[str, str], **more: object) -> str:
        """Put a page at the origin that no other test asks for."""
        path = f"/v{next(_numbers)}"
        self.origin.pages[path] = Page(headers=dict(headers), **more)  # type: ignore[arg-type]
        return path

    def n_asked(self, path: str) -> int:
        return self.origin.paths().count(path)

    def order(self, order: Order) -> None:
        asyncio.run(order_varnish(control_socket(self.site.directory), order))


@pytest.fixture(scope="module")
def edge() -> Iterator[Running]:
    with (
        edge_folder() as folder,
        running_daemons(folder) as daemons,
        running_origin(ORIGIN, HTTP_PORT) as origin,
    ):
        sites = edge_site(folder, EDGE, ORIGIN), edge_site(folder, OTHER, ORIGIN, name="lhr")
        for site in sites:
            start_edge(daemons, site, "varnish", VarnishPolicy(probe_interval=0))
        yield Running(site=sites[0], daemons=daemons, origin=origin)


def wait_until(asked: Callable[[], bool], within: float = 3) -> None:
    deadline = time.monotonic() + within
    while not asked():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.02)


def test_the_second_fetch_is_a_hit_and_says_so(edge: Running) -> None:
    path = edge.page(KEEP, takes=0.05)
    first, second = fetch(EDGE, path), fetch(EDGE, path)
    assert [first.cache, second.cache] == [MISS, "hit"]
    assert second.headers["Cache-Status"] in {f"{HOST}; hit; ttl=60", f"{HOST}; hit; ttl=59"}
    assert (second.headers["Via"], second.headers["X-Served-By"]) == (f"1.1 {HOST}", "nrt")
    assert second.headers["Server-Timing"] == "cdn-cache;desc=HIT"
    word, _, took = first.headers["Server-Timing"].partition(", origin;dur=")
    assert word == "cdn-cache;desc=MISS"
    assert 50 <= int(took) < 1000
    assert (second.headers["Age"], edge.n_asked(path)) == ("0", 1)
    assert not [name for name in second.headers if name.lower().startswith(("x-edge", "x-varnish"))]


def test_the_origin_learns_who_asks_and_through_whom(edge: Running) -> None:
    path = edge.page(KEEP)
    said = {"X-Forwarded-For": "203.0.113.9", "Via": "1.0 fred", "CDN-Loop": "other-cdn; a=b"}
    fetch(EDGE, path, headers=said)
    asked = edge.origin.asked[-1]
    assert asked.source == str(edge.site.unicast[0])
    assert asked.headers["X-Forwarded-For"] == "127.0.0.1"
    assert asked.headers["Via"] == f"1.0 fred, 1.1 {HOST}"
    assert asked.headers["CDN-Loop"] == "other-cdn; a=b, example-anycast; site=nrt"
    assert not [name for name in asked.headers if name.lower().startswith(("x-edge", "x-varnish"))]


def test_a_loop_ends_here_unless_the_cache_ends_it(edge: Running) -> None:
    path, loop = edge.page(KEEP), {"CDN-Loop": "other-cdn, example-anycast; site=lhr"}
    assert [fetch(EDGE, path, headers=loop).status for _ in range(2)] == [508, 508]
    assert edge.n_asked(path) == 0
    assert fetch(EDGE, path, headers={"CDN-Loop": "not-example-anycast"}).status == 200
    assert fetch(EDGE, path, headers=loop).cache == "hit"


def test_caches_and_proxies_nearer_to_the_origin_are_named_first(edge: Running) -> None:
    path = edge.page(
        {
            "Cache-Control": "max-age=1, stale-while-revalidate=60",
            "ETag": '"a"',
            "Via": "1.0 inner",
            "Cache-Status": "inner; hit",
        }
    )
    said = [fetch(EDGE, path) for _ in range(2)]
    time.sleep(1.1)
    said.append(fetch(EDGE, path))
    wait_until(lambda: fetch(EDGE, path).cache == "hit")
    said.append(fetch(EDGE, path))
    assert [answer.headers["Cache-Status"].partition("; ttl=")[0] for answer in said] == [
        f"inner; hit, {HOST}; {MISS}",
        f"inner; hit, {HOST}; hit",
        f"inner; hit, {HOST}; hit; detail=stale-while-revalidate",
        f"inner; hit, {HOST}; hit",
    ]
    assert {answer.headers["Via"] for answer in said} == {f"1.0 inner, 1.1 {HOST}"}
    assert edge.n_asked(path) == 2


def test_what_a_304_does_not_say_again_no_longer_holds_but_the_tag_does(edge: Running) -> None:
    path = edge.page({"Cache-Control": "max-age=1, stale-while-revalidate=60", "ETag": '"a"'})
    fetch(EDGE, path)
    edge.origin.pages[path].headers |= {"Cache-Control": "max-age=1", "X-New": "1"}
    time.sleep(1.1)
    fetch(EDGE, path)
    wait_until(lambda: edge.n_asked(path) == 2)
    wait_until(lambda: fetch(EDGE, path).headers["X-New"] == "1")
    time.sleep(1.1)
    renewed = fetch(EDGE, path)
    assert renewed.cache == "fwd=stale; fwd-status=304"  # no stale answer any more
    assert renewed.headers.get_all("ETag") == ['"a"']


def test_a_part_of_what_is_too_large_to_keep_is_fetched_alone(edge: Running) -> None:
    path = edge.page(KEEP, body=bytes(10_000_000))
    assert [len(fetch(EDGE, path).body) for _ in range(2)] == [10_000_000] * 2
    fetch(EDGE, path, headers={"Range": "bytes=5-9"})
    assert edge.origin.asked[-1].headers["Range"] == "bytes=5-9"


def crowd(size: int, path: str) -> list[Answer]:
    """Fetch the same page so many times at once."""
    got: list[Answer] = []
    everyone = [threading.Thread(target=lambda: got.append(fetch(EDGE, path))) for _ in range(size)]
    for one in everyone:
        one.start()
    for one in everyone:
        one.join()
    return got


def test_a_crowd_is_one_fetch(edge: Running) -> None:
    path = edge.page(KEEP, takes=0.4)
    assert [answer.body for answer in crowd(50, path)] == [b"hello\n"] * 50
    assert edge.n_asked(path) == 1


def test_a_crowd_does_not_stand_in_line_for_what_is_never_kept(edge: Running) -> None:
    path = edge.page({"Cache-Control": "no-store"}, takes=0.2)
    fetch(EDGE, path)
    began = time.monotonic()
    assert len(crowd(20, path)) == 20
    assert time.monotonic() - began < 2.0  # in line it would be 4 s
    assert edge.n_asked(path) == 21


@pytest.mark.parametrize(
    ("said", "is_kept"),
    [
        ({"CDN-Cache-Control": "max-age=60"}, True),
        ({"CDN-Cache-Control": "max-age=2147483648"}, True),
        ({"CDN-Cache-Control": "max-age=99999999999"}, True),
        ({"CDN-Cache-Control": "max-age=3600", "Age": "7200"}, False),
        ({"CDN-Cache-Control": "max-age=0"}, False),
        ({"CDN-Cache-Control": "foobar, max-age=60"}, True),
        ({"CDN-Cache-Control": "max-age=60", "Expires": "0"}, True),
        ({"CDN-Cache-Control": "max-age=0", "Expires": "Fri, 01 Jan 2100 00:00:00 GMT"}, False),
        ({"CDN-Cache-Control": "max-age=60", "Cache-Control": "max-age=0"}, True),
        ({"CDN-Cache-Control": "max-age=0", "Cache-Control": "max-age=60"}, False),
        ({"CDN-Cache-Control": "private", "Cache-Control": "max-age=60"}, False),
        ({"CDN-Cache-Control": "no-cache", "Cache-Control": "max-age=60"}, False),
        ({"CDN-Cache-Control": "no-store", "Cache-Control": "max-age=60"}, False),
        ({"CDN-Cache-Control": "max-age=60", "Cache-Control": "no-store"}, True),
        ({"CDN-Cache-Control": "max-age=60, &&&&&", "Cache-Control": "no-store"}, False),
        ({"CDN-Cache-Control": 'max-age="60"', "Cache-Control": "no-store"}, False),
        ({"CDN-Cache-Control": "max-age =60", "Cache-Control": "no-store"}, False),
        ({"CDN-Cache-Control": "no-store=", "Cache-Control": "max-age=60"}, True),
        ({"CDN-Cache-Control": "", "Cache-Control": "max-age=60"}, True),
    ],
    ids=str,
)
def test_a_field_aimed_at_cdns_comes_first_if_it_is_one(
    edge: Running, said: dict[str, str], is_kept: bool
) -> None:
    path = edge.page(said)
    fetch(EDGE, path)
    assert fetch(EDGE, path).cache == ("hit" if is_kept else MISS)


@pytest.mark.parametrize(
    ("said", "is_kept"),
    [
        ({}, False),
        ({"Last-Modified": "Fri, 01 Jan 2010 00:00:00 GMT"}, False),
        ({"Cache-Control": "private, max-age=60"}, False),
        ({"Cache-Control": "s-maxage=0, max-age=60"}, False),
        (KEEP | {"Set-Cookie": "a=b"}, False),
        (KEEP | {"Vary": "Accept-Encoding, *"}, False),
        (KEEP | {"Vary": "Accept-Encoding, X-forwarded-For"}, False),
        (KEEP | {"Age": "61"}, False),
        (KEEP | {"Age": "59"}, True),
        (KEEP | {"Age": "old"}, True),
        ({"Expires": "Fri, 01 Jan 2100 00:00:00 GMT"}, True),
        ({"Expires": "0"}, False),
        ({"Expires": "Thu, 18  Aug  2050 02:01:18 GMT"}, False),
        ({"Expires": "THU, 18 aug 2050 02:01:18 gMT"}, True),
        ({"Expires": "Thu Aug  8 02:01:18 2050"}, True),
        ({"Expires": "Thu Aug 18 02:01:18 2050"}, True),
        ({"Expires": "Thursday, 18-Aug-50 02:01:18 GMT"}, True),
        ({"Expires": "THU, 18 aug 2050 02:01:18 utc"}, False),
        ({"Expires": "THU, 18 agu 2050 02:01:18 gMT"}, False),
        ({"Expires": "THU, 38 aug 2050 02:01:18 gMT"}, False),
        ({"Expires": "Thu Aug  8 02:01:18 2010"}, False),
        ({"Expires": "never"}, False),
        ({"Cache-Control": "s-maxage=60, max-age=0"}, True),
        ({"Cache-Control": 'max-age="60"'}, True),
        ({"Cache-Control": 'said="max-age=60, public", max-age="0"'}, False),
        ({"Cache-Control": 'said="a, no-store", max-age=60'}, True),
        ({"Cache-Control": "max-age=60, no-store, must-understand"}, True),
        ({"Cache-Control": "max-age=60, private, must-understand"}, False),
    ],
    ids=str,
)
def test_only_what_is_fresh_for_all_is_kept(
    edge: Running, said: dict[str, str], is_kept: bool
) -> None:
    path = edge.page(said)
    fetch(EDGE, path)
    assert fetch(EDGE, path).cache == ("hit" if is_kept else MISS)


def test_a_whole_answer_keeps_the_range_that_it_names_though_it_means_nothing(
    edge: Running,
) -> None:
    path = edge.page(KEEP | {"Content-Range": "bytes 0-5/6"})
    for cache in (MISS, "hit"):
        answer = fetch(EDGE, path)
        assert (answer.status, answer.body, answer.cache) == (200, b"hello\n", cache)
        assert answer.headers.get_all("Content-Range") == ["bytes 0-5/6"]
        assert "X-Edge-Range" not in answer.headers
    part = fetch(EDGE, path, headers={"Range": "bytes=1-2"})
    assert (part.status, part.body) == (206, b"el")
    assert part.headers.get_all("Content-Range") == ["bytes 1-2/6"]


def test_a_cookie_keeps_both_out_of_the_cache_and_the_cache_out(edge: Running) -> None:
    path, cookie = edge.page(KEEP), {"Cookie": "session=1"}
    said = [fetch(EDGE, path, headers=headers).cache for headers in (cookie, {}, cookie, {})]
    passed = "fwd=bypass; fwd-status=200"
    assert said == [passed, MISS, passed, "hit"]


@pytest.mark.parametrize(
    ("control", "then"),
    [("max-age=60", MISS), ("public, max-age=60", "hit"), ("s-maxage=9", "hit")],
)
def test_an_authorized_answer_is_shared_only_if_it_says_so(
    edge: Running, control: str, then: str
) -> None:
    path, authorized = edge.page({"Cache-Control": control}), {"Authorization": "Bearer x"}
    assert fetch(EDGE, path, headers=authorized).cache == "fwd=bypass; fwd-status=200"
    assert fetch(EDGE, path).cache == then
    assert fetch(EDGE, path, headers=authorized).cache == "fwd=bypass; fwd-status=200"


def test_variants_and_schemes_are_kept_apart(edge: Running) -> None:
    path = edge.page(KEEP | {"Vary": "Accept-Language"})
    tags = ("ja", "pt, en", "JA", "pt,en")
    assert [fetch(EDGE, path, headers={"Accept-Language": tag}).cache for tag in tags] == [
        *(MISS, MISS),
        *("hit", "hit"),
    ]


def test_stale_while_revalidate_answers_first_and_renews_behind(edge: Running) -> None:
    path = edge.page({"Cache-Control": "max-age=1, stale-while-revalidate=60"}, body=b"old")
    fetch(EDGE, path)
    time.sleep(1.1)
    page = edge.origin.pages[path]
    page.body, page.takes = b"new", 0.3
    began = time.monotonic()
    stale = fetch(EDGE, path)
    assert time.monotonic() - began < 0.25
    assert (stale.body, stale.cache) == (b"old", "hit; detail=stale-while-revalidate")
    wait_until(lambda: fetch(EDGE, path).body == b"new")
    assert edge.n_asked(path) == 2


def test_stale_if_error_outlives_the_origin_and_its_errors(edge: Running) -> None:
    kept = edge.page({"Cache-Control": "max-age=1, stale-if-error=60"})
    strict = edge.page({"Cache-Control": "max-age=1, stale-if-error=60, must-revalidate"})
    short = edge.page({"Cache-Control": "max-age=1"})
    for path in (kept, strict, short):
        fetch(EDGE, path)
    time.sleep(1.1)
    edge.origin.pages[kept].status = 503
    answered = fetch(EDGE, kept)
    assert (answered.status, answered.cache) == (200, "fwd=stale; detail=stale-if-error")
    edge.origin.pages[kept].status = 404  # no error of the origin: an answer
    assert fetch(EDGE, kept).status == 404
    edge.origin.pages[kept].status = 200
    wait_until(lambda: fetch(EDGE, kept).status == 200)
    time.sleep(1.1)
    edge.origin.down()
    try:
        began = time.monotonic()
        assert [a.status for a in crowd(20, kept)] == [200] * 20
        assert time.monotonic() - began < 2
        assert [fetch(EDGE, path).status for path in (strict, short)] == [502, 502]
    finally:
        edge.origin.up()
    wait_until(lambda: fetch(EDGE, strict).status == 200)
    assert fetch(EDGE, kept).headers["Server-Timing"].startswith("cdn-cache;desc=MISS")


def test_one_body_has_one_tag_everywhere_so_that_a_range_goes_on_elsewhere(edge: Running) -> None:
    path = edge.page(KEEP | {"ETag": '"a"', "Accept-Ranges": "bytes"}, body=b"0123456789")
    first = fetch(EDGE, path, headers={"Range": "bytes=0-4", "Accept-Encoding": "gzip"})
    rest = fetch(OTHER, path, headers={"Range": "bytes=5-", "If-Range": first.headers["ETag"]})
    assert (first.status, rest.status) == (206, 206)
    assert first.body + rest.body == b"0123456789"
    assert (rest.headers["X-Served-By"], rest.headers["Content-Range"]) == ("lhr", "bytes 5-9/10")
    held = fetch(OTHER, path, headers={"If-None-Match": '"b", W/"a"'})
    assert (held.status, held.body) == (304, b"")


def test_an_unsafe_request_changes_what_is_held(edge: Running) -> None:
    path, also = edge.page(KEEP), edge.page(KEEP)
    for each in (path, also):
        fetch(EDGE, each)
    edge.origin.pages[path].headers["Content-Location"] = also
    edge.origin.pages[path].status = 500
    fetch(EDGE, path, method="POST", body=b"x")
    assert [fetch(EDGE, each).cache for each in (path, also)] == ["hit", "hit"]
    edge.origin.pages[path].status = 200
    assert fetch(EDGE, path, method="POST", body=b"x").cache == "fwd=method; fwd-status=200"
    assert [fetch(EDGE, each).cache for each in (path, also)] == [MISS, MISS]


def test_purging_forgets_by_key_by_url_and_everything(edge: Running) -> None:
    red = edge.page(KEEP | {"Surrogate-Key": "colour:red all"})
    dot = edge.page(KEEP | {"Surrogate-Key": "colour.red colour:redder"})
    blue = edge.page(KEEP | {"Surrogate-Key": "colour:blue"})

    def said() -> list[str]:
        return ["hit" if fetch(EDGE, path).cache == "hit" else "-" for path in (red, dot, blue)]

    said()
    assert "Surrogate-Key" not in fetch(EDGE, red).headers
    edge.order(Order(keys=("colour:red", "none")))
    assert said() == ["-", "hit", "hit"]
    edge.order(Order(keys=("colourXred",)))
    assert said() == ["hit"] * 3
    edge.order(Order(urls=(("www.example.test", blue), ("other.test", red))))
    assert said() == ["hit", "hit", "-"]
    edge.order(EVERYTHING)
    assert said() == ["-"] * 3


def test_purging_is_this_machines_alone_and_checks_what_it_is_told(edge: Running) -> None:
    path = edge.page(KEEP)
    fetch(EDGE, path)
    edge.origin.pages[path].status = 501
    assert fetch(EDGE, path, method="PURGE").status == 501  # for the origin to answer
    assert fetch(EDGE, path).cache == "hit"
    assert Path(control_socket(edge.site.directory)).stat().st_mode & 0o777 == 0o600
    for bad in ("a|b", "a)", "a\\sb", 'a"'):
        with pytest.raises(MachineError, match="400"):
            edge.order(Order(keys=(bad,)))
    with pytest.raises(MachineError, match="400"):
        edge.order(Order(urls=(("www.example.test && obj.status != 0", "/"),)))


def test_an_ill_origin_is_found_out_and_costs_nobody_time(edge: Running) -> None:
    """A site of its own, which looks at the origin twice a second."""
    address = own_address(86)
    with edge_folder() as folder, running_daemons(folder) as daemons:
        site = replace(edge_site(folder, address, ORIGIN), cache_cookies=True)
        start_edge(daemons, site, "varnish", VarnishPolicy(probe_interval=0.2))
        path = edge.page({"Cache-Control": "max-age=1, stale-if-error=60"})
        cookie = {"Cookie": "a=b"}
        assert [fetch(address, path, headers=cookie).cache for _ in range(2)] == [MISS, "hit"]
        edge.origin.pages[path].takes = edge.origin.pages.setdefault("/", Page()).takes = 5
        time.sleep(5.5)  # two looks that end after 2 s each
        began = time.monotonic()
        answer = fetch(address, path)
        assert time.monotonic() - began < 0.2
        assert (answer.status, answer.cache) == (200, "fwd=stale; detail=stale-if-error")
        assert healthy(address)()  # an ill origin withdraws no site
        edge.origin.pages[path].takes = edge.origin.pages["/"].takes = 0
        wait_until(lambda: fetch(address, path).cache == "fwd=stale; fwd-status=200", within=5)
