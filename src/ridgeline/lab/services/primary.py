"""The hidden primary: the one Knot of a lab that holds zone files, signs them and sends them out."""

from collections.abc import Iterable

from ridgeline.lab.material.secrets import write_private
from ridgeline.lab.material.zonefiles import Zone
from ridgeline.lab.plan import NodeKind
from ridgeline.lab.services.authoritative import CONFIGURATION, FOLDER, place_zone
from ridgeline.lab.services.base import DaemonFiles, Place, unicast
from ridgeline.render.knot_primary import KnotPrimary, PrimaryZone, Secondary, render_knot_primary


def primary(place: Place) -> DaemonFiles:
    """Write the files of the hidden primary."""
    configuration = place.folder(FOLDER) / CONFIGURATION
    write_private(configuration, configure_primary(place, place.zones))
    return DaemonFiles(
        name="knot",
        argv=("knotd", "-c", str(configuration)),
        configuration=configuration,
    )


def configure_primary(place: Place, zones: Iterable[Zone]) -> str:
    """Copy the zone files that the primary holds, and write the text of its ``knot.conf``."""
    folder = place.folder(FOLDER)
    return render_knot_primary(
        KnotPrimary(
            network=place.spec.network,
            directory=str(folder),
            listen=unicast(place.node),
            sites=tuple(
                Secondary(name=server.site, addresses=unicast(server))
                for server in place.plan.of_kind(NodeKind.SERVER)
            ),
            zones=tuple(
                PrimaryZone(domain=zone.domain, path=place_zone(zone, folder), signed=zone.dnssec)
                for zone in zones
                if zone.primary
            ),
            tsig=place.secrets.tsig,
            notifies=False,  # `lab publish` does, all at once
        )
    )
