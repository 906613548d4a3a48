"""Reading as-rel and as-rel2: what is right is read, what is wrong is named with its line."""

import bz2

import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.topology.as_rel import MAX_PROBLEMS, read_as_rel
from ridgeline.topology.checks import complaints
from ridgeline.topology.internet import Internet

THREE_FIELDS = b"""\
# source:topology|BGP|20250901|nobody|rrc00
65536|64512|-1
65537|64512|-1
65536|65537|0
"""
FOUR_FIELDS = b"""\
# a comment
65536|64512|-1|bgp
# one between
65537|64512|-1|bgp,mlp
65536|65537|0|mlp
"""


def links(net: Internet) -> list[tuple[int, int, int]]:
    """(customer or peer, provider or peer, relationship) by AS number, in file order."""
    a, b = net.asn[net.pop_as[net.link_a]], net.asn[net.pop_as[net.link_b]]
    return list(zip(a.tolist(), b.tolist(), net.link_rel.tolist(), strict=True))


def complaint(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_as_rel(data, file="x.txt")
    return str(caught.value)


@pytest.mark.parametrize("data", [THREE_FIELDS, FOUR_FIELDS], ids=["as-rel", "as-rel2"])
@pytest.mark.parametrize("pack", [bytes, bz2.compress], ids=["plain", "bz2"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["unix", "dos"])
def test_both_formats_give_the_same_links(data: bytes, pack: type[bytes], ending: bytes) -> None:
    net = read_as_rel(pack(data.replace(b"\n", ending)), file="x.txt")
    assert net.asn.tolist() == [64512, 65536, 65537]
    assert links(net) == [(64512, 65536, -1), (64512, 65537, -1), (65536, 65537, 0)]


def test_an_as_has_one_pop_nowhere() -> None:
    net = read_as_rel(THREE_FIELDS, file="x.txt")
    assert net.pop_as.tolist() == [0, 1, 2]
    assert np.all(np.isnan(net.pop_lat))
    assert net.pop_users.tolist() == [0, 0, 0]
    assert complaints(net) == []
    assert net.name == "x.txt"


def test_the_last_line_may_lack_its_end() -> None:
    assert links(read_as_rel(b"1|2|0", file="x.txt")) == [(1, 2, 0)]


def test_numbers_of_four_bytes_are_read() -> None:
    net = read_as_rel(b"4200000000|4294967294|-1\n1|4200000000|0\n", file="x.txt")
    assert links(net) == [(4294967294, 4200000000, -1), (1, 4200000000, 0)]


def test_concatenated_bz2_streams_are_read_whole() -> None:
    data = bz2.compress(b"1|2|0\n") + bz2.compress(b"1|3|0\n")
    assert links(read_as_rel(data, file="x.txt")) == [(1, 2, 0), (1, 3, 0)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1|2", "1:1: '1|2' has 2 field(s), not 3 (as-rel) or 4 (as-rel2), divided by |"),
        ("1|2|0|bgp|x", "1:1: '1|2|0|bgp|x' has 5 field(s)"),
        ("1 2 -1", "1:1: '1 2 -1' has 1 field(s)"),
        ("x|2|0", "1:1: first AS: 'x' is not an AS number"),
        ("|2|0", "1:1: first AS: '' is not an AS number"),
        ("1|-2|0", "1:3: second AS: '-2' is not an AS number"),
        ("11|4294967296|0", "1:4: second AS: "),
        ("1|99999999999999999999|0", "1:3: second AS: '99999999999999999999' is not an AS number"),
        ("0|2|0", "1:1: first AS: AS0 is reserved"),
        ("1|23456|0", "1:3: second AS: AS23456 is reserved"),
        ("1|65535|0", "1:3: second AS: AS65535 is reserved"),
        ("AS1|2|0", "1:1: first AS: 'AS1' must be plain digits here"),
        (" 1|2|0", "1:1: first AS: ' 1' must be plain digits here"),
        (
            "1|2|",
            "1:5: relationship: '' is not -1 (the first sells to the second) or 0 (they peer)",
        ),
        ("1|2|1", "1:5: relationship: '1' is not -1"),
        ("1|2|-10|bgp", "1:5: relationship: '-10' is not -1"),
        ("1|2|00", "1:5: relationship: '00' is not -1"),
        ("7|7|0", "1:1: AS7 has a link with itself"),
    ],
)
def test_a_wrong_line_is_named(line: str, told: str) -> None:
    found = complaint(f"{line}\n3|4|-1\n".encode())
    assert found.startswith(f"x.txt:{told}")
    assert "\n" not in found


def test_a_pair_that_stands_twice_is_named_with_both_lines() -> None:
    data = b"# c\n1|2|-1\n1|3|0\n1|2|-1\n"
    assert complaint(data) == "x.txt:4:1: AS1 and AS2 stand on line 2 already"


@pytest.mark.parametrize("second", ["1|2|0", "2|1|-1"])
def test_a_contradiction_is_named_with_what_the_other_line_says(second: str) -> None:
    data = f"1|2|-1|bgp\n5|6|0|bgp\n{second}|mlp\n".encode()
    wanted = "x.txt:3:1: AS1 and AS2 stand on line 1 and differ: '1|2|-1|bgp'"
    assert wanted[: wanted.index("AS1")] in complaint(data)
    assert "stand on line 1 and differ: '1|2|-1|bgp'" in complaint(data)


def test_peers_in_either_order_are_the_same_pair() -> None:
    assert "AS2 and AS1 stand on line 1 already" in complaint(b"1|2|0\n2|1|0\n")


def test_all_wrong_lines_are_told_up_to_a_limit() -> None:
    n_bad = MAX_PROBLEMS + 7
    lines = [f"{i}|nonsense|0" if i > 3 else f"{i}|9999|0" for i in range(1, n_bad + 4)]
    told = complaint("\n".join(lines).encode()).splitlines()
    assert len(told) == MAX_PROBLEMS + 1
    assert told[0].startswith("x.txt:4:3: second AS: 'nonsense'")
    assert told[-1] == f"x.txt:{MAX_PROBLEMS + 4}:1: here and below, 7 more lines are wrong"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"# only a comment\n", bz2.compress(b"")])
def test_a_file_without_links_is_refused(data: bytes) -> None:
    assert "there is no link in it" in complaint(data)


def test_a_cut_bz2_file_is_named_as_cut() -> None:
    packed = bz2.compress(b"1|2|0\n" * 1000)
    assert complaint(packed[:-10]) == (
        "x.txt: the bz2 data ends in the middle: fetch the file again"
    )


def test_a_damaged_bz2_file_is_named_as_damaged() -> None:
    packed = bytearray(bz2.compress(b"1|2|0\n3|4|0\n"))
    packed[20] ^= 0xFF
    assert "the bz2 data is damaged" in complaint(bytes(packed))


def test_bytes_that_are_no_text_are_told_without_a_traceback() -> None:
    assert "x.txt:1:1: " in complaint(bytes(range(128, 256)) + b"\x00\n")
