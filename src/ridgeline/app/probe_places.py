"""Places in the names that routers and servers give themselves, as documents tell them."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from ridgeline.errors import InputError
from ridgeline.net.airports import find_place
from ridgeline.net.place import Place
from ridgeline.probe.places import Decoded, Sighting, decode

_LEAST: Final = 0.3
"""A guess less sure than this is not worth showing."""


@lru_cache(maxsize=4096)
def _decode(name: str, sightings: tuple[Sighting, ...]) -> Decoded:
    return decode(name, sightings=sightings)


def guess_place(name: str, sightings: Sequence[Sighting] = ()) -> tuple[Place | None, str]:
    """Guess the place that a name tells: (place, why it cannot be there)."""
    decoded = _decode(name, tuple(sightings))
    if decoded.best is not None and decoded.best.confidence >= _LEAST:
        return decoded.best.place, ""
    first = decoded.rejected[0] if decoded.rejected else None
    if first is None or first.guess.confidence < _LEAST:
        return None, ""
    return None, f"not {first.guess.place.city}: {first.reason}"


def place_fields(name: str, sightings: Sequence[Sighting] = ()) -> dict[str, Any]:
    """Describe for programs where a name says that its owner is, and why; empty if it does not."""
    decoded = _decode(name, tuple(sightings))
    place, rejected = guess_place(name, sightings)
    if place is None:
        return {"place_rejected": rejected} if rejected else {}
    assert decoded.best is not None  # noqa: S101 - there is a place
    told = {"confidence": round(decoded.best.confidence, 3), "reason": decoded.best.reason}
    return {"place": {**place_document(place), **told}}


def place_document(place: Place) -> dict[str, Any]:
    """Describe a place for programs."""
    return {
        "code": place.code,
        "city": place.city,
        "country": place.country,
        "lat": place.lat,
        "lon": place.lon,
    }


def find_here(code: str) -> Place | None:
    """Find where this machine stands.

    Raises
    ------
    InputError
        There is no such airport.
    """
    place = find_place(code) if code else None
    if code and place is None:
        raise InputError(f"--here {code}: no airport has that IATA code")
    return place


def seen_from(place: Place | None, rtt_ms: float | None, name: str = "here") -> list[Sighting]:
    """Tell how fast somebody at a known place was answered; nothing if either is not known."""
    if place is None or rtt_ms is None:
        return []
    return [Sighting(lat=place.lat, lon=place.lon, rtt_ms=rtt_ms, name=name)]
