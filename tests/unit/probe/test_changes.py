"""What changes from sweep to sweep."""

import pytest

from ridgeline.catchment.model import CatchmentMap, Kind, Row
from ridgeline.errors import InputError
from ridgeline.probe.changes import Changes, Flow, Mode, find_changes


def sweep(weight: float = 1.0, /, **sites: str | None) -> CatchmentMap:
    rows = [Row(name=name, site=site, weight=weight) for name, site in sites.items()]
    return CatchmentMap.from_rows(rows, kind=Kind.OBSERVED, network="n", sites=())


def changes(*sweeps: CatchmentMap, alike: float = 0.9) -> Changes:
    labels = [f"s{i}" for i in range(len(sweeps))]
    return find_changes(sweeps, labels=labels, alike=alike)


def test_nothing_changes_between_equal_sweeps() -> None:
    found = changes(sweep(a="nrt", b="lhr"), sweep(a="nrt", b="lhr"))
    assert found.steps[0].flows == ()
    assert (found.n_clients, found.n_steady, found.flippers) == (2, 2, ())
    assert found.alike == ((1.0, 1.0), (1.0, 1.0))
    assert len(found.modes) == 1


def test_who_moved_is_told_from_where_to_where() -> None:
    (step,) = changes(
        sweep(a="nrt", b="nrt", c="lhr", d=None), sweep(a="lhr", b="lhr", c=None, d="lhr")
    ).steps
    assert step.flows == (
        Flow(before="nrt", after="lhr", n=2, weight=2.0, names=("a", "b")),
        Flow(before=None, after="lhr", n=1, weight=1.0, names=("d",)),
        Flow(before="lhr", after=None, n=1, weight=1.0, names=("c",)),
    )
    assert (step.n_common, step.n_moved, step.part_moved) == (4, 4, 1.0)


def test_sites_vanish_and_appear() -> None:
    (step,) = changes(sweep(a="nrt", b="lhr"), sweep(a="syd", b="lhr")).steps
    assert (step.vanished, step.appeared) == (("nrt",), ("syd",))


def test_clients_that_come_and_go_are_counted_and_did_not_move() -> None:
    (step,) = changes(sweep(a="nrt", b="nrt"), sweep(b="nrt", c="lhr")).steps
    assert (step.n_common, step.n_moved) == (1, 0)
    assert (step.n_clients_gone, step.n_clients_new) == (1, 1)


def test_weight_counts_not_rows() -> None:
    heavy = Row(name="h", site="nrt", weight=9.0)
    light = Row(name="l", site="nrt", weight=1.0)
    before = CatchmentMap.from_rows([heavy, light], kind=Kind.OBSERVED, network="", sites=())
    after = sweep(h="nrt", l="lhr")
    found = changes(before, after)
    assert found.steps[0].part_moved == pytest.approx(0.1)
    assert found.alike[0][1] == pytest.approx(0.9)


def test_those_who_flip_most_come_first_and_coming_back_is_noticed() -> None:
    found = changes(
        sweep(a="nrt", b="nrt", c="nrt"),
        sweep(a="lhr", b="nrt", c="lhr"),
        sweep(a="nrt", b="nrt", c="lhr"),
    )
    first, second = found.flippers
    assert (first.name, first.n_flips, first.is_back_and_forth) == ("a", 2, True)
    assert (second.name, second.n_flips, second.is_back_and_forth) == ("c", 1, False)
    assert first.sites == ("nrt", "lhr", "nrt")
    assert found.n_steady == 1


def test_a_mode_that_comes_back_recurs() -> None:
    one = sweep(**{f"c{i}": "nrt" for i in range(10)})
    two = sweep(**{f"c{i}": "lhr" for i in range(10)})
    found = changes(one, two, two, one)
    assert [s.mode for s in found.sweeps] == [0, 1, 1, 0]
    assert found.modes == (
        Mode(number=0, sweeps=("s0", "s3"), is_recurring=True, shares={"nrt": 1.0}),
        Mode(number=1, sweeps=("s1", "s2"), is_recurring=False, shares={"lhr": 1.0}),
    )


def test_a_little_noise_makes_no_new_mode() -> None:
    clients = [f"c{i}" for i in range(20)]
    calm = sweep(**dict.fromkeys(clients, "nrt"))
    noisy = sweep(**(dict.fromkeys(clients, "nrt") | {"c3": "lhr"}))
    assert len(changes(calm, noisy).modes) == 1
    assert len(changes(calm, noisy, alike=0.99).modes) == 2


def test_services_of_one_client_are_told_apart() -> None:
    rows = [Row(name="a", service=s, site="nrt") for s in ("dns", "web")]
    before = CatchmentMap.from_rows(rows, kind=Kind.OBSERVED, network="", sites=())
    rows[1] = Row(name="a", service="web", site="lhr")
    after = CatchmentMap.from_rows(rows, kind=Kind.OBSERVED, network="", sites=())
    (flipper,) = changes(before, after).flippers
    assert (flipper.name, flipper.service) == ("a", "web")


def test_one_sweep_is_no_series() -> None:
    with pytest.raises(InputError, match="changes need two sweeps at least"):
        changes(sweep(a="nrt"))


def test_sweeps_of_different_clients_cannot_be_compared() -> None:
    with pytest.raises(InputError, match="s0 and s1 have no vantage point in common"):
        changes(sweep(a="nrt"), sweep(b="nrt"))
