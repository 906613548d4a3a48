"""Authoritative DNS at a site: Knot, with the zones of the spec or those that the primary sends."""

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from ridgeline.lab.material.secrets import write_private
from ridgeline.lab.material.zonefiles import Zone
from ridgeline.lab.plan import LabPlan, NodeKind
from ridgeline.lab.services.base import (
    DaemonFiles,
    Place,
    addresses_of,
    of_kind,
    unicast,
    write_whole,
)
from ridgeline.lab.services.fingerprints import config_of
from ridgeline.render.knot import (
    RATE_LIMIT,
    KnotSite,
    Transfer,
    ZoneFile,
    render_knot,
    render_whoami_files,
)
from ridgeline.spec.model import Prefix, ServiceKind, Spec

FOLDER: Final = "knot"
"""In the node's own; holds the configuration, the zones, the control socket."""
CONFIGURATION: Final = "knot.conf"


def authoritative(place: Place) -> DaemonFiles:
    """Write the files of a site's Knot."""
    configuration = place.folder(FOLDER) / CONFIGURATION
    text = configure_site(place, place.zones)
    write_private(configuration, text)
    write_own_zones(place, text)
    return DaemonFiles(
        name="knot",
        argv=("knotd", "-c", str(configuration)),
        configuration=configuration,
    )


def write_own_zones(place: Place, configuration: str) -> bool:
    """Write the zones that tell of the site itself; say whether any of them is new.

    Parameters
    ----------
    configuration
        Text of the ``knot.conf`` whose fingerprint they tell.
    """
    addresses = addresses_of(of_kind(place.spec, ServiceKind.AUTHORITATIVE_DNS))
    folder = place.folder(FOLDER)
    own = render_whoami_files(place.identity(), addresses, config_of(place, configuration))
    fresh = {
        folder / name: zone
        for name, zone in own.items()
        if not (folder / name).is_file() or (folder / name).read_text() != zone
    }
    for path, zone in fresh.items():
        write_whole(path, zone)
    return bool(fresh)


def configure_site(place: Place, zones: Iterable[Zone]) -> str:
    """Copy the zone files that a site holds, and write the text of its ``knot.conf``."""
    folder = place.folder(FOLDER)
    services = of_kind(place.spec, ServiceKind.AUTHORITATIVE_DNS)
    files = [
        ZoneFile(domain=zone.domain, path=place_zone(zone, folder))
        for zone in zones
        if not zone.primary
    ]
    transfer = None
    if any(service.primary for service in services):
        transfer = Transfer(
            primary=unicast(place.plan.node("primary")),
            sources=unicast(place.node),
            tsig=place.secrets.tsig,
        )
    return render_knot(
        KnotSite(
            identity=place.identity(),
            directory=str(folder),
            listen=(*addresses_of(services), *unicast(place.node)),
            zones=tuple(files),
            transfer=transfer,
            cookie_secrets=place.secrets.dns_cookies,
            rate_limit=_rate_limit(place.spec),
            unlimited=tuple(fleet_networks(place.plan)),
        )
    )


def place_zone(zone: Zone, folder: Path) -> str:
    """Copy a zone's file into a folder, at once: a reader sees the old one or the new."""
    copy = folder / copy_name(zone)
    fresh = copy.with_suffix(".new")
    fresh.write_bytes(zone.path.read_bytes())
    fresh.replace(copy)
    return str(copy)


def copy_name(zone: Zone) -> str:
    """Name the copy; no domain shares it, and none is taken for another file of the folder."""
    return f"{zone.domain.replace('/', '_')}zone"


def fleet_networks(plan: LabPlan) -> Iterable[Prefix]:
    """List the addresses of our own resolvers, checks and primary, which no limit must stop."""
    for node in plan.of_kind(NodeKind.SERVER, NodeKind.PRIMARY):
        for address in unicast(node):
            yield ip_network(address)


def _rate_limit(spec: Spec) -> int:
    """Take the strictest of the services': one Knot answers for all of them."""
    stated = [s.rate_limit for s in of_kind(spec, ServiceKind.AUTHORITATIVE_DNS) if s.rate_limit]
    return min(stated, default=RATE_LIMIT)
