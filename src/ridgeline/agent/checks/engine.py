"""Runs the checks of a site, each at its own times, and reports every round."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ridgeline.agent.checks.base import Checker, Done
from ridgeline.agent.checks.consistency import ConsistencyChecker, ExpectedChecker
from ridgeline.agent.checks.datagram import DatagramPool, UdpDnsChecker
from ridgeline.agent.checks.host import AddressChecker, IcmpChecker
from ridgeline.agent.checks.plan import (
    AddressCheck,
    ConsistencyCheck,
    DnsCheck,
    ExecCheck,
    ExpectedCheck,
    HttpCheck,
    IcmpCheck,
    PlannedCheck,
    ProcessCheck,
    TcpCheck,
    UnitCheck,
    ZonesCheck,
)
from ridgeline.agent.checks.process import ProcessChecker, UnitChecker, exec_checker
from ridgeline.agent.checks.secure import TlsChecker
from ridgeline.agent.checks.stream import dns_checker, http_checker, tcp_checker
from ridgeline.agent.checks.zones import ZonesChecker
from ridgeline.agent.health import Round

AGAIN_AFTER_S: Final = 0.02
"""How soon a check that failed for the first time is repeated."""
JITTER: Final = 0.05
"""Part of the interval by which rounds move, so that a thousand do not march in step."""

Report = Callable[[str, Round], None]


@dataclass(slots=True)
class _Job:
    plan: PlannedCheck
    checker: Checker
    timer: asyncio.TimerHandle | None = None
    deadline: asyncio.TimerHandle | None = None
    round: int = 0
    """Number of the round that is out; 0: none."""
    last: int = 0
    next_at: float = 0.0


class Engine:
    """All checks of one configuration.

    Parameters
    ----------
    report
        Called with the check's name for every round that ends, and for news between rounds.
    draw
        Numbers from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        plans: Iterable[PlannedCheck],
        report: Report,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._report = report
        self._draw = draw
        self._pool = DatagramPool()
        self._jobs = {
            plan.name: _Job(plan, _make(plan, self._pool, self._teller(plan))) for plan in plans
        }
        self.rounds = 0
        self.failures = 0

    def start(self) -> None:
        """Begin the first rounds, spread over the shorter of a second and the interval."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        spread = min(1.0, len(self._jobs) / 200)
        for job in self._jobs.values():
            job.next_at = now + self._draw() * min(job.plan.interval, spread)
            job.timer = loop.call_at(job.next_at, self._begin, job)

    def again(self, name: str) -> None:
        """Repeat a check at once: its last round left a doubt."""
        job = self._jobs.get(name)
        if job is None or job.round:
            return
        loop = asyncio.get_running_loop()
        if job.timer is not None:
            job.timer.cancel()
        job.next_at = min(loop.time() + AGAIN_AFTER_S, job.next_at)
        job.timer = loop.call_at(job.next_at, self._begin, job)

    def inherit(self, other: "Engine") -> None:
        """Let the checks know what those of the same names knew, after a reload."""
        for name, job in self._jobs.items():
            known = other.checker(name)
            match job.checker:
                case ZonesChecker() as mine if isinstance(known, ZonesChecker):
                    mine.well_at = known.well_at
                case ExpectedChecker() as mine if isinstance(known, ExpectedChecker):
                    mine.memory = known.memory

    def checker(self, name: str) -> Checker | None:
        """Return what carries out a check."""
        job = self._jobs.get(name)
        return job.checker if job is not None else None

    def stop(self) -> None:
        """End every round without a word."""
        for job in self._jobs.values():
            for handle in (job.timer, job.deadline):
                if handle is not None:
                    handle.cancel()
            if job.round:
                job.round = 0
                job.checker.abandon("the agent ends")
            job.checker.close()
        self._pool.close()

    def _begin(self, job: _Job) -> None:
        loop = asyncio.get_running_loop()
        job.last += 1
        job.round = number = job.last
        plan = job.plan
        job.next_at = max(
            job.next_at + plan.interval * (1 + JITTER * (2 * self._draw() - 1)), loop.time()
        )
        job.deadline = loop.call_later(plan.timeout, self._too_late, job)

        def done(outcome: Round) -> None:
            if job.round == number:
                self._end(job, outcome)

        try:
            job.checker.begin(done)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it goes on
            if job.round == number:
                self._end(job, _broken(error))

    def _too_late(self, job: _Job) -> None:
        number = job.round
        try:
            outcome = job.checker.abandon(f"no answer within {job.plan.timeout * 1000:g} ms")
        except Exception as error:  # noqa: BLE001
            outcome = _broken(error)
        if job.round == number:
            self._end(job, outcome)

    def _end(self, job: _Job, outcome: Round) -> None:
        job.round = 0
        if job.deadline is not None:
            job.deadline.cancel()
            job.deadline = None
        job.timer = asyncio.get_running_loop().call_at(job.next_at, self._begin, job)
        self.rounds += 1
        self._tell(job.plan, outcome)

    def _tell(self, plan: PlannedCheck, outcome: Round) -> None:
        if not outcome.ok:
            self.failures += 1
            if plan.shared:
                outcome = Round(ok=False, reason=outcome.reason, shared=True, final=outcome.final)
        self._report(plan.name, outcome)

    def _teller(self, plan: PlannedCheck) -> Done:
        return lambda outcome: self._tell(plan, outcome)


def _broken(error: Exception) -> Round:
    """Say that nothing was judged: that may drain the site, and withdraws nothing."""
    reason = f"the check itself failed: {type(error).__name__}: {error}"
    return Round(ok=False, reason=reason, shared=True)


def _make(  # noqa: C901, PLR0912 - one case for each kind
    plan: PlannedCheck, pool: DatagramPool, report: Done
) -> Checker:
    checker: Checker
    match plan.check:
        case DnsCheck(transport="udp") as check:
            checker = UdpDnsChecker(check, pool)
        case DnsCheck(transport="tcp") as check:
            checker = dns_checker(check)
        case DnsCheck() | HttpCheck(tls=True) as check:
            checker = TlsChecker(check)
        case ZonesCheck() as check:
            checker = ZonesChecker(check)
        case HttpCheck() as check:
            checker = http_checker(check)
        case TcpCheck() as check:
            checker = tcp_checker(check)
        case IcmpCheck() as check:
            checker = IcmpChecker(check)
        case AddressCheck() as check:
            checker = AddressChecker(check)
        case ExecCheck() as check:
            checker = exec_checker(check)
        case ConsistencyCheck() as check:
            checker = ConsistencyChecker(check)
        case ExpectedCheck() as check:
            checker = ExpectedChecker(check)
        case ProcessCheck() as check:
            checker = ProcessChecker(check, report)
        case UnitCheck() as check:
            checker = UnitChecker(check, report)
    return checker
