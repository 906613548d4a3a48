"""The generated Internet: sound at any size, the same for the same seed, and of the right shape."""

import numpy as np
import pytest

from ridgeline.net.place import great_circle_km
from ridgeline.topology.checks import complaints, components
from ridgeline.topology.cities import cities
from ridgeline.topology.graph import as_graph
from ridgeline.topology.internet import Internet
from ridgeline.topology.summary import levels, summarise
from ridgeline.topology.world import FIRST_ASN, MAX_SIZE, MIN_SIZE, world
from ridgeline.topology.world_places import HUBS


def made(size: int, seed: int = 1) -> Internet:
    return world(size, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def large() -> Internet:
    return made(6000)


@pytest.mark.parametrize("size", [4, 5, 7, 12, 40, 150, 1000])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_size_is_sound_and_in_one_piece(size: int, seed: int) -> None:
    net = made(size, seed)
    assert net.n_as == size
    assert complaints(net) == []
    assert components(net).is_one
    assert levels(as_graph(net)).min() >= 0
    assert not np.isnan(net.pop_lat).any()
    assert net.pop_users.sum() > 0
    assert net.asn.min() > FIRST_ASN


def test_equal_seeds_give_equal_internets_and_others_do_not() -> None:
    one, same, other = made(500, 3), made(500, 3), made(500, 4)
    for field in ("pop_as", "pop_lat", "pop_users", "link_a", "link_b", "link_rel"):
        np.testing.assert_array_equal(getattr(one, field), getattr(same, field))
    assert one.pop_code == same.pop_code
    assert one.pop_code != other.pop_code


def test_a_seed_gives_the_same_on_every_machine() -> None:
    # Change GENERATOR_VERSION together with these numbers.
    net = made(300)
    weight = int(np.arange(net.n_link) @ (net.link_a.astype(np.int64) * 7 + net.link_b))
    assert (net.n_pop, net.n_link, weight % 1_000_003) == (739, 696, 264987)


@pytest.mark.parametrize("size", [MIN_SIZE - 1, 0, -5, MAX_SIZE + 1])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} ASes: want 4 to 500000"):
        made(size)


def test_the_shape_is_that_of_the_internet(large: Internet) -> None:
    seen = summarise(large, as_graph(large))
    assert 0.8 < seen.n_stub / seen.n_as < 0.88
    assert 1.9 < seen.providers.mean < 2.3
    assert seen.customers.max > 0.04 * seen.n_as
    assert seen.peers.median == 0
    assert seen.peers.max > 200
    assert seen.loops == ()
    graph = as_graph(large)
    tier1 = np.flatnonzero(np.diff(graph.provider_ptr) == 0)
    peers_of = [set(graph.peer_idx[graph.peer_ptr[i] : graph.peer_ptr[i + 1]]) for i in tier1]
    assert all(set(tier1) - {i} <= peers for i, peers in zip(tier1, peers_of, strict=True))


def test_importance_does_not_show_in_the_number(large: Internet) -> None:
    customers = np.diff(as_graph(large).customer_ptr)
    rank = np.arange(large.n_as)
    assert abs(np.corrcoef(rank, np.log1p(customers))[0, 1]) < 0.05


def test_sessions_are_short_as_a_rule(large: Internet) -> None:
    far = np.array(
        [
            great_circle_km(*ends)
            for ends in zip(
                large.pop_lat[large.link_a],
                large.pop_lon[large.link_a],
                large.pop_lat[large.link_b],
                large.pop_lon[large.link_b],
                strict=True,
            )
        ]
    )
    assert np.mean(far == 0) > 0.7
    assert np.percentile(far, 90) < 2000


def test_users_live_at_home(large: Internet) -> None:
    seen = summarise(large, as_graph(large))
    assert [c.country for c in seen.countries[:3]] == ["CN", "IN", "US"]
    for i in range(0, large.n_as, 50):
        lands = {large.pop_country[p] for p in large.pops_of(i) if large.pop_users[p]}
        assert len(lands) <= 1


def test_every_hub_is_a_city_of_the_table() -> None:
    assert set(HUBS) - set(cities().code) == set()
