"""What agents are told to expect while a change goes from site to site."""

from ridgeline.lab.expected import Facts, merge

OLD: Facts = {
    "dns": {
        "configuration": ("1",),
        "serial of a.test.": ("7",),
        "serial of gone.test.": ("3",),
        "file unbound/ticket-0.key": ("k1",),
    }
}
NEW: Facts = {
    "dns": {
        "configuration": ("2",),
        "serial of a.test.": ("7",),
        "serial of new.test.": ("1",),
        "file unbound/ticket-0.key": ("k1",),
        "file unbound/ticket-1.key": ("k2",),
    }
}


def test_during_a_change_the_old_and_the_new_are_right() -> None:
    facts = merge(OLD, NEW)["dns"]
    assert facts["configuration"] == ("1", "2")
    assert facts["serial of a.test."] == ("7",)


def test_a_file_that_only_one_side_has_may_be_there_or_not() -> None:
    assert merge(OLD, NEW)["dns"]["file unbound/ticket-1.key"] == ("absent", "k2")
    assert merge(NEW, OLD)["dns"]["file unbound/ticket-1.key"] == ("k2", "absent")


def test_of_a_zone_that_comes_or_goes_nothing_is_expected_meanwhile() -> None:
    facts = merge(OLD, NEW)["dns"]
    assert "serial of new.test." not in facts
    assert "serial of gone.test." not in facts
