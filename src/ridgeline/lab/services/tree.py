"""The rehearsal's root of the DNS: its keys, its signed zones, and the server that holds them.

Keys are made when a lab starts and never written down. All is signed before the first daemon
starts, so that every site's resolver is given the root's key as its trust anchor (RFC 4033); only
the DS record of a zone that the network's own primary signs comes later, when that one has its key.
"""

import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ridgeline.errors import MachineError
from ridgeline.lab.plan import LabPlan, NodeKind
from ridgeline.lab.services.base import DaemonFiles, Place, addresses_of, of_kind, unicast
from ridgeline.lab.zones import Zone
from ridgeline.render.identity import WHOAMI_ZONE
from ridgeline.render.knot_tree import (
    FAILED,
    SERVER_NAME,
    Tree,
    plan_tree,
    render_knot_tree,
    render_tree_zone,
    with_ds,
)
from ridgeline.render.unbound import RootServer
from ridgeline.spec.model import ServiceKind

if TYPE_CHECKING:
    import dns.zone
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from dns.rdtypes.ANY.DNSKEY import DNSKEY

Address: TypeAlias = IPv4Address | IPv6Address

VALID_S: Final = 90 * 86_400
"""How long signatures are good: longer than any rehearsal."""
_CLOCKS_DIFFER_S: Final = 3600
_SECURE_ENTRY: Final = 0x0101  # RFC 4034: zone key, secure entry point: one key does both
_DIGEST: Final = "SHA256"


class NameTree:
    """The DNS above the network's own zones."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._keys = {zone.domain: _Key() for zone in tree.zones}
        self._serial = int(time.time())

    @property
    def root(self) -> RootServer:
        """Where recursion begins."""
        return RootServer(name=SERVER_NAME, addresses=self._tree.server)

    @property
    def trust_anchor(self) -> str:
        """The DS record of the root."""
        return f". IN DS {self._keys['.'].ds('.')}"

    def set_ds(self, domain: str, keys: Iterable[str]) -> None:
        """Let the parent of a network's zone vouch for its keys (DNSKEY data in text form)."""
        import dns.rdata

        ds = [_ds(domain, dns.rdata.from_text("IN", "DNSKEY", text)) for text in keys]
        self._tree = with_ds(self._tree, domain, ds)
        self._serial += 1

    def has_parent_of(self, domain: str) -> bool:
        """Say whether the tree delegates this very zone."""
        return domain in self._tree.parents

    def zones(self) -> dict[str, str]:
        """Return every zone, signed, as text."""
        ds = {domain: key.ds(domain) for domain, key in self._keys.items()}
        texts = {}
        for zone in self._tree.zones:
            text = render_tree_zone(zone, serial=self._serial, ds=ds)
            texts[zone.domain] = _sign(zone.domain, text, self._keys[zone.domain])
        return texts

    def write(self, folder: Path) -> dict[str, str]:
        """Write every zone to a file of its own; return the files by domain."""
        files = {}
        for domain, text in self.zones().items():
            file = folder / f"{domain.rstrip('.') or 'root'}.zone"
            file.write_text(text)
            files[domain] = str(file)
        return files


def name_tree(plan: LabPlan, zones: Iterable[Zone]) -> NameTree | None:
    """Make the tree of a lab; None if the lab has no server for it.

    Raises
    ------
    MachineError
        The library that signs is not installed.
    """
    node = next(plan.of_kind(NodeKind.NAMES), None)
    if node is None:
        return None
    try:
        import cryptography.hazmat.primitives.asymmetric.ec  # noqa: F401 - to fail here and clearly
    except ImportError as error:
        raise MachineError(
            "a rehearsal with a recursive resolver signs its DNS root, and the Python package "
            "cryptography, which signs, is not installed",
            hint="pip install 'ridgeline[tls]'",
        ) from error
    authority = addresses_of(of_kind(plan.spec, ServiceKind.AUTHORITATIVE_DNS))
    delegated = [zone.domain for zone in zones]
    return NameTree(
        plan_tree(
            server=unicast(node),
            delegated=[*delegated, WHOAMI_ZONE] if authority else [],
            authority=authority,
            hosts=_hosts(plan),
        )
    )


def names(place: Place) -> DaemonFiles:
    """Write the files of the tree's server."""
    if place.tree is None:
        raise ValueError("this lab has no tree of names")
    folder = place.folder("names")
    (folder / "db").mkdir(exist_ok=True)
    configuration = folder / "knot.conf"
    configuration.write_text(
        render_knot_tree(
            directory=str(folder), listen=unicast(place.node), zones=place.tree.write(folder)
        )
    )
    return DaemonFiles(
        name="knot", argv=("knotd", "-c", str(configuration)), configuration=configuration
    )


def _hosts(plan: LabPlan) -> dict[str, tuple[Address, ...]]:
    """Name the services by their anycast addresses and the sites' servers by their own."""
    domain = f"{plan.spec.network}.example."
    hosts = {f"{node.site}.{domain}": unicast(node) for node in plan.of_kind(NodeKind.SERVER)}
    for service in plan.spec.services:
        hosts[f"{service.name}.{domain}"] = service.addresses
        hosts[f"{service.name}.anycast.{domain}"] = service.addresses
    return hosts


class _Key:
    """A key of one zone. It has no `repr` of its values."""

    def __init__(self) -> None:
        import dns.dnssec
        import dns.dnssectypes
        from cryptography.hazmat.primitives.asymmetric import ec

        self.private: EllipticCurvePrivateKey = ec.generate_private_key(ec.SECP256R1())
        self.public: DNSKEY = dns.dnssec.make_dnskey(
            self.private.public_key(),
            dns.dnssectypes.Algorithm.ECDSAP256SHA256,
            flags=_SECURE_ENTRY,
        )

    def ds(self, domain: str) -> str:
        """Return the data of the DS record."""
        return _ds(domain, self.public)


def _ds(domain: str, key: Any) -> str:
    import dns.dnssec

    return str(dns.dnssec.make_ds(domain, key, _DIGEST))


def _sign(domain: str, text: str, key: _Key) -> str:
    import dns.dnssec
    import dns.zone

    zone = dns.zone.from_text(text, origin=domain, relativize=False)
    now = int(time.time())
    dns.dnssec.sign_zone(
        zone,
        keys=[(key.private, key.public)],
        inception=now - _CLOCKS_DIFFER_S,
        expiration=now + VALID_S,
        dnskey_ttl=86_400,
    )
    if domain == FAILED:
        _spoil(zone)
    return str(zone.to_text(relativize=False, want_origin=False))


def _spoil(zone: "dns.zone.Zone") -> None:
    """Turn one bit of every signature but those by which the zone itself is known."""
    import dns.rdatatype

    kept = {dns.rdatatype.SOA, dns.rdatatype.NS, dns.rdatatype.DNSKEY, dns.rdatatype.NSEC}
    for _, rdataset in zone.iterate_rdatasets():
        if rdataset.rdtype != dns.rdatatype.RRSIG or rdataset.covers in kept:
            continue
        spoiled = [
            rdata.replace(signature=bytes([rdata.signature[0] ^ 1]) + rdata.signature[1:])
            for rdata in rdataset
        ]
        rdataset.clear()  # type: ignore[no-untyped-call]
        for rdata in spoiled:
            rdataset.add(rdata, rdataset.ttl)
