"""Joining address tables equals asking of every single address."""

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.topology.cities import cities
from ridgeline.topology.geography import holdings
from ridgeline.topology.ip_ranges import read_asn_ranges, read_place_ranges

TABLE = cities()
LANDS = ("JP", "BR", "KE", "DE")
SPAN = 60  # addresses 0.0.0.0 to 0.0.0.59

Row = tuple[int, int, str]


def tables(values: Sequence[str]) -> st.SearchStrategy[list[Row]]:
    """Ranges in any order, overlapping or not."""
    row = st.tuples(st.integers(0, SPAN - 1), st.integers(0, SPAN - 1), st.sampled_from(values))
    sorted_row = row.map(lambda r: (min(r[:2]), max(r[:2]), r[2]))
    return st.lists(sorted_row, min_size=1, max_size=8, unique_by=lambda r: r[0])


def value_at(rows: list[Row], address: int) -> str | None:
    """Who begins last before an address, or at it, decides."""
    before = [row for row in rows if row[0] <= address]
    last = max(before, default=None)
    return last[2] if last is not None and address <= last[1] else None


def text(rows: list[Row]) -> bytes:
    return "".join(f"{a},{b},{value}\n" for a, b, value in rows).encode()


@given(tables(("64512", "64513", "65536")), tables(LANDS))
@settings(max_examples=300, deadline=None)
def test_it_equals_asking_of_every_address(who: list[Row], where: list[Row]) -> None:
    held = holdings(
        [read_asn_ranges(text(who), file="a")],
        [read_place_ranges(text(where), file="p", cities=TABLE)],
    )
    found = {
        (str(asn), TABLE.country[city]): weight
        for asn, city, weight in zip(
            held.asn.tolist(), held.city.tolist(), held.weight.tolist(), strict=True
        )
    }
    every = ((value_at(who, a), value_at(where, a)) for a in range(SPAN))
    assert found == Counter(pair for pair in every if None not in pair)
