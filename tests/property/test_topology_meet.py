"""Placing links by arrays equals placing them one by one."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.net.place import great_circle_km
from ridgeline.topology.meet import MAX_SESSIONS, sessions

# Cities on one meridian, unevenly spaced, so that no two pairs are equally far apart.
LATITUDES = [-60.0, -41.0, -13.0, 2.0, 9.5, 31.0, 44.0, 45.1, 63.0, 80.0, 85.3]


@given(
    st.lists(
        st.lists(st.integers(0, len(LATITUDES) - 1), max_size=10, unique=True),
        min_size=2,
        max_size=8,
    ),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_it_equals_the_obvious(homes: list[list[int]], data: st.DataObject) -> None:
    # An AS without a home has one PoP, nowhere.
    cities = [city for home in homes for city in home or [-1]]
    ptr = np.cumsum([0, *(len(home) or 1 for home in homes)]).astype(np.int32)
    lat = np.array([LATITUDES[c] if c >= 0 else np.nan for c in cities])
    lon = np.where(np.isnan(lat), np.nan, 10.0)
    index = st.integers(0, len(homes) - 1)
    links = data.draw(st.lists(st.tuples(index, index), max_size=12))
    links = [(a, b) for a, b in links if a != b]
    a, b = np.array(links, np.int32).reshape(-1, 2).T

    pop_a, pop_b, link = sessions(ptr, np.array(cities, np.int32), lat, lon, a, b)
    found = [
        [(int(p), int(q)) for p, q in zip(pop_a[link == i], pop_b[link == i], strict=True)]
        for i in range(len(links))
    ]
    assert sorted(link.tolist()) == link.tolist()

    for (left, right), got in zip(links, found, strict=True):
        pairs = list(product(range(ptr[left], ptr[left + 1]), range(ptr[right], ptr[right + 1])))
        shared = [(p, q) for p, q in pairs if cities[p] == cities[q] >= 0]
        if shared:
            assert set(got) <= set(shared)
            assert len(set(got)) == len(got) == min(len(shared), MAX_SESSIONS)
            continue

        def far(pair: tuple[int, int]) -> float:
            km = great_circle_km(lat[pair[0]], 10.0, lat[pair[1]], 10.0)
            return float("inf") if np.isnan(km) else km

        assert got == [min(pairs, key=lambda pair: (far(pair), pair))]
