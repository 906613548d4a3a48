"""What clients noticed of an event: from the prober's samples to lost queries and an outage.

Pure. All times are milliseconds on the samples' clock. An answer counts at the moment at which it
*arrived*; answers may arrive out of order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import NamedTuple


class Sample(NamedTuple):
    """One query of one client."""

    t_ms: float
    """When it was sent."""
    site: str | None
    """Which site answered, if one did and said so."""
    rtt_ms: float | None
    error: str | None
    """Why the answer is none or no good one: ``timeout``, ``refused``, ``SERVFAIL``..."""

    @property
    def is_good(self) -> bool:
        return self.site is not None and self.error is None

    @property
    def answered_ms(self) -> float:
        """When the answer arrived; infinity if none did."""
        return float("inf") if self.rtt_ms is None else self.t_ms + self.rtt_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time in which every query had the same fate."""

    start_ms: float
    """Counted from the event; negative before it."""
    end_ms: float
    site: str | None
    """None: nobody answered."""
    queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One client's view of one event, for one service."""

    queries: int
    """Sent after the event, or under way when it happened."""
    queries_lost: int
    outage_ms: float | None
    """Time without service: from the first lost query to the first good answer after it, summed if
    it happened more than once; 0 when nothing was lost, None when it was never answered again."""
    longest_ms: float | None
    """The longest of those times."""
    before: str | None
    """Site that answered last before the event."""
    after: str | None
    """Site that answered last of all; None when the end is silence."""
    moved_ms: float | None
    """From the event to the first answer of another site than `before`."""
    timeline: tuple[Span, ...]


def measure_outage(samples: Iterable[Sample], event_ms: float) -> Outage:
    """Find out what one client noticed of what happened at `event_ms`."""
    ordered = sorted(samples, key=lambda sample: sample.t_ms)
    before = [s for s in ordered if s.is_good and s.answered_ms <= event_ms]
    way_ms = median(s.rtt_ms or 0.0 for s in before) if before else 0.0
    since = [s for s in ordered if s.t_ms > event_ms - way_ms]
    stretches = _stretches_without_service(since)
    ended = None not in stretches
    lengths = [length for length in stretches if length is not None]
    was = max(before, key=lambda s: s.answered_ms).site if before else None
    elsewhere = [s.answered_ms for s in since if s.is_good and s.site != was]
    return Outage(
        queries=len(since),
        queries_lost=sum(not s.is_good for s in since),
        outage_ms=sum(lengths) if ended else None,
        longest_ms=max(lengths, default=0.0) if ended else None,
        before=was,
        after=ordered[-1].site if ordered and ordered[-1].is_good else None,
        moved_ms=min(elsewhere) - event_ms if elsewhere else None,
        timeline=draw_timeline(ordered, event_ms),
    )


def draw_timeline(samples: Sequence[Sample], event_ms: float) -> tuple[Span, ...]:
    """Join neighbouring samples with the same fate; `samples` in the order of sending."""
    runs = [
        (site, list(run))
        for site, run in groupby(samples, key=lambda s: s.site if s.is_good else None)
    ]
    starts = [run[0].t_ms for _, run in runs]
    ends = [*starts[1:], samples[-1].t_ms] if samples else []
    return tuple(
        Span(start_ms=start - event_ms, end_ms=end - event_ms, site=site, queries=len(run))
        for (site, run), start, end in zip(runs, starts, ends, strict=True)
    )


def _stretches_without_service(samples: Sequence[Sample]) -> list[float | None]:
    """How long each stretch of lost queries lasted; None for one that never ended."""
    stretches: list[float | None] = []
    first_answer = float("inf")  # among the queries sent later, as we walk back in time
    answers_after = []
    for sample in reversed(samples):
        answers_after.append(first_answer)
        if sample.is_good:
            first_answer = min(first_answer, sample.answered_ms)
    answers_after.reverse()
    was_lost = False
    for sample, answered_ms in zip(samples, answers_after, strict=True):
        if not sample.is_good and not was_lost:
            never = answered_ms == float("inf")
            stretches.append(None if never else max(0.0, answered_ms - sample.t_ms))
        was_lost = not sample.is_good
    return stretches
