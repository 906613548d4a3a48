"""Purging 20 sites at once, sessions that resume at another site, and what a shield spares the origin.

Twenty real Varnishes, and nginxs with one set of ticket keys, on loopback: what the programs take,
without the distance between sites.
"""

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from datapath import IDENTITY, PORT, Bench, edge_site, http_answers, start_origin
from results import figure

from ridgeline.lab.change.purge import Order, order_varnish
from ridgeline.lab.preflight import add_system_paths
from ridgeline.render.edge import EdgeSite, Shield, ShieldSite, TlsFiles
from ridgeline.render.identity import HEALTH_PATH
from ridgeline.render.nginx import render_nginx
from ridgeline.render.nginx_front import render_front
from ridgeline.render.varnish import (
    VarnishPolicy,
    control_socket,
    render_varnish,
    varnish_command,
)

N_SITES = 20
N_PURGES = 100
N_SESSIONS = 200
WITHIN_MS = 250.0
Figures = dict[str, dict[str, Any]]


def figures() -> Figures:
    """Measure everything here."""
    add_system_paths()
    with ExitStack() as stack:
        found = purges(Bench(stack))
    with ExitStack() as stack:
        found |= resumption(Bench(stack))
    with ExitStack() as stack:
        return found | shield(Bench(stack))


def at(number: int) -> IPv4Address:
    """Return the address of a site."""
    return IPv4Address("127.40.0.1") + number


def named(site: EdgeSite, number: int) -> EdgeSite:
    """Give a site a name and address of its own."""
    identity = replace(IDENTITY, site=f"s{number}")
    return replace(site, identity=identity, listen=(at(number),), unicast=(at(number),))


def purges(bench: Bench) -> Figures:
    """Purge by key until every site has taken the order, many times over."""
    sites = [named(edge_site(bench, PORT + 20, PORT + 21), n) for n in range(N_SITES)]
    for site in sites:
        vcl = Path(site.directory) / "site.vcl"
        vcl.write_text(render_varnish(site, VarnishPolicy(probe_interval=0)))
        control = Path(control_socket(site.directory))
        bench.start(*varnish_command(site, str(vcl), hurry=True), ready=control.exists)
    sockets = [control_socket(site.directory) for site in sites]

    async def run() -> list[float]:
        deadline = time.monotonic() + 60
        for socket_path in sockets:  # the policy is compiled meanwhile
            while True:
                try:
                    await order_varnish(socket_path, Order(keys=("start",)))
                    break
                except Exception:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(0.1)
        times = []
        for number in range(N_PURGES):
            order = Order(keys=(f"key{number}",))
            begun = time.perf_counter()
            await asyncio.gather(*(order_varnish(path, order) for path in sockets))
            times.append(1000 * (time.perf_counter() - begun))
        return times

    times = asyncio.run(run())
    p99 = quantiles(times, n=100, method="inclusive")[98]
    return {
        f"purge_at_{N_SITES}_sites_p50_ms": figure(median(times), "ms"),
        f"purge_at_{N_SITES}_sites_p99_ms": figure(p99, "ms", at_most=WITHIN_MS),
    }


def certificate(bench: Bench) -> TlsFiles:
    """Make the certificate and the ticket key that all sites share."""
    folder = bench.new_folder()
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=edge", "-addext", "subjectAltName=DNS:edge"),
            *("-keyout", str(folder / "key"), "-out", str(folder / "certificate")),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "ticket").write_bytes(os.urandom(80))
    return TlsFiles(
        certificate=str(folder / "certificate"),
        key=str(folder / "key"),
        ticket_keys=(str(folder / "ticket"),),
    )


def resumption(bench: Bench) -> Figures:
    """Begin sessions at one site and go on at another."""
    files = certificate(bench)
    for number in range(4):
        site = named(edge_site(bench, PORT + 22, PORT + 23), number)
        site = replace(site, tls=files, tls_port=PORT + 24)
        configuration = Path(site.directory) / "nginx.conf"
        configuration.write_text(render_nginx(site))
        bench.start("nginx", "-e", "stderr", "-c", str(configuration))
    time.sleep(0.5)
    context = ssl.create_default_context(cafile=files.certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a session is there when the handshake is

    def shake(number: int, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        line = socket.create_connection((str(at(number)), PORT + 24), timeout=5)
        return context.wrap_socket(line, server_hostname="edge", session=session)

    resumed = 0
    for number in range(N_SESSIONS):
        with shake(number % 4, None) as first:
            session = first.session
        with shake((number + 1 + number % 3) % 4, session) as second:
            resumed += bool(second.session_reused)
    share = 100 * resumed / N_SESSIONS
    return {"tls_resumed_at_another_site_pct": figure(share, "%", at_least=100)}


def shield(bench: Bench) -> Figures:
    """Ask every site for the same pages, and count at the origin."""
    n_pages = 40
    start_origin(bench, PORT + 25)
    counted = bench.folder / "asked.log"
    configuration = next(bench.folder.glob("*/nginx.conf"))
    text = configuration.read_text().replace("access_log off;", f"access_log {counted};", 1)
    configuration.write_text(text.replace(str(PORT + 25), str(PORT + 26)))
    bench.start("nginx", "-e", "stderr", "-c", str(configuration), ready=http_answers(PORT + 26))
    sites = tuple(ShieldSite(name=f"s{n}", address=at(n)) for n in range(2))
    both = Shield(sites=sites, clients=tuple(at(n) for n in range(6)), port=PORT + 27)
    for number in range(6):
        site = named(edge_site(bench, PORT + 28, PORT + 26), number)
        site = replace(site, shield=both)
        vcl, front = Path(site.directory) / "site.vcl", Path(site.directory) / "nginx.conf"
        vcl.write_text(render_varnish(site, VarnishPolicy(probe_interval=0)))
        front.write_text(render_front(site))
        bench.start(*varnish_command(site, str(vcl), hurry=True))
        bench.start("nginx", "-e", "stderr", "-c", str(front))
    import http.client

    def ask(number: int, path: str) -> int:
        line = http.client.HTTPConnection(str(at(number)), PORT + 28, timeout=5)
        try:
            line.request("GET", path, headers={"Host": "www.example.test"})
            return line.getresponse().status
        except OSError:
            return 0
        finally:
            line.close()

    deadline = time.monotonic() + 60
    while any(ask(number, HEALTH_PATH) != 200 for number in range(6)):
        if time.monotonic() > deadline:
            raise SystemExit("the sites do not start")
        time.sleep(0.1)
    before = len(counted.read_text().splitlines())
    wrong = [p for p in range(n_pages) for n in range(6) if ask(n, f"/page?{p}") != 200]
    if wrong:
        raise SystemExit(f"{len(wrong)} requests failed")
    fetched = len(counted.read_text().splitlines()) - before
    return {"origin_fetches_a_page_of_6_sites": figure(fetched / n_pages, "fetches", at_most=1)}
