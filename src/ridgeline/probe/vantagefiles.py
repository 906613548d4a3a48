"""Read vantage points and their round-trip times: iGreedy's files, tables, JSON, Atlas results.

The first character says what a file is: ``{`` or ``[`` is JSON, everything else a table.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TextIO

from ridgeline.errors import InputError, Problem
from ridgeline.probe.atlas import AtlasResult, parse_result
from ridgeline.probe.jsonstream import Readable, iter_objects
from ridgeline.probe.locations import Location, Pushed
from ridgeline.probe.vantage import VantagePoint, fastest

_MAX_PROBLEMS: Final = 20
_MOST_NAMED: Final = 5

_COLUMNS: Final[dict[str, str]] = {
    "name": "name", "hostname": "name", "host": "name", "id": "name", "probe": "name",
    "prb_id": "name", "vantage_point": "name", "vp": "name",
    "lat": "lat", "latitude": "lat",
    "lon": "lon", "lng": "lon", "long": "lon", "longitude": "lon",
    "rtt": "rtt_ms", "rtt_ms": "rtt_ms", "min_rtt": "rtt_ms", "minrtt": "rtt_ms",
    "rtt[ms]": "rtt_ms", "min(rtt)[ms]": "rtt_ms", "min_rtt_ms": "rtt_ms", "min": "rtt_ms",
    "site": "site", "gt": "site", "identity": "site",
}  # fmt: skip
_NEEDED: Final = ("name", "lat", "lon", "rtt_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class VantageFile:
    """What a file holds."""

    vantage_points: tuple[VantagePoint, ...]
    target: str
    """The address that was measured; empty where the file does not say."""
    notes: tuple[str, ...]
    """What is missing, and what would mend it."""


def read_vantage_points(
    stream: TextIO, *, file: str, locations: Mapping[str, Location] | None = None
) -> VantageFile:
    """Read vantage points, the fastest time of each.

    Parameters
    ----------
    locations
        Where probes are; needed for Atlas results, which do not say.

    Raises
    ------
    InputError
        A line that is none, or a file with nothing to enumerate from.
    """
    head = stream.read(1)
    while head and (head.isspace() or head == "\ufeff"):
        head = stream.read(1)
    if head in ("{", "["):
        return _from_json(Pushed(head, stream), file, locations or {})
    return _from_table(chain([head + stream.readline()], stream), file)


def _from_table(lines: Iterable[str], file: str) -> VantageFile:
    """Read iGreedy's tab-separated files, or a table with a heading."""
    found: list[VantagePoint] = []
    problems: list[Problem] = []
    columns: dict[str, int] | None = None
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        fields = _split(text)
        named = _heading(fields)
        if named is not None:
            columns = named
            continue
        if text.startswith("#"):
            continue
        if columns is None or max(columns.values()) >= len(fields):
            columns = _guess(fields) or columns
        try:
            found.append(_row(fields, columns))
        except _WrongFieldError as wrong:
            problems.append(Problem(file, number, wrong.column, wrong.where, wrong.message))
            if len(problems) >= _MAX_PROBLEMS:
                break
    if problems:
        raise InputError(problems)
    if not found:
        raise InputError(
            f"{file}: no vantage point in it; expected lines such as "
            "'6002<tab>59.9385<tab>10.8375<tab>0.5': name, latitude, longitude, RTT in ms"
        )
    return VantageFile(vantage_points=tuple(fastest(found)), target="", notes=())


def _split(text: str) -> list[str]:
    if "\t" in text:
        return text.split("\t")
    try:
        return next(csv.reader([text]))
    except (csv.Error, StopIteration):
        return [text]


def _heading(fields: list[str]) -> dict[str, int] | None:
    """Return the columns that a heading names, or None where the line is none."""
    names = [_COLUMNS.get(f.strip().lstrip("#").strip().lower(), "") for f in fields]
    columns = {name: i for i, name in reversed(list(enumerate(names))) if name}
    return columns if all(name in columns for name in _NEEDED) else None


def _guess(fields: list[str]) -> dict[str, int] | None:
    """Return iGreedy's columns: ``host lat lon rtt [ttl [country]]``, or with the site before."""
    if len(fields) < 4:
        return None
    columns = {"name": 0, "lat": 1, "lon": 2, "rtt_ms": 3}
    if len(fields) > 4 and not _is_number(fields[3]) and _is_number(fields[4]):
        columns |= {"site": 3, "rtt_ms": 4}
    return columns


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _WrongFieldError(ValueError):
    def __init__(self, column: int, where: str, message: str) -> None:
        super().__init__(message)
        self.column, self.where, self.message = column, where, message


def _row(fields: list[str], columns: dict[str, int] | None) -> VantagePoint:
    if columns is None:
        raise _WrongFieldError(
            1, "", f"expected name, latitude, longitude and RTT; found {fields[0][:40]!r}"
        )

    def number(name: str, meaning: str) -> float:
        at = columns[name]
        if at >= len(fields):
            raise _WrongFieldError(1, name, f"the line ends before column {at + 1}, {meaning}")
        try:
            return float(fields[at])
        except ValueError:
            column = 1 + sum(len(field) + 1 for field in fields[:at])
            raise _WrongFieldError(
                column, name, f"expected {meaning}, found {fields[at][:40]!r}"
            ) from None

    site = columns.get("site")
    return VantagePoint(
        name=fields[columns["name"]].strip(),
        lat=number("lat", "degrees north"),
        lon=number("lon", "degrees east"),
        rtt_ms=number("rtt_ms", "milliseconds"),
        site=fields[site].strip() if site is not None and site < len(fields) else "",
    )


def _from_json(stream: Readable, file: str, locations: Mapping[str, Location]) -> VantageFile:
    gathered = _Gathered(locations)
    garbage: list[tuple[int, str]] = []
    for document in iter_objects(stream, lambda offset, why: garbage.append((offset, why))):
        gathered.take(document)
    vantage_points = tuple(fastest(gathered.found))
    notes = tuple(gathered.notes(garbage))
    if not vantage_points:
        reasons = "; ".join(notes) or "it holds no result"
        raise InputError(f"{file}: no vantage point with a place and a time in it: {reasons}")
    return VantageFile(vantage_points=vantage_points, target=gathered.target, notes=notes)


class _Gathered:
    """Vantage points of a JSON file, and what was missing."""

    def __init__(self, locations: Mapping[str, Location]) -> None:
        self._locations = locations
        self.found: list[VantagePoint] = []
        self.target = ""
        self._targets: set[str] = set()
        self._n_silent = 0
        self._n_other = 0
        self._unplaced: dict[str, None] = {}

    def take(self, document: Mapping[str, Any]) -> None:
        if "prb_id" in document:
            for result in parse_result(document):
                if isinstance(result, AtlasResult):
                    self._take_result(result)
                else:
                    self._n_other += 1
        elif (vp := _own_row(document)) is not None:
            self.found.append(vp)
        elif not document.get("schema"):
            self._n_other += 1

    def _take_result(self, result: AtlasResult) -> None:
        if result.target:
            self._targets.add(result.target)
            self.target = self.target or result.target
        location = self._locations.get(result.probe)
        if result.rtt_ms is None:
            self._n_silent += 1
        elif location is None:
            self._unplaced[result.probe] = None
        else:
            self.found.append(
                VantagePoint(
                    name=result.probe,
                    lat=location.lat,
                    lon=location.lon,
                    rtt_ms=result.rtt_ms,
                    site=result.identity,
                )
            )

    def notes(self, garbage: list[tuple[int, str]]) -> Iterator[str]:
        if self._unplaced:
            some = ", ".join(list(self._unplaced)[:_MOST_NAMED])
            more = len(self._unplaced) - _MOST_NAMED
            yield (
                f"{_count(len(self._unplaced), 'probe')} without a place: Atlas results do not say "
                f"where probes are; give --locations FILE with {some}"
                + (f" and {more} more" if more > 0 else "")
            )
        if self._n_silent:
            yield f"{_count(self._n_silent, 'result')} without a reply"
        if self._n_other:
            yield f"{_count(self._n_other, 'object')} that say no place and time"
        if garbage:
            offset, why = garbage[0]
            yield f"{_count(len(garbage), 'stretch')} of no JSON, first at character {offset}: {why}"
        if len(self._targets) > 1:
            yield f"results for {len(self._targets)} addresses are mixed"


def _count(n: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{n} {noun if n == 1 else plural}"


def _own_row(document: Mapping[str, Any]) -> VantagePoint | None:
    """Read an object with name, lat, lon and rtt_ms: our own files, catchment maps among them."""
    values: dict[str, Any] = {}
    for key, value in document.items():
        column = _COLUMNS.get(key.lower())
        if column is not None and column not in values and value is not None:
            values[column] = value
    reads: dict[str, Callable[[Any], object]] = {
        "name": str, "lat": _float, "lon": _float, "rtt_ms": _float,
    }  # fmt: skip
    try:
        needed: dict[str, Any] = {name: read(values[name]) for name, read in reads.items()}
    except (KeyError, TypeError):
        return None
    site = values.get("site", "")
    return VantagePoint(**needed, site=site if isinstance(site, str) else "")


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        raise TypeError from None
