"""At most K sites are withdrawn by order: several cores, one store of slots, and what befalls them.

The store is the rules of `ridgeline.agent.fleet` over a dictionary, with leases that end; each site
keeps its slot as the real guard does. A site may be cut off from the store, or hear its answers
after the core has given up waiting.
"""

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Literal, TypeAlias

from hypothesis import example, given, settings
from hypothesis import strategies as st

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
    Policy,
    ReleaseGuard,
    ResumeAsked,
    Woken,
)
from ridgeline.agent.fleet import Lease, Refused, Renew, Take, next_step
from ridgeline.agent.health import CheckState, Round, all_of
from ridgeline.agent.router import Observation, Stance

P = ip_network("192.0.2.0/24")
SITES = ("ams", "lhr", "nrt", "sin")
TTL = 20.0
SLOW_S = 1.4
"""Longer than a core waits for an answer."""
STEP_S = 0.5

Deed: TypeAlias = Literal["well", "dead", "starved", "cut", "slow", "mend", "drain", "resume"]
EVENTS: dict[str, Event] = {
    "well": Checked("a", Round(ok=True, reason="answers")),
    "dead": Checked("a", Round(ok=False, reason="no answer")),
    "starved": Checked("a", Round(ok=False, reason="SERVFAIL", shared=True)),
    "drain": DrainAsked("maintenance", hold=2),
    "resume": ResumeAsked(),
}


@dataclass(slots=True)
class Slot:
    holder: str
    lease: int
    ends_at: float


@dataclass(slots=True)
class Site:
    name: str
    core: Core
    held: Stance = Stance.ANNOUNCED
    link: Literal["well", "slow", "cut"] = "well"
    lease: Lease | None = None
    """As the guard of this site sees it."""
    revoked: list[int] = field(default_factory=list)
    """Leases to give back, once the store can be reached."""
    answers: list[tuple[float, GuardAnswered]] = field(default_factory=list)


class Fleet:
    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.now = 0.0
        self.store: dict[int, Slot] = {}
        self.leases = 0
        policy = Policy(guarded=True, damping=3, damping_most=6, drain_hold=1)
        self.sites = [
            Site(name, Core({P: all_of("a")}, {"a": CheckState(rise=1, fall=1)}, policy))
            for name in SITES
        ]
        for site in self.sites:
            self.give(site, self.seen(site))

    def seen(self, site: Site) -> Observed:
        return Observed(Observation(held={P: site.held}, exported={}, neighbours=()))

    def give(self, site: Site, *events: Event) -> None:
        for command in site.core.handle(*events, now=self.now):
            self.obey(site, command)

    def obey(self, site: Site, command: Command) -> None:
        match command:
            case Apply(wanted=wanted):
                before, site.held = site.held, wanted[P].stance
                if site.held is Stance.WITHDRAWN is not before:
                    assert site.core.prefixes[P].slot == "granted", "withdrawn without a slot"
                self.give(site, Applied(wanted), self.seen(site))
            case AskGuard():
                delay = SLOW_S if site.link == "slow" else 0.0
                site.answers.append((self.now + delay, self.ask(site)))
            case ReleaseGuard():
                if site.lease is not None:
                    site.revoked.append(site.lease.number)
                site.lease = None
            case _:
                pass

    def ask(self, site: Site) -> GuardAnswered:
        """As `FleetGuard.ask`: the store acts now, whenever the answer arrives."""
        if site.lease is not None and self.now < site.lease.expires_at:
            return GuardAnswered(P, granted=True)
        if site.link == "cut":
            return GuardAnswered(P, granted=False, silent=True)
        taken = {number: slot.holder for number, slot in self.store.items()}
        match next_step(taken, site=site.name, budget=self.budget):
            case Refused():
                return GuardAnswered(P, granted=False)
            case Take(slot=number) | Renew(slot=number):
                self.leases += 1
                self.store[number] = Slot(site.name, self.leases, self.now + TTL)
                site.lease = Lease(self.leases, TTL, self.now)
                return GuardAnswered(P, granted=True)

    def tend(self, site: Site) -> None:
        """As `FleetGuard.run`: renew, give back, and notice what is lost."""
        if site.link != "cut":
            for number, slot in list(self.store.items()):
                if slot.lease in site.revoked:
                    del self.store[number]
            site.revoked.clear()
        lease = site.lease
        if lease is None or self.now < lease.renew_at:
            return
        mine = [slot for slot in self.store.values() if slot.lease == lease.number]
        if site.link != "cut" and mine:
            mine[0].ends_at = self.now + TTL
            lease.renewed(asked_at=self.now)
        elif site.link != "cut" or self.now >= lease.expires_at:
            site.lease = None
            site.revoked.append(lease.number)
            self.give(site, GuardAnswered(P, granted=False, reason="lost"))

    def do(self, number: int, deed: Deed) -> None:
        site = self.sites[number]
        match deed:
            case "cut" | "slow":
                site.link = deed
            case "mend":
                site.link = "well"
            case _:
                self.give(site, EVENTS[deed])

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += STEP_S
            self.store = {n: s for n, s in self.store.items() if s.ends_at > self.now}
            for site in self.sites:
                self.tend(site)
                due = [answer for at, answer in site.answers if at <= self.now]
                site.answers = [(at, answer) for at, answer in site.answers if at > self.now]
                self.give(site, *due, Woken())
            self.check()

    def check(self) -> None:
        """What must hold at any moment."""
        holders = [slot.holder for slot in self.store.values()]
        assert len(holders) <= self.budget
        assert len(set(holders)) == len(holders), "no site has two"
        sure = [s for s in self.sites if s.lease and self.now < s.lease.expires_at]
        assert {s.name for s in sure} <= set(holders), "a guard believes in what the store ended"
        granted = [s for s in self.sites if s.core.prefixes[P].slot == "granted"]
        assert all(s.lease is not None for s in granted if not s.answers)
        assert len(granted) <= self.budget

    def withdrawn(self) -> list[str]:
        return [site.name for site in self.sites if site.held is Stance.WITHDRAWN]


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 2.0, 6.0, 25.0]),
        st.integers(0, len(SITES) - 1),
        st.sampled_from(["well", "dead", "starved", "cut", "slow", "mend", "drain", "resume"]),
    ),
    max_size=25,
)


@given(STEPS, st.integers(1, 3))
@settings(max_examples=150, deadline=None)
# The first loses its slot while it is cut off, and the second takes it.
@example([(0.0, 0, "dead"), (2.0, 0, "cut"), (25.0, 1, "dead"), (2.0, 0, "mend")], 1)
def test_never_more_sites_have_a_slot_than_the_budget_and_none_is_withdrawn_without(
    steps: list[tuple[float, int, Deed]], budget: int
) -> None:
    fleet = Fleet(budget)
    for pause, number, deed in steps:
        fleet.wait(pause)
        fleet.do(number, deed)
    # Once the store can be reached by all, every withdrawn site has a slot, within a few seconds.
    for number in range(len(SITES)):
        fleet.do(number, "mend")
    fleet.wait(2 * TTL)
    assert len(fleet.withdrawn()) <= budget
    for site in fleet.sites:
        state = site.core.prefixes[P]
        if site.held is Stance.WITHDRAWN:
            assert state.slot == "granted"
        assert state.confirmed
    assert all(slot.holder in fleet.withdrawn() for slot in fleet.store.values())


def test_with_a_slot_for_each_every_dead_site_goes() -> None:
    fleet = Fleet(len(SITES))
    for number in range(len(SITES)):
        fleet.do(number, "dead")
    fleet.wait(2)
    assert fleet.withdrawn() == list(SITES)
    for number in range(len(SITES)):
        fleet.do(number, "well")
    fleet.wait(10)
    assert fleet.withdrawn() == []
    assert fleet.store == {}
