"""What the agent says of itself: log lines, the status document, and Prometheus metrics.

One line for each decision, with its reason; none for a healthy round.
"""

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from ridgeline.agent.core import Core, Say
from ridgeline.agent.health import Condition
from ridgeline.agent.router import Neighbour, Stance

Log = Callable[[Say], None]

_COLOURS: Final = {"info": "", "warning": "\033[33m", "error": "\033[31m"}


def make_log(site: str, stream: TextIO | None = None) -> Log:
    """Write JSON lines, or text where a person reads along.

    A log that cannot be written (disk full, reader gone) is lost: it must not keep the agent from
    its work.
    """
    out = stream if stream is not None else sys.stdout
    is_terminal = out.isatty()

    def log(say: Say) -> None:
        now = datetime.now(UTC)
        if is_terminal:
            prefix = f" {say.prefix}" if say.prefix else ""
            facts = " ".join(f"{k}={v}" for k, v in say.facts.items())
            colour, end = _COLOURS[say.level], "\033[0m" if _COLOURS[say.level] else ""
            line = f"{now:%H:%M:%S.%f} {colour}{say.event}{prefix}{end}: {say.reason} {facts}"
            _write(out, line.rstrip())
            return
        document: dict[str, object] = {
            "time": now.isoformat(timespec="milliseconds"),
            "level": say.level,
            "event": say.event,
            "site": site,
        }
        if say.prefix is not None:
            document["prefix"] = str(say.prefix)
        document |= {"reason": say.reason, **say.facts}
        _write(out, json.dumps(document, ensure_ascii=False, default=str))

    return log


def _write(out: TextIO, line: str) -> None:
    with suppress(OSError, ValueError):  # ValueError: closed, or not to be encoded
        print(line, file=out, flush=True)


def status_document(core: Core, *, site: str, network: str, now: float) -> dict[str, Any]:
    """Describe everything that the agent knows and wants."""
    prefixes = [
        {
            "prefix": str(p.prefix),
            "condition": p.condition.name.lower(),
            "wanted": p.target.stance.value if p.target else None,
            "held": p.held.value if p.held else None,
            "confirmed": p.confirmed and p.target is not None and p.held is p.target.stance,
            "exported": {name: stance.value for name, stance in p.exported.items()},
            "reason": p.target.reason if p.target else "",
            "since_s": round(now - p.since, 1) if p.target else None,
            "drain": None
            if p.drain is None
            else {
                "reason": p.drain.reason,
                "left_s": None if p.drain.until is None else round(p.drain.until - now, 1),
            },
            "damped_s": max(0.0, round(p.announce_after - now, 1)),
            "slot": p.slot,
            "alerts": list(p.alerts),
            "updates": p.updates,
        }
        for p in core.prefixes.values()
    ]
    checks = [
        {"name": name, "condition": state.condition.name.lower(), "reason": state.reason}
        for name, state in core.checks.items()
    ]
    return {
        "schema": "ridgeline.agent/1",
        "site": site,
        "network": network,
        "ok": is_well(core),
        "router": {
            "problem": core.router_problem or None,
            "degraded": list(core.degraded),
            "neighbours": [
                {"name": n.name, "address": n.address, "asn": n.asn, "established": n.established}
                for n in _neighbours(core)
            ],
        },
        "prefixes": prefixes,
        "checks": checks,
    }


def is_well(core: Core) -> bool:
    """Whether every prefix is announced, and the router answers and does as it is told."""
    return (
        not core.router_problem
        and not core.degraded
        and all(
            p.confirmed
            and p.target is not None
            and p.target.stance is Stance.ANNOUNCED
            and not p.alerts
            for p in core.prefixes.values()
        )
    )


def render_metrics(core: Core, *, site: str, rounds: int, failures: int, up_s: float) -> str:
    """Write the metrics in Prometheus' text format, version 0.0.4."""
    lines: list[str] = []

    def family(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> None:
        lines.append(f"# HELP ridgeline_agent_{name} {text}")
        lines.append(f"# TYPE ridgeline_agent_{name} {kind}")
        lines.extend(f"ridgeline_agent_{name}{labels} {value:g}" for labels, value in samples)

    def labels(**values: str) -> str:
        pairs = {"site": site, **values}
        return "{" + ",".join(f'{k}="{_escape(v)}"' for k, v in pairs.items()) + "}"

    here = labels()
    family("up_seconds", "gauge", "Time since the agent started.", [(here, up_s)])
    family("check_rounds_total", "counter", "Rounds of checks.", [(here, rounds)])
    family("check_failures_total", "counter", "Failed rounds.", [(here, failures)])
    answers = [(here, float(not core.router_problem))]
    family("router_answers", "gauge", "Whether the router could be read back last.", answers)
    family("router_degraded", "gauge", "Complaints of the router.", [(here, len(core.degraded))])
    family(
        "neighbour_established",
        "gauge",
        "Whether a BGP session is up.",
        [(labels(neighbour=n.name), float(n.established)) for n in _neighbours(core)],
    )
    family(
        "check_condition",
        "gauge",
        "3 up, 2 unknown, 1 impaired (a shared input fails), 0 down.",
        [(labels(check=n), float(s.condition)) for n, s in core.checks.items()],
    )
    states = core.prefixes.values()
    for name, text, value in (
        ("announced", "Router holds the prefix as announced.", _holds(Stance.ANNOUNCED)),
        ("drained", "Router holds the prefix with GRACEFUL_SHUTDOWN.", _holds(Stance.DRAINED)),
        ("confirmed", "Router holds what is wanted.", lambda p: p.confirmed),
        ("alerts", "What differs at the neighbours.", lambda p: len(p.alerts)),
        ("healthy", "All that is required is up.", lambda p: p.condition is Condition.UP),
        ("exported_neighbours", "Neighbours it is sent to.", lambda p: len(p.exported)),
        ("refused", "A withdrawal was refused a slot.", lambda p: p.slot in {"refused", "silent"}),
    ):
        samples = [(labels(prefix=str(p.prefix)), float(value(p))) for p in states]
        family(f"prefix_{name}", "gauge", text, samples)
    updates = [(labels(prefix=str(p.prefix)), float(p.updates)) for p in states]
    family("prefix_updates_total", "counter", "Changes asked of the router.", updates)
    return "\n".join(lines) + "\n"


def _holds(stance: Stance) -> Callable[[Any], bool]:
    return lambda p: p.held is stance


def _neighbours(core: Core) -> list[Neighbour]:
    return [n for n in core.neighbours if isinstance(n, Neighbour)]


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
