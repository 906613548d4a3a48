"""Sweep again and again, and say what changed from one sweep to the next."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from ridgeline.app.probe_sweep import Swept
from ridgeline.catchment.model import CatchmentMap
from ridgeline.probe.changes import ALIKE, Step, find_changes

SCHEMA: Final = "ridgeline.change/1"
_MOST_MODES: Final = 20


def watch(
    sweep: Callable[[], Swept],
    *,
    every: float,
    count: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """Sweep every so many seconds; yield what changed as soon as it is known.

    The first event says what there is to begin with. A sweep that takes longer than `every` is
    followed by the next at once, and none is made up for.
    """
    before: CatchmentMap | None = None
    modes = _Modes()
    done = 0
    while count is None or done < count:
        began = clock()
        swept = sweep()
        after = swept.catchment
        if before is None:
            yield _event(after, "began", clients_of=swept.clients_of())
            modes.take(after)
        else:
            changes = find_changes((before, after), labels=(before.when, after.when))
            yield from _step_events(after, changes.steps[0])
            yield from modes.take(after)
        before = after
        done += 1
        if count is None or done < count:
            sleep(max(0.0, began + every - clock()))


class _Modes:
    """The ways of routing seen so far, each by its first sweep."""

    def __init__(self) -> None:
        self._first: list[CatchmentMap] = []
        self._now = 0

    def take(self, sweep: CatchmentMap) -> list[dict[str, Any]]:
        """Find the mode of a sweep; an event if it is another one than before."""
        likeness = [
            find_changes((first, sweep), labels=("first", "now")).alike[0][1]
            for first in self._first
        ]
        best = max(range(len(likeness)), key=lambda mode: (likeness[mode], -mode), default=None)
        is_new = best is None or likeness[best] < ALIKE
        if is_new and len(self._first) < _MOST_MODES:
            self._first.append(sweep)
            best = len(self._first) - 1
        if best is None or best == self._now:
            return []
        self._now = best
        return [_event(sweep, "mode", mode=best, is_recurring=not is_new)]


def _step_events(after: CatchmentMap, step: Step) -> Iterator[dict[str, Any]]:
    for flow in step.flows:
        yield _event(
            after,
            "moved",
            before=flow.before,
            after=flow.after,
            n=flow.n,
            weight=flow.weight,
            names=list(flow.names),
        )
    for site in step.vanished:
        yield _event(after, "site vanished", site=site)
    for site in step.appeared:
        yield _event(after, "site appeared", site=site)


def _event(catchment: CatchmentMap, event: str, **facts: object) -> dict[str, Any]:
    return {"schema": SCHEMA, "at": catchment.when, "event": event, **facts}
