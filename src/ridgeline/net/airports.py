"""Where an IATA code is: the name that operators give a site says where it stands.

The table is read when first asked and kept as sorted lines: making eight thousand `Place`s would
cost every start of the program more than the few that it asks for.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

from ridgeline.net.place import Place

_TABLE: Final = Path(__file__).parent / "data" / "airports.tsv"
_CODE: Final = re.compile(r"[A-Za-z]{3}")


def find_place(code: str) -> Place | None:
    """Return the place of an IATA code (``nrt``, ``NRT``; also a city's, ``lon``), or None."""
    if not _CODE.fullmatch(code):
        return None
    rows = _rows()
    wanted = f"{code.upper()}\t"
    at = bisect_left(rows, wanted)
    return _read_row(rows[at]) if at < len(rows) and rows[at].startswith(wanted) else None


def codes_of_city(city: str) -> tuple[str, ...]:
    """Return the lower-case codes of a city's airports, ``("hnd", "nrt", "tyo")`` for Tokyo."""
    return _codes_by_city().get(" ".join(city.split()).casefold(), ())


@cache
def _rows() -> list[str]:
    """One line a code, sorted; the comment that comes first sorts first."""
    return _TABLE.read_text(encoding="utf-8").splitlines()


@cache
def _codes_by_city() -> dict[str, tuple[str, ...]]:
    codes: dict[str, list[str]] = defaultdict(list)
    for row in _rows()[1:]:
        code, city, _ = row.split("\t", 2)
        codes[city.casefold()].append(code.lower())
    return {city: tuple(of_city) for city, of_city in codes.items()}


def _read_row(row: str) -> Place:
    code, city, country, lat, lon = row.split("\t")
    return Place(code=code.lower(), city=city, country=country, lat=float(lat), lon=float(lon))
