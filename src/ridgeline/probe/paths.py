"""Paths side by side: where they part, where they meet, and whether light could go so fast."""

from collections.abc import Sequence
from typing import TypeAlias

from ridgeline.net.place import FIBRE_KM_PER_MS, Place, great_circle_km

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


def furthest_km(rtt_ms: float) -> float:
    """Return how far light in fibre gets and back in so much time."""
    return rtt_ms / 2 * FIBRE_KM_PER_MS


def why_impossible(guess: Place, rtt_ms: float, known: Sequence[tuple[Place, float]]) -> str:
    """Say why a hop cannot be at a place, or nothing.

    Parameters
    ----------
    rtt_ms
        Round trip to the hop.
    known
        Places with the round trip to each: our own with 0, other hops that are sure.
    """
    for place, other_ms in known:
        km = great_circle_km(guess.lat, guess.lon, place.lat, place.lon)
        reach = furthest_km(rtt_ms + other_ms)
        if km > reach + 1.0:
            where = "here" if other_ms == 0 else place.city or place.code
            return (
                f"{guess.city or guess.code} is {km:,.0f} km from {where}, and light gets "
                f"{reach:,.0f} km in {rtt_ms + other_ms:.1f} ms"
            )
    return ""
