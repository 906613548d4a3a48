"""Where an IATA code is: the name that operators give a site says where it stands.

The table is read when first asked, and kept as text: one code is found in it in microseconds,
while making eight thousand `Place`s would cost every start of the program more than that.
"""

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from ridgeline.net.place import Place

_TABLE: Final = Path(__file__).parent / "data" / "airports.tsv"
_CODE: Final = re.compile(r"[A-Za-z]{3}")


@lru_cache(maxsize=4096)
def find_place(code: str) -> Place | None:
    """Return the place of an IATA code (``nrt``, ``NRT``; also a city's, ``lon``), or None."""
    if not _CODE.fullmatch(code):
        return None
    table = _read_table()
    at = table.find(f"\n{code.upper()}\t")
    return None if at < 0 else _read_row(table[at + 1 : table.index("\n", at + 1)])


def codes_of_city(city: str) -> tuple[str, ...]:
    """Return the lower-case codes of a city's airports, ``("hnd", "nrt", "tyo")`` for Tokyo."""
    name = re.escape(" ".join(city.split()))
    rows = re.finditer(rf"(?im)^([A-Z]{{3}})\t{name}\t", _read_table()) if name else ()
    return tuple(row[1].lower() for row in rows)


@cache
def _read_table() -> str:
    return _TABLE.read_text(encoding="utf-8")


def _read_row(row: str) -> Place:
    code, city, country, lat, lon = row.split("\t")
    return Place(code=code.lower(), city=city, country=country, lat=float(lat), lon=float(lon))
