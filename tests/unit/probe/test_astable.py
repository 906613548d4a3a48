"""Addresses to networks, from files as they are published."""

from pathlib import Path

import pytest

from ridgeline.errors import InputError
from ridgeline.probe.astable import AsTable, read_as_table


def table(tmp_path: Path, text: str) -> AsTable:
    path = tmp_path / "asn.csv"
    path.write_text(text)
    return read_as_table(str(path))


def asn(of: AsTable, address: str) -> int | None:
    found = of.find(address)
    return None if found is None else found.asn


def test_ranges_are_read_with_names_that_hold_commas(tmp_path: Path) -> None:
    read = table(
        tmp_path, '192.0.2.0,192.0.2.255,64500,"Example, Inc."\n2001:db8::,2001:db8::f,64501,x\n'
    )
    found = read.find("192.0.2.53")
    assert found is not None
    assert (found.asn, found.name) == (64500, "Example, Inc.")
    assert asn(read, "2001:db8::f") == 64501
    assert asn(read, "2001:db8::10") is None
    assert asn(read, "192.0.3.0") is None
    assert asn(read, "0.0.0.1") is None


def test_the_longest_prefix_wins(tmp_path: Path) -> None:
    read = table(
        tmp_path,
        "prefix,asn\n198.51.100.0/24,64500\n198.51.100.64/26,AS64501\n198.51.100.64/28,64502\n",
    )
    assert asn(read, "198.51.100.1") == 64500
    assert asn(read, "198.51.100.65") == 64502
    assert asn(read, "198.51.100.81") == 64501
    assert asn(read, "198.51.100.200") == 64500


def test_tabs_comments_and_holes_are_understood(tmp_path: Path) -> None:
    read = table(
        tmp_path, "# a table\n1.0.0.0\t1.0.0.255\t64500\tx\n1.0.1.0\t1.0.1.255\t0\tNot routed\n"
    )
    assert len(read) == 1
    assert asn(read, "1.0.1.1") is None


def test_every_wrong_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        table(tmp_path, "192.0.2.0/24,64500\n192.0.2.1/24,64501\n192.0.2.9,192.0.2.1,64502\nx\n")
    lines = str(caught.value).splitlines()
    assert [line.split("asn.csv:")[1].split(":")[0] for line in lines] == ["2", "3", "4"]
    assert "host bits set" in lines[0]


def test_a_file_without_any_range_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no line is"):
        table(tmp_path, "name,value\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_as_table(str(tmp_path / "missing.csv"))
