"""Reading half a million lines at once equals reading them one by one."""

import bz2
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.net.asn import parse_asn
from ridgeline.topology.as_rel import MAX_PROBLEMS, read_as_rel
from ridgeline.topology.internet import Internet

NUMBERS = st.one_of(
    st.integers(1, 12).map(str),
    st.sampled_from(
        ["0", "23456", "65535", "4294967294", "4294967295", "4294967296", "99999999999"]
    ),
    st.sampled_from(["", "-1", "+1", " 1", "1 ", "x", "1.1", "AS1", "٣", "007"]),
)
GOOD_NUMBERS = st.integers(1, 300).map(str)
RELATIONSHIPS = st.sampled_from(["-1", "0"])
ODD_RELATIONSHIPS = st.sampled_from(["1", "", "-", "-10", "00", " 0", "0 ", "-1 "])
SOURCES = st.sampled_from(["", "|bgp", "|bgp,mlp", "|"])


@st.composite
def lines(draw: st.DrawFn) -> str:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(
            st.sampled_from(["", "# comment", "#1|2|0", "|", "||", "|||", "1|2|0|a|b", "1|2"])
        )
    if kind == 1:
        return f"{draw(NUMBERS)}|{draw(NUMBERS)}|{draw(RELATIONSHIPS)}{draw(SOURCES)}"
    if kind == 2:
        return f"{draw(GOOD_NUMBERS)}|{draw(GOOD_NUMBERS)}|{draw(ODD_RELATIONSHIPS)}{draw(SOURCES)}"
    return f"{draw(GOOD_NUMBERS)}|{draw(GOOD_NUMBERS)}|{draw(RELATIONSHIPS)}{draw(SOURCES)}"


def is_good(line: str) -> bool:
    fields = line.split("|")
    if len(fields) not in (3, 4) or fields[2] not in ("-1", "0"):
        return False
    try:
        return all(re.fullmatch("[0-9]{1,10}", f) and parse_asn(f) for f in fields[:2])
    except ValueError:
        return False


def obvious(text: str) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Return the numbers of the wrong lines, and the links as (customer, provider, relationship)."""
    rows = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line and line[0] != "#"]
    wrong = [n for n, line in rows if not is_good(line)]
    if wrong:
        return wrong, []
    links, seen = [], set()
    for n, line in rows:
        first, second, rel = map(int, line.split("|")[:3])
        if first == second or frozenset((first, second)) in seen:
            wrong.append(n)
        seen.add(frozenset((first, second)))
        links.append((second, first, rel) if rel else (first, second, rel))
    return wrong, links


def outcome(data: bytes) -> Internet | InputError:
    try:
        return read_as_rel(data, file="x")
    except InputError as error:
        return error


@given(st.lists(lines(), min_size=1, max_size=12), st.booleans())
@settings(max_examples=600, deadline=None)
def test_arrays_equal_lines(drawn: list[str], packed: bool) -> None:
    text = "\n".join(drawn)
    wrong, links = obvious(text)
    data = text.encode()
    net = outcome(bz2.compress(data) if packed else data)
    if isinstance(net, InputError):
        assert [p.line for p in net.problems] == wrong[:MAX_PROBLEMS]
        assert wrong or not links
        return
    assert wrong == []
    a, b = net.asn[net.pop_as[net.link_a]], net.asn[net.pop_as[net.link_b]]
    assert list(zip(a.tolist(), b.tolist(), net.link_rel.tolist(), strict=True)) == links


@given(st.binary(max_size=200))
@settings(max_examples=400, deadline=None)
def test_no_bytes_bring_it_down(data: bytes) -> None:
    found = outcome(data)
    assert str(found).startswith("x:") if isinstance(found, InputError) else found.n_link > 0
