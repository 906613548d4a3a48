"""Catchment maps on the disk, in the format that their name says."""

from pathlib import Path
from typing import Final

from ridgeline.catchment.jsonl import read_jsonl, write_jsonl
from ridgeline.catchment.model import CatchmentMap
from ridgeline.catchment.parquet import read_parquet, write_parquet
from ridgeline.errors import InputError, MachineError

_PARQUET_MAGIC: Final = b"PAR1"
FORMATS: Final = (".jsonl", ".parquet")


def check_map_name(path: str) -> None:
    """Refuse a file name that says no format, before any work is done.

    Raises
    ------
    InputError
        With the endings that there are.
    """
    if Path(path).suffix not in FORMATS:
        raise InputError(f"{path}: a map is written as {' or '.join(FORMATS)}; end the name so")


def write_map(catchment: CatchmentMap, path: str) -> None:
    """Write a map as JSON Lines or Parquet, whichever the name ends in."""
    check_map_name(path)
    try:
        if path.endswith(".parquet"):
            with Path(path).open("wb") as binary:
                write_parquet(catchment, binary)
        else:
            with Path(path).open("w", encoding="utf-8") as text:
                write_jsonl(catchment, text)
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error.strerror}") from None


def read_map(path: str) -> CatchmentMap:
    """Read a map; its first bytes say the format, not its name.

    Raises
    ------
    InputError
        The file cannot be read or is no map.
    """
    try:
        with Path(path).open("rb") as binary:
            is_parquet = binary.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
            binary.seek(0)
            if is_parquet:
                return read_parquet(binary, file=path)
        with Path(path).open(encoding="utf-8") as text:
            return read_jsonl(text, file=path)
    except UnicodeDecodeError:
        raise InputError(f"{path}: neither JSON Lines nor Parquet") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
