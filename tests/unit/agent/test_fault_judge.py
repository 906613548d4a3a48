"""The judge of the fault table: what counts as wrong, for how long, and what is told of it."""

import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "validation"))
judging: Any = import_module("faults.judge")
units: Any = import_module("faults.unit")
Change, Moment, State, Want = judging.Change, judging.Moment, judging.State, judging.Want

ROUTES = """\
2026-11-22 17:28:58.704778 <TRACE> site4: State changed to up
2026-11-22 17:28:58.901665 <TRACE> site4.ipv4 > added [best] 192.0.2.0/24 0L 2G unicast
2026-11-22 17:28:58.901665 <TRACE> site6: State changed to up
2026-11-22 17:28:58.950000 <TRACE> site4.ipv4 > added [best] 198.51.100.0/24 0L 2G unicast
2026-11-22 17:28:59.000000 <INFO> drained 192.0.2.0/24
2026-11-22 17:28:59.000001 <TRACE> site4.ipv4 > updated [best] 192.0.2.0/24 0L 2G unicast
2026-11-22 17:28:59.021152 <TRACE> site4.ipv4 > updated [best] 192.0.2.0/24 0L 2G unicast
2026-11-22 17:28:59.121189 <TRACE> site4.ipv4 > removed [sole] 192.0.2.0/24 0L 2G unicast
2026-11-22 17:28:59.500000 <TRACE> site4: State changed to stop
2026-11-22 17:28:59.500001 <TRACE> site4.ipv4 > removed [sole] 192.0.2.0/24 0L 2G unicast
2026-11-22 17:28:59.500002 <TRACE> site4: State changed to down
"""


def story(*changes: tuple[float, str]) -> list[Any]:
    return [Change(0.0, State.THERE), *(Change(at, State[name]) for at, name in changes)]


def wrongs(moments: list[Any], changes: list[Any], until: float) -> list[tuple[float, bool]]:
    found = judging.find_wrongs(moments, changes, until=until)
    return [(round(w.seconds, 3), w.again) for w in found]


def test_the_log_is_read_as_it_grows_however_it_is_cut() -> None:
    whole, cut = judging.LogReader("192.0.2.0/24"), judging.LogReader("192.0.2.0/24")
    whole.feed(ROUTES)
    for begin in range(0, len(ROUTES), 7):
        cut.feed(ROUTES[begin : begin + 7])
    assert whole.changes == cut.changes
    assert [change.state.name for change in whole.changes] == [
        *("DOWN", "GONE", "THERE", "DRAINED", "THERE", "GONE", "DOWN"),
    ]


def test_a_dead_service_is_wrong_until_its_route_is_gone() -> None:
    moments = [Moment(1.0, "", Want.GONE)]
    assert wrongs(moments, story((1.4, "GONE")), 3.0) == [(0.4, False)]


def test_a_route_that_never_goes_is_wrong_to_the_end() -> None:
    assert wrongs([Moment(1.0, "", Want.GONE)], story(), 4.5) == [(3.5, False)]


def test_a_dead_service_announced_again_is_a_problem_however_briefly() -> None:
    moments = [Moment(1.0, "", Want.GONE), Moment(2.0, "reload", Want.GONE)]
    changes = story((1.1, "GONE"), (2.001, "THERE"), (2.004, "GONE"))
    assert wrongs(moments, changes, 3.0) == [(0.1, False), (0.003, True)]
    verdict = judging.judge(moments, changes, until=3.0, within_s=2.0)
    assert verdict.problems == ("announced again: there for 3 ms, should have been gone",)


def test_a_healthy_service_is_wrong_while_its_route_is_gone_and_the_session_is_up() -> None:
    changes = story((1.0, "DOWN"), (6.0, "GONE"), (6.3, "THERE"))
    assert wrongs([Moment(0.5, "", Want.THERE)], changes, 7.0) == [(0.3, False)]


def test_a_dead_service_announced_as_the_session_comes_up_is_announced_again() -> None:
    changes = story((1.0, "DOWN"), (2.0, "GONE"), (2.1, "THERE"), (2.2, "GONE"))
    assert wrongs([Moment(1.5, "", Want.GONE)], changes, 3.0) == [(0.1, True)]


def test_drained_is_neither_there_nor_gone() -> None:
    moments = [Moment(1.0, "", Want.DRAINED)]
    assert wrongs(moments, story((1.2, "DRAINED")), 2.0) == [(0.2, False)]
    assert wrongs(moments, story((1.2, "GONE")), 2.0) == [(1.0, False)]
    assert wrongs([Moment(1.0, "", Want.GONE)], story((1.2, "DRAINED")), 2.0) == [(1.0, False)]


def test_nothing_is_wrong_while_nobody_can_say_what_is_right() -> None:
    assert wrongs([Moment(1.0, "", Want.ANY)], story((1.2, "GONE"), (1.4, "THERE")), 2.0) == []


def test_what_was_wrong_for_another_reason_is_counted_anew() -> None:
    moments = [Moment(1.0, "", Want.GONE), Moment(2.0, "", Want.THERE)]
    assert wrongs(moments, story((2.5, "GONE"), (3.0, "THERE")), 4.0) == [
        (1.0, False),
        (0.5, False),
    ]


def test_what_was_seen_is_told_after_each_moment() -> None:
    moments = [
        Moment(1.0, "", Want.GONE),
        Moment(2.0, "reload", Want.GONE),
        Moment(3.0, "it lives", Want.THERE),
    ]
    changes = story((1.25, "GONE"), (3.5, "DRAINED"), (4.6, "THERE"))
    told = judging.describe(moments, changes, until=5.0)
    assert told == (
        "gone after 250 ms; reload: no update; it lives: drained after 500 ms, plain after 1.60 s"
    )


def test_a_story_in_which_nothing_is_seen_says_so() -> None:
    assert judging.describe([Moment(1.0, "", Want.THERE)], story(), until=2.0) == "no update"


def test_the_shipped_unit_is_read_and_a_drop_in_changes_it() -> None:
    shipped = units.read_unit(ROOT / "contrib" / "systemd" / "ridgeline-agent.service")
    assert shipped.watchdog_s == 1.0
    assert shipped.watchdog_signal is signal.SIGKILL
    assert shipped.restart_s == pytest.approx(0.2)
    assert shipped.start_limit_s == 0
    changed = shipped.with_lines(
        ["[Service]", "WatchdogSec=1min 2s", "ExecStopPost=/bin/sh -c 'x=y'"]
    )
    assert changed.watchdog_s == 62
    assert changed.stop_post == "/bin/sh -c 'x=y'"
    assert changed.restart_s == shipped.restart_s
