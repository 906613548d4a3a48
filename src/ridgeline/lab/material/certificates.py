"""Certificates of a lab: those that the spec names, or of an authority that ends with the lab.

The authority's key never leaves the memory of the lab. Its certificate is what every program of the
lab trusts (`SYSTEM_TRUST`, `TRUST_VARIABLES`), with the machine's own roots where the spec names
certificates: so ``ridgeline lab get https://...`` verifies as a real client does. Names and addresses
stand in the subject alternative names (RFC 5280, section 4.2.1.6; RFC 9525); every site has the same
certificate.
"""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ridgeline.errors import InputError
from ridgeline.lab.material.secrets import write_private
from ridgeline.lab.material.zonefiles import names_of, read_zones
from ridgeline.net.address import is_address
from ridgeline.spec.model import Address, Service, Spec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, Name

VALID: Final = timedelta(days=30)
"""Longer than any rehearsal."""
SYSTEM_TRUST: Final = Path("/etc/ssl/certs/ca-certificates.crt")
"""Where Debian's programs look for the roots they trust."""
TRUST_VARIABLES: Final = ("SSL_CERT_FILE", "CURL_CA_BUNDLE")
"""What OpenSSL (and with it Python) and curl ask first, in that order."""
_CLOCKS_DIFFER: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where a node's copy of a service's certificate is."""

    certificate: Path
    """The chain (PEM), the service's own first."""
    key: Path
    """The private key (PEM); the owner's alone."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Pair:
    """A certificate chain and its key, as PEM. It has no `repr` of its values."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> CertificateFiles:
        """Write both files, each at once and for the owner alone."""
        files = CertificateFiles(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
        write_private(files.key, self.key)
        write_private(files.certificate, self.certificate)
        return files


class Authority:
    """A certificate authority that nobody trusts but the lab it was made for."""

    def __init__(self, name: str, *, now: datetime | None = None) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        self._now = now or datetime.now(UTC)
        self._key = _new_key()
        subject = _subject(f"Rehearsal authority of {name}")
        public = self._key.public_key()
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        self._certificate: Certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _CLOCKS_DIFFER)
            .not_valid_after(self._now + VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM)
        """The authority's own certificate."""

    def sign(
        self, names: Iterable[str], addresses: Iterable[Address], *, valid: timedelta = VALID
    ) -> Pair:
        """Make a key and sign a certificate for it, good for servers of these names and addresses.

        A `valid` below zero makes a certificate that has expired.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = _new_key()
        names = list(dict.fromkeys(names))
        others: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        others += [x509.IPAddress(address) for address in dict.fromkeys(addresses)]
        from_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        begins = self._now - _CLOCKS_DIFFER + min(valid, timedelta())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_subject(names[0] if names else "service"))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(self._now + valid)
            .add_extension(x509.SubjectAlternativeName(others), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(from_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Pair(
            certificate=certificate.public_bytes(serialization.Encoding.PEM) + self.pem,
            key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )


class Certificates:
    """The certificate of each service of a lab, the same at every site.

    Parameters
    ----------
    unicast
        Addresses of the sites' servers: a request may be handed off to one of them.
    """

    def __init__(self, spec: Spec, unicast: Iterable[Address] = ()) -> None:
        self._spec = spec
        self._unicast = tuple(unicast)
        self._authority: Authority | None = None
        self._pairs: dict[str, Pair] = {}

    @property
    def authority(self) -> Authority:
        """The lab's own authority, made when first asked for."""
        if self._authority is None:
            self._authority = Authority(self._spec.network)
        return self._authority

    def pair(self, service: Service) -> Pair:
        """Return a service's certificate and key.

        Raises
        ------
        InputError
            A file that the spec names cannot be read.
        ValueError
            The service has no TLS.
        """
        if service.name not in self._pairs:
            self._pairs[service.name] = self.fresh(service)
        return self._pairs[service.name]

    def fresh(self, service: Service) -> Pair:
        """Sign a new certificate, or read the spec's files anew; `pair` still has the old one."""
        if service.tls is None:
            raise ValueError(f"service {service.name} has no TLS")
        if not service.tls.certificate:
            names = [
                *certificate_names(self._spec, service),
                *names_of(read_zones(self._spec), service.addresses),
            ]
            return self.authority.sign(names, (*service.addresses, *self._unicast))
        base = Path(self._spec.file).parent
        return Pair(
            certificate=_read(base / service.tls.certificate),
            key=_read(base / service.tls.key),
        )

    def use(self, service: Service, pair: Pair) -> None:
        """Let `pair` be the service's certificate from now on."""
        self._pairs[service.name] = pair

    def write_trusted(self, path: Path) -> Path | None:
        """Write what the lab's clients trust: its authority and the machine's; None without TLS."""
        if not any(service.tls for service in self._spec.services):
            return None
        roots = Path(ssl.get_default_verify_paths().cafile or "/nowhere")
        own = any(service.tls and service.tls.certificate for service in self._spec.services)
        public = roots.read_bytes() if own and roots.is_file() else b""
        path.write_bytes(self.authority.pem + public)
        return path


def trust_environment(trusted: Path) -> dict[str, str]:
    """Return the variables that make a program trust a file of certificates."""
    return dict.fromkeys(TRUST_VARIABLES, str(trusted))


def certificate_names(spec: Spec, service: Service) -> list[str]:
    """List the host names by which clients may ask for a service."""
    domain = f"{spec.network}.example"
    names = [f"{service.name}.{domain}", f"*.{domain}", f"{service.name}.anycast.{domain}"]
    host = urlsplit(service.origin).hostname or ""
    if host and not is_address(host):
        names.insert(0, host.rstrip("."))
    return names


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _new_key() -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _subject(name: str) -> "Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
