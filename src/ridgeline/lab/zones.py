"""Zone files of a spec, read before a name server sees them."""

import re
from dataclasses import dataclass
from pathlib import Path

from ridgeline.errors import InputError
from ridgeline.spec.model import ServiceKind, Spec

_ORIGIN = re.compile(r"^\$ORIGIN\s+(\S+)", re.MULTILINE | re.IGNORECASE)
_SOA = re.compile(r"^(\S+\.)\s+(?:\S+\s+){0,2}SOA\s", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A zone and where its file is."""

    domain: str
    """Absolute, with the final dot."""
    path: Path


def zone_domain(text: str, file_name: str) -> str:
    """Name the zone that a master file holds (RFC 1035, section 5.1).

    ``$ORIGIN``, else the owner of the SOA record, else the file's name without ``.zone``.
    """
    found = _ORIGIN.search(text) or _SOA.search(text)
    name = found[1] if found else Path(file_name).name.removesuffix(".zone")
    return name.rstrip(".").lower() + "."


def read_zones(spec: Spec) -> tuple[Zone, ...]:
    """Read and check every zone of the spec's authoritative services.

    Raises
    ------
    InputError
        A file cannot be read, or does not hold a zone: file, line and reason of each.
    """
    zones: dict[str, Zone] = {}
    complaints = []
    for service in spec.services:
        if service.kind is not ServiceKind.AUTHORITATIVE_DNS:
            continue
        for name in service.zones:
            path = (Path(spec.file).parent / name).resolve()
            try:
                zone = _read(path, name)
            except InputError as error:
                complaints.append(str(error))
                continue
            zones.setdefault(zone.domain, zone)
    if complaints:
        raise InputError("\n".join(complaints))
    return tuple(zones.values())


def _read(path: Path, name: str) -> Zone:
    import dns.exception
    import dns.zone

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read zone file {name}: {error}") from error
    domain = zone_domain(text, name)
    try:
        dns.zone.from_text(text, origin=domain, filename=str(path))
    except (dns.exception.DNSException, ValueError) as error:
        # dnspython says file:line: reason for most mistakes
        reason = str(error) or type(error).__name__
        message = reason if reason.startswith(str(path)) else f"{path}: {reason}"
        raise InputError(message) from error
    return Zone(domain=domain, path=path)
