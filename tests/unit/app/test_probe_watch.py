"""Watching: what changed from one sweep to the next, on time."""

from typing import Any

from ridgeline.app.probe_sweep import Swept
from ridgeline.app.probe_watch import watch
from ridgeline.catchment.model import CatchmentMap, Kind, Row


def swept(when: str, **sites: str | None) -> Swept:
    rows = [Row(name=name, site=site) for name, site in sites.items()]
    catchment = CatchmentMap.from_rows(
        rows, kind=Kind.OBSERVED, network="x", sites=["nrt", "lhr"], when=when
    )
    return Swept(catchment=catchment, how="vantage")


class Clock:
    """A clock that sleeping moves, and each sweep by `costs`."""

    def __init__(self, costs: float = 0.0) -> None:
        self.now, self.costs, self.slept = 0.0, costs, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def run(self, *sweeps: Swept, every: float = 60.0) -> list[dict[str, Any]]:
        left = iter(sweeps)

        def sweep() -> Swept:
            self.now += self.costs
            return next(left)

        return list(
            watch(sweep, every=every, count=len(sweeps), clock=lambda: self.now, sleep=self.sleep)
        )


def test_it_begins_by_saying_what_there_is() -> None:
    (event,) = Clock().run(swept("t0", a="nrt", b="lhr", c=None))
    assert (event["event"], event["at"]) == ("began", "t0")
    assert event["clients_of"] == {"nrt": 1, "lhr": 1}


def test_who_moved_is_told_with_the_sites_that_lost_or_won_all() -> None:
    events = Clock().run(swept("t0", a="nrt", b="nrt"), swept("t1", a="nrt", b="lhr"))[1:]
    assert [e["event"] for e in events] == ["moved", "site appeared", "mode"]
    assert events[0] | {"names": ["b"], "before": "nrt", "after": "lhr", "n": 1} == events[0]
    assert events[1]["site"] == "lhr"
    events = Clock().run(swept("t0", a="nrt"), swept("t1", a=None))[1:]
    assert [e["event"] for e in events] == ["moved", "site vanished", "mode"]
    assert events[0]["after"] is None


def test_a_way_of_routing_that_comes_back_is_known_again() -> None:
    one, other = {"a": "nrt", "b": "nrt"}, {"a": "lhr", "b": "lhr"}
    events = Clock().run(*(swept(f"t{n}", **sites) for n, sites in enumerate((one, other, one))))
    modes = [(e["at"], e["mode"], e["is_recurring"]) for e in events if e["event"] == "mode"]
    assert modes == [("t1", 1, False), ("t2", 0, True)]


def test_nothing_is_said_where_nothing_changed() -> None:
    assert len(Clock().run(*[swept("t", a="nrt")] * 5)) == 1


def test_sweeps_begin_on_time_whatever_they_cost() -> None:
    clock = Clock(costs=20.0)
    clock.run(*[swept("t", a="nrt")] * 3)
    assert clock.slept == [40.0, 40.0]
    slow = Clock(costs=90.0)
    slow.run(*[swept("t", a="nrt")] * 3)
    assert slow.slept == [0.0, 0.0]
