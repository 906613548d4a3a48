"""What an operator asks of a running agent, read with suspicion: one line of JSON each."""

import math
from collections.abc import Collection
from ipaddress import ip_network
from typing import Any

from ridgeline.agent.core import DrainAsked, ResumeAsked
from ridgeline.errors import InputError
from ridgeline.spec.model import Prefix


def read_request(
    request: dict[str, Any], known: Collection[Prefix]
) -> DrainAsked | ResumeAsked | None:
    """Turn a request into an event; None where it asks for the status alone.

    Raises
    ------
    InputError
        It asks for something that there is not, or for nothing.
    """
    match request.get("verb"):
        case "status":
            return None
        case "drain":
            for_s, hold = _seconds(request, "for_s"), _seconds(request, "hold")
            if for_s == 0:
                raise InputError("for_s: a drain for no time at all is none")
            reason = str(request.get("reason") or "maintenance")
            return DrainAsked(reason, _prefixes(request, known), for_s, hold)
        case "resume":
            return ResumeAsked(_prefixes(request, known))
        case other:
            raise InputError(f"the agent knows no request {other!r}")


def _prefixes(request: dict[str, Any], known: Collection[Prefix]) -> tuple[Prefix, ...]:
    texts = request.get("prefixes", [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError("prefixes: a list of texts is needed")
    found = []
    for text in texts:
        try:
            prefix = ip_network(text)
        except ValueError as error:
            raise InputError(str(error)) from None
        if prefix not in known:
            here = ", ".join(map(str, known))
            raise InputError(f"{prefix} is not announced here; this site has {here}")
        found.append(prefix)
    return tuple(found)


def _seconds(request: dict[str, Any], name: str) -> float | None:
    value = request.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name}: {value!r} is no number of seconds")
    if not 0 <= value < math.inf:
        raise InputError(f"{name}: {value} is no number of seconds from 0 on")
    return float(value)
