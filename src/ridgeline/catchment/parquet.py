"""Maps as Parquet and Arrow: the same columns, the header among the file's key-value metadata."""

import json
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from ridgeline.catchment.jsonl import header, parse_header
from ridgeline.catchment.model import COLUMNS, CatchmentMap, Certainty
from ridgeline.errors import InputError, MachineError, Problem

if TYPE_CHECKING:
    import pyarrow as pa

_KEY: Final = b"ridgeline"


def to_arrow(catchment: CatchmentMap) -> "pa.Table":
    """Turn a map into an Arrow table."""
    pa = _pyarrow()
    types = {
        "asn": pa.uint32(),
        "lat": pa.float64(),
        "lon": pa.float64(),
        "weight": pa.float64(),
        "rtt_ms": pa.float64(),
        "possible": pa.list_(pa.string()),
        "as_path": pa.list_(pa.uint32()),
    }
    schema = pa.schema(
        [(column, types.get(column, pa.string())) for column in COLUMNS],
        metadata={_KEY: json.dumps(header(catchment)).encode()},
    )
    return pa.table([list(getattr(catchment, column)) for column in COLUMNS], schema=schema)


def from_arrow(table: "pa.Table", *, file: str) -> CatchmentMap:
    """Read a map from an Arrow table.

    Raises
    ------
    InputError
        The table is no catchment map.
    """
    problems: list[Problem] = []
    metadata = table.schema.metadata or {}
    if _KEY not in metadata:
        raise InputError([Problem(file, 1, 1, "", "a table, but no catchment map of ours")])
    head = parse_header(
        json.loads(metadata[_KEY]),
        lambda line, where, message: problems.append(Problem(file, line, 1, where, message)),
    )
    missing = [column for column in COLUMNS if column not in table.column_names]
    problems += [Problem(file, 1, 1, column, "the column is missing") for column in missing]
    if problems:
        raise InputError(problems)
    head.pop("n_rows", None)
    columns: dict[str, Any] = {c: tuple(table.column(c).to_pylist()) for c in COLUMNS}
    columns["certainty"] = tuple(c and Certainty(c) for c in columns["certainty"])
    columns["possible"] = tuple(tuple(p or ()) for p in columns["possible"])
    columns["as_path"] = tuple(None if p is None else tuple(p) for p in columns["as_path"])
    return CatchmentMap(**head, **columns)


def write_parquet(catchment: CatchmentMap, stream: BinaryIO) -> None:
    """Write a map as a Parquet file."""
    _pyarrow()
    import pyarrow.parquet as pq

    pq.write_table(to_arrow(catchment), stream, compression="zstd")


def read_parquet(stream: BinaryIO, *, file: str) -> CatchmentMap:
    """Read a map from a Parquet file.

    Raises
    ------
    InputError
        The file is no Parquet file, cut short, or no catchment map.
    """
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(stream)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError([Problem(file, 1, 1, "", f"no Parquet file: {error}")]) from error
    return from_arrow(table, file=file)


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MachineError(
            "Parquet files need pyarrow, which is not installed",
            hint="pip install 'ridgeline[model]', or write a .jsonl file",
        ) from error
    return pa
