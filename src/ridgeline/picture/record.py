"""Reading a JSON document that may lack anything: what is missing or of another type is empty."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TypeAlias

Record: TypeAlias = Mapping[str, object]


def as_record(value: object) -> Record:
    return value if isinstance(value, Mapping) else {}


def child(record: Record, key: str) -> Record:
    """Return the object under a key."""
    return as_record(record.get(key))


def items(record: Record, key: str) -> list[object]:
    """Return the list under a key."""
    value = record.get(key)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else []


def records(record: Record, key: str) -> list[Record]:
    """Return the objects in the list under a key."""
    return [item for item in items(record, key) if isinstance(item, Mapping)]


def text(record: Record, key: str) -> str:
    """Return the text or number under a key as text."""
    value = record.get(key)
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def texts(record: Record, key: str) -> list[str]:
    """Return the texts in the list under a key, or a single text as a list of one."""
    value = record.get(key)
    if isinstance(value, str):
        return [value] if value else []
    return [str(item) for item in items(record, key) if isinstance(item, str | int | float)]


def number(record: Record, key: str) -> float | None:
    """Return the finite number under a key."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)
