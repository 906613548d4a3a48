"""Is a certificate good for the service that shows it: its dates, its key, its names.

Names are the subject alternative names alone (RFC 9525, section 2.3); of a key nothing is told.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ridgeline.errors import MachineError, Problem
from ridgeline.net.address import is_address
from ridgeline.spec.model import Address, Service, ServiceKind

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

ENDS_SOON: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Pem:
    """A file and what is in it; it has no `repr` of that."""

    path: Path
    data: bytes | None
    """None where the file cannot be read."""
    why: str = ""
    """Why it cannot be read."""

    @classmethod
    def read(cls, path: Path) -> "Pem":
        """Read a file; that it cannot be read is a result."""
        try:
            return cls(path=path, data=path.read_bytes())
        except OSError as error:
            return cls(path=path, data=None, why=f"cannot be read: {error.strerror}")


@dataclass(slots=True)
class Judged:
    """What is wrong with a certificate or its key, and what may be."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, pem: Pem, message: str) -> None:
        self.problems.append(Problem(str(pem.path), 1, 1, "", message))

    def warning(self, pem: Pem, message: str) -> None:
        self.warnings.append(Problem(str(pem.path), 1, 1, "", message))


def judge_certificate(certificate: Pem, key: Pem, service: Service, at: datetime) -> Judged:
    """Say whether clients of a service can verify what it shows them.

    Raises
    ------
    MachineError
        The package that reads certificates is not installed.
    """
    judged = Judged()
    chain = _read_chain(certificate, judged)
    public = _read_public(key, judged)
    if not chain:
        return judged
    first = chain[0]
    if public is not None and public != _public_bytes(first):
        judged.problem(key, f"is not the key of {certificate.path}: the two were not made together")
    _judge_dates(certificate, chain, at, judged)
    _judge_names(certificate, first, service, judged)
    return judged


def _read_chain(pem: Pem, judged: Judged) -> "list[Certificate]":
    try:
        from cryptography.x509 import load_pem_x509_certificates
    except ImportError as error:
        raise MachineError(
            "reading certificates needs the Python package cryptography",
            hint="pip install 'ridgeline[model]'",
        ) from error

    if pem.data is None:
        judged.problem(pem, pem.why)
        return []
    try:
        return load_pem_x509_certificates(pem.data)
    except ValueError:
        judged.problem(pem, "holds no certificate that can be read (PEM, RFC 7468)")
        return []


def _read_public(pem: Pem, judged: Judged) -> bytes | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    if pem.data is None:
        judged.problem(pem, pem.why)
        return None
    try:
        key = load_pem_private_key(pem.data, password=None)
    except TypeError:
        judged.problem(pem, "is encrypted: a server cannot ask for a passphrase when it starts")
    except (ValueError, UnsupportedAlgorithm):
        judged.problem(pem, "holds no private key that can be read (PEM, RFC 7468)")
    else:
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return None


def _public_bytes(certificate: "Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _judge_dates(pem: Pem, chain: "list[Certificate]", at: datetime, judged: Judged) -> None:
    for number, one in enumerate(chain, start=1):
        what = "" if number == 1 else f"certificate {number} of the chain "
        begins, ends = one.not_valid_before_utc, one.not_valid_after_utc
        if at > ends:
            judged.problem(pem, f"{what}expired {_days(at - ends)} ago, on {ends:%Y-%m-%d}")
        elif at < begins:
            judged.problem(pem, f"{what}is not valid before {begins:%Y-%m-%d %H:%M} UTC")
        elif ends - at < ENDS_SOON:
            judged.warning(pem, f"{what}ends in {_days(ends - at)}, on {ends:%Y-%m-%d}")


def _days(time: timedelta) -> str:
    if time < timedelta(days=2):
        return f"{time / timedelta(hours=1):.0f} h"
    return f"{time.days} days"


def _judge_names(pem: Pem, certificate: "Certificate", service: Service, judged: Judged) -> None:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        judged.problem(
            pem, "names no host and no address that clients look at (subjectAltName, RFC 9525)"
        )
        return
    hosts = names.get_values_for_type(x509.DNSName)
    addresses = {ip_address(str(a)) for a in names.get_values_for_type(x509.IPAddress)}
    missing = [address for address in service.addresses if address not in addresses]
    if addresses and missing:
        judged.problem(
            pem,
            f"is for {_listed(sorted(addresses, key=str))}, and not for {_listed(missing)}, where "
            f"{service.name} answers",
        )
    host = (urlsplit(service.origin).hostname or "").rstrip(".")
    if service.kind is not ServiceKind.HTTP_CACHE or is_address(host):
        return
    if hosts and not any(host_matches(host, pattern) for pattern in hosts):
        judged.warning(
            pem,
            f"is for {_listed(hosts)}, and not for {host}, the host of the origin: right only if "
            "clients ask for another name",
        )
    elif not hosts:
        judged.warning(pem, f"is for addresses alone: who asks for {host} cannot verify it")


def host_matches(host: str, pattern: str) -> bool:
    """Say whether a name of a certificate covers a host: ``*`` is one whole label (RFC 9525)."""
    host, pattern = host.lower().rstrip("."), pattern.lower().rstrip(".")
    if not pattern.startswith("*."):
        return host == pattern
    first, _, rest = host.partition(".")
    return bool(first) and rest == pattern[2:]


def _listed(items: "list[str] | list[Address]") -> str:
    shown = [str(item) for item in items[:4]]
    return ", ".join(shown) + (f" and {len(items) - 4} more" if len(items) > 4 else "")
