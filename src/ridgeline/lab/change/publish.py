"""Zone files that changed, to every site: read, compared, handed over, and waited for.

With a hidden primary it alone is told, and the sites hear of it as they would in production
(NOTIFY, IXFR, catalog). Without one, every site gets the files. A file that is no zone, or that
Knot refuses, changes nothing anywhere: what ran goes on.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.change.followers import after_change, before_change
from ridgeline.lab.change.notify import notify
from ridgeline.lab.change.serials import POLL_S, SerialAsker, Wanted
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.material.secrets import write_private
from ridgeline.lab.material.zonefiles import Zone, read_zones
from ridgeline.lab.plan import Node, NodeKind
from ridgeline.lab.services.authoritative import (
    CONFIGURATION,
    FOLDER,
    configure_site,
    copy_name,
    write_own_zones,
)
from ridgeline.lab.services.base import Address, Place, addresses_of, of_kind, unicast
from ridgeline.lab.services.primary import configure_primary
from ridgeline.render.identity import WHOAMI_ZONE
from ridgeline.render.knot import CATALOG_ZONE, CONTROL_SOCKET
from ridgeline.spec.model import ServiceKind, Spec
from ridgeline.spec.parse import parse_spec

WITHIN_S: Final = 15.0
"""How long a site may take."""
_TELL_AGAIN_S: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What differs between the files and what the servers were given."""

    new: tuple[Zone, ...] = ()
    edited: tuple[Zone, ...] = ()
    gone: tuple[Zone, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.edited or self.gone)

    def words(self) -> dict[str, str]:
        """Name the change of each zone."""
        named = (("new", self.new), ("edited", self.edited), ("gone", self.gone))
        return {zone.domain: word for word, zones in named for zone in zones}


async def publish(fabric: Fabric, *, skip: Iterable[str] = ()) -> dict[str, Any]:
    """Read the spec's zone files again and bring every change to every site.

    Parameters
    ----------
    skip
        Sites that cannot be reached now and are not waited for.

    Raises
    ------
    InputError
        A file is wrong, with its line; nothing was changed.
    MachineError
        Knot refused a zone; what it had goes on being served.
    """
    zones = read_zones(_current_spec(fabric.plan.spec))
    changes = _compare(fabric, zones)
    skipped = set(skip)
    servers = [n for n in fabric.plan.of_kind(NodeKind.SERVER) if n.site not in skipped]
    begun = asyncio.get_running_loop().time()
    wanted: dict[str, Wanted] = {}
    told: list[str] = []
    if changes:
        await before_change(fabric, zones)
        try:
            wanted, told = await _hand_over(fabric, zones, changes, servers)
            fabric.zones = zones
        except MachineError:
            await fabric.agents_follow(fabric.zones)  # with what is served still
            raise
    telling = asyncio.create_task(_tell_sites(fabric, servers, told))
    try:
        arrived = await asyncio.gather(*(_await_site(fabric, node, wanted) for node in servers))
    finally:
        telling.cancel()
    if changes:
        n_there = sum(len(seen) == len(wanted) for seen in arrived)
        await after_change(fabric, is_there=2 * n_there > len(servers) + len(skipped))
    words = changes.words()
    rows: list[dict[str, Any]] = [
        {
            "zone": domain,
            "change": words[domain],
            "serial": want.serial,
            "sites": {
                node.site: _ms(seen.get(domain), begun)
                for node, seen in zip(servers, arrived, strict=True)
            },
        }
        for domain, want in sorted(wanted.items())
    ]
    times = [ms for row in rows for ms in row["sites"].values()]
    return {
        "schema": "ridgeline.publish/1",
        "from": "primary" if any(zone.primary for zone in zones) else "files",
        "zones": rows,
        "unchanged": [zone.domain for zone in zones if zone.domain not in wanted],
        "skipped": sorted(skipped),
        "everywhere": None not in times,
        "ms": max((ms for ms in times if ms is not None), default=None),
    }


def _ms(seen: float | None, begun: float) -> float | None:
    return None if seen is None else round(1000 * (seen - begun), 1)


def _current_spec(running: Spec) -> Spec:
    """Read the spec again: it may name other zones now; all else needs a new lab.

    Raises
    ------
    InputError
        It is wrong, or says something else of how its zones are held.
    """
    path = Path(running.file)
    if not path.is_file():
        return running  # it came from standard input; its zone files are read again
    now = parse_spec(path.read_text(), file=running.file)
    before = {s.name: s for s in of_kind(running, ServiceKind.AUTHORITATIVE_DNS)}
    after = {s.name: s for s in of_kind(now, ServiceKind.AUTHORITATIVE_DNS)}
    changed = [
        name
        for name in before.keys() | after.keys()
        if name not in before
        or name not in after
        or (before[name].addresses, before[name].primary)
        != (after[name].addresses, after[name].primary)
    ]
    if changed:
        raise InputError(
            f"{running.file}: service {min(changed)} itself is not what this lab was built "
            "with; publishing brings zones alone: take the lab down and up again"
        )
    return now


def _compare(fabric: Fabric, zones: tuple[Zone, ...]) -> Changes:
    before = {zone.domain: zone for zone in fabric.zones}
    after = {zone.domain: zone for zone in zones}
    kept = [zone for zone in zones if zone.domain in before]
    return Changes(
        new=tuple(zone for zone in zones if zone.domain not in before),
        edited=tuple(
            zone
            for zone in kept
            if zone.dnssec != before[zone.domain].dnssec or _differs(fabric, zone)
        ),
        gone=tuple(zone for domain, zone in before.items() if domain not in after),
    )


def _differs(fabric: Fabric, zone: Zone) -> bool:
    holder = next(fabric.plan.of_kind(NodeKind.PRIMARY if zone.primary else NodeKind.SERVER), None)
    if holder is None:
        return False
    copy = fabric.place(holder).folder(FOLDER) / copy_name(zone)
    return not copy.is_file() or copy.read_bytes() != zone.path.read_bytes()


async def _hand_over(
    fabric: Fabric, zones: tuple[Zone, ...], changes: Changes, servers: list[Node]
) -> tuple[dict[str, Wanted], list[str]]:
    """Tell those who hold the files.

    Returns what every site must answer from then on, and of which zones the sites must be told.
    """
    told: list[str] = []
    wanted: dict[str, Wanted] = {zone.domain: Wanted(None) for zone in changes.gone}
    changed = (*changes.new, *changes.edited)
    primaries = list(fabric.plan.of_kind(NodeKind.PRIMARY))
    if primaries and any(zone.primary for zone in (*changed, *changes.gone)):
        place = fabric.place(primaries[0])
        with asker(fabric, place.node, unicast(place.node)[0]) as primary:
            mine = [zone for zone in changes.edited if zone.primary]
            before = {zone.domain: await primary.ask(zone.domain) for zone in mine}
            is_listed_anew = any(z.primary for z in (*changes.new, *changes.gone))
            listed = await _catalog_serial(place) if is_listed_anew else ""
            await _load(place, lambda: configure_primary(place, zones), changes)
            for zone in (z for z in changed if z.primary):
                old = before.get(zone.domain)
                serial = await _serial_at(primary, zone)
                if old is None or old.serial != serial:  # else the file differs, the zone does not
                    wanted[zone.domain] = Wanted(serial)
            told = [zone.domain for zone in mine if zone.domain in wanted]
            if is_listed_anew:
                await _until_listed(place, listed)
                told.append(CATALOG_ZONE)
    if any(not zone.primary for zone in (*changed, *changes.gone)):
        await asyncio.gather(*(_load_site(fabric, node, zones, changes) for node in servers))
        wanted |= {z.domain: Wanted(z.serial) for z in changed if not z.primary}
    return wanted, told


async def _tell_sites(fabric: Fabric, servers: list[Node], domains: list[str]) -> None:
    """Tell all sites at once of changes, and again every second: a datagram may get lost."""
    for primary in fabric.plan.of_kind(NodeKind.PRIMARY) if domains else ():
        fleet = [address for node in servers for address in unicast(node)]
        namespace, source = fabric.namespace(primary.name), unicast(primary)[0]
        while True:
            notify(namespace, source, fleet, domains, fabric.secrets.tsig)
            await asyncio.sleep(_TELL_AGAIN_S)


async def _catalog_serial(place: Place) -> str:
    """Ask the primary how often it has listed its zones; nobody else may."""
    return await knotc(place.folder(FOLDER), "zone-status", CATALOG_ZONE, "+serial")


async def _until_listed(place: Place, before: str) -> None:
    for _ in range(100):
        if await _catalog_serial(place) != before:
            return
        await asyncio.sleep(POLL_S)


async def _load_site(fabric: Fabric, node: Node, zones: tuple[Zone, ...], changes: Changes) -> None:
    place = fabric.place(node)
    await _load(place, lambda: configure_site(place, zones), changes)


async def reload_site(fabric: Fabric, node: Node) -> None:
    """Give a site that was away the files of now, and have it ask the primary for the rest."""
    place = fabric.place(node)
    folder = place.folder(FOLDER)
    text = configure_site(place, fabric.zones)
    write_private(folder / CONFIGURATION, text)
    await knotc(folder, "reload")
    await _renew_own_zones(place, text)
    await knotc(folder, "zone-refresh")


async def _renew_own_zones(place: Place, configuration: str) -> None:
    """Let a site tell the fingerprint of the configuration with which it runs now."""
    if write_own_zones(place, configuration):
        await knotc(place.folder(FOLDER), "-b", "zone-reload", WHOAMI_ZONE)


async def _load(place: Place, configure: Callable[[], str], changes: Changes) -> None:
    """Have a Knot read what changed; put every file back if it refuses."""
    folder = place.folder(FOLDER)
    configuration = folder / CONFIGURATION
    before = configuration.read_text()
    is_primary = place.node.kind is NodeKind.PRIMARY
    edited = [zone for zone in changes.edited if zone.primary == is_primary]
    copies = {copy: copy.read_bytes() for copy in (folder / copy_name(z) for z in edited)}
    text = configure()
    try:
        if text != before:
            write_private(configuration, text)
            await knotc(folder, "reload")
        if edited:
            await knotc(folder, "-b", "zone-reload", *(zone.domain for zone in edited))
        if not is_primary:
            await _renew_own_zones(place, text)
    except MachineError:
        for copy, was in copies.items():
            copy.write_bytes(was)
        if text != before:
            write_private(configuration, before)
            await knotc(folder, "reload")
        raise


async def knotc(folder: Path, *command: str) -> str:
    """Give a Knot an order; return what it says.

    Raises
    ------
    MachineError
        It refuses, or does not listen.
    """
    process = await asyncio.create_subprocess_exec(
        "knotc",
        "-s",
        str(folder / CONTROL_SOCKET),
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise MachineError(
            f"Knot at {folder.parent.name} refuses `{' '.join(command)}`: "
            f"{said.decode(errors='replace').strip()}\n{_last_words(folder)}"
        )
    return said.decode(errors="replace")


def _last_words(folder: Path) -> str:
    with suppress(OSError):
        lines = (folder / CONFIGURATION).with_suffix(".out").read_text(errors="replace")
        return "\n".join(line for line in lines.splitlines()[-20:] if " error: " in line)
    return ""


async def _serial_at(primary: SerialAsker, zone: Zone) -> int:
    """Learn the serial that the primary gave a zone."""
    with suppress(TimeoutError):
        async with asyncio.timeout(WITHIN_S):
            while True:
                answer = await primary.ask(zone.domain)
                if answer is not None and answer.serial is not None:
                    return answer.serial
                await asyncio.sleep(0.002)
    raise MachineError(f"the primary does not serve zone {zone.domain} after {WITHIN_S:.0f} s")


async def _await_site(fabric: Fabric, node: Node, wanted: dict[str, Wanted]) -> dict[str, float]:
    """Ask a site where its clients would, until it answers as wanted or its time is up."""
    services = of_kind(fabric.plan.spec, ServiceKind.AUTHORITATIVE_DNS)
    seen: dict[str, float] = {}
    with asker(fabric, node, addresses_of(services)[0]) as site, suppress(TimeoutError):
        async with asyncio.timeout(WITHIN_S):
            await site.until(wanted, seen)
    return seen


def asker(fabric: Fabric, node: Node, server: Address) -> SerialAsker:
    """Ask a server from a node, by the node's own address."""
    source = next(a for a in unicast(node) if a.version == server.version)
    return SerialAsker(fabric.namespace(node.name), source, server)
