"""nginx takes our text and is a careful shared cache that says who it is."""

import http.client
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from ridgeline.render.edge import EdgeSite, Origin, TlsFiles
from ridgeline.render.identity import HEALTH_PATH, TRACE_PATH, SiteIdentity
from ridgeline.render.nginx import render_nginx

from .daemons import (
    HTTP_PORT,
    LOOPBACK6,
    TLS_PORT,
    Daemons,
    answers_tcp,
    need,
    own_address,
)
from .origin import Page, ScriptedOrigin, running_origin

EDGE = own_address(80)
OTHER_EDGE = own_address(81)
SOURCE = own_address(90)
ORIGIN = own_address(8)
HOST = "nrt.example-anycast.example"
KEEP = {"Cache-Control": "max-age=60"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client got."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def cache(self) -> str:
        """What Cache-Status says after the cache's name."""
        name, _, said = self.headers["Cache-Status"].partition("; ")
        assert name == HOST
        return str(said)


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with running_origin(ORIGIN, HTTP_PORT) as running:
        yield running


@pytest.fixture
def site(nrt: SiteIdentity, tmp_path: Path) -> EdgeSite:
    directory = tmp_path / "edge für nrt"
    directory.mkdir()
    return EdgeSite(
        identity=nrt,
        directory=str(directory),
        listen=(EDGE, LOOPBACK6),
        origin=Origin(host="origin.example.test", port=HTTP_PORT, address=ORIGIN),
        unicast=(SOURCE, LOOPBACK6),
        port=HTTP_PORT,
        tls_port=TLS_PORT,
    )


def write(site: EdgeSite) -> str:
    file = Path(site.directory) / "nginx.conf"
    file.write_text(render_nginx(site))
    return str(file)


def start(daemons: Daemons, site: EdgeSite) -> subprocess.Popen[bytes]:
    return daemons.start(
        *("nginx", "-e", "stderr", "-c", write(site)), ready=answers_tcp(site.listen[0])
    )


def fetch(
    path: str = "/",
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    connection = http.client.HTTPConnection(str(EDGE), HTTP_PORT, timeout=5)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(status=answer.status, headers=answer.headers, body=answer.read())
    finally:
        connection.close()


def wait_until(asked: Callable[[], bool], within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not asked():
        assert time.monotonic() < deadline, f"not so within {within} s"
        time.sleep(0.02)


@pytest.mark.parametrize("single_process", [True, False])
def test_nginx_finds_no_fault(site: EdgeSite, single_process: bool) -> None:
    need("nginx")
    file = write(replace(site, single_process=single_process))
    checked = subprocess.run(
        ["nginx", "-e", "stderr", "-t", "-c", file], capture_output=True, text=True, check=False
    )
    assert checked.stderr.splitlines() == [
        f"nginx: the configuration file {file} syntax is ok",
        f"nginx: configuration file {file} test is successful",
    ]


def test_the_second_fetch_is_a_hit_and_says_so(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers=KEEP, takes=0.05)
    start(daemons, site)
    first, second = fetch(), fetch()
    assert [first.cache, second.cache] == ["fwd=miss; fwd-status=200", "hit"]
    assert [first.body, second.body] == [b"hello\n"] * 2
    assert origin.paths() == ["/"]
    assert second.headers["Via"] == f"1.1 {HOST}"
    assert second.headers["X-Served-By"] == "nrt"
    assert second.headers["Server-Timing"] == "cdn-cache;desc=HIT"
    word, _, duration = first.headers["Server-Timing"].partition(", origin;dur=")
    assert word == "cdn-cache;desc=MISS"
    assert 50 <= int(duration) < 10_000  # milliseconds, while nginx counts in seconds
    assert second.headers["Date"] == first.headers["Date"]  # the origin's, so that age shows


def test_the_origin_learns_who_asks_and_through_whom(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page()
    start(daemons, site)
    fetch(
        headers={
            "Host": "WWW.example.test:8080",
            "X-Forwarded-For": "203.0.113.9",
            "Via": "1.0 fred",
            "CDN-Loop": "other-cdn; a=b",
            "TE": "trailers",
        }
    )
    fetch(headers={"Host": "www.example.test"})
    first, second = origin.asked
    assert first.source == str(SOURCE)
    assert first.headers["Host"] == "www.example.test"
    assert first.headers["X-Forwarded-For"] == "127.0.0.1"
    assert first.headers["X-Forwarded-Proto"] == "http"
    assert first.headers["Via"] == f"1.0 fred, 1.1 {HOST}"
    assert first.headers["CDN-Loop"] == "other-cdn; a=b, example-anycast; site=nrt"
    assert first.headers["TE"] is None
    assert second.headers["Via"] == f"1.1 {HOST}"
    assert second.headers["CDN-Loop"] == "example-anycast; site=nrt"


def test_a_request_without_a_host_is_the_origins(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page()
    start(daemons, site)
    with socket.create_connection((str(EDGE), HTTP_PORT), timeout=5) as line:
        line.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while line.recv(4096):
            pass
    assert origin.asked[0].headers["Host"] == "origin.example.test"
    assert origin.asked[0].headers["Via"] == f"1.0 {HOST}"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("example-anycast; site=lhr", 508),
        ("other, Example-Anycast", 508),
        ("example-anycast-two", 404),
        ("my-example-anycast", 404),
    ],
)
def test_a_loop_ends_here(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin, said: str, status: int
) -> None:
    start(daemons, site)
    answer = fetch(headers={"CDN-Loop": said})
    assert (answer.status, answer.headers["X-Served-By"]) == (status, "nrt")
    assert len(origin.asked) == (status == 404)


def test_the_trace_names_site_and_both_ends(daemons: Daemons, site: EdgeSite) -> None:
    start(daemons, site)
    answer = fetch(TRACE_PATH, headers={"Host": "www.example.test", "User-Agent": "a=b c"})
    said = dict(line.split("=", 1) for line in answer.body.decode().splitlines())
    assert said.keys() >= {"port", "time", "tls", "resumed", "rtt_us", "request"}
    assert {
        key: said[key]
        for key in ("site", "network", "ip", "server", "host", "http", "scheme", "agent")
    } == {
        "site": "nrt",
        "network": "example-anycast",
        "ip": "127.0.0.1",
        "server": str(EDGE),
        "host": "www.example.test",
        "http": "HTTP/1.1",
        "scheme": "http",
        "agent": "a=b c",
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Served-By"] == "nrt"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_health_does_not_depend_on_the_origin(daemons: Daemons, site: EdgeSite) -> None:
    start(daemons, site)
    answer = fetch(HEALTH_PATH)
    assert (answer.status, answer.body, answer.headers["X-Served-By"]) == (200, b"ok nrt\n", "nrt")
    failed = fetch()
    assert (failed.status, failed.cache, failed.headers["X-Served-By"]) == (502, "fwd=miss", "nrt")


def test_head_and_range_are_answered_from_the_cache(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers=KEEP | {"Accept-Ranges": "bytes"}, body=b"0123456789")
    start(daemons, site)
    part = fetch(headers={"Range": "bytes=2-4"})
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    head = fetch(method="HEAD")
    assert (head.cache, head.headers["Content-Length"], head.body) == ("hit", "10", b"")
    end = fetch(headers={"Range": "bytes=-2"})
    assert (end.cache, end.status, end.body) == ("hit", 206, b"89")
    beyond = fetch(headers={"Range": "bytes=10-"})
    assert beyond.status == 416
    assert origin.paths() == ["/"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cache-Control": "no-store"},
        {"Cache-Control": "private, max-age=60"},
        {"Cache-Control": "no-cache"},
        {"Cache-Control": "s-maxage=0, max-age=60"},
        KEEP | {"Set-Cookie": "a=b"},
        KEEP | {"Vary": "*"},
        KEEP | {"Vary": "Accept-Encoding, *"},
        KEEP | {"CDN-Cache-Control": "no-store"},
        KEEP | {"CDN-Cache-Control": "max-age=0"},
        KEEP | {"Age": "59"},
        {"X-Accel-Expires": "60"},
    ],
    ids=str,
)
def test_what_is_not_for_everyone_or_not_fresh_is_not_kept(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin, headers: dict[str, str]
) -> None:
    origin.pages["/"] = Page(headers=headers)
    start(daemons, site)
    assert [fetch().cache, fetch().cache] == ["fwd=miss; fwd-status=200"] * 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "s-maxage=60, max-age=0"},
        {"Expires": "Fri, 01 Jan 2100 00:00:00 GMT"},
        KEEP | {"CDN-Cache-Control": "max-age=60"},
        KEEP | {"Age": "0"},
        KEEP | {"Vary": "Accept-Encoding"},
    ],
    ids=str,
)
def test_what_is_fresh_for_everyone_is_kept(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin, headers: dict[str, str]
) -> None:
    origin.pages["/"] = Page(headers=headers)
    start(daemons, site)
    assert [fetch().cache, fetch().cache] == ["fwd=miss; fwd-status=200", "hit"]


def test_variants_are_kept_apart(daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin) -> None:
    origin.pages["/"] = Page(headers=KEEP | {"Vary": "Accept-Language"})
    start(daemons, site)
    said = [fetch(headers={"Accept-Language": tag}).cache for tag in ("ja", "pt", "ja", "pt")]
    assert said == ["fwd=miss; fwd-status=200"] * 2 + ["hit"] * 2


def test_a_cookie_keeps_both_out_of_the_cache_and_the_cache_out(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers=KEEP)
    start(daemons, site)
    cookie = {"Cookie": "session=1"}
    said = [fetch(headers=cookie).cache, fetch().cache, fetch(headers=cookie).cache, fetch().cache]
    passed = "fwd=bypass; fwd-status=200"
    assert said == [passed, "fwd=miss; fwd-status=200", passed, "hit"]


def test_cookies_may_be_cached_where_the_operator_says_so(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers=KEEP)
    start(daemons, replace(site, cache_cookies=True))
    cookie = {"Cookie": "session=1"}
    assert [fetch(headers=cookie).cache, fetch().cache] == ["fwd=miss; fwd-status=200", "hit"]


@pytest.mark.parametrize(
    ("control", "then"),
    [
        ("max-age=60", "fwd=miss; fwd-status=200"),
        ("max-age=60, x-public=1", "fwd=miss; fwd-status=200"),
        ("public, max-age=60", "hit"),
        ("max-age=60, must-revalidate", "hit"),
        ("s-maxage=60", "hit"),
    ],
)
def test_an_authorized_answer_is_shared_only_if_it_says_so(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin, control: str, then: str
) -> None:
    origin.pages["/"] = Page(headers={"Cache-Control": control})
    start(daemons, site)
    first = fetch(headers={"Authorization": "Bearer x|public, s-maxage=60"})
    assert [first.cache, fetch().cache] == ["fwd=bypass; fwd-status=200", then]


def test_other_methods_pass_through(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers=KEEP, status=201)
    start(daemons, site)
    answer = fetch(method="POST", body=b"x" * 2_000_000)
    assert (answer.status, answer.cache) == (201, "fwd=method; fwd-status=201")


def test_large_answers_pass_through(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers=KEEP, body=bytes(10_000_000))
    start(daemons, site)
    first, second = fetch(), fetch()
    assert [len(first.body), len(second.body)] == [10_000_000] * 2
    assert [first.cache, second.cache] == ["fwd=miss; fwd-status=200"] * 2
    stored = [file for file in Path(site.directory, "cache").rglob("*") if file.is_file()]
    assert stored == []


def test_the_origin_cannot_turn_the_edge_inside_out(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers={"X-Accel-Redirect": HEALTH_PATH})
    start(daemons, site)
    assert fetch().body == b"hello\n"


def test_a_stale_answer_is_revalidated(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers={"Cache-Control": "max-age=1", "ETag": '"a"'})
    start(daemons, site)
    fetch()
    time.sleep(2.1)
    answer = fetch()
    assert (answer.status, answer.cache) == (200, "fwd=stale; fwd-status=304")
    assert origin.asked[1].headers["If-None-Match"] == '"a"'
    assert fetch().cache == "hit"


def test_stale_while_revalidate_answers_first_and_renews_behind(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    page = origin.pages["/"] = Page(
        headers={"Cache-Control": "max-age=1, stale-while-revalidate=60"}, body=b"old"
    )
    start(daemons, site)
    fetch()
    time.sleep(2.1)
    page.body, page.takes = b"new", 3.0
    began = time.monotonic()
    first, second = fetch(), fetch()
    assert time.monotonic() - began < 2.5
    assert [first.body, second.body] == [b"old"] * 2
    assert [first.cache, second.cache] == ["hit; detail=stale-while-revalidate"] * 2
    wait_until(lambda: fetch().body == b"new")
    assert origin.paths() == ["/", "/"]


def test_stale_if_error_outlives_the_origin(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/kept"] = Page(headers={"Cache-Control": "max-age=1, stale-if-error=60"})
    origin.pages["/strict"] = Page(headers={"Cache-Control": "max-age=1, must-revalidate"})
    start(daemons, site)
    fetch("/kept")
    fetch("/strict")
    time.sleep(2.1)
    origin.down()
    gone = fetch("/kept")
    assert (gone.status, gone.cache) == (200, "fwd=stale; detail=stale-if-error")
    assert fetch("/strict").status == 502


def crowd(size: int, path: str = "/") -> list[Answer]:
    """Fetch the same page so many times at once."""
    got: list[Answer] = []
    everyone = [threading.Thread(target=lambda: got.append(fetch(path))) for _ in range(size)]
    for one in everyone:
        one.start()
    for one in everyone:
        one.join()
    return got


def test_a_crowd_is_one_fetch(daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin) -> None:
    start(daemons, site)
    fetches: list[int] = []
    # Nobody waits longer than 200 ms for another's fetch: on a busy machine some ask themselves.
    while len(fetches) < 8 and 1 not in fetches:
        path = f"/{len(fetches)}"
        origin.pages[path] = Page(headers=KEEP, takes=0.1)
        assert [answer.body for answer in crowd(20, path)] == [b"hello\n"] * 20
        fetches.append(origin.paths().count(path))
    assert 1 in fetches, fetches


def test_a_crowd_does_not_stand_in_line_for_what_is_never_kept(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers={"Cache-Control": "no-store"})
    start(daemons, site)
    took: list[float] = []
    while len(took) < 5 and min(took, default=9) >= 0.8:  # other work adds to a time
        began = time.monotonic()
        assert [answer.body for answer in crowd(20)] == [b"hello\n"] * 20
        took.append(time.monotonic() - began)
    assert min(took) < 0.8  # with nginx's defaults: 2 s
    assert origin.paths() == ["/"] * 20 * len(took)


def test_killing_the_process_ends_the_service_and_keeps_the_cache(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers=KEEP)
    nginx = start(daemons, site)
    fetch()
    daemons.end(nginx, signal.SIGKILL)
    assert not answers_tcp(EDGE)()
    start(daemons, site)
    assert fetch().cache == "hit"


def test_with_a_master_it_serves_the_same(
    daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin
) -> None:
    origin.pages["/"] = Page(headers=KEEP)
    start(daemons, replace(site, single_process=False))
    assert [fetch().cache, fetch().cache] == ["fwd=miss; fwd-status=200", "hit"]


def test_it_needs_no_second_user(daemons: Daemons, site: EdgeSite, origin: ScriptedOrigin) -> None:
    need("unshare", "nginx")
    origin.pages["/"] = Page(headers=KEEP)
    daemons.start(
        *("unshare", "--user", "--map-root-user", "nginx", "-e", "stderr", "-c", write(site)),
        ready=answers_tcp(EDGE),
    )
    assert [fetch().cache, fetch().cache] == ["fwd=miss; fwd-status=200", "hit"]


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    need("openssl")
    certificate, key = tmp_path / "site.pem", tmp_path / "site key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=www.example.test"),
            *("-addext", "subjectAltName=DNS:www.example.test"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    tickets = tmp_path / "ticket.now", tmp_path / "ticket.before"
    for ticket in tickets:
        ticket.write_bytes(os.urandom(80))
    return TlsFiles(
        certificate=str(certificate), key=str(key), ticket_keys=tuple(map(str, tickets))
    )


def test_tls_speaks_http2_and_a_session_resumes_at_another_site(
    daemons: Daemons, site: EdgeSite, tls: TlsFiles, tmp_path: Path
) -> None:
    lhr_directory = tmp_path / "edge of lhr"
    lhr_directory.mkdir()
    lhr = replace(
        site,
        identity=replace(site.identity, site="lhr"),
        directory=str(lhr_directory),
        listen=(OTHER_EDGE,),
        tls=tls,
    )
    start(daemons, replace(site, tls=tls))
    start(daemons, lhr)
    context = ssl.create_default_context(cafile=tls.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a session is there when the handshake is

    def shake(address: object, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        line = socket.create_connection((str(address), TLS_PORT), timeout=5)
        return context.wrap_socket(line, server_hostname="www.example.test", session=session)

    with shake(EDGE, None) as first:
        assert not first.session_reused
        session = first.session
    with shake(OTHER_EDGE, session) as second:
        assert second.session_reused
        second.sendall(
            f"GET {TRACE_PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        said = b"".join(iter(lambda: second.recv(4096), b""))
    assert b"\nscheme=https\ntls=TLSv1.2\nresumed=r\n" in said
    assert b"\r\nsite=lhr\n" in said
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    context.set_alpn_protocols(["h2", "http/1.1"])
    with shake(EDGE, None) as third:
        assert (third.version(), third.selected_alpn_protocol()) == ("TLSv1.3", "h2")


@pytest.mark.parametrize("trusted", [True, False])
def test_an_https_origin_must_show_its_name(
    daemons: Daemons,
    site: EdgeSite,
    origin: ScriptedOrigin,
    tls: TlsFiles,
    tmp_path: Path,
    trusted: bool,
) -> None:
    origin.pages["/"] = Page()
    behind_directory = tmp_path / "origin"
    behind_directory.mkdir()
    behind = replace(site, directory=str(behind_directory), listen=(OTHER_EDGE,), tls=tls)
    start(daemons, behind)  # another network's edge is as good an origin as any
    edge = replace(
        site,
        identity=replace(site.identity, network="another-network"),
        origin=Origin(
            host="www.example.test" if trusted else "origin.example.test",
            port=TLS_PORT,
            address=ip_address(str(OTHER_EDGE)),
            scheme="https",
            trusted=tls.certificate,
        ),
    )
    start(daemons, edge)
    assert fetch().status == (200 if trusted else 502)
    assert len(origin.asked) == trusted
