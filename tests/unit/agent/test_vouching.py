"""When the dead-man switch is told that routes may come up."""

from collections.abc import Callable

from ridgeline.agent.core import Say
from ridgeline.agent.vouching import Voucher
from ridgeline.errors import MachineError


class Bench:
    """A switch that notes when it is vouched for; `problem` keeps it from it."""

    def __init__(self) -> None:
        self.vouched = 0
        self.problem = ""
        self.looked: list[str] = []
        self.said: list[Say] = []
        self.voucher = Voucher(self, look=self.looked.append, say=self.said.append)

    def start(self, on_fall: Callable[[], None]) -> None: ...

    def beat(self) -> None: ...

    def stop(self, *, leave: bool) -> None: ...

    def vouch(self) -> None:
        if self.problem:
            raise MachineError(self.problem)
        self.vouched += 1

    def see(self, *rounds: str, settled: bool = True) -> None:
        self.voucher.seen(rounds, is_settled=lambda: settled)

    def waits(self) -> bool:
        return self.voucher.waits

    def told(self) -> list[str]:
        return [say.event for say in self.said]


def test_nothing_is_vouched_for_before_all_is_settled_and_then_once() -> None:
    bench = Bench()
    bench.see("a", settled=False)
    assert bench.waits()
    bench.see("b")
    bench.see("c")
    assert bench.vouched == 1
    assert not bench.waits()
    assert bench.told() == ["dead_man_closed"]


def test_after_a_fall_every_check_is_looked_at_twice() -> None:
    bench = Bench()
    bench.see()
    bench.voucher.fell(["a", "b"], is_wanted=True)
    assert bench.looked == ["a", "b"]
    bench.see("a", "b")
    assert bench.looked == ["a", "b", "a", "b"]
    bench.see("a", "a", "a")
    assert bench.vouched == 1
    bench.see("b", settled=False)
    assert bench.vouched == 1
    bench.see()
    assert bench.vouched == 2
    assert bench.told() == ["dead_man_closed", "dead_man_open", "dead_man_closed"]


def test_a_switch_that_nobody_wants_closed_falls_in_silence() -> None:
    bench = Bench()
    bench.see()
    bench.voucher.fell(["a"], is_wanted=False)
    assert bench.looked == []
    bench.see()
    assert bench.vouched == 2
    assert bench.told() == ["dead_man_closed"]


def test_what_keeps_it_open_is_said_once_and_tried_again() -> None:
    bench = Bench()
    bench.problem = "another process has it"
    bench.see()
    bench.see()
    assert bench.told() == ["dead_man_failed"]
    assert bench.voucher.problem == "another process has it"
    bench.problem = ""
    bench.see()
    assert bench.vouched == 1
    assert bench.voucher.problem == ""


def test_checks_that_a_reload_took_away_are_not_waited_for() -> None:
    bench = Bench()
    bench.see()
    bench.voucher.fell(["a", "b"], is_wanted=True)
    bench.voucher.changed(["b"])
    bench.see("b")
    bench.see("b")
    assert bench.vouched == 2
