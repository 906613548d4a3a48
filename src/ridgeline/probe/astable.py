"""Which network holds an address, from a table on the disk: no question to anyone.

Two forms are read, with or without a header: ``start,end,asn[,name]`` as ip-location-db publishes,
and ``prefix,asn[,name]``; commas or tabs. The longest prefix wins.
"""

import csv
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final, TypeAlias

from ridgeline.errors import InputError, Problem
from ridgeline.net.asn import Asn, parse_asn

_Key: TypeAlias = tuple[int, int, int]
_MAX_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Who holds an address."""

    asn: Asn
    name: str


class AsTable:
    """Addresses to networks."""

    def __init__(self, ranges: Iterable[tuple[int, int, int, Network]]) -> None:
        # (version, first address, minus last address): of nested ranges the inner comes last.
        rows = sorted(ranges, key=lambda row: (row[0], row[1], -row[2]))
        self._keys: list[_Key] = [(version, first, -last) for version, first, last, _ in rows]
        self._networks = [network for *_, network in rows]
        self._around = _enclosing(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, address: str) -> Network | None:
        """Find the network of an address."""
        parsed: IPv4Address | IPv6Address = ip_address(address)
        number = int(parsed)
        at = bisect_right(self._keys, (parsed.version, number, 1)) - 1
        while at >= 0:
            version, _, minus_last = self._keys[at]
            if version != parsed.version:
                return None
            if number <= -minus_last:
                return self._networks[at]
            at = self._around[at]
        return None


def read_as_table(path: str) -> AsTable:
    """Read a table.

    Raises
    ------
    InputError
        With every line that is wrong, up to a score.
    """
    problems: list[Problem] = []
    ranges: list[tuple[int, int, int, Network]] = []
    try:
        with Path(path).open(encoding="utf-8", errors="replace", newline="") as file:
            first = file.read(4096)
            file.seek(0)
            for number, row in enumerate(csv.reader(file, delimiter=_delimiter(first)), 1):
                if not row or not row[0].strip() or row[0].startswith("#"):
                    continue
                try:
                    found = _read_row([cell.strip() for cell in row])
                except ValueError as error:
                    if number > 1:  # the first line may name the columns
                        problems.append(Problem(path, number, 1, "", str(error)))
                    if len(problems) >= _MAX_PROBLEMS:
                        break
                    continue
                ranges += [found] if found is not None else []
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}") from None
    if problems:
        raise InputError(problems)
    if not ranges:
        raise InputError(f"{path}: no line is `start,end,asn` or `prefix,asn`")
    return AsTable(ranges)


def _delimiter(beginning: str) -> str:
    return "\t" if "\t" in beginning else ","


def _read_row(row: list[str]) -> tuple[int, int, int, Network] | None:
    """Read one line; None where nobody holds the range."""
    if "/" in row[0]:
        prefix = ip_network(row[0])
        low, high, rest = prefix[0], prefix[-1], row[1:]
    elif len(row) >= 3:
        low, high, rest = ip_address(row[0]), ip_address(row[1]), row[2:]
        if low.version != high.version or int(low) > int(high):
            raise ValueError(f"{row[0]} to {row[1]} is no range")
    else:
        raise ValueError("expected `start,end,asn[,name]` or `prefix,asn[,name]`")
    if not rest or rest[0] in ("", "0", "AS0"):
        return None
    network = Network(asn=parse_asn(rest[0]), name=rest[1] if len(rest) > 1 else "")
    return low.version, int(low), int(high), network


def _enclosing(keys: list[_Key]) -> list[int]:
    """Index of the narrowest range around each, or -1."""
    around: list[int] = []
    open_ranges: list[int] = []
    for at, (version, first, _) in enumerate(keys):
        while open_ranges:
            outer = keys[open_ranges[-1]]
            if outer[0] == version and first <= -outer[2]:
                break
            open_ranges.pop()
        around.append(open_ranges[-1] if open_ranges else -1)
        open_ranges.append(at)
    return around
