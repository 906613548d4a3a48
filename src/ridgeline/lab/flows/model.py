"""Sessions held open through an event: what is wanted, what became of each, and how to count it.

`ridgeline.lab.flows.run` holds them, in a process of its own; no socket here.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

HANG_S: Final = 3.0
"""A session in which nothing came for so long, when it should have, hangs."""

KINDS: Final = ("download", "handoff", "keep-alive", "dns-over-tcp", "dns-over-tls", "quic")
"""The classes, in the order in which tables show them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Several like sessions from one client."""

    client: str
    namespace: int
    """Descriptor of the client's network namespace."""
    kind: str
    """One of `KINDS`."""
    address: str
    port: int
    n: int
    host: str = ""
    """HTTP: the host; DNS over TLS: the name that the certificate must have."""
    path: str = "/"
    bytes_per_s: float = 1000.0
    """Downloads: how fast each one is read; so slowly that a thousand are little traffic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPlan:
    """What the process holds until its standard input ends."""

    held: tuple[Held, ...]

    def render(self) -> str:
        """Give the line that the process reads."""
        return json.dumps(asdict(self)) + "\n"

    @property
    def namespaces(self) -> tuple[int, ...]:
        """Descriptors that the process must inherit."""
        return tuple({held.namespace for held in self.held})


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What became of one session. Times are seconds of CLOCK_MONOTONIC."""

    client: str
    kind: str
    address: str
    """The anycast address: each prefix has routes of its own."""
    site: str | None
    """Who said, at its beginning, that it answers."""
    n_bytes: int
    last: float | None
    """When something came last; None: never."""
    opened: float | None
    """When it was open; None: never."""
    ended: float | None
    """When it ended; None: it was open to the end."""
    how: str
    """``open``, ``complete``, ``reset``, ``closed`` (early end), ``refused``, ``corrupt``."""


def parse_plan(line: str) -> FlowPlan:
    """Read the line that `FlowPlan.render` gives."""
    return FlowPlan(held=tuple(Held(**held) for held in json.loads(line)["held"]))


def parse_flows(line: str) -> list[Flow]:
    """Read the process's last line."""
    return [Flow(**row) for row in json.loads(line)["flows"]]


def fate(flow: Flow, at: float, until: float, hang_s: float = HANG_S) -> str:
    """Say what an event at `at` did to a session that was watched until `until`.

    ``survived``, ``reset``, ``hung``, ``closed``, ``corrupt``; ``early`` if it was not open then.
    """
    if flow.opened is None or flow.opened > at or (flow.ended is not None and flow.ended < at):
        return "early"
    if flow.how == "complete":
        return "survived"
    if flow.how != "open":
        return flow.how
    return "survived" if flow.last is not None and until - flow.last < hang_s else "hung"


def tally(
    flows: Iterable[Flow],
    landed: Mapping[tuple[str, str], tuple[str | None, str | None]],
    at: float,
    until: float,
    hang_s: float = HANG_S,
) -> dict[str, Any]:
    """Count fates per class, apart for sessions whose route moved and for the others.

    Parameters
    ----------
    landed
        Per client and address, the site before and after the event.
    """
    groups: dict[tuple[str, bool], list[Flow]] = {}
    for flow in flows:
        before, after = landed.get((flow.client, flow.address), (None, None))
        groups.setdefault((flow.kind, before != after), []).append(flow)
    return {
        kind: {
            word: _group(groups.get((kind, is_moved), []), at, until, hang_s)
            for word, is_moved in (("moved", True), ("stayed", False))
        }
        for kind in KINDS
        if (kind, True) in groups or (kind, False) in groups
    }


def _group(flows: Sequence[Flow], at: float, until: float, hang_s: float) -> dict[str, Any]:
    fates = Counter(fate(flow, at, until, hang_s) for flow in flows)
    early = fates.pop("early", 0)
    n = len(flows) - early
    ends = sorted(
        1000 * (flow.ended - at)
        for flow in flows
        if flow.ended is not None and flow.ended >= at and flow.how != "complete"
    )
    return {
        "sessions": n,
        "survived": fates["survived"],
        "reset": fates["reset"],
        "hung": fates["hung"],
        "other": n - fates["survived"] - fates["reset"] - fates["hung"],
        "ended_early": early,
        "share": round(fates["survived"] / n, 4) if n else None,
        "median_end_ms": round(median(ends), 1) if ends else None,
        "last_end_ms": round(ends[-1], 1) if ends else None,
    }


def share(document: Mapping[str, Any], kind: str = "download") -> float:
    """Take the share of sessions of a class that outlived the move of their route; 0 without any."""
    row = document["classes"].get(kind, {}).get("moved", {})
    return float(row.get("share") or 0.0)
