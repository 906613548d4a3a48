"""Authoritative DNS at a site: Knot, with the zones of the spec."""

from ridgeline.lab.services.base import DaemonFiles, Place, addresses_of, of_kind, unicast
from ridgeline.render.knot import WHOAMI_FILE, KnotSite, ZoneFile, render_knot, render_whoami_zone
from ridgeline.spec.model import ServiceKind


def authoritative(place: Place) -> DaemonFiles:
    """Write the files of a site's Knot."""
    identity = place.identity()
    addresses = addresses_of(of_kind(place.spec, ServiceKind.AUTHORITATIVE_DNS))
    folder = place.folder("knot")
    (folder / "db").mkdir(exist_ok=True)
    (folder / WHOAMI_FILE).write_text(render_whoami_zone(identity, addresses))
    files = []
    for zone in place.zones:
        copy = folder / f"{zone.domain}zone"
        copy.write_bytes(zone.path.read_bytes())
        files.append(ZoneFile(domain=zone.domain, path=str(copy)))
    configuration = folder / "knot.conf"
    configuration.write_text(
        render_knot(
            KnotSite(
                identity=identity,
                directory=str(folder),
                listen=(*addresses, *unicast(place.node)),
                zones=tuple(files),
            )
        )
    )
    return DaemonFiles(
        name="knot",
        argv=("knotd", "-c", str(configuration)),
        configuration=configuration,
    )
