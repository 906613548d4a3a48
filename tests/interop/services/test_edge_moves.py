"""Sessions, pages and orders go from site to site: tickets, hand-off, shield, forgotten pages."""

import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ridgeline.lab.change.pagefiles import forget
from ridgeline.render.edge import Shield, ShieldSite, TlsFiles
from ridgeline.render.nginx import CACHE_FOLDER, render_nginx

from .daemons import HTTP_PORT, TLS_PORT, Daemons, need, own_address, running_daemons
from .edges import ENGINES, edge_folder, edge_site, fetch, start_edge
from .origin import Page, ScriptedOrigin, running_origin

ORIGIN = own_address(11)
NAMES = ("nrt", "lhr", "gru")
ADDRESSES = dict(zip(NAMES, (own_address(n) for n in (87, 88, 89)), strict=True))
KEEP = {"Cache-Control": "max-age=60"}


@pytest.fixture
def folder() -> Iterator[Path]:
    with edge_folder() as made:
        yield made


@pytest.fixture
def running(folder: Path) -> Iterator[Daemons]:
    with running_daemons(folder) as daemons:
        yield daemons


@pytest.fixture
def origin() -> Iterator[ScriptedOrigin]:
    with running_origin(ORIGIN, HTTP_PORT) as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    need("openssl")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "site.pem", folder / "site.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=edge", "-keyout", str(key)),
            *("-addext", "subjectAltName=DNS:www.example.test", "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return TlsFiles(certificate=str(certificate), key=str(key))


@pytest.mark.parametrize("engine", ENGINES)
def test_long_things_move_to_the_sites_own_address(
    running: Daemons, folder: Path, origin: ScriptedOrigin, engine: str
) -> None:
    origin.pages |= {path: Page(headers=KEEP) for path in ("/download/x", "/downloads", "/a.b/c")}
    site = edge_site(folder, ADDRESSES["nrt"], ORIGIN)
    start_edge(running, replace(site, handoff=("/download/", "/a.b/")), engine)
    own = site.unicast[0]
    for path in ("/download/x?y=1", "/a.b/c"):
        moved = fetch(ADDRESSES["nrt"], path)
        assert (moved.status, moved.headers["X-Served-By"]) == (307, "nrt")
        assert moved.headers["Location"] == f"http://{own}:{HTTP_PORT}{path}"
        assert fetch(own, path).status == 200
    assert fetch(ADDRESSES["nrt"], "/downloads").status == 200
    assert fetch(ADDRESSES["nrt"], "/a-b/c").status == 404  # a dot in the spec is a dot


def shake(
    address: IPv4Address, files: TlsFiles, session: ssl.SSLSession | None
) -> tuple[bool, ssl.SSLSession | None]:
    """Shake hands; say whether the session was resumed, and what to resume next."""
    context = _CONTEXTS.setdefault(files.certificate, ssl.create_default_context())
    context.load_verify_locations(files.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a session is there when the handshake is
    line = socket.create_connection((str(address), TLS_PORT), timeout=5)
    with context.wrap_socket(line, server_hostname="www.example.test", session=session) as secure:
        return bool(secure.session_reused), secure.session


_CONTEXTS: dict[str, ssl.SSLContext] = {}


def test_sessions_resume_at_another_site_while_the_keys_rotate(
    running: Daemons, folder: Path, certificate: TlsFiles
) -> None:
    keys = [folder / f"ticket-{n}" for n in range(2)]
    for key in keys:
        key.write_bytes(os.urandom(80))
    sites = {}
    masters = {}
    for name in ("nrt", "lhr"):
        site = edge_site(folder, ADDRESSES[name], ORIGIN, name=name)
        site = replace(
            site, tls=replace(certificate, ticket_keys=(str(keys[0]),)), single_process=False
        )
        start_edge(running, site, "nginx")
        sites[name] = site
        masters[name] = int((Path(site.directory) / "nginx.pid").read_text())
    _, first = shake(ADDRESSES["nrt"], certificate, None)
    resumed = [shake(ADDRESSES[name], certificate, first)[0] for name in ("lhr", "nrt") * 20]
    assert all(resumed)

    def rotate(name: str, *tickets: Path) -> None:
        site = replace(sites[name], tls=replace(certificate, ticket_keys=tuple(map(str, tickets))))
        (Path(site.directory) / "nginx.conf").write_text(render_nginx(site))
        os.kill(masters[name], signal.SIGHUP)
        time.sleep(0.4)

    # RFC 5077, section 5.5: every site must accept a key before one uses it.
    for name in sites:
        rotate(name, keys[0], keys[1])
    assert shake(ADDRESSES["lhr"], certificate, first)[0]
    rotate("nrt", keys[1], keys[0])
    _, second = shake(ADDRESSES["nrt"], certificate, None)
    rotate("lhr", keys[1], keys[0])
    for name in sites:
        assert shake(ADDRESSES[name], certificate, first)[0]
        assert shake(ADDRESSES[name], certificate, second)[0]
    for name in sites:
        rotate(name, keys[1])
        assert not shake(ADDRESSES[name], certificate, first)[0]
        assert shake(ADDRESSES[name], certificate, second)[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_one_shield_fetches_for_all_and_another_stands_in(
    running: Daemons, folder: Path, origin: ScriptedOrigin, certificate: TlsFiles, engine: str
) -> None:
    paths = [f"/s{n}" for n in range(12)]
    origin.pages |= {path: Page(headers=KEEP | {"Surrogate-Key": "k"}, takes=0.1) for path in paths}
    shield = Shield(
        sites=tuple(
            ShieldSite(name=name, address=IPv4Address(int(ADDRESSES[name]) + 100))
            for name in ("nrt", "lhr")
        ),
        clients=tuple(IPv4Address(int(a) + 100) for a in ADDRESSES.values()),
        port=HTTP_PORT,
    )
    tls = certificate if engine == "varnish" else None
    started = {}
    for name in NAMES:
        site = edge_site(folder, ADDRESSES[name], ORIGIN, name=name)
        start_edge(running, replace(site, shield=shield, tls=tls), engine)
        started[name] = site
    with ThreadPoolExecutor(12) as pool:
        asked = [(address, path) for path in paths[:8] for address in ADDRESSES.values()]
        answers = list(pool.map(lambda ask: fetch(*ask), asked))
    assert {answer.status for answer in answers} == {200}
    assert sorted(origin.paths()) == paths[:8]  # once each, however many sites
    assert {a.headers["CDN-Loop"].count("example-anycast") for a in origin.asked} <= {1, 2}
    assert {a.source for a in origin.asked} == {str(s.address) for s in shield.sites}
    assert all("Surrogate-Key" not in a.headers and a.headers["Via"] for a in answers)
    strangers = fetch(shield.sites[0].address, "/s0", port=HTTP_PORT) if tls is None else None
    assert strangers is None or strangers.status == 403
    # Both sites of the shield go: the third does without.
    for name in ("nrt", "lhr"):
        os.kill(int((Path(started[name].directory) / "nginx.pid").read_text()), signal.SIGKILL)
    time.sleep(0.1)
    got = [fetch(ADDRESSES["gru"], path) for path in paths[8:]]
    assert [answer.status for answer in got] == [200] * 4


def test_nginx_forgets_a_page_whose_file_is_gone(
    running: Daemons, folder: Path, origin: ScriptedOrigin
) -> None:
    origin.pages["/a"] = Page(
        headers=KEEP | {"Surrogate-Key": "red all", "Vary": "Accept-Language"}
    )
    origin.pages["/b"] = Page(headers=KEEP | {"surrogate-key": "redder all"})
    site = edge_site(folder, ADDRESSES["nrt"], ORIGIN)
    start_edge(running, site, "nginx")
    pages = Path(site.directory) / CACHE_FOLDER

    def said() -> list[str]:
        asked = (("/a", "ja"), ("/a", "pt"), ("/b", "ja"))
        return [
            fetch(ADDRESSES["nrt"], path, headers={"Accept-Language": tag}).cache[:3]
            for path, tag in asked
        ]

    assert said() == ["fwd"] * 3
    assert said() == ["hit"] * 3
    assert forget(pages, keys=["red"]) == 2  # each variant is a page
    assert said() == ["fwd", "fwd", "hit"]
    assert forget(pages, urls=[("www.example.test", "/b"), ("www.example.test", "/c")]) == 1
    assert said() == ["hit", "hit", "fwd"]
    assert forget(pages, everything=True) == 3
    assert said() == ["fwd"] * 3
