"""What probes tell from files, for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ridgeline.app.probe import Enumerated
from ridgeline.net.place import Place
from ridgeline.probe.changes import Changes
from ridgeline.probe.discs import Disc
from ridgeline.probe.enumerate import Site
from ridgeline.probe.places import Decoded, Guess


def enumeration_document(found: Enumerated) -> dict[str, Any]:
    """Return an enumeration as ``ridgeline.enumeration/1``."""
    enumeration = found.enumeration
    return {
        "schema": "ridgeline.enumeration/1",
        "source": found.name,
        "target": found.file.target,
        "anycast": enumeration.is_anycast,
        "proof": [_disc(disc) for disc in enumeration.proof or ()],
        "n_vantage_points": enumeration.n_vantage_points,
        "n_sites": len(enumeration.sites),
        "sites": [_site(site) for site in enumeration.sites],
        "suspects": [asdict(suspect) for suspect in enumeration.suspects],
        "notes": list(found.file.notes),
    }


def _site(site: Site) -> dict[str, Any]:
    return {
        **_place(site.place),
        "lat": site.lat,
        "lon": site.lon,
        "confidence": round(site.confidence, 4),
        "evidence": site.evidence.value,
        "n_vantage_points": site.n_vantage_points,
        "disc": _disc(site.disc),
        "alternatives": [
            {**_place(other.place), "confidence": round(other.confidence, 4)}
            for other in site.alternatives
        ],
    }


def _place(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {"iata": None, "city": None, "country": None}
    return {
        "iata": place.code.upper() or None,
        "city": place.city,
        "country": place.country,
        "lat": place.lat,
        "lon": place.lon,
    }


def _disc(disc: Disc) -> dict[str, Any]:
    return {**asdict(disc), "radius_km": round(disc.radius_km, 1)}


def decoding_document(decoded: Sequence[Decoded]) -> dict[str, Any]:
    """Return guesses as ``ridgeline.places/1``."""
    return {
        "schema": "ridgeline.places/1",
        "names": [
            {
                "name": one.name,
                "guesses": [_guess(guess) for guess in one.guesses],
                "rejected": [
                    {**_guess(rejected.guess), "rejected": rejected.reason}
                    for rejected in one.rejected
                ],
            }
            for one in decoded
        ],
    }


def _guess(guess: Guess) -> dict[str, Any]:
    return {
        **_place(guess.place),
        "confidence": round(guess.confidence, 4),
        "reason": guess.reason,
        "token": guess.token,
        "rule": guess.rule,
    }


def changes_document(changes: Changes) -> dict[str, Any]:
    """Return changes as ``ridgeline.changes/1``; JSON's keys are text, so "no site" is ``""``."""
    document = asdict(changes)
    for mode in document["modes"]:
        mode["shares"] = {site or "": share for site, share in mode["shares"].items()}
    return {"schema": "ridgeline.changes/1", **document}
