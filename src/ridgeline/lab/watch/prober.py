"""Ask every service from every client a hundred times a second, and write down who answered.

A process of its own, ``python -m ridgeline.lab.watch.prober``, so that nothing delays its clock:

* standard input: the plan, one line of JSON (`ProbePlan.render`); the end of input ends the asking
* standard output: ``{"started": ...}`` as soon as every question has been asked once; at the end
  one line with every sample (`read_result`)

The namespaces of the clients are inherited descriptors. Queries leave on an absolute schedule,
spread evenly over the interval; the schedule never drifts, and what it misses it does not catch up.
"""

import contextlib
import gc
import json
import os
import resource
import select
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ridgeline.lab.watch.askers import DnsAsker, HttpAsker, Poll, Question, Row
from ridgeline.lab.watch.outage import Sample

__all__ = ["ProbePlan", "ProbeResult", "Prober", "Question", "Series", "parse_plan", "read_result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """What to ask, how often and how long."""

    questions: tuple[Question, ...]
    interval_ms: float = 10.0
    """Between two queries of the same question."""
    duration: float | None = None
    """Seconds; None: until the input ends."""
    grace: float = 0.5
    """Seconds to wait for late answers at the end."""
    timeout: float = 1.0
    """Seconds after which a query is lost, whatever comes later."""

    def __post_init__(self) -> None:
        if not self.questions or self.interval_ms <= 0:
            raise ValueError("a plan needs at least one question, and an interval above 0")

    def render(self) -> str:
        """Give the line that the prober reads."""
        return json.dumps(asdict(self)) + "\n"

    @property
    def namespaces(self) -> tuple[int, ...]:
        """Descriptors that the prober must inherit."""
        return tuple({question.namespace for question in self.questions})


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All samples of one question."""

    client: str
    service: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What the prober wrote at its end."""

    started: float
    """CLOCK_MONOTONIC seconds; the samples' clock is 0 then."""
    skipped: int
    """Queries that were not sent because the machine was too busy to be on time."""
    cpu_s: float
    series: tuple[Series, ...]


def parse_plan(line: str) -> ProbePlan:
    raw = json.loads(line)
    questions = tuple(Question(**question) for question in raw.pop("questions"))
    return ProbePlan(questions=questions, **raw)


def read_result(line: str) -> ProbeResult:
    """Read the prober's last line."""
    raw = json.loads(line)
    series = tuple(
        Series(
            client=each["client"],
            service=each["service"],
            samples=tuple(Sample(*row) for row in each["samples"]),
        )
        for each in raw.pop("series")
    )
    return ProbeResult(series=series, **raw)


class Prober:
    """All questions, and the loop that asks them on time."""

    def __init__(self, plan: ProbePlan, stop_fd: int) -> None:
        self._plan = plan
        self._poll = Poll()
        self._stopped = False
        self._stop_fd = stop_fd
        self._poll.add(stop_fd, select.EPOLLIN, self._hear_stop)
        self._skipped = 0
        kinds: dict[str, type[DnsAsker | HttpAsker]] = {"dns": DnsAsker, "http": HttpAsker}
        self._askers = [
            kinds[question.kind](question, plan.timeout, self._poll) for question in plan.questions
        ]

    def run(self, say: Callable[[str], None]) -> None:
        """Ask until told to stop; say the two lines."""
        askers, clock = self._askers, time.monotonic
        step = self._plan.interval_ms / 1000 / len(askers)
        started = clock()
        duration = self._plan.duration
        ends = float("inf") if duration is None else started + duration
        turn = 0
        is_announced = False
        while not self._stopped and (now := clock()) < ends:
            late = int((now - started) / step) - turn
            if late > len(askers):  # more than one interval behind: leave out, do not catch up
                self._skipped += late
                turn += late
            while started + turn * step <= now:
                asker = askers[turn % len(askers)]
                asker.expire(now)
                asker.ask(clock())
                turn += 1
            if turn >= len(askers) and not is_announced:
                say(json.dumps({"started": started}))
                is_announced = True
            self._poll.wait(min(started + turn * step, ends) - clock())
        self._wait_for_late_answers(clock() + self._plan.grace)
        say(json.dumps(self._result(started)))

    def _wait_for_late_answers(self, until: float) -> None:
        while (now := time.monotonic()) < until and self._has_unanswered(now):
            for asker in self._askers:
                asker.expire(now)
            self._poll.wait(min(0.01, until - now))

    def _has_unanswered(self, now: float) -> bool:
        for asker in self._askers:
            for row in reversed(asker.rows):
                if row[0] < now - self._plan.timeout:
                    break
                if row[2] is None and row[3] is None:
                    return True
        return False

    def _result(self, started: float) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "started": started,
            "skipped": self._skipped,
            "cpu_s": used.ru_utime + used.ru_stime,
            "series": [
                {
                    "client": asker.question.client,
                    "service": asker.question.service,
                    "samples": [_finished(row, started) for row in asker.rows],
                }
                for asker in self._askers
            ],
        }

    def _hear_stop(self, _: int) -> None:
        if not os.read(self._stop_fd, 4096):
            self._stopped = True
            self._poll.forget(self._stop_fd)


def main() -> None:
    plan = parse_plan(_read_line(0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(OSError):  # for root alone
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    with contextlib.suppress(OSError), open("/proc/self/timerslack_ns", "w") as file:  # noqa: PTH123 - no Path at start-up
        file.write("1")
    gc.disable()  # a collection over all samples would delay queries; nothing here is a cycle
    Prober(plan, 0).run(_say)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _finished(row: Row, started: float) -> Row:
    sent, site, rtt_ms, error = row
    if rtt_ms is None and error is None:
        error = "timeout"
    rounded = None if rtt_ms is None else round(rtt_ms, 3)
    return [round((sent - started) * 1000, 3), site, rounded, error]


def _read_line(fd: int) -> str:
    """Read to the end of the line, with no buffer that would swallow what follows."""
    data = b""
    while not data.endswith(b"\n"):
        part = os.read(fd, 1 << 20)
        if not part:
            break
        data += part
    return data.decode()


if __name__ == "__main__":
    main()
