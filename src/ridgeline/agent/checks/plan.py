"""What to check, as plain values: made by `ridgeline.agent.config`, carried out by the others here."""

from dataclasses import dataclass
from typing import Final, TypeAlias

from ridgeline.spec.model import Address, ServiceKind

RCODES: Final = {
    "NOERROR": 0,
    "FORMERR": 1,
    "SERVFAIL": 2,
    "NXDOMAIN": 3,
    "NOTIMP": 4,
    "REFUSED": 5,
    "NOTAUTH": 9,
}
FLAGS: Final = {"aa": 0x0400, "tc": 0x0200, "rd": 0x0100, "ra": 0x0080, "ad": 0x0020, "cd": 0x0010}


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsCheck:
    """One query to a local name server (RFC 1035)."""

    address: Address
    name: str
    type: str
    port: int = 53
    transport: str = "udp"
    """``udp``, ``tcp``, or ``tls`` (DNS over TLS, RFC 7858)."""
    rcodes: tuple[str, ...] = ("NOERROR",)
    flags: tuple[str, ...] = ()
    """Flags that must be set in the answer: ``aa``, ``ra``, ``ad``..."""
    answer: str = ""
    """A regular expression that the text of some answer record must match; empty: any answer."""
    recursion: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck:
    """One request to a local web server (RFC 9110)."""

    address: Address
    port: int = 80
    tls: bool = False
    host: str
    path: str = "/"
    status: tuple[int, ...] = (200,)
    body: str = ""
    """Text that the first 64 kB of the body must hold; empty: any."""
    expiry: float = 0.0
    """With TLS: fail if the certificate ends within this many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpCheck:
    """The local server takes a connection."""

    address: Address
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpCheck:
    """The address answers an echo request (RFC 792, RFC 4443) on this machine."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressCheck:
    """The address is on this machine."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecCheck:
    """A program ends with status 0 in time."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCheck:
    """The process named by a pid file runs; its end is noticed at once."""

    pidfile: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCheck:
    """A systemd unit is active; the end of its main process is noticed at once."""

    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonesCheck:
    """The local name server serves every zone, none older than the fleet's."""

    address: Address
    zones: tuple[str, ...]
    peers: tuple[Address, ...]
    """Unicast addresses of the hidden primary, or of other sites' name servers."""
    grace: float = 30.0
    """Seconds that a change may take to get here."""
    port: int = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyCheck:
    """A file has the fingerprint that it has at every site (`ridgeline.render.fingerprint`)."""

    file: str
    expect: tuple[str, ...]
    """Any of these."""
    sites: tuple[str, ...]
    """Names of all sites, which may stand in the file."""
    own: tuple[str, ...] = ()
    """This site's folders, and the addresses that single sites have: both may stand in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCheck:
    """A service is what a file says that it is at every site (`ridgeline.agent.checks.expectation`)."""

    expected: str
    """The file."""
    service: str
    kind: ServiceKind
    asks: Address
    """Where the service is asked what it serves."""
    host: str = ""
    """Name for HTTP and TLS; empty: the address."""
    tls: bool = False
    sites: tuple[str, ...] = ()
    """Names of all sites, which may stand in its files."""
    folder: str = ""
    """Where this site's files are; empty: no file is looked at."""


Check: TypeAlias = (
    DnsCheck
    | ZonesCheck
    | HttpCheck
    | TcpCheck
    | IcmpCheck
    | AddressCheck
    | ExecCheck
    | ProcessCheck
    | UnitCheck
    | ConsistencyCheck
    | ExpectedCheck
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCheck:
    """A check with its name and its times in seconds."""

    name: str
    """Unique at the site, such as ``dns/soa@192.0.2.53``."""
    service: str
    check: Check
    interval: float
    timeout: float
    rise: int
    fall: int
    shared: bool = False
    """Whatever makes it fail is an input that all sites share."""

    @property
    def address(self) -> Address | None:
        """The anycast address that it looks at; None: the service as a whole."""
        return getattr(self.check, "address", None)
