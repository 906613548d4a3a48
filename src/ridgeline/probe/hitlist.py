"""Whom a sweep may ask: only addresses that a file names, and none that it should not.

One address a line, then as far as known, with commas: name, AS number, city (IATA). ``#`` begins a
comment.
"""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

from ridgeline.catchment.model import Row
from ridgeline.errors import InputError, Problem
from ridgeline.net.airports import find_place
from ridgeline.net.asn import parse_asn

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network

_MAX_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Hitlist:
    """Addresses to ask, each once, and what is known of each."""

    addresses: tuple[str, ...]
    rows: tuple[Row, ...]
    """Of the same length; service and site are not known yet."""

    def __len__(self) -> int:
        return len(self.addresses)

    @property
    def digest(self) -> str:
        """Tells lists apart, whatever their files are called."""
        return hashlib.sha256("\n".join(self.addresses).encode()).hexdigest()

    def order(self, seed: int) -> list[int]:
        """Shuffle the places in the list: neighbours are not asked one after another."""
        places = list(range(len(self.addresses)))
        random.Random(seed).shuffle(places)  # noqa: S311 - spreads load, hides nothing
        return places


def read_hitlist(
    lines: Iterable[str],
    *,
    file: str,
    version: int,
    max_targets: int,
    ours: Sequence[Prefix] = (),
    in_lab: bool = False,
) -> Hitlist:
    """Read a list of addresses of one version of IP.

    Parameters
    ----------
    max_targets
        As many as the user means to ask; a longer list is refused.
    ours
        Prefixes that the sweep is about: asking them would be asking ourselves.
    in_lab
        Whether every address may be asked, because none is anybody's.

    Raises
    ------
    InputError
        With every line that is wrong or must not be asked, up to a score.
    """
    problems: list[Problem] = []
    found: dict[str, Row] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        cells = [cell.strip() for cell in text.split(",")]
        try:
            address = ip_address(cells[0])
            row = _row(str(address), cells[1:])
        except ValueError as error:
            problems.append(Problem(file, number, 1, "", str(error)))
        else:
            why = why_not(address, version=version, ours=ours, in_lab=in_lab)
            if why:
                problems.append(Problem(file, number, 1, "", f"{address} {why}"))
            found.setdefault(str(address), row)
        if len(problems) >= _MAX_PROBLEMS:
            break
    if problems:
        raise InputError(problems)
    if not found:
        raise InputError(f"{file}: names no address")
    if len(found) > max_targets:
        raise InputError(
            f"{file}: names {len(found)} addresses, and --max-targets allows {max_targets}"
        )
    return Hitlist(tuple(found), tuple(found.values()))


def why_not(address: Address, *, version: int, ours: Sequence[Prefix], in_lab: bool) -> str:
    """Say why an address must not be asked, or nothing."""
    if address.version != version:
        return f"is no IPv{version} address, as the one that asks is"
    if address.is_multicast:
        return "is a multicast group: many would answer"
    if address.is_unspecified or address.is_loopback:
        return "is nobody else's"
    if any(address in prefix for prefix in ours):
        return "is in the anycast network itself"
    if not in_lab and (not address.is_global or address.is_reserved or address.is_link_local):
        return "is no address of the public Internet (private, reserved or for documentation)"
    return ""


def _row(address: str, cells: Sequence[str]) -> Row:
    name, asn, city, *_ = (*cells, "", "", "")
    place = find_place(city) if city else None
    if city and place is None:
        raise ValueError(f"no airport has the IATA code {city!r}")
    return Row(
        name=name or address,
        asn=parse_asn(asn) if asn else None,
        city=place.code if place else "",
        country=place.country if place else "",
        lat=place.lat if place else None,
        lon=place.lon if place else None,
    )
