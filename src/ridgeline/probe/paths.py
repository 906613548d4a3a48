"""Paths side by side: where they part, and where they meet."""

from collections.abc import Sequence
from typing import TypeAlias

Steps: TypeAlias = Sequence[str | None]
"""Addresses of the hops; None where a hop is silent."""


def parts_at(paths: Sequence[Steps]) -> list[int | None]:
    """Find for each path the first hop after the longest beginning that it shares with another.

    Counted from 0; None for a path that begins like no other, or runs to its end with another. A
    silent hop is like any other hop, but a beginning of silent hops alone is not shared.
    """
    found: list[int | None] = []
    for at, path in enumerate(paths):
        others = [other for number, other in enumerate(paths) if number != at]
        longest = max((_shared(path, other) for other in others), default=0)
        found.append(longest if 0 < longest < len(path) else None)
    return found


def meets_at(paths: Sequence[Steps]) -> list[int | None]:
    """Find for each path the first hop, before its last, that a path of another beginning passes."""
    found: list[int | None] = []
    for at, path in enumerate(paths):
        elsewhere = {
            step
            for number, other in enumerate(paths)
            if number != at and not _shared(path, other)
            for step in other[:-1]
            if step is not None
        }
        meets = (n for n, step in enumerate(path[:-1]) if step in elsewhere)
        found.append(next(meets, None))
    return found


def _shared(a: Steps, b: Steps) -> int:
    """Count the hops at the beginning that two paths share, to the last that both name."""
    shared = 0
    for n, (x, y) in enumerate(zip(a, b, strict=False), 1):
        if x is None or y is None:
            continue
        if x != y:
            break
        shared = n
    return shared
