"""builtin:demo keeps the bounds that the lab and the documentation count on."""

import numpy as np

from ridgeline.net.place import great_circle_km
from ridgeline.topology.checks import complaints, components
from ridgeline.topology.demo import CONDOR, NORRSKEN, TANUKI, demo
from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, PEER_TO_PEER


def test_it_is_sound_and_in_one_piece() -> None:
    net = demo()
    assert complaints(net) == []
    assert components(net).is_one


def test_it_fits_into_the_lab() -> None:
    net = demo()
    pops = np.diff(net.pop_ptr())
    assert 38 <= net.n_as <= 44
    assert 55 <= net.n_pop <= 70
    assert int((pops * (pops - 1) // 2).sum()) < 90
    assert len(set(net.pop_code)) >= 14


def test_sessions_are_in_one_city_or_near() -> None:
    net = demo()
    far = [
        great_circle_km(net.pop_lat[a], net.pop_lon[a], net.pop_lat[b], net.pop_lon[b])
        for a, b in zip(net.link_a, net.link_b, strict=True)
    ]
    assert max(far) < 400


def test_only_the_tier_1s_buy_from_nobody() -> None:
    net = demo()
    buys = net.pop_as[net.link_a[net.link_rel == CUSTOMER_TO_PROVIDER]]
    free = set(range(net.n_as)) - set(buys.tolist())
    assert {int(net.asn[i]) for i in free} == {NORRSKEN, TANUKI, CONDOR}


def test_tier_1s_peer_in_several_cities() -> None:
    net = demo()
    peer = net.link_rel == PEER_TO_PEER
    ends = np.stack([net.asn[net.pop_as[net.link_a[peer]]], net.asn[net.pop_as[net.link_b[peer]]]])
    for pair in ((NORRSKEN, TANUKI), (NORRSKEN, CONDOR), (TANUKI, CONDOR)):
        assert int(np.all(pair == ends.T, axis=1).sum()) >= 2


def test_numbers_are_reserved_for_documentation_or_private_use() -> None:
    net = demo()
    assert all(64512 <= n <= 65534 or 65536 <= n <= 65551 for n in net.asn.tolist())


def test_names_are_labels_and_unlike() -> None:
    names = demo().as_name
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.isalpha() and name.islower() for name in names)
