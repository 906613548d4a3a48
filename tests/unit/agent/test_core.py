"""The agent's decisions, as timelines."""

from collections.abc import Mapping
from ipaddress import ip_network
from itertools import pairwise
from math import inf

import pytest

from ridgeline.agent.core import (
    Applied,
    Apply,
    AskGuard,
    Checked,
    Command,
    Core,
    DrainAsked,
    Event,
    GuardAnswered,
    Observed,
    OpenSessions,
    Policy,
    ReleaseGuard,
    ResumeAsked,
    RouterFailed,
    SaveState,
    Say,
    ShutSessions,
    Stop,
    Stopping,
    Woken,
)
from ridgeline.agent.health import CheckState, Condition, Part, Round, all_of
from ridgeline.agent.router import Neighbour, Observation, Stance, Wanted
from ridgeline.spec.model import Prefix

P = ip_network("192.0.2.0/24")
Q = ip_network("198.51.100.0/24")
GOOD = Checked("dns", Round(ok=True, reason="answers"))
BAD = Checked("dns", Round(ok=False, reason="no answer"))
DEAD = Checked("dns", Round(ok=False, reason="process ended", final=True))
STARVED = Checked("dns", Round(ok=False, reason="answers SERVFAIL", shared=True))
UPSTREAM = Neighbour(name="up", address="198.18.0.1", asn=65540, established=True)


class Bench:
    """A core, and a router that does as it is told unless `router` says otherwise."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        held: Stance = Stance.WITHDRAWN,
        rules: Mapping[Prefix, Part] | None = None,
        checks: tuple[str, ...] = ("dns",),
        rise: int = 1,
        fall: int = 2,
    ) -> None:
        states = {name: CheckState(rise=rise, fall=fall) for name in checks}
        self.core = Core(rules or {P: all_of("dns")}, states, policy or Policy())
        self.held = dict.fromkeys(self.core.prefixes, held)
        self.obeys = True
        self.orders: list[tuple[float, str]] = []
        self.others: list[Command] = []
        self.said: list[Say] = []
        self.give(0.0, self.seen())

    def seen(self) -> Observed:
        exported = {p: {"up": s} for p, s in self.held.items() if s is not Stance.WITHDRAWN}
        return Observed(
            Observation(held=dict(self.held), exported=exported, neighbours=(UPSTREAM,))
        )

    def give(self, now: float, *events: Event) -> None:
        waiting: list[Event] = list(events)
        for _ in range(50):
            if not waiting:
                return
            commands = self.core.handle(*waiting, now=now)
            waiting = []
            for command in commands:
                match command:
                    case Apply(wanted=wanted):
                        for wish in wanted.values():
                            self.orders.append((now, wish.stance.value))
                        if self.obeys:
                            self.held.update({p: w.stance for p, w in wanted.items()})
                        waiting += [Applied(wanted), self.seen()]
                    case Say():
                        self.said.append(command)
                    case _:
                        self.others.append(command)
        raise AssertionError("the core never comes to rest")

    def sleep(self, until: float) -> None:
        """Wake the core whenever it wants to be woken."""
        while (at := self.core.wake_at) is not None and at <= until:
            self.give(at, Woken())

    @property
    def state(self) -> Stance | None:
        target = self.core.prefixes[P].target
        return target.stance if target else None

    def events(self) -> list[str]:
        return [say.event for say in self.said]


def is_settled(bench: Bench) -> bool:
    return bench.core.is_settled


def up(policy: Policy | None = None, **options: int) -> Bench:
    """A core that announces a healthy service."""
    bench = Bench(policy, **options)  # type: ignore[arg-type] # rise and fall only
    for now in range(1, 4):
        bench.give(float(now), GOOD)
    assert bench.held == {P: Stance.ANNOUNCED}
    bench.orders.clear()
    bench.others.clear()
    bench.said.clear()
    return bench


def test_announces_after_rise_good_rounds_and_not_before() -> None:
    bench = Bench(rise=3)
    for now in (1.0, 2.0, 3.0):
        bench.give(now, GOOD)
    assert bench.orders == [(3.0, "announced")]
    assert bench.core.prefixes[P].confirmed


def test_one_bad_round_does_not_withdraw_but_is_looked_at_again() -> None:
    bench = up(fall=2)
    bench.give(10, BAD)
    assert bench.core.checks["dns"].is_doubtful
    bench.give(10.02, GOOD)
    assert bench.core.checks["dns"].streak == 0
    bench.give(11, BAD)
    bench.give(11.02, BAD)
    assert bench.orders == [(11.02, "withdrawn")]


def test_the_end_of_a_process_needs_no_second_look() -> None:
    bench = up(fall=5)
    bench.give(10, DEAD)
    assert bench.orders == [(10, "withdrawn")]


def test_a_restart_with_a_healthy_service_asks_nothing_of_the_router() -> None:
    bench = Bench(held=Stance.ANNOUNCED)
    for now in range(1, 30):
        bench.give(float(now), GOOD)
    assert bench.orders == []


def test_nothing_is_decided_before_the_checks_have_an_opinion() -> None:
    bench = Bench(held=Stance.ANNOUNCED, fall=3)
    bench.give(1, BAD)
    bench.give(2, BAD)
    assert bench.orders == []
    bench.give(3, BAD)
    assert bench.orders == [(3, "withdrawn")]


def test_what_is_found_withdrawn_and_is_not_healthy_is_withdrawn_once_by_order() -> None:
    """A router may hide a route only because the dead-man switch is open."""
    bench = Bench(held=Stance.WITHDRAWN, fall=1)
    assert not is_settled(bench)
    for now in range(1, 5):
        bench.give(float(now), BAD)
    assert bench.orders == [(1, "withdrawn")]
    assert is_settled(bench)


@pytest.mark.parametrize("held", list(Stance))
@pytest.mark.parametrize("event", [GOOD, BAD, STARVED])
def test_nobody_vouches_for_a_route_before_the_router_holds_it_no_better_than_wanted(
    held: Stance, event: Checked
) -> None:
    bench = Bench(held=held, fall=1, rise=2)
    bench.obeys = False
    assert not is_settled(bench), "no check has spoken"
    bench.give(1, event)
    assert not (event is GOOD and is_settled(bench)), "one of two rounds"
    bench.give(2, event)
    wanted = bench.state or held
    order = [Stance.WITHDRAWN, Stance.DRAINED, Stance.ANNOUNCED]
    assert is_settled(bench) is (order.index(bench.held[P]) <= order.index(wanted))
    bench.obeys = True
    bench.sleep(20)
    assert is_settled(bench)


def test_while_a_slot_is_awaited_nobody_vouches() -> None:
    bench = Bench(Policy(guarded=True), held=Stance.ANNOUNCED, fall=1)
    bench.give(1, DEAD)
    assert not is_settled(bench)
    bench.give(1.1, GuardAnswered(P, granted=False))
    assert bench.held == {P: Stance.DRAINED}
    assert is_settled(bench)


def test_a_doubt_is_looked_at_before_anybody_vouches() -> None:
    bench = up(fall=2)
    assert is_settled(bench)
    bench.give(10, BAD)
    assert not is_settled(bench)
    bench.give(10.02, GOOD)
    assert is_settled(bench)


def test_a_thousand_failures_are_one_order() -> None:
    names = tuple(f"s{i}" for i in range(1000))
    rules = {
        ip_network(f"100.{64 + i // 250}.{i % 250}.0/24"): all_of(n) for i, n in enumerate(names)
    }
    bench = Bench(held=Stance.ANNOUNCED, rules=rules, checks=names, fall=1)
    failures = [Checked(name, Round(ok=False, reason="dead")) for name in names]
    commands = bench.core.handle(*failures, now=1.0)
    orders = [command for command in commands if isinstance(command, Apply)]
    assert len(orders) == 1
    assert len(orders[0].wanted) == 1000
    assert {w.stance for w in orders[0].wanted.values()} == {Stance.WITHDRAWN}


def test_after_a_withdrawal_it_is_announced_again_only_when_the_damping_is_over() -> None:
    bench = up(Policy(damping=60), fall=1)
    bench.give(10, DEAD)
    for now in range(11, 100):
        bench.sleep(float(now))
        bench.give(float(now), GOOD)
    assert bench.orders == [(10, "withdrawn"), (70, "announced")]


def test_the_damping_doubles_while_the_service_goes_on_flapping() -> None:
    bench = up(Policy(damping=60, damping_most=900), fall=1)
    for now in range(10, 2000):
        bench.sleep(float(now))
        # Up for ten seconds whenever it is announced, then down until it is withdrawn.
        flaps = bench.state is Stance.ANNOUNCED and now - bench.core.prefixes[P].since > 10
        bench.give(float(now), BAD if flaps else GOOD)
    gone = [now for now, stance in bench.orders if stance == "withdrawn"]
    back = [now for now, stance in bench.orders if stance == "announced"]
    waits = [round(b - g) for g, b in zip(gone, back, strict=False)]
    assert waits[:5] == [60, 120, 240, 480, 900]


def test_a_failure_of_a_shared_input_drains_and_never_withdraws() -> None:
    bench = up(fall=2)
    for now in range(10, 200):
        bench.give(float(now), STARVED)
    assert bench.orders == [(11, "drained")]


def test_a_local_failure_after_a_shared_one_withdraws() -> None:
    bench = up(fall=2)
    bench.give(10, STARVED, STARVED)
    bench.give(12, BAD, BAD)
    assert [stance for _, stance in bench.orders] == ["drained", "withdrawn"]


def test_what_the_router_does_not_hold_is_asked_for_again_later_and_later() -> None:
    bench = up(fall=1)
    bench.obeys = False
    bench.give(10, DEAD)
    for tenth in range(101, 140):
        bench.sleep(tenth / 10)
        bench.give(tenth / 10, bench.seen())
    times = [now for now, _ in bench.orders]
    assert len(times) >= 5
    assert max(b - a for a, b in pairwise(times)) <= 1.3
    bench.obeys = True
    bench.sleep(16)
    assert bench.core.prefixes[P].confirmed
    assert bench.held == {P: Stance.WITHDRAWN}


def test_a_router_that_fails_leaves_nothing_believed_and_is_asked_again() -> None:
    bench = up(fall=1)
    core = bench.core
    commands = core.handle(DEAD, now=10)
    assert any(isinstance(c, Apply) for c in commands)
    core.handle(RouterFailed("no socket"), now=10.01)
    assert core.prefixes[P].held is None
    assert core.wake_at is not None
    assert core.wake_at <= 10.2
    again = core.handle(Woken(), now=core.wake_at)
    assert any(isinstance(c, Apply) for c in again)


def test_a_stale_route_that_comes_back_by_itself_is_withdrawn_again() -> None:
    bench = up(fall=1)
    bench.give(10, DEAD)
    bench.held = {P: Stance.ANNOUNCED}  # somebody's `configure`
    bench.give(20, bench.seen())
    assert bench.orders == [(10, "withdrawn"), (20, "withdrawn")]
    assert bench.held == {P: Stance.WITHDRAWN}
    assert "not_as_wanted" in bench.events()


def test_a_drain_holds_then_withdraws_and_ends_by_itself() -> None:
    bench = up(Policy(drain_hold=30, drain_prepend=2))
    bench.give(10, DrainAsked("disk swap", (), 3600))
    bench.sleep(5000)
    assert bench.orders == [(10, "drained"), (40, "withdrawn"), (3610, "announced")]
    assert bench.others.count(SaveState()) == 2
    assert "drain_ended" in bench.events()


def test_a_drained_prefix_whose_service_dies_is_withdrawn_at_once() -> None:
    bench = up(Policy(drain_hold=30), fall=1)
    bench.give(10, DrainAsked("maintenance"))
    bench.give(12, DEAD)
    assert bench.orders == [(10, "drained"), (12, "withdrawn")]


def test_a_service_that_comes_and_goes_while_it_is_drained_is_not_announced_again() -> None:
    bench = up(Policy(drain_hold=300), fall=1)
    bench.give(10, DrainAsked("maintenance"))
    bench.give(20, DEAD)
    bench.give(30, GOOD)
    bench.sleep(1000)
    assert bench.orders == [(10, "drained"), (20, "withdrawn")]
    bench.give(1000, ResumeAsked())
    assert bench.orders[2:] == [(1000, "announced")]


def test_a_drain_without_end_is_a_last_resort_while_the_service_lives() -> None:
    bench = Bench(Policy(damping=60, shut_sessions=True), held=Stance.WITHDRAWN, fall=1)
    bench.give(0, DrainAsked("the spec says so", hold=inf))
    assert bench.orders == [], "no check has spoken"
    bench.give(1, GOOD)
    bench.give(10, DEAD)
    bench.give(20, GOOD)
    bench.sleep(100)
    assert bench.orders == [(1, "drained"), (10, "withdrawn"), (70, "drained")]
    assert not any(isinstance(c, ShutSessions) for c in bench.others)
    bench.give(100, Stopping(drain=True))
    bench.sleep(140)
    assert bench.orders[3:] == [(130, "withdrawn")]


def test_a_drain_known_from_the_last_run_keeps_a_withdrawn_prefix_withdrawn() -> None:
    states = {"dns": CheckState(rise=1, fall=1)}
    core = Core({P: all_of("dns")}, states, Policy())
    core.handle(DrainAsked("from the state file"), now=0)
    observation = Observation(held={P: Stance.WITHDRAWN}, exported={}, neighbours=(UPSTREAM,))
    commands = core.handle(Observed(observation), GOOD, now=1)
    stances = [w.stance for c in commands if isinstance(c, Apply) for w in c.wanted.values()]
    assert stances == [Stance.WITHDRAWN]


def test_one_prefix_can_be_drained_alone() -> None:
    bench = Bench(rules={P: all_of("dns"), Q: all_of("dns")})
    bench.give(1, GOOD)
    bench.give(2, DrainAsked("only this", (Q,)))
    assert bench.held == {P: Stance.ANNOUNCED, Q: Stance.DRAINED}


def test_the_sessions_are_shut_with_the_reason_and_opened_again() -> None:
    bench = up(Policy(drain_hold=5, shut_sessions=True))
    bench.give(10, DrainAsked("ticket 42"))
    bench.sleep(20)
    assert ShutSessions("ticket 42") in bench.others
    bench.give(30, ResumeAsked())
    assert OpenSessions() in bench.others
    assert bench.held == {P: Stance.ANNOUNCED}


def test_a_stop_leaves_everything_or_drains_first() -> None:
    left = up()
    left.give(10, Stopping(drain=False))
    assert left.orders == []
    assert any(isinstance(c, Stop) for c in left.others)
    drained = up(Policy(drain_hold=5))
    drained.give(10, Stopping(drain=True))
    assert not any(isinstance(c, Stop) for c in drained.others)
    drained.sleep(20)
    assert drained.orders == [(10, "drained"), (15, "withdrawn")]
    assert any(isinstance(c, Stop) for c in drained.others)


def test_a_slot_is_taken_before_withdrawing_and_given_back_after() -> None:
    bench = up(Policy(guarded=True, damping=60), fall=1)
    bench.give(10, DEAD)
    assert bench.orders == []
    assert [type(c) for c in bench.others] == [AskGuard]
    bench.give(10.005, GuardAnswered(P, granted=True))
    assert bench.orders == [(10.005, "withdrawn")]
    bench.give(11, GOOD)
    bench.sleep(200)
    assert bench.orders[-1] == (70.005, "announced")
    assert bench.others[-1] == ReleaseGuard(P)


def test_refused_or_unanswered_it_stays_announced_drained_and_asks_again() -> None:
    for answer in (GuardAnswered(P, granted=False, reason="2 of 2 sites are withdrawn"), None):
        bench = up(Policy(guarded=True), fall=1)
        bench.give(10, DEAD)
        if answer is not None:
            bench.give(10.005, answer)
        bench.sleep(11.5)
        assert [stance for _, stance in bench.orders] == ["drained"]
        assert "withdrawal_refused" in bench.events()
        bench.sleep(20)
        assert bench.others.count(AskGuard(P, "dns: process ended")) >= 2
        bench.give(21, GuardAnswered(P, granted=True))
        assert bench.held == {P: Stance.WITHDRAWN}


LOST = GuardAnswered(P, granted=False, reason="the store has ended the slot's lease")
REFUSED = GuardAnswered(P, granted=False, reason="1 of 1 sites are withdrawn already (lhr)")
SILENT = GuardAnswered(P, granted=False, reason="no member answers", silent=True)
GRANTED = GuardAnswered(P, granted=True)


def withdrawn_on_a_slot(damping: float = 60) -> Bench:
    bench = up(Policy(guarded=True, damping=damping), fall=1)
    bench.give(10, DEAD)
    bench.give(10.01, GRANTED)
    assert bench.held == {P: Stance.WITHDRAWN}
    bench.others.clear()
    return bench


def test_a_lost_slot_is_asked_for_again_at_once() -> None:
    bench = withdrawn_on_a_slot()
    bench.give(70, LOST)
    assert [type(c) for c in bench.others] == [AskGuard]
    bench.give(70.1, GRANTED)
    bench.sleep(200)
    assert bench.orders == [(10.01, "withdrawn")]
    assert bench.others == [AskGuard(P, "dns: process ended")]
    assert "slot_lost" in bench.events()


def test_whose_slot_is_lost_and_refused_is_announced_again_drained() -> None:
    bench = withdrawn_on_a_slot()
    bench.give(70, LOST)
    bench.give(70.1, REFUSED)
    assert bench.orders[1:] == [(70.1, "drained")]
    assert "it is announced again, drained" in bench.said[-2].reason + bench.said[-3].reason
    bench.sleep(75.2)
    bench.give(75.2, GRANTED)  # another site is well again
    assert bench.orders[2:] == [(75.2, "withdrawn")]


def test_whose_slot_is_lost_and_the_store_is_silent_changes_nothing_until_it_answers() -> None:
    bench = withdrawn_on_a_slot()
    bench.give(70, LOST)
    bench.sleep(72)  # nobody answers
    for now in range(75, 300, 5):
        bench.give(float(now), SILENT)
        bench.sleep(float(now) + 4)
    assert bench.orders == [(10.01, "withdrawn")]
    assert bench.events().count("withdrawal_refused") == 1
    bench.give(300, REFUSED)
    assert bench.orders[1:] == [(300, "drained")]


def test_a_damped_site_that_loses_its_slot_does_not_sit_out_the_damping_withdrawn() -> None:
    bench = withdrawn_on_a_slot(damping=600)
    bench.give(20, GOOD)
    bench.give(70, LOST)
    bench.give(70.1, REFUSED)
    assert bench.orders[1:] == [(70.1, "drained")]
    bench.sleep(700)
    assert bench.orders[2:] == [(610.01, "announced")]


def test_what_was_found_withdrawn_is_not_announced_for_want_of_a_slot() -> None:
    """A site that was never well since the start has nothing to offer, even as a last resort."""
    bench = Bench(Policy(guarded=True), held=Stance.WITHDRAWN, fall=1)
    bench.give(1, DEAD)
    bench.give(1.1, REFUSED)
    bench.sleep(60)
    bench.give(60, REFUSED)
    assert {stance for _, stance in bench.orders} == {"withdrawn"}
    assert "it stays withdrawn" in next(
        s.reason for s in bench.said if s.event == "withdrawal_refused"
    )


def test_a_slot_granted_too_late_goes_back() -> None:
    bench = up(Policy(guarded=True, damping=0.5), fall=1)
    bench.give(10, DEAD)
    bench.give(10.1, GOOD)
    bench.give(10.2, GuardAnswered(P, granted=True))
    assert bench.orders == []
    assert ReleaseGuard(P) in bench.others


def test_a_foreign_route_for_a_withdrawn_prefix_is_an_alert() -> None:
    bench = up(fall=1)
    bench.give(10, DEAD)
    observation = Observation(
        held={P: Stance.WITHDRAWN},
        exported={P: {"up": Stance.ANNOUNCED}},
        neighbours=(UPSTREAM,),
    )
    bench.give(11, Observed(observation))
    assert bench.core.prefixes[P].alerts == (), "what the router sends may lag behind"
    bench.give(11.5, Observed(observation))
    assert bench.core.prefixes[P].alerts
    assert "export_differs" in bench.events()
    bench.give(12, bench.seen())
    assert bench.core.prefixes[P].alerts == ()


def test_a_filter_that_lets_nothing_out_is_an_alert_once_the_session_is_up() -> None:
    bench = up()
    for now, neighbours in ((10, ()), (11, ()), (12, (UPSTREAM,)), (13, (UPSTREAM,))):
        seen = Observation(held={P: Stance.ANNOUNCED}, exported={}, neighbours=neighbours)
        bench.give(now, Observed(seen))
        assert bool(bench.core.prefixes[P].alerts) is (now == 13)


def test_a_reload_keeps_what_is_known() -> None:
    bench = up(Policy(damping=60), fall=1)
    bench.give(10, DrainAsked("stays"))
    states = {"dns": CheckState(rise=1, fall=1)}
    new = Core({P: all_of("dns")}, states, Policy(damping=5))
    new.adopt(bench.core)
    commands = new.handle(Woken(), now=11)
    assert not any(isinstance(c, Apply) for c in commands)
    assert new.checks["dns"].condition is Condition.UP
    assert new.prefixes[P].drain is not None
    assert new.prefixes[P].target == Wanted(Stance.DRAINED, 0, "stays")


def test_what_is_due_is_done_even_if_something_else_comes_first() -> None:
    """The timer and another event fall into one moment, and the other is handled before it."""
    bench = up(Policy(drain_hold=30))
    bench.give(10, DrainAsked("disk swap"))
    bench.give(40.0001, bench.seen())
    assert bench.orders == [(10, "drained"), (40.0001, "withdrawn")]


def test_an_order_of_which_nothing_is_heard_is_given_again() -> None:
    core = up(fall=1).core
    assert any(isinstance(c, Apply) for c in core.handle(DEAD, now=10))
    assert core.wake_at == 22
    assert any(isinstance(c, Apply) for c in core.handle(Woken(), now=22))


def test_a_drain_whose_time_was_over_before_the_start_is_none() -> None:
    bench = Bench(held=Stance.WITHDRAWN)
    bench.give(0, DrainAsked("two hours, and the machine was off for three", (), 0.0))
    bench.give(1, GOOD)
    assert bench.orders == [(1, "announced")]
    assert SaveState() in bench.others


def test_a_reload_does_not_forget_that_the_agent_is_ending() -> None:
    bench = up(Policy(drain_hold=5))
    bench.give(10, Stopping(drain=True))
    new = Core({P: all_of("dns")}, {"dns": CheckState(rise=1, fall=1)}, Policy(drain_hold=5))
    new.adopt(bench.core)
    bench.core = new
    bench.give(11, Woken())
    bench.sleep(30)
    assert bench.held == {P: Stance.WITHDRAWN}
    assert any(isinstance(c, Stop) for c in bench.others)


def test_what_was_read_before_a_reload_says_nothing_of_a_new_prefix() -> None:
    bench = up()
    rules = {P: all_of("dns"), Q: all_of("dns")}
    new = Core(rules, {"dns": CheckState(rise=1, fall=1)}, Policy())
    new.adopt(bench.core)
    bench.core = new
    bench.give(10, bench.seen())
    assert new.prefixes[Q].target is None
    bench.held[Q] = Stance.ANNOUNCED
    bench.give(11, bench.seen())
    assert new.prefixes[Q].target == Wanted(Stance.ANNOUNCED, 0, "as the agent found it")
    assert bench.orders == []
