"""nginx takes our text for the origin, alone and behind an edge."""

import http.client
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ridgeline.render.edge import EdgeSite, Origin
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.nginx import render_nginx
from ridgeline.render.origin import BIG_FILE, render_origin

from .daemons import HTTP_PORT, LOOPBACK6, Daemons, answers_tcp, own_address

ORIGIN = own_address(8)
EDGE = own_address(80)
BIG_BYTES = 3 << 30


@pytest.fixture
def origin(daemons: Daemons, tmp_path: Path) -> Path:
    """Start an origin; return its folder of pages."""
    directory, www = tmp_path / "the origin", tmp_path / "www of it"
    directory.mkdir()
    (www / "docs").mkdir(parents=True)
    (www / "index.html").write_text("<!doctype html><title>Hi</title>\n")
    (www / "docs" / "index.html").write_text("docs\n")
    with (directory / BIG_FILE).open("wb") as big:
        big.truncate(BIG_BYTES)
    file = directory / "nginx.conf"
    file.write_text(render_origin(str(directory), (ORIGIN, LOOPBACK6), HTTP_PORT, str(www)))
    daemons.start("nginx", "-e", "stderr", "-c", str(file), ready=answers_tcp(ORIGIN))
    return www


def fetch(
    address: IPv4Address, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(str(address), HTTP_PORT, timeout=5)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_pages_say_how_long_they_may_be_kept_and_can_be_revalidated(origin: Path) -> None:
    status, headers, body = fetch(ORIGIN, "/")
    assert (status, body) == (200, (origin / "index.html").read_bytes())
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == (
        "public, max-age=60, stale-while-revalidate=60, stale-if-error=600"
    )
    for ask, tag in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")):
        status, _, body = fetch(ORIGIN, "/", {ask: headers[tag]})
        assert (status, body) == (304, b"")


def test_the_big_file_has_its_size_takes_no_room_and_is_not_kept(origin: Path) -> None:
    status, headers, _ = fetch(ORIGIN, "/big", method="HEAD")
    assert (status, headers["Content-Length"]) == (200, str(BIG_BYTES))
    assert headers.get_all("Cache-Control") == ["no-store"]
    status, headers, body = fetch(ORIGIN, "/big", {"Range": f"bytes={BIG_BYTES - 3}-"})
    assert (status, body) == (206, b"\0\0\0")


def test_a_folder_without_a_slash_leads_back_through_the_edge(
    origin: Path, daemons: Daemons, nrt: SiteIdentity, tmp_path: Path
) -> None:
    directory = tmp_path / "edge"
    directory.mkdir()
    file = directory / "nginx.conf"
    edge = EdgeSite(
        identity=nrt,
        directory=str(directory),
        listen=(EDGE,),
        origin=Origin(host="origin.example.test", port=HTTP_PORT, address=ORIGIN),
        port=HTTP_PORT,
    )
    file.write_text(render_nginx(edge))
    daemons.start("nginx", "-e", "stderr", "-c", str(file), ready=answers_tcp(EDGE))
    status, headers, _ = fetch(EDGE, "/docs")
    assert (status, headers["Location"]) == (301, "/docs/")
    status, headers, body = fetch(EDGE, headers["Location"])
    assert (status, body, headers["X-Served-By"]) == (200, b"docs\n", "nrt")
    said = [fetch(EDGE, "/docs/")[1]["Cache-Status"], fetch(EDGE, "/big", method="HEAD")[0]]
    assert said == ["nrt.example-anycast.example; hit", 200]
