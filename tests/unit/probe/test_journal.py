"""The journal: nobody is asked twice, whatever ended the sweep."""

from dataclasses import replace
from pathlib import Path

import pytest

from ridgeline.errors import InputError, MachineError
from ridgeline.probe.journal import Journal, SweepIdentity
from ridgeline.probe.sweepcore import Landed

SWEEP = SweepIdentity(address="192.0.2.1", sender="nrt", hitlist="abc", n_targets=10, seed=1)
LANDED = Landed(3, "lhr", "198.51.100.3", 0.025)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "sweep.journal")


def write(path: str) -> None:
    journal = Journal(path, SWEEP)
    journal.write_asked([3, 4])
    journal.write_landed([LANDED])
    journal.write_landed([])
    journal.close()


def read(path: str) -> tuple[list[int], list[Landed]]:
    journal = Journal(path, SWEEP)
    journal.close()
    return journal.asked, journal.landed


def test_what_was_written_is_there_again(path: str) -> None:
    write(path)
    assert read(path) == ([3, 4], [LANDED])


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_line_cut_off_by_the_end_of_its_writer_is_left_out(path: str, cut: int) -> None:
    write(path)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[:-cut])
    assert read(path) == ([3, 4], [])
    journal = Journal(path, SWEEP)
    journal.write_asked([5])
    journal.close()
    assert read(path)[0] == [3, 4, 5]


def test_a_header_cut_off_begins_anew(path: str) -> None:
    write(path)
    Path(path).write_bytes(Path(path).read_bytes()[:20])
    assert read(path) == ([], [])


@pytest.mark.parametrize(
    "other", [{"address": "192.0.2.2"}, {"sender": "lhr"}, {"hitlist": "x"}, {"seed": 2}]
)
def test_another_sweep_may_not_go_on_here(path: str, other: dict[str, object]) -> None:
    write(path)
    with pytest.raises(InputError, match=f"of another sweep: {next(iter(other))}"):
        Journal(path, replace(SWEEP, **other))  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize("content", ["hello\n", "hello", '{"a": 1}\n', "[]\n", "\n\n"])
def test_a_file_that_is_no_journal_is_left_as_it_is(path: str, content: str) -> None:
    Path(path).write_text(content)
    with pytest.raises(InputError, match="no "):
        Journal(path, SWEEP)
    assert Path(path).read_text() == content


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"asked": [10]}', "beyond the hitlist"),
        ('{"asked": ["x"]}', "damaged"),
        ('{"landed": [[1]]}', "damaged"),
        ("garbage", "no line"),
    ],
)
def test_damage_in_the_middle_is_told_by_line(path: str, line: str, why: str) -> None:
    write(path)
    with Path(path).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=f":4: .*{why}"):
        Journal(path, SWEEP)


def test_two_sweeps_cannot_share_a_journal(path: str) -> None:
    first = Journal(path, SWEEP)
    try:
        with pytest.raises(MachineError, match="another sweep writes"):
            Journal(path, SWEEP)
    finally:
        first.close()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written"):
        Journal(str(tmp_path / "missing" / "j"), SWEEP)
