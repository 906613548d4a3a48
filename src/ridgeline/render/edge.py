"""What the HTTP cache of one site must know, whichever engine it is."""

from dataclasses import dataclass

from ridgeline.render.identity import SiteIdentity
from ridgeline.spec.model import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the cache fetches what it does not hold."""

    host: str
    """Name or address; what TLS asks for, and the host of a request that names none."""
    port: int
    address: Address
    scheme: str = "http"
    """``http`` or ``https``."""
    trusted: str | None = None
    """File of CA certificates that an ``https`` origin must be signed by; None: not verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Absolute paths of certificate and key, and of the keys that seal session tickets."""

    certificate: str
    key: str
    ticket_keys: tuple[str, ...] = ()
    """The same at every site, so that a client moved by BGP resumes its session; newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShieldSite:
    """A site that fetches from the origin for others."""

    name: str
    address: Address
    """Its own, not anycast; only the other sites may use it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shield:
    """The second tier: which sites fetch from the origin, and for whom (see `render.shield`)."""

    sites: tuple[ShieldSite, ...]
    """At least one, the same at every site."""
    clients: tuple[Address, ...]
    """From where the sites ask: the shield answers nobody else."""
    port: int = 8081


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSite:
    """All that the HTTP cache of one site must know."""

    identity: SiteIdentity
    directory: str
    """Absolute; exists and is writable."""
    listen: tuple[Address, ...]
    """Addresses to answer on; nginx starts only when all of them exist."""
    origin: Origin
    tls: TlsFiles | None = None
    unicast: tuple[Address, ...] = ()
    """The site's own addresses: source towards the origin (from anycast its answers could reach
    another site), and where requests go that are handed off."""
    user: str | None = "root"
    """User of the worker; ``root`` is the only one that a user namespace with one uid has."""
    port: int = 80
    tls_port: int = 443
    cache_mb: int = 64
    cache_cookies: bool = False
    """Whether requests with a cookie may be answered from, and fill, the cache."""
    rate_limit: int | None = None
    """Requests per second that one client may make; None: no limit."""
    handoff: tuple[str, ...] = ()
    """Path prefixes that answer 307 to the site's own address, to outlive a change of routes."""
    handoff_host: str | None = None
    """Name that stands for the site's own address there; None: the address itself."""
    shield: Shield | None = None
    single_process: bool = True
    """No master: whoever kills the process has stopped the service, no worker lives on.

    Without a master nginx cannot reload, so a site whose ticket keys rotate needs one; what
    supervises it must then end the whole process group.
    """
    fingerprints: tuple[tuple[str, str], ...] = ()
    """What the trace tells besides, such as ``config`` and ``policy`` (see `render.fingerprint`)."""
