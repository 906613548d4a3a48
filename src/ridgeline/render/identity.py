"""Who answered: the names by which every service of a site tells which site it is."""

import re
from dataclasses import dataclass
from typing import Final

from ridgeline.render.quote import absolute_name

WHOAMI_ZONE: Final = "whoami.anycast.test."
"""Zone that every authoritative site has of its own; its TXT record names the site."""
TRACE_PATH: Final = "/.well-known/anycast-trace"
HEALTH_PATH: Final = "/.well-known/anycast-health"
SERVED_BY: Final = "X-Served-By"
VERSION: Final = "anycast"
"""What ``version.server`` says: a word that tells an attacker nothing."""

# One token that is a DNS label, an RFC 5001 NSID, an RFC 9110 token and an RFC 8941 string alike.
_SITE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteIdentity:
    """The identity that a site's services give.

    Raises
    ------
    ValueError
        A part is not a plain name: all of them travel in DNS answers and HTTP fields.
    """

    site: str
    """Name of the site, e.g. ``nrt``: its NSID (RFC 5001) and ``id.server`` (RFC 4892)."""
    network: str
    """Name of the anycast network, the same at every site."""
    domain: str
    """Domain below which the network's sites have their names."""

    def __post_init__(self) -> None:
        if not _SITE.fullmatch(self.site):
            raise ValueError(f"site name {self.site!r} is not letters, digits and inner hyphens")
        if not _SITE.fullmatch(self.network):
            raise ValueError(
                f"network name {self.network!r} is not letters, digits and inner hyphens"
            )
        absolute_name(self.domain, "domain")

    @property
    def host(self) -> str:
        """The site's host name, without a closing dot: ``nrt.example.test``."""
        return f"{self.site}.{self.domain.rstrip('.')}"
