"""How soon a zone edit, and a new zone, is at 20 sites; what a site's Knot needs.

Twenty-one real Knots on loopback addresses, with the very texts of a lab: a hidden primary that
signs, and 20 sites. There is no distance in between, so the figures are what the programs take;
`rehearsed` then does the same in a lab whose links are as long as the Internet's.
"""

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from results import figure, publish

from ridgeline.lab.change.notify import notifications
from ridgeline.lab.change.serials import is_at_least
from ridgeline.lab.preflight import add_system_paths
from ridgeline.lab.watch.dnswire import read_soa, soa_query
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.knot import CATALOG_ZONE, KnotSite, Transfer, render_knot, render_whoami_files
from ridgeline.render.knot_primary import KnotPrimary, PrimaryZone, Secondary, render_knot_primary

N_SITES = 20
N_CHANGES = 100
N_ZONES = 50
"""Edited in turn: Knot 3.2 looks for a zone's changes once a second, however often it is told."""
PAUSE_S = 1.05
"""Between new zones, since all of them are changes of the one catalog."""
N_REHEARSED = 10
WITHIN_MS = 250.0
POLL_S = 0.005
PORT = 10000 + os.getpid() % 20000
NETWORK = "bench-anycast"
CODES = (
    *("nrt", "lhr", "iad", "syd", "gru", "jnb", "fra", "sin", "lax", "hkg"),
    *("cdg", "bom", "ord", "mad", "dxb", "eze", "waw", "nbo", "akl", "los"),
)
Figures = dict[str, dict[str, Any]]


def figures() -> Figures:
    """Measure everything here."""
    add_system_paths()
    found: Figures = {}
    with fleet() as running:
        found |= site_knot(running)
        time.sleep(3)  # until every site has every zone, and has been quiet for a second
        edits = [running.edit(number) for number in range(N_CHANGES)]
        again = [running.edit(0) for _ in range(5)]
        new = [running.add_zone(number) for number in range(N_CHANGES)]
    for what, times in (("zone_edit", edits), ("new_zone", new)):
        found[f"{what}_at_{N_SITES}_sites_p50_ms"] = figure(median(times), "ms")
        p99 = quantiles(times, n=100, method="inclusive")[98]
        found[f"{what}_at_{N_SITES}_sites_p99_ms"] = figure(p99, "ms", at_most=WITHIN_MS)
    found["zone_edit_again_at_once_worst_ms"] = figure(max(again), "ms")
    return found | rehearsed()


@dataclass
class Running:
    """The primary, the sites, and eyes on all of them."""

    folder: Path
    primary: KnotPrimary
    sites: tuple[IPv4Address, ...]
    started_ms: list[float]
    processes: list[subprocess.Popen[bytes]]
    eyes: dict[socket.socket, IPv4Address]

    def edit(self, number: int) -> float:
        """Change a record; how long until the last site has it."""
        zone = self.primary.zones[number % N_ZONES]
        before = ask(self.primary.listen[0], zone.domain)
        begun = time.perf_counter()
        Path(zone.path).write_text(zone_text(zone.domain, f"edit TXT v{time.time_ns()}"))
        knotc(self.folder / "primary", "-b", "zone-reload", zone.domain)
        self.tell(zone.domain)
        after = ask(self.primary.listen[0], zone.domain)
        if before is None or after is None or after == before:
            raise RuntimeError(f"edit {number} left serial {before}")
        self.until(zone.domain, after)
        return 1000 * (time.perf_counter() - begun)

    def add_zone(self, number: int) -> float:
        """Add a zone at the primary alone; how long until the last site serves it."""
        time.sleep(PAUSE_S)
        zone = self.folder / f"new{number}.test.zone"
        domain = f"new{number}.test."
        begun = time.perf_counter()
        listed = knotc(self.folder / "primary", "zone-status", CATALOG_ZONE, "+serial")
        zone.write_text(zone_text(domain, "hello TXT there"))
        added = PrimaryZone(domain=domain, path=str(zone), signed=True)
        self.primary = replace(self.primary, zones=(*self.primary.zones, added))
        (self.folder / "primary" / "knot.conf").write_text(render_knot_primary(self.primary))
        knotc(self.folder / "primary", "reload")
        while ask(self.primary.listen[0], domain) is None:
            time.sleep(POLL_S)
        while knotc(self.folder / "primary", "zone-status", CATALOG_ZONE, "+serial") == listed:
            time.sleep(POLL_S)
        self.tell(CATALOG_ZONE)
        self.until(domain, 1)
        return 1000 * (time.perf_counter() - begun)

    def tell(self, domain: str) -> None:
        """Tell all sites at once, as `lab publish` does."""
        (wire,) = notifications([domain], self.primary.tsig)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
            speaker.bind((str(self.primary.listen[0]), 0))
            for site in self.sites:
                speaker.sendto(wire, (str(site), PORT))

    def until(self, domain: str, serial: int, seconds: float = 20) -> None:
        """Wait until every site answers with a serial, asking each every 5 ms."""
        deadline = time.perf_counter() + seconds
        query = soa_query(domain)
        missing = set(self.eyes)
        while missing:
            for eye in missing:
                eye.send(query)
            again = time.perf_counter() + POLL_S
            while missing and (left := again - time.perf_counter()) > 0:
                for eye in select.select(list(missing), (), (), left)[0]:
                    answer = read_soa(eye.recv(4096)).serial
                    if answer is not None and is_at_least(answer, serial):
                        missing.discard(eye)
            if time.perf_counter() > deadline:
                late = ", ".join(str(self.eyes[eye]) for eye in missing)
                raise RuntimeError(f"{domain} is not at {late} after {seconds} s")
        for eye in self.eyes:  # late answers belong to this change, not to the next
            with suppress(BlockingIOError):
                while eye.recv(4096, socket.MSG_DONTWAIT):
                    pass


@contextmanager
def fleet() -> Iterator[Running]:
    """Start a primary and its sites; end them by pid."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rl", dir="/dev/shm")))
        here = IPv4Address("127.77.1.250")
        addresses = tuple(IPv4Address(f"127.77.1.{number + 1}") for number in range(N_SITES))
        zones = []
        for number in range(N_ZONES):
            file = folder / f"example{number}.test.zone"
            file.write_text(zone_text(f"example{number}.test.", "edit TXT first"))
            zones.append(PrimaryZone(domain=file.name[:-4], path=str(file), signed=True))
        primary = KnotPrimary(
            network=NETWORK,
            directory=str(folder / "primary"),
            listen=(here,),
            sites=tuple(
                Secondary(name=f"s{number}", addresses=(address,))
                for number, address in enumerate(addresses)
            ),
            zones=tuple(zones),
            tsig=bytes(range(32)),
            notifies=False,
            port=PORT,
        )
        running = Running(folder, primary, addresses, [], [], {})
        stack.callback(end, running.processes)
        (folder / "primary").mkdir()
        (folder / "primary" / "knot.conf").write_text(render_knot_primary(primary))
        start(running, folder / "primary", lambda: ask(here, zones[-1].domain) is not None)
        for number, address in enumerate(addresses):
            begun = time.perf_counter()
            start_site(running, number, address)
            running.started_ms.append(1000 * (time.perf_counter() - begun))
        for address in addresses:
            eye = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            eye.bind((str(here), 0))  # the rate limit spares the fleet's own
            eye.connect((str(address), PORT))
            running.eyes[stack.enter_context(eye)] = address
        yield running


def start_site(running: Running, number: int, address: IPv4Address) -> None:
    """Start one site's Knot and wait until it serves the zone that the primary sends."""
    folder = running.folder / f"s{number}"
    folder.mkdir()
    identity = SiteIdentity(site=f"s{number}", network=NETWORK, domain=f"{NETWORK}.example")
    for name, text in render_whoami_files(identity, (address,)).items():
        (folder / name).write_text(text)
    (folder / "knot.conf").write_text(
        render_knot(
            KnotSite(
                identity=identity,
                directory=str(folder),
                listen=(address,),
                zones=(),
                transfer=Transfer(
                    primary=running.primary.listen, sources=(address,), tsig=running.primary.tsig
                ),
                cookie_secrets=(bytes(16),),
                unlimited=(ip_network(running.primary.listen[0]),),
                port=PORT,
            )
        )
    )
    last = running.primary.zones[-1].domain
    start(running, folder, lambda: ask(address, last) is not None)


def start(running: Running, folder: Path, ready: Callable[[], bool]) -> None:
    """Start a Knot and wait until it is ready."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["knotd", "-c", str(folder / "knot.conf")], stderr=log)
    running.processes.append(process)
    deadline = time.perf_counter() + 20
    while not ready():
        if process.poll() is not None or time.perf_counter() > deadline:
            raise RuntimeError(f"{folder.name} is not ready:\n{(folder / 'log').read_text()}")
        time.sleep(0.001)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()


def ask(server: Any, domain: str) -> int | None:
    """Ask one server once for a zone's serial."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        try:
            asking.bind(("127.77.1.250", 0))
            asking.connect((str(server), PORT))
            asking.send(soa_query(domain))
            return read_soa(asking.recv(4096)).serial
        except OSError:
            return None


def knotc(folder: Path, *command: str) -> bytes:
    return subprocess.run(
        ["knotc", "-s", str(folder / "knot.sock"), *command],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout


def zone_text(domain: str, record: str) -> str:
    return (
        f"$ORIGIN {domain}\n$TTL 300\n@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\n"
        f"ns A 192.0.2.53\nwww A 192.0.2.80\n{record}\n"
    )


def site_knot(running: Running) -> Figures:
    """Take what one site's Knot needs, of 20 that run at once."""
    pss = [memory_mb(process.pid) for process in running.processes[1:]]
    return {
        "site_knot_start_ms": figure(median(running.started_ms), "ms", at_most=300),
        "site_knot_pss_mb": figure(median(pss), "MB", at_most=15),
        "primary_knot_pss_mb": figure(memory_mb(running.processes[0].pid), "MB"),
    }


def memory_mb(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(found.split()[1]) / 1024


def rehearsed() -> Figures:
    """Edit a zone in a lab of 20 sites, where light needs its time."""
    from ridgeline.app.lab import bring_up
    from ridgeline.lab.control import LabClient, take_down

    name = f"bench-zones-{os.getpid()}"
    folder = Path(tempfile.mkdtemp(prefix="rl"))
    try:
        zone = folder / "example.test.zone"
        zone.write_text(zone_text("example.test.", "edit TXT first"))
        spec = folder / "spec.yaml"
        spec.write_text(spec_text())
        bring_up(str(spec), name=name, max_clients=0, progress=lambda _: None)
        times = []
        for number in range(N_REHEARSED):
            zone.write_text(zone_text("example.test.", f"edit TXT v{number}"))
            document = LabClient(name).ask("publish")
            if not document["everywhere"]:
                raise RuntimeError(f"not everywhere: {document}")
            times.append(document["ms"])
            time.sleep(PAUSE_S)
        return {"zone_edit_over_the_oceans_p50_ms": figure(median(times), "ms")}
    finally:
        take_down(name)
        shutil.rmtree(folder)


def spec_text() -> str:
    """Name 20 sites at the airports of the built-in Internet's cities and beyond."""
    sites = "\n".join(f"  {code}: {{upstreams: [{{asn: 65536}}]}}" for code in CODES)
    return (
        f"network: {NETWORK}\nasn: 64500\nprefixes: [192.0.2.0/24]\n"
        "services:\n  dns: {kind: authoritative-dns, addresses: [192.0.2.53], "
        "zones: [example.test.zone], primary: true, dnssec: true}\n"
        f"sites:\n{sites}\n"
    )


if __name__ == "__main__":
    sys.exit(0 if publish("zones", figures()) else 1)
