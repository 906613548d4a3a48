"""Where measurement probes are: RIPE Atlas' probe archive or API, iGreedy's lists, or a table."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any, Final, TextIO

from ridgeline.errors import InputError, Problem
from ridgeline.probe.jsonstream import iter_objects

_MAX_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Location:
    """Where a probe is and whose network it is in."""

    lat: float
    lon: float
    country: str = ""
    asn: int | None = None


def read_locations(stream: TextIO, *, file: str) -> dict[str, Location]:
    """Read where probes are, by their id or name.

    JSON of the Atlas API or its daily archive (``id``, ``geometry`` or ``latitude`` and
    ``longitude``), or lines ``id, lat, lon[, country]`` divided by commas or tabs.

    Raises
    ------
    InputError
        Nothing in the file is a probe with a place.
    """
    head = stream.read(1)
    while head and (head.isspace() or head == "\ufeff"):
        head = stream.read(1)
    rest = chain(_first_line(head, stream), stream)
    found = _from_json(head, stream) if head in ("{", "[") else _from_lines(rest, file)
    if not found:
        raise InputError(
            f"{file}: no probe with a place in it; expected Atlas probe JSON, or lines such as "
            "6002,59.9385,10.8375"
        )
    return found


class Pushed:
    """A stream with one character put back."""

    def __init__(self, head: str, stream: TextIO) -> None:
        self._head, self._stream = head, stream

    def read(self, n: int) -> str:
        head, self._head = self._head, ""
        return head + self._stream.read(n)


def _first_line(head: str, stream: TextIO) -> Iterator[str]:
    yield head + stream.readline()


def _from_json(head: str, stream: TextIO) -> dict[str, Location]:
    found: dict[str, Location] = {}
    for document in iter_objects(Pushed(head, stream), lambda _offset, _reason: None):
        ident = document.get("id", document.get("prb_id"))
        location = _location(document)
        if ident is not None and location is not None:
            found[str(ident)] = location
    return found


def _location(document: Mapping[str, Any]) -> Location | None:
    lat, lon = document.get("latitude"), document.get("longitude")
    geometry = document.get("geometry")
    if lat is None and isinstance(geometry, dict):
        coordinates = geometry.get("coordinates")
        if isinstance(coordinates, list) and len(coordinates) >= 2:
            lon, lat = coordinates[:2]  # GeoJSON, RFC 7946: longitude first
    north, east = _number(lat), _number(lon)
    if north is None or east is None:
        return None
    asn = document.get("asn_v4") or document.get("asn_v6")
    country = document.get("country_code")
    return Location(
        lat=north,
        lon=east,
        country=country if isinstance(country, str) else "",
        asn=asn if isinstance(asn, int) and not isinstance(asn, bool) and 0 < asn < 2**32 else None,
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers that no float can hold
        return None
    return number if isfinite(number) else None


def _from_lines(lines: Iterator[str], file: str) -> dict[str, Location]:
    found: dict[str, Location] = {}
    problems: list[Problem] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            fields = next(csv.reader([line.strip()], delimiter="\t" if "\t" in line else ","))
            lat, lon = float(fields[1]), float(fields[2])
            if not (isfinite(lat) and isfinite(lon)):
                raise ValueError  # noqa: TRY301 - the same complaint
        except (IndexError, ValueError, csv.Error, StopIteration):
            if number > 1:  # the first line may be a heading
                problems.append(
                    Problem(
                        file, number, 1, "", f"expected id,lat,lon; found {line.strip()[:40]!r}"
                    )
                )
            if len(problems) >= _MAX_PROBLEMS:
                break
            continue
        country = fields[3].strip() if len(fields) > 3 else ""
        found[fields[0].strip()] = Location(lat, lon, country)
    if problems:
        raise InputError(problems)
    return found
