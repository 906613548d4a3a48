"""JSON objects from a stream of any size: arrays, JSON Lines, one after another, or in a wrapper.

Only one object at a time is in memory. Text that is no JSON is told and skipped, because a
measurement of a week is not worthless for one cut line.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias


class Readable(Protocol):
    """Text to read on from."""

    def read(self, n: int, /) -> str:
        """Return up to so many characters; none at the end."""


Garbage: TypeAlias = Callable[[int, str], None]
"""Told the offset in characters, and what is wrong there."""

_CHUNK: Final = 1 << 18
_LARGEST: Final = 1 << 27
_DEEP: Final = (
    1 << 12
)  # text to leave out where nesting has no end: trying each level takes for ever
_BETWEEN: Final = " \t\r\n,[]\ufeff\x1e"  # separators of arrays, lines and RFC 7464 sequences
_WRAPPED: Final = ("measurement_results", "results", "objects", "vantage_points", "probes")
_OPEN: Final = ("Unterminated string", "Expecting", "Invalid \\escape", "Invalid \\uXXXX escape")
_SLACK: Final = 16


def iter_objects(stream: Readable, garbage: Garbage) -> Iterator[Mapping[str, Any]]:
    """Each object of the stream; one that wraps a list of objects is taken apart."""
    for document in _iter_values(stream, garbage):
        inner = _wrapped(document)
        if inner is None:
            yield document
        else:
            for item in inner:
                if isinstance(item, dict):
                    yield item


def _wrapped(document: Mapping[str, Any]) -> list[Any] | None:
    for key in _WRAPPED:
        inner = document.get(key)
        if isinstance(inner, list) and "prb_id" not in document:
            return inner
    return None


def _iter_values(stream: Readable, garbage: Garbage) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    buffer, at, offset, ended = "", 0, 0, False
    while True:
        at = _skip(buffer, at)
        if len(buffer) - at <= _CHUNK // 4 and not ended:
            buffer, at, offset, ended = _refill(stream, buffer, at, offset)
            continue
        if at >= len(buffer):
            return
        if buffer[at] == "{":
            try:
                value, at = decoder.raw_decode(buffer, at)
            except RecursionError:
                garbage(offset + at, "nested too deeply")
                at = _next(buffer, at + _DEEP)
            except ValueError as error:
                if not ended and _is_cut(error, buffer) and len(buffer) - at < _LARGEST:
                    buffer, at, offset, ended = _refill(stream, buffer, at, offset)
                    continue
                garbage(offset + at, _reason(error, at))
                at = _next(buffer, max(at + 1, _error_at(error)))
            else:
                if isinstance(value, dict):
                    yield value
        else:
            garbage(offset + at, f"no JSON object: {buffer[at : at + 20]!r}")
            at = _next(buffer, at + 1)


def _refill(stream: Readable, buffer: str, at: int, offset: int) -> tuple[str, int, int, bool]:
    """Read on, at least as much as is there, so that a large object is not read over and over."""
    rest = buffer[at:]
    more = stream.read(max(_CHUNK, len(rest)))
    return rest + more, 0, offset + at, not more


def _skip(buffer: str, at: int) -> int:
    while at < len(buffer) and buffer[at] in _BETWEEN:
        at += 1
    return at


def _next(buffer: str, at: int) -> int:
    """Where reading goes on after garbage: the next line's object, or the next object."""
    line = buffer.find("\n", at)
    found = buffer.find("{", at if line < 0 else line)
    return len(buffer) if found < 0 else found


def _is_cut(error: ValueError, buffer: str) -> bool:
    """Tell an object that the buffer's end cuts from one that is wrong."""
    text = str(error)
    return text.startswith(_OPEN[0]) or (
        text.startswith(_OPEN) and _error_at(error) >= len(buffer) - _SLACK
    )


def _error_at(error: ValueError) -> int:
    return error.pos if isinstance(error, json.JSONDecodeError) else 0


def _reason(error: ValueError, at: int) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON object: {error.msg} after {error.pos - at} characters"
    return f"no JSON object: {error}"
