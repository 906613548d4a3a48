"""What tries to poison either edge's cache, or to smuggle a request past it, does not."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from ridgeline.render._nginx_edge import UNKEYED
from ridgeline.render.edge import EdgeSite

from .daemons import HTTP_PORT, own_address, running_daemons
from .edges import ENGINES, edge_folder, edge_site, fetch, say, start_edge
from .origin import Page, ScriptedOrigin, running_origin

EDGE = own_address(83)
ORIGIN = own_address(9)
KEEP = {"Cache-Control": "max-age=60"}
_numbers = count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An edge and the origin behind it."""

    engine: str
    site: EdgeSite
    origin: ScriptedOrigin

    def page(self, **more: str) -> str:
        """Put a page at the origin that no other test asks for."""
        path = f"/p{next(_numbers)}"
        self.origin.pages[path] = Page(headers=KEEP | more)
        return path

    def asked_for(self, path: str) -> list[str]:
        return [asked for asked in self.origin.paths() if asked.startswith(path)]


@pytest.fixture(scope="module", params=ENGINES)
def edge(request: pytest.FixtureRequest) -> Iterator[Running]:
    with (
        edge_folder() as folder,
        running_daemons(folder) as daemons,
        running_origin(ORIGIN, HTTP_PORT) as origin,
    ):
        site = edge_site(folder, EDGE, ORIGIN)
        start_edge(daemons, site, request.param)
        yield Running(engine=request.param, site=site, origin=origin)


def test_what_no_key_holds_does_not_reach_the_origin(edge: Running) -> None:
    path = edge.page()
    evil = dict.fromkeys(UNKEYED, "evil.test")
    assert fetch(EDGE, path, headers=evil | {"X-Forwarded-For": "203.0.113.1"}).status == 200
    said = edge.origin.asked[-1].headers
    assert not [name for name in UNKEYED if name in said]
    assert (said["X-Forwarded-For"], said["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
    assert not [name for name in said if name.lower().startswith("x-edge")]


def test_nobody_speaks_for_the_edge_itself(edge: Running) -> None:
    path = edge.page()
    ours = {
        "X-Edge-Tier": "shield",
        "X-Edge-State": "failed",
        "X-Edge-Fwd": "hit",
        "X-Edge-Via": "x",
        "X-Edge-From": "HTTP/9.9 203.0.113.1",
        "X-Edge-Tls": "on",
        "X-Edge-Again": "1",
    }
    theirs = ("Page", "Said", "Via", "Swr", "Md5")
    edge.origin.pages[path].headers |= {f"X-Edge-{name}": "evil" for name in theirs}
    edge.origin.pages[path].headers |= {"X-Served-By": "evil"}
    edge.origin.pages[path].headers |= {"Surrogate-Key": "all"}
    answer = fetch(EDGE, path, headers=ours)
    assert answer.cache == "fwd=miss; fwd-status=200"
    assert answer.headers.get_all("X-Served-By") == ["nrt"]
    assert "Surrogate-Key" not in answer.headers
    asked = edge.origin.asked[-1].headers
    assert (asked["X-Forwarded-For"], asked["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
    assert asked["Via"] == "1.1 nrt.example-anycast.example"
    assert fetch(EDGE, path).cache == "hit"
    if edge.engine == "varnish":  # which keeps words of its own in fields of that name
        assert "evil" not in str(answer.headers)


@pytest.mark.parametrize(
    "spelt", ["WWW.example.test", "www.example.test:80", "www.example.test:99", "www.EXAMPLE.test."]
)
def test_a_host_however_written_is_one_host(edge: Running, spelt: str) -> None:
    path = edge.page()
    fetch(EDGE, path, headers={"Host": spelt})
    assert edge.origin.asked[-1].headers["Host"] == "www.example.test"
    assert fetch(EDGE, path).cache == "hit"


def test_the_host_of_an_absolute_target_counts_and_is_kept_apart(edge: Running) -> None:
    path = edge.page()
    target = f"GET http://evil.test{path} HTTP/1.1\r\nHost: www.example.test\r\nConnection: close\r\n\r\n"
    assert say(EDGE, target.encode()).startswith(b"HTTP/1.1 200")
    assert edge.origin.asked[-1].headers["Host"] == "evil.test"  # RFC 9112, section 3.2.2
    assert fetch(EDGE, path).cache == "fwd=miss; fwd-status=200"
    assert edge.origin.asked[-1].headers["Host"] == "www.example.test"


@pytest.mark.parametrize(
    "host",
    [
        "Host: www.example.test\r\nHost: evil.test",
        "Host: www.example.test/evil",
        "Host: www.example.test@evil.test",
        "Host: www.example.test evil.test",
        "Host: ..",
        "Host:",
        "X: y",
        "Host: a\x00b",
    ],
    ids=repr,
)
def test_an_ambiguous_host_is_refused(edge: Running, host: str) -> None:
    path = edge.page()
    got = say(EDGE, f"GET {path} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode())
    assert got.startswith((b"HTTP/1.1 400", b"<html>"))
    assert edge.asked_for(path) == []


SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: www.example.test\r\n\r\n"


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (
            f"Content-Length: {len(SMUGGLED) + 5}\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n" + SMUGGLED,
        ),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding: identity, chunked", "0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding: xchunked", "0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding : chunked", "0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding:\x0bchunked", "0\r\n\r\n" + SMUGGLED),
        (f"Content-Length: 0\r\nContent-Length: {len(SMUGGLED)}", SMUGGLED),
        (f"Content-Length: {len(SMUGGLED)}, 0", SMUGGLED),
        ("Content-Length: -1", SMUGGLED),
        ("Content-Length: +0", SMUGGLED),
        ("Content-Length: 0x0", SMUGGLED),
        ("Transfer-Encoding: chunked", "zz\r\n" + SMUGGLED),
        ("Transfer-Encoding: chunked", "-1\r\n" + SMUGGLED),
        ("X: a\r\n folded: b\r\nContent-Length: 0", "" + SMUGGLED),
    ],
    ids=lambda part: repr(part)[:50],
)
def test_a_request_of_two_lengths_is_refused(edge: Running, fields: str, body: str) -> None:
    path = edge.page()
    head = f"POST {path} HTTP/1.1\r\nHost: www.example.test\r\n{fields}\r\n\r\n"
    before = len(edge.asked_for("/smuggled"))
    got = say(EDGE, (head + body).encode("latin-1"))
    refused = got.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501", b"<html>"))
    # What is read as one whole request followed by another is no smuggling: both sides agree.
    two = got.count(b"HTTP/1.1 ") == 2 and "X: a" in fields
    assert refused or two, got[:200]
    if refused:
        assert edge.asked_for(path) == []
        assert len(edge.asked_for("/smuggled")) == before


def test_chunks_reach_the_origin_as_one_length(edge: Running) -> None:
    path = edge.page()
    got = say(
        EDGE,
        f"POST {path} HTTP/1.1\r\nHost: www.example.test\r\nTransfer-Encoding: chunked\r\n"
        'Connection: close\r\n\r\n5;name="GET / HTTP/1.1"\r\nhello\r\n0\r\nX: y\r\n\r\n'.encode(),
    )
    assert got.startswith(b"HTTP/1.1 200")
    said = edge.origin.asked[-1].headers
    assert (said["Content-Length"], said["Transfer-Encoding"]) == ("5", None)


def test_a_bare_line_feed_ends_a_line_for_both(edge: Running) -> None:
    path = edge.page()
    got = say(EDGE, f"GET {path} HTTP/1.1\nHost: www.example.test\nConnection: close\n\n".encode())
    assert got.startswith(b"HTTP/1.1 200")
    assert edge.asked_for(path) == [path]  # passed on with the right ends, as one request
    inside = (
        f"GET {path}x HTTP/1.1\r\nHost: www.example.test\r\nX: a\nTransfer-Encoding: chunked\r\n"
    )
    say(EDGE, (inside + "Connection: close\r\n\r\n0\r\n\r\n" + SMUGGLED).encode())
    assert edge.asked_for("/smuggled") == []


@pytest.mark.parametrize(
    ("size", "status"), [(6_000, 200), (12_000, 400), (40_000, 400)], ids=["fits", "line", "all"]
)
def test_oversized_headers_end_here(edge: Running, size: int, status: int) -> None:
    path = edge.page()
    assert fetch(EDGE, path, headers={"X-Long": "a" * size}).status == status
    assert len(edge.asked_for(path)) == (status == 200)
    assert fetch(EDGE, path).status == 200  # no error was kept in its place


def test_an_overlong_target_is_refused(edge: Running) -> None:
    assert fetch(EDGE, "/" + "a" * 20_000).status == 414


def test_no_method_stands_in_for_another(edge: Running) -> None:
    path = edge.page()
    fetch(EDGE, path, headers={"X-HTTP-Method-Override": "DELETE"})
    assert edge.origin.asked[-1].method == "GET"
    assert fetch(EDGE, path).cache == "hit"
    assert fetch(EDGE, path, method="TRACE").status == 405


@pytest.mark.parametrize("suffix", ["?cb=1", "?CB=1", "%3fcb=1", "/../x", "//", "%2e", ";x"])
def test_every_other_spelling_of_a_path_is_another_page(edge: Running, suffix: str) -> None:
    path = edge.page()
    edge.origin.pages[path + suffix] = Page(headers=KEEP, body=b"other\n")
    assert fetch(EDGE, path).body == b"hello\n"
    fetch(EDGE, path + suffix)
    assert edge.origin.asked[-1].path == path + suffix  # exactly what the key is made of
    assert fetch(EDGE, path).body == b"hello\n"


def test_an_error_of_the_origin_is_not_kept(edge: Running) -> None:
    path = edge.page()
    page = edge.origin.pages[path]
    page.status, page.headers = 500, {}
    assert fetch(EDGE, path).status == 500
    page.status, page.headers = 200, dict(KEEP)
    assert fetch(EDGE, path).status == 200


@contextlib.contextmanager
def lying_origin(said: bytes) -> Iterator[list[bytes]]:
    """Run an origin that answers any request with these bytes and closes."""
    asked: list[bytes] = []
    with socket.create_server((str(ORIGIN), HTTP_PORT)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    with line:
                        asked.append(line.recv(65536))
                        line.sendall(said)

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        yield asked
        listener.shutdown(socket.SHUT_RDWR)
        answering.join()  # while it waits, it holds the port


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nshort",
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Len",
        b"nonsense\r\n\r\n",
    ],
    ids=range(6),
)
def test_nothing_truncated_or_broken_is_kept(edge: Running, said: bytes) -> None:
    path = edge.page()
    edge.origin.down()
    try:
        with lying_origin(said) as asked:
            # Either a 502 or, once the header is sent, no end; nginx alone passes nonsense on.
            broken = (http.client.IncompleteRead, http.client.BadStatusLine, ConnectionError)
            with contextlib.suppress(*broken):
                assert fetch(EDGE, path).status == 502
            assert asked
    finally:
        edge.origin.up()
    whole = fetch(EDGE, path)
    assert (whole.status, whole.body, whole.cache) == (200, b"hello\n", "fwd=miss; fwd-status=200")


def test_a_stale_answer_outlives_an_origin_that_breaks_off(edge: Running) -> None:
    lies = [b"", b"HTTP/1.1 200 OK\r\nCache-Con"]
    if edge.engine == "varnish":
        lies.append(b"nonsense\r\n\r\n")  # which nginx alone takes for HTTP/0.9
    pages = [
        (edge.page(**{"Cache-Control": f"max-age=1{more}"}), lie, status)
        for lie in lies
        for more, status in ((", stale-if-error=60", 200), ("", 502))
    ]
    for path, _, _ in pages:
        fetch(EDGE, path)
    time.sleep(2.1)  # nginx counts whole seconds
    edge.origin.down()
    try:
        for path, lie, status in pages:
            with lying_origin(lie):
                answer = fetch(EDGE, path)
            assert (answer.status, answer.body == b"hello\n") == (status, status == 200), lie
            assert (answer.cache == "fwd=stale; detail=stale-if-error") == (status == 200), lie
    finally:
        edge.origin.up()
