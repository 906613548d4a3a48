"""The demo's last act: a route moves under a thousand downloads, once plain and once with rescue."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ridgeline.app.story import Demo
from ridgeline.errors import MachineError
from ridgeline.lab.control import LabClient
from ridgeline.lab.flows.model import share
from ridgeline.lab.services.edge import BIG_FILE_BYTES
from ridgeline.spec.model import ServiceKind

DOWNLOADS: Final = 1000
SURVIVE: Final = 0.99
_WATCH_S: Final = 6.0
_ONE_DOWNLOAD_S: Final = 15.0
_BEFORE_S: Final = 1.0


def sessions(demo: Demo, site: str) -> None:
    """Move the route of many sessions: the limit of anycast, and what takes it away."""
    if demo.service(ServiceKind.HTTP_CACHE) is None:
        return
    cities = [city for city in demo.spread(len(demo.clients)) if demo.site_of(city) == site]
    if not cities:
        return
    wanted = {"site": site, "n": DOWNLOADS, "watch": _WATCH_S, "from": cities}
    demo.report["sessions"] = {}
    _plain(demo, cities[0], wanted)
    try:
        demo.ask("rescue", turn="on")
    except MachineError as error:
        demo.report["sessions"]["no_rescue"] = str(error).replace("\n", "; ")
        demo.ask("heal", site=site)
        return
    _rescued(demo, wanted)


def _plain(demo: Demo, city: str, wanted: Mapping[str, Any]) -> None:
    """Withdraw under a thousand downloads, and under one fast one whose story the report tells."""
    demo.tell(f"{DOWNLOADS:,} downloads, and a long one from {city}; then their route moves")
    url = "http://origin.example.test/big"
    one = {"url": url, "seconds": _ONE_DOWNLOAD_S, "from": city}
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(LabClient(demo.lab.name).ask, "download", **one)
        time.sleep(_BEFORE_S)
        document = demo.ask("sessions", event="fail", how="withdraw", **wanted)
        result = pending.result()
    demo.report["sessions"]["plain"] = document
    after = document["clients"][city]["after"]
    how = {"reset": "connection reset", "hang": "timeout"}.get(result["how"], result["how"])
    after_ms = round((result["ended"] - document["monotonic_s"]) * 1000, 1)
    demo.report["tcp"] = {
        "from": city,
        "url": url,
        "bytes_before": result["bytes"],
        "of_bytes": result["length"] or BIG_FILE_BYTES,
        "how": how,
        "after_ms": after_ms,
        "from_site": result["site"],
        "to_site": after,
        "note": f"{after} has no such connection and says so with a RST (RFC 9293, section 3.5.3); "
        "DNS clients only ask again, a download must start again.",
    }
    row = document["classes"]["download"]["moved"]
    demo.claim(
        "The other honest limit: a TCP connection does not survive a move of its route",
        result["how"] in {"reset", "hang", "closed"}
        and row["sessions"] >= 0.9 * DOWNLOADS
        and share(document) <= 1 - SURVIVE,
        f"{row['survived']:,} of {row['sessions']:,} downloads survived; {city} had "
        f"{result['bytes'] / 1e6:.1f} MB from {result['site']}: {how} {after_ms:.0f} ms after the "
        f"route moved to {after}",
    )


def _rescued(demo: Demo, wanted: Mapping[str, Any]) -> None:
    """Heal the site: the same clients' routes move back, now with rescue at every site."""
    demo.tell(f"{DOWNLOADS:,} downloads again; their route moves back, with rescue on")
    document = demo.ask("sessions", event="heal", **wanted)
    demo.report["sessions"]["rescue"] = document
    row = document["classes"]["download"]["moved"]
    sites = document["rescue"]["sites"].values()
    demo.claim(
        "With rescue it does: what lands at the wrong site is sent on to the site that knows it",
        row["sessions"] >= 0.9 * DOWNLOADS and share(document) >= SURVIVE,
        f"{row['survived']:,} of {row['sessions']:,} downloads survived; "
        f"{sum(site['rescued'] for site in sites):,} packets came home, no state was shared",
    )
