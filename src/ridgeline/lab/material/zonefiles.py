"""Zone files of a spec, read before a name server sees them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ridgeline.errors import InputError
from ridgeline.spec.model import Address, ServiceKind, Spec

_ORIGIN = re.compile(r"^\$ORIGIN\s+(\S+)", re.MULTILINE | re.IGNORECASE)
_SOA = re.compile(r"^(\S+\.)\s+(?:\S+\s+){0,2}SOA\s", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A zone and where its file is."""

    domain: str
    """Absolute, with the final dot."""
    path: Path
    serial: int = 0
    """As the file says."""
    primary: bool = False
    """The hidden primary holds it; else every site has the file."""
    dnssec: bool = False
    """The primary signs it."""


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
                zone = replace(_read(path, name), primary=service.primary, dnssec=service.dnssec)
            except InputError as error:
                complaints.append(str(error))
                continue
            first = zones.setdefault(zone.domain, zone)
            if first.path != zone.path:
                complaints.append(
                    f"{zone.path}: holds zone {zone.domain}, and so does {first.path}; "
                    "a zone has one file"
                )
            elif (first.primary, first.dnssec) != (zone.primary, zone.dnssec):
                complaints.append(
                    f"{zone.path}: service {service.name} serves zone {zone.domain} with "
                    f"primary: {_yes(zone.primary)}, dnssec: {_yes(zone.dnssec)}, another service "
                    "otherwise; a zone is held in one way"
                )
    if complaints:
        raise InputError("\n".join(complaints))
    return tuple(zones.values())


def names_of(zones: Iterable[Zone], addresses: Iterable[Address]) -> list[str]:
    """List the names in the zones that lead to one of the addresses, without the final dot."""
    import dns.rdatatype
    import dns.zone

    wanted = {str(address) for address in addresses}
    names = []
    for zone in zones:
        read = dns.zone.from_file(str(zone.path), origin=zone.domain, relativize=False)
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            names += [
                name.to_text(omit_final_dot=True)
                for name, _, record in read.iterate_rdatas(kind)
                if record.to_text() in wanted
            ]
    return list(dict.fromkeys(names))


def _yes(value: bool) -> str:
    return "true" if value else "false"


def _read(path: Path, name: str) -> Zone:
    import dns.exception
    import dns.zone

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read zone file {name}: {error}") from error
    domain = zone_domain(text, name)
    try:
        read = dns.zone.from_text(text, origin=domain, filename=str(path))
        serial = read.get_soa().serial
    except dns.exception.SyntaxError as error:
        found = re.match(rf"{re.escape(str(path))}:(\d+): (.*)", str(error), re.DOTALL)
        if not found:
            raise InputError(f"{path}: {error}") from error
        line = _line_of_mistake(text, domain, int(found[1]))
        shown = text.splitlines()[line - 1].strip() if line <= len(text.splitlines()) else ""
        raise InputError(f"{path}:{line}: {found[2]} In: {shown}") from error
    except (dns.exception.DNSException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{path}: {reason}") from error
    return Zone(domain=domain, path=path, serial=serial)


def _line_of_mistake(text: str, domain: str, line: int) -> int:
    """Correct dnspython's line number, which is one too high if it had read the line's end."""
    import dns.exception
    import dns.zone

    before = "\n".join(text.splitlines()[: line - 1]) + "\n"
    try:
        dns.zone.from_text(before, origin=domain, check_origin=False)
    except dns.exception.SyntaxError:
        return line - 1
    except dns.exception.DNSException:
        return line
    return line
