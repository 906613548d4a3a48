"""Read range tables in the manner of ip-location-db: which AS, and which place, an address has.

``start,end,asn,name`` and ``start,end,country`` or ``start,end,country,state,state,city,postcode,
latitude,longitude,timezone``; addresses as text or as numbers, IPv4 or IPv6, ends included.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from ridgeline.errors import InputError, Problem
from ridgeline.net.asn import MAX_ASN
from ridgeline.topology.cities import Cities, unit_vectors

NO_PLACE: Final = -1
_MAX_PROBLEMS: Final = 50
_ASN_FIELDS: Final = (3, 4)
_COUNTRY_FIELDS: Final = 3
_CITY_FIELDS: Final = 10
_ROW: Final = re.compile(r"Row #(\d+): (.*)")  # how pyarrow says where


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IpRanges:
    """Address ranges with a value each, in rising order; where the table's overlap, cut.

    Attributes
    ----------
    is_ipv6 : bool
        IPv6 addresses are counted in /64 networks, IPv4 addresses one by one.
    start, end : uint64 array, shape (n,)
        First and last address (or /64) of each range.
    value : int64 array, shape (n,)
        AS number, or index of a city; `NO_PLACE` where the place is not known.
    """

    is_ipv6: bool
    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    value: NDArray[np.int64]


def read_asn_ranges(data: bytes, *, file: str) -> IpRanges:
    """Read an IP-to-ASN table.

    Raises
    ------
    InputError
        Lines are wrong, or it is another kind of table.
    """
    table = _read(data, file, _ASN_FIELDS, "start,end,asn,name")
    asn, good = _integers(table.column(2))
    good &= (asn >= 0) & (asn <= MAX_ASN)
    _refuse(file, table, 2, "asn", ~good, "is not an AS number")
    # AS 0 stands for "nobody" in these tables (RFC 7607).
    return _ranges(file, table, asn, keep=asn != 0)


def read_place_ranges(data: bytes, *, file: str, cities: Cities) -> IpRanges:
    """Read an IP-to-country or IP-to-city table; each place becomes a city of `cities`.

    A country becomes its largest city, coordinates the nearest city.

    Raises
    ------
    InputError
        Lines are wrong, or it is another kind of table.
    """
    table = _read(data, file, (_COUNTRY_FIELDS, _CITY_FIELDS), "start,end,country[,...city...]")
    is_city = table.num_columns == _CITY_FIELDS
    place = _nearest_city(file, table, cities) if is_city else _largest_city(table, cities)
    return _ranges(file, table, place, keep=place != NO_PLACE)


def _read(data: bytes, file: str, n_fields: tuple[int, ...], shape: str) -> pa.Table:
    """Split lines into columns of text."""
    if not data.strip():
        raise InputError(f"{file}: it is empty: want lines of {shape}")
    data = data if data.endswith(b"\n") else data + b"\n"  # a lone line needs its end
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(autogenerate_column_names=True, use_threads=False),
            convert_options=csv.ConvertOptions(
                column_types={f"f{i}": pa.string() for i in range(max(n_fields))},
                strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        row = _ROW.search(str(error))
        if row is None:
            raise InputError(f"{file}: {error}") from None
        raise InputError([Problem(file, int(row[1]), 1, "", row[2])]) from None
    if table.num_columns not in n_fields:
        wanted = " or ".join(map(str, n_fields))
        raise InputError(
            f"{file}: lines have {table.num_columns} fields, not {wanted}: want {shape}"
        )
    return table


def _ranges(
    file: str, table: pa.Table, value: NDArray[np.int64], *, keep: NDArray[np.bool_]
) -> IpRanges:
    is_ipv6, start, start_good = _addresses(table.column(0))
    is_ipv6_too, end, end_good = _addresses(table.column(1))
    _refuse(file, table, 0, "start", ~start_good, "is not an address")
    _refuse(file, table, 1, "end", ~end_good, "is not an address")
    if is_ipv6 != is_ipv6_too:
        raise InputError(f"{file}: it mixes IPv4 and IPv6: want one table for each")
    _refuse(file, table, 1, "end", end < start, "comes before the range's start")
    start, end, value = start[keep], end[keep], value[keep]
    # Ranges do overlap in these tables, and IPv6 ones may share a /64: who begins later counts.
    order = np.lexsort((-end.astype(np.float64), start))
    start, end, value = start[order], end[order], value[order]
    if start.size:
        end[:-1] = np.minimum(end[:-1], start[1:] - np.uint64(1))
    sound = start <= end
    # An end before the very first address has wrapped around.
    sound[:-1] &= start[1:] > start[:-1]
    return IpRanges(is_ipv6=is_ipv6, start=start[sound], end=end[sound], value=value[sound])


def _addresses(
    column: pa.ChunkedArray,
) -> tuple[bool, NDArray[np.uint64], NDArray[np.bool_]]:
    """Return whether they are IPv6, the addresses (or /64s), and which are sound."""
    first = column[0].as_py()
    if "." in first:
        return False, *_dotted(column)
    if ":" in first or (first.isdigit() and int(first) >= 2**32):
        return True, *_ipv6(column)
    value, good = _integers(column)
    # A file of IPv6 numbers may begin with a small one.
    if not np.all(good) and _ipv6(column)[1].all():
        return True, *_ipv6(column)
    return False, value.astype(np.uint64), good & (value >= 0) & (value < 2**32)


def _dotted(column: pa.ChunkedArray) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    sound = pc.match_substring_regex(column, r"^\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$")
    good = sound.to_numpy().copy()
    parts = pc.split_pattern(pc.if_else(sound, column, "0.0.0.0"), ".")
    octets = pc.list_flatten(parts).cast(pa.int64()).to_numpy().reshape(-1, 4)
    good &= np.all(octets < 256, axis=1)
    return (octets @ np.array([2**24, 2**16, 2**8, 1])).astype(np.uint64), good


def _ipv6(column: pa.ChunkedArray) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    value, good = np.zeros(len(column), np.uint64), np.ones(len(column), np.bool_)
    for i, text in enumerate(column.to_pylist()):
        try:
            number = int(text) if text.isdigit() and len(text) < 40 else int(IPv6Address(text))
            value[i] = number >> 64
        except (AddressValueError, OverflowError):
            good[i] = False
    return value, good


def _integers(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    sound = pc.match_substring_regex(column, r"^\d{1,18}$")
    value = pc.if_else(sound, column, "0").cast(pa.int64()).to_numpy()
    return value, sound.to_numpy()


def _largest_city(table: pa.Table, cities: Cities) -> NDArray[np.int64]:
    largest = cities.largest_of()
    words = pc.dictionary_encode(table.column(2)).combine_chunks()
    city_of = [largest.get(word.upper(), NO_PLACE) for word in words.dictionary.to_pylist()]
    index: NDArray[np.int32] = words.indices.to_numpy()
    return np.array(city_of, np.int64)[index]


def _nearest_city(file: str, table: pa.Table, cities: Cities) -> NDArray[np.int64]:
    degrees = []
    for i, name, limit in ((7, "latitude", 90), (8, "longitude", 180)):
        column = table.column(i)
        sound = pc.match_substring_regex(column, r"^-?\d{1,3}(\.\d*)?$")
        value = pc.if_else(sound, column, "nan").cast(pa.float64()).to_numpy().copy()
        wrong = (np.isnan(value) & (pc.utf8_length(column).to_numpy() > 0)) | (
            np.abs(value) > limit
        )
        _refuse(file, table, i, name, wrong, f"is not a {name} in degrees")
        degrees.append(value)
    # A tenth of a degree is near enough to tell cities apart, and leaves few points to compare.
    code = np.round(degrees[0] * 10) * 10_000 + np.round(degrees[1] * 10)
    unique, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    points = unit_vectors(degrees[0][first], degrees[1][first])
    centres = unit_vectors(cities.lat, cities.lon).T
    nearest = np.full(unique.size, NO_PLACE, np.int64)
    for low in range(0, unique.size, 4096):
        nearest[low : low + 4096] = np.argmax(points[low : low + 4096] @ centres, axis=1)
    nearest[np.isnan(unique)] = NO_PLACE
    return nearest[inverse]


def _refuse(
    file: str, table: pa.Table, column: int, where: str, wrong: NDArray[np.bool_], message: str
) -> None:
    rows = np.flatnonzero(wrong)
    if rows.size == 0:
        return
    values = table.column(column).take(pa.array(rows[:_MAX_PROBLEMS])).to_pylist()
    problems = [
        Problem(file, int(row) + 1, 1, where, f"{value!r} {message}")
        for row, value in zip(rows, values, strict=False)
    ]
    problems += [Problem(file, int(row) + 1, 1, where, message) for row in rows[_MAX_PROBLEMS:]]
    raise InputError(_capped(problems))


def _capped(problems: list[Problem]) -> list[Problem]:
    shown = problems[:_MAX_PROBLEMS]
    if len(problems) > len(shown):
        line = problems[len(shown)].line
        rest = f"here and below, {len(problems) - len(shown)} more lines are wrong"
        shown.append(Problem(problems[0].file, line, 1, "", rest))
    return shown
