"""The budget's rules: who may try which slot, and when a lease counts as lost."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.agent.fleet import (
    FleetSettings,
    Lease,
    Refused,
    Renew,
    Take,
    next_step,
    prefix_folder,
    read_slots,
    slot_key,
)

FOUR, SIX = ip_network("192.0.2.0/24"), ip_network("2001:db8:53::/48")


def test_takes_a_free_slot_and_is_refused_when_all_are_taken() -> None:
    assert isinstance(next_step({}, site="ams", budget=2), Take)
    assert next_step({0: "lhr"}, site="ams", budget=2) == Take(1)
    refused = next_step({0: "lhr", 1: "nrt"}, site="ams", budget=2)
    assert refused == Refused(("lhr", "nrt"))
    assert str(refused) == "2 of 2 sites are withdrawn already (lhr, nrt)"


def test_a_slot_that_is_ours_already_is_renewed_even_beyond_the_budget() -> None:
    assert next_step({0: "lhr", 1: "ams"}, site="ams", budget=2) == Renew(1)
    assert next_step({7: "ams"}, site="ams", budget=2) == Renew(7)


def test_a_larger_budgets_leftover_closes_a_slot() -> None:
    assert next_step({5: "lhr"}, site="ams", budget=2) == Take(0)
    assert next_step({5: "lhr", 1: "nrt"}, site="ams", budget=2) == Refused(("lhr", "nrt"))
    assert next_step({5: "lhr"}, site="ams", budget=1) == Refused(("lhr",))


@given(
    budget=st.integers(1, 5),
    old=st.integers(1, 5),
    before=st.sets(st.sampled_from("abcdefgh"), max_size=5),
    order=st.lists(st.sampled_from("stuvwxyz"), max_size=60),
)
def test_no_order_of_a_race_lets_more_than_the_budget_go(
    budget: int, old: int, before: set[str], order: list[str]
) -> None:
    """Each turn of a site looks, or swaps by what it saw last; swaps on a taken slot fail."""
    slots = dict(enumerate(sorted(before)[:old]))
    already = len(slots)
    seen: dict[str, dict[int, str]] = {}
    for site in order:
        if site not in seen:
            seen[site] = dict(slots)
            continue
        step = next_step(seen.pop(site), site=site, budget=budget)
        if isinstance(step, Take) and step.slot not in slots:
            slots[step.slot] = site
    assert len(slots) <= max(budget, already)
    assert len(set(slots.values())) == len(slots), "no site has two"


def test_the_keys_of_one_prefix_are_not_those_of_another() -> None:
    longer = ip_network("192.0.2.0/25")
    assert not slot_key("net", longer, 0).startswith(prefix_folder("net", FOUR))
    pairs = {slot_key("net", SIX, 3): "ams", prefix_folder("net", SIX) + "note": "by hand"}
    assert read_slots("net", SIX, pairs) == {3: "ams"}


def test_a_lease_counts_as_lost_before_the_store_ends_it() -> None:
    lease = Lease(1, 60, asked_at=100)
    assert (lease.renew_at, lease.expires_at) == (115, 154)
    lease.renewed(asked_at=115)
    assert lease.expires_at == 169
    lease.renewed(asked_at=110)
    assert lease.expires_at == 169, "a late answer to an early question proves nothing"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"budget": 0}, "never let a site withdraw"),
        ({"endpoints": ()}, "at least one member"),
        ({"lease_s": 1.0}, "too short"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object], says: str) -> None:
    right: dict[str, object] = {"network": "n", "site": "ams", "endpoints": ("http://[::1]:2379",)}
    with pytest.raises(ValueError, match=says):
        FleetSettings(**{**right, **wrong})  # type: ignore[arg-type] # wrong on purpose
