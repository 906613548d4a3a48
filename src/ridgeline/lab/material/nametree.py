"""The DNS above the network's own zones, signed: what a rehearsal's root server holds.

Keys are made when a lab starts and never written down. So every site's resolver can be given the
root's key as its trust anchor (RFC 4033) before the first daemon starts; the zones are signed later,
while routing settles, and again when a zone of the network comes or its primary has signed it.
"""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ridgeline.errors import MachineError
from ridgeline.render.knot_tree import FAILED, SERVER_NAME, plan_tree, render_tree_zone
from ridgeline.render.unbound import RootServer
from ridgeline.spec.model import Address

if TYPE_CHECKING:
    import dns.zone
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from dns.rdtypes.ANY.DNSKEY import DNSKEY

VALID_S: Final = 90 * 86_400
"""How long signatures are good: longer than any rehearsal."""
_CLOCKS_DIFFER_S: Final = 3600
_SECURE_ENTRY: Final = 0x0101  # RFC 4034, section 2.1.1: a zone key, and its entry point
_DIGEST: Final = "SHA256"


class NameTree:
    """The tree of one lab.

    Parameters
    ----------
    server
        Addresses of the server that holds it.
    authority
        Where the network's zones are served.
    hosts
        Names with addresses, beside the network's own zones.

    Raises
    ------
    MachineError
        The library that signs is not installed.
    """

    def __init__(
        self,
        *,
        server: tuple[Address, ...],
        authority: tuple[Address, ...],
        hosts: Mapping[str, tuple[Address, ...]],
    ) -> None:
        self.root = RootServer(name=SERVER_NAME, addresses=server)
        """Where recursion begins."""
        self._authority = authority
        self._hosts = dict(hosts)
        self._delegated: dict[str, tuple[str, ...]] = {}
        self._keys = {".": _Key()}
        self._serial = int(time.time())

    @property
    def trust_anchor(self) -> str:
        """The DS record of the root."""
        return f". IN DS {self._keys['.'].ds('.')}"

    @property
    def delegated(self) -> frozenset[str]:
        """The zones of the network that the tree knows."""
        return frozenset(self._delegated)

    def delegate(self, domain: str, keys: Iterable[str] = ()) -> None:
        """Lead to a zone of the network, and vouch for its keys (DNSKEY data in text form)."""
        import dns.rdata

        made = (_ds(domain, dns.rdata.from_text("IN", "DNSKEY", key)) for key in keys)
        self._delegated[domain] = tuple(made)
        self._serial += 1

    def forget(self, domain: str) -> None:
        """Lead to a zone no more."""
        if self._delegated.pop(domain, None) is not None:
            self._serial += 1

    def zones(self) -> dict[str, str]:
        """Return every zone as text, signed but for the one that is made up as it is asked."""
        planned = plan_tree(
            server=self.root.addresses,
            delegated=self._delegated,
            authority=self._authority,
            hosts=self._hosts,
        )
        for zone in planned:
            if zone.is_signed and zone.domain not in self._keys:
                self._keys[zone.domain] = _Key()
        ds = {domain: key.ds(domain) for domain, key in self._keys.items()}
        texts = {z.domain: render_tree_zone(z, serial=self._serial, ds=ds) for z in planned}
        return {
            zone.domain: _sign(zone.domain, texts[zone.domain], self._keys[zone.domain])
            if zone.is_signed
            else texts[zone.domain]
            for zone in planned
        }

    def write(self, folder: Path) -> dict[str, str]:
        """Write every zone to a file of its own; return the files by domain."""
        files = {}
        for domain, text in self.zones().items():
            file = folder / f"{domain.rstrip('.') or 'root'}.zone"
            file.write_text(text)
            files[domain] = str(file)
        return files


class _Key:
    """A key of one zone. It has no `repr` of its values."""

    def __init__(self) -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric import ec
        except ImportError as error:
            raise MachineError(
                "a rehearsal with a recursive resolver signs its DNS root, and the Python package "
                "cryptography, which signs, is not installed",
                hint="pip install 'ridgeline[model]'",
            ) from error
        import dns.dnssec
        import dns.dnssectypes

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
