"""Sweep again and again, and say what changed from one sweep to the next."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from ridgeline.app.probe_sweep import Swept
from ridgeline.catchment.model import CatchmentMap

SCHEMA = "ridgeline.change/1"


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
    done = 0
    while count is None or done < count:
        began = clock()
        swept = sweep()
        if before is None:
            yield _event(swept.catchment, "began", clients_of=swept.clients_of())
        else:
            yield from find_changes(before, swept.catchment)
        before = swept.catchment
        done += 1
        if count is None or done < count:
            sleep(max(0.0, began + every - clock()))


def find_changes(before: CatchmentMap, after: CatchmentMap) -> Iterator[dict[str, Any]]:
    """Find who moved from where to where, and which sites lost or got their first clients."""
    then = {(row.name, row.service): row.site for row in before.rows()}
    for row in after.rows():
        key = (row.name, row.service)
        if key in then and then[key] != row.site:
            yield _event(
                after,
                "moved",
                name=row.name,
                service=row.service,
                weight=row.weight,
                before=then[key],
                after=row.site,
            )
    had, has = ({site for site in m.site if site is not None} for m in (before, after))
    for site in sorted(had - has):
        yield _event(after, "site vanished", site=site)
    for site in sorted(has - had):
        yield _event(after, "site appeared", site=site)


def _event(catchment: CatchmentMap, event: str, **facts: object) -> dict[str, Any]:
    return {"schema": SCHEMA, "at": catchment.when, "event": event, **facts}
