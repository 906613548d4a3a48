"""Maps as JSON Lines: a header, then one line for each row. What is not known is left out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TextIO

from ridgeline.catchment.model import COLUMNS, CatchmentMap, Certainty, Kind, Row
from ridgeline.errors import InputError, Problem

SCHEMA: Final = "ridgeline.catchment/1"

_TEXTS: Final = ("network", "prefix", "source", "when")
_MAX_PROBLEMS: Final = 20


def write_jsonl(catchment: CatchmentMap, stream: TextIO) -> None:
    """Write a map, one line for each row."""
    stream.writelines(line + "\n" for line in render_jsonl(catchment))


def render_jsonl(catchment: CatchmentMap) -> Iterator[str]:
    """Lines of the file, without line ends."""
    yield json.dumps(header(catchment), ensure_ascii=False)
    empty: dict[str, object] = {"service": "", "city": "", "country": "", "possible": ()}
    columns = [getattr(catchment, column) for column in COLUMNS]
    for values in zip(*columns, strict=True):
        row = {
            column: value
            for column, value in zip(COLUMNS, values, strict=True)
            if value is not None and value != empty.get(column)
        }
        row.setdefault("site", None)
        yield json.dumps(row, ensure_ascii=False)


def header(catchment: CatchmentMap) -> dict[str, object]:
    """Return the document of the first line: where and when the map came from."""
    return {
        "schema": SCHEMA,
        "kind": catchment.kind,
        **{name: getattr(catchment, name) for name in _TEXTS},
        "sites": list(catchment.sites),
        "n_rows": len(catchment),
    }


def read_jsonl(lines: Iterable[str], *, file: str) -> CatchmentMap:
    """Read a map back.

    Raises
    ------
    InputError
        With every line that is wrong, up to a score.
    """
    problems: list[Problem] = []

    def wrong(line: int, where: str, message: str) -> None:
        problems.append(Problem(file, line, 1, where, message))

    numbered = enumerate(lines, 1)
    head = parse_header(_load(next(numbered, (1, ""))[1], 1, wrong), wrong)
    rows: list[Row] = []
    for number, line in numbered:
        if line.strip():
            row = _row(_load(line, number, wrong), number, wrong)
            rows += [row] if row is not None else []
        if len(problems) >= _MAX_PROBLEMS:
            break
    expected = head.pop("n_rows", None)
    if not problems and isinstance(expected, int) and expected != len(rows):
        wrong(1, "n_rows", f"{expected} rows are announced, but {len(rows)} follow: a cut file?")
    if problems:
        raise InputError(problems)
    return CatchmentMap.from_rows(rows, **head)


def parse_header(
    document: Mapping[str, object] | None, wrong: Callable[[int, str, str], None]
) -> dict[str, Any]:
    """Check a header; return what `CatchmentMap.from_rows` takes, and ``n_rows``."""
    head: dict[str, Any] = {"kind": Kind.OBSERVED, "sites": (), "network": ""}
    if document is None:
        return head
    if document.get("schema") != SCHEMA:
        wrong(1, "schema", f"expected {SCHEMA!r}, found {document.get('schema')!r}")
        return head
    if document.get("kind") not in set(Kind):
        wrong(1, "kind", f"expected {', '.join(Kind)}; found {document.get('kind')!r}")
    else:
        head["kind"] = Kind(str(document["kind"]))
    for name in _TEXTS:
        value = document.get(name, "")
        if isinstance(value, str):
            head[name] = value
        else:
            wrong(1, name, f"expected text, found {value!r}")
    sites = document.get("sites", [])
    if isinstance(sites, list) and all(isinstance(site, str) for site in sites):
        head["sites"] = tuple(sites)
    else:
        wrong(1, "sites", f"expected a list of names, found {sites!r}")
    head["n_rows"] = document.get("n_rows")
    return head


def _load(
    line: str, number: int, wrong: Callable[[int, str, str], None]
) -> Mapping[str, object] | None:
    try:
        document = json.loads(line)
    except ValueError as error:
        wrong(number, "", f"no JSON document: {error}" if line.strip() else "the file is empty")
        return None
    if not isinstance(document, dict):
        wrong(number, "", f"expected an object, found {line.strip()[:40]}")
        return None
    return document


def _row(
    document: Mapping[str, object] | None, number: int, wrong: Callable[[int, str, str], None]
) -> Row | None:
    if document is None:
        return None
    good = True
    values: dict[str, Any] = {}
    for column, value in document.items():
        read = _READERS.get(column)
        if read is None:
            wrong(number, column, f"no such column; columns: {', '.join(COLUMNS)}")
            good = False
        elif value is not None:
            try:
                values[column] = read(value)
            except (TypeError, ValueError):
                wrong(number, column, f"expected {_EXPECTED[column]}, found {value!r}")
                good = False
    if good and "name" not in values:
        wrong(number, "name", "every row needs one")
        return None
    return Row(**values) if good else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _weight(value: object) -> float:
    weight = _number(value)
    if weight < 0:
        raise ValueError
    return weight


def _asn(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise TypeError
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(item) for item in value)


def _asns(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_asn(item) for item in value)


_READERS: Final[dict[str, Callable[[object], object]]] = {
    "name": _text,
    "asn": _asn,
    "city": _text,
    "country": _text,
    "lat": _number,
    "lon": _number,
    "weight": _weight,
    "service": _text,
    "site": _text,
    "rtt_ms": _number,
    "certainty": lambda value: Certainty(_text(value)),
    "possible": _texts,
    "as_path": _asns,
}
_EXPECTED: Final = {
    "asn": "an AS number",
    "lat": "degrees",
    "lon": "degrees",
    "weight": "a number of users",
    "rtt_ms": "milliseconds",
    "certainty": ", ".join(Certainty),
    "possible": "a list of sites",
    "as_path": "a list of AS numbers",
} | dict.fromkeys(("name", "city", "country", "service", "site"), "text")
