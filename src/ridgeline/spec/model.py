"""The anycast network as the rest of the package sees it: frozen, resolved, nothing left to look up.

`ridgeline.spec.parse.parse_spec` makes these values from the file; nobody else reads YAML.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from ridgeline.net.asn import Asn
from ridgeline.net.community import Community
from ridgeline.net.place import Place

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network


class ServiceKind(Enum):
    """What answers on a service's addresses."""

    AUTHORITATIVE_DNS = "authoritative-dns"
    RECURSIVE_DNS = "recursive-dns"
    HTTP_CACHE = "http-cache"
    CUSTOM = "custom"


class SiteState(Enum):
    """Whether a site announces."""

    ACTIVE = "active"
    DRAINED = "drained"
    PLANNED = "planned"
    """Predicted, not announced."""


class EdgeEngine(Enum):
    """What an HTTP cache runs at each site."""

    NGINX = "nginx"
    """nginx alone: light, for labs of many sites."""
    VARNISH = "varnish"
    """nginx for TLS and HTTP/2 in front of Varnish, which caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """When a service counts as healthy. Times in seconds."""

    interval: float
    timeout: float
    fall: int
    """Failed checks in a row until it is down."""
    rise: int
    """Good checks in a row until it is up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Where a service's certificate and key are, as written in the file."""

    certificate: str
    """Empty, like the key: a rehearsal signs one of its own; production has none."""
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Something that answers on anycast addresses, at every site."""

    name: str
    kind: ServiceKind
    addresses: tuple[Address, ...]
    """Each inside one of the spec's prefixes; in file order."""
    zones: tuple[str, ...]
    """Zone files, as written (relative to the spec file); authoritative DNS only."""
    origin: str
    """URL of the origin; empty unless the kind is an HTTP cache."""
    tls: Tls | None
    health: Health
    primary: bool = False
    """A hidden primary holds the zones and sends them to the sites; authoritative DNS only."""
    dnssec: bool = False
    """The primary signs the zones (authoritative DNS); answers are validated (recursive DNS)."""
    clients: tuple[Prefix, ...] = ()
    """Who may ask a recursive resolver; empty: everyone, within the rate limit."""
    rate_limit: int | None = None
    """Answers per second to one client or client network; None: the engine's default of ours."""
    engine: EdgeEngine = EdgeEngine.NGINX
    cache_cookies: bool = False
    """Whether requests with cookies may be answered from, and fill, an HTTP cache."""
    shield: tuple[str, ...] = ()
    """Sites that alone fetch from the origin, each its share of the URLs; empty: every site does."""
    handoff: tuple[str, ...] = ()
    """Path prefixes whose requests move to the site's unicast address (307), to outlive a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What a site says to one neighbouring network."""

    asn: Asn
    prefixes: tuple[Prefix, ...]
    """The prefixes announced on this session, all of the spec's by default.

    The same ASN may stand twice at a site if no prefix does: so IPv4 and IPv6 can differ.
    """
    prepend: int
    """Extra copies of our own AS number on the path; 0 announces plainly."""
    communities: tuple[Community, ...]
    bfd: bool
    """Bidirectional Forwarding Detection (RFC 5880) on the session: 100 ms, three misses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One place that announces the prefixes (a PoP in CDN speech)."""

    name: str
    place: Place
    upstreams: tuple[Upstream, ...]
    capacity: int | None
    """Queries or requests per second that it can carry; None: not stated."""
    state: SiteState
    line: int
    """Where the site stands in the file, 1-based, for messages of later commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The anycast network."""

    file: str
    """As the user named it; messages start with it and paths inside are relative to its folder."""
    network: str
    asn: Asn
    prefixes: tuple[Prefix, ...]
    services: tuple[Service, ...]
    sites: tuple[Site, ...]
    """At least one; in file order."""
    secrets: str = ""
    """Folder of keys that all sites share, as written; empty: a rehearsal makes its own."""
    rescue: bool = False
    """Whether segments that a route change brought to the wrong site are sent back to their own."""

    def site(self, name: str) -> Site:
        """Return the site of that name.

        Raises
        ------
        KeyError
            No site has that name.
        """
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(name)
