"""Who answers at an address: every way of asking, decoded to places, and whether they agree."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from ridgeline.app.probe_lab import LabPoints
from ridgeline.app.probe_places import find_here, guess_place, place_fields, seen_from
from ridgeline.app.probe_trace import answer_document
from ridgeline.errors import InputError
from ridgeline.net.place import Place
from ridgeline.probe.identifysockets import Asking, identify
from ridgeline.probe.identity import Answer, agree
from ridgeline.probe.sockets import MakeSocket, open_socket
from ridgeline.probe.tracer import resolve

SCHEMA = "ridgeline.identity/1"
KINDS = ("dns", "http", "tls")


def identify_target(
    target: str,
    *,
    versions: Sequence[int] = (),
    kinds: Sequence[str] = KINDS,
    names: Sequence[str] = (),
    timeout: float = 2.0,
    here: str = "",
    lab: str = "",
    vantage: Sequence[str] = (),
) -> dict[str, Any]:
    """Ask a target who it is, over every version of IP that it has; from each vantage point.

    Raises
    ------
    InputError
        The target does not resolve; a place or a client is unknown.
    MachineError
        The lab is not up.
    """
    place = find_here(here)
    if vantage and not lab:
        raise InputError("--from names clients of a lab; say which lab with --lab")
    points = LabPoints(lab) if lab else None
    try:
        addresses = _addresses(target, versions, numeric=points is not None)
        origins: list[tuple[str, Place | None, MakeSocket]] = [("here", place, open_socket)]
        if points is not None:
            origins = [(p.name, p.place, p.make) for p in points.clients(vantage)]
        return asyncio.run(_identify(target, addresses, origins, kinds, tuple(names), timeout))
    finally:
        if points is not None:
            points.close()


async def _identify(
    target: str,
    addresses: Sequence[str],
    origins: Sequence[tuple[str, Place | None, MakeSocket]],
    kinds: Sequence[str],
    names: tuple[str, ...],
    timeout: float,  # noqa: ASYNC109 - of each question, not of this function
) -> dict[str, Any]:
    async def one(name: str, place: Place | None, make: MakeSocket) -> dict[str, Any]:
        host = "" if target in addresses else target
        jobs = []
        for address in addresses:
            asking = Asking(address=address, host=host, timeout=timeout, make=make)
            if names:
                asking = Asking(address=address, host=host, timeout=timeout, make=make, names=names)
            jobs.append(identify(asking, kinds))
        answers = [answer for found in await asyncio.gather(*jobs) for answer in found]
        return _document(target, addresses, name, answers, place)

    targets = await asyncio.gather(*(one(*origin) for origin in origins))
    return {"schema": SCHEMA, "targets": list(targets)}


def _addresses(target: str, versions: Sequence[int], *, numeric: bool) -> list[str]:
    """Resolve a target over each version of IP that is wanted; one that it lacks is left out."""
    found = []
    for version in versions or (4, 6):
        with contextlib.suppress(InputError):
            found.append(resolve(target, version, numeric=numeric))
    only = versions[0] if len(versions) == 1 else None
    return found or [resolve(target, only, numeric=numeric)]


def _document(
    target: str,
    addresses: Sequence[str],
    origin: str,
    answers: Sequence[Answer],
    here: Place | None,
) -> dict[str, Any]:
    # Of several round trips the shortest binds: the server is no further than that.
    fastest = min((a.rtt_ms for a in answers if a.rtt_ms is not None), default=None)
    sightings = seen_from(here, fastest, origin)
    told = {a.value for a in answers if a.tells_site and a.value}
    places = {value: guess_place(value, sightings)[0] for value in told}
    codes = {value: place.code for value, place in places.items() if place is not None}
    agreement = agree(answers, codes)
    return {
        "from": origin,
        "target": target,
        "addresses": list(addresses),
        "site": agreement.site,
        "agree": agreement.is_one,
        "names": {name: list(ways) for name, ways in agreement.names.items()},
        "answers": [
            {
                **answer_document(answer),
                **(place_fields(answer.value, sightings) if answer.value in told else {}),
            }
            for answer in answers
        ],
    }
