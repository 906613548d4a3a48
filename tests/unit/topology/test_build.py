"""The builder turns names into arrays, or names everything that does not fit."""

import pytest

from ridgeline.net.place import Place
from ridgeline.topology.build import InternetBuilder

LHR = Place(code="lhr", city="London", country="GB", lat=51.47, lon=-0.46)
CDG = Place(code="cdg", city="Paris", country="FR", lat=49.01, lon=2.55)
NRT = Place(code="nrt", city="Tokyo", country="JP", lat=35.76, lon=140.39)


def complaint(builder: InternetBuilder) -> str:
    with pytest.raises(ValueError, match=r"^t: ") as caught:
        builder.build()
    return str(caught.value)


def test_ases_are_sorted_and_pops_follow_them() -> None:
    builder = InternetBuilder("t")
    builder.add_as(65537, "b", at=[LHR, NRT], users={"nrt": 2.0})
    builder.add_as(64512, "a", at=[LHR], users={"lhr": 1.0})
    builder.buys(64512, 65537, at="lhr")
    net = builder.build()
    assert net.asn.tolist() == [64512, 65537]
    assert net.as_name == ("a", "b")
    assert net.pop_as.tolist() == [0, 1, 1]
    assert net.pop_code == ("lhr", "lhr", "nrt")
    assert net.pop_users.tolist() == [1, 0, 2]
    assert (net.link_a.tolist(), net.link_b.tolist(), net.link_rel.tolist()) == ([0], [1], [-1])
    assert [list(net.pops_of(i)) for i in range(2)] == [[0], [1, 2]]
    assert net.pop_ptr().tolist() == [0, 1, 3]
    assert [net.index_of(n) for n in (64512, 65537, 1, -1, 2**32)] == [0, 1, None, None, None]


def test_an_as_without_a_pop_in_the_city_takes_its_nearest() -> None:
    builder = InternetBuilder("t")
    builder.add_as(1, at=[LHR])
    builder.add_as(2, at=[NRT, CDG])
    builder.peers(1, 2, at="lhr")
    net = builder.build()
    assert [net.pop_code[i] for i in (net.link_a[0], net.link_b[0])] == ["lhr", "cdg"]


def test_a_session_does_not_reach_across_the_world() -> None:
    builder = InternetBuilder("t")
    builder.add_as(1, at=[LHR])
    builder.add_as(2, at=[NRT])
    builder.peers(1, 2, at="lhr")
    assert complaint(builder) == "t: AS2 has no PoP within 600 km of lhr"


def test_an_exchange_peers_every_pair_once() -> None:
    builder = InternetBuilder("t")
    for asn in (1, 2, 3):
        builder.add_as(asn, at=[LHR])
    builder.exchange([1, 2, 3], at="lhr")
    net = builder.build()
    assert sorted(zip(net.link_a.tolist(), net.link_b.tolist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (1, 2),
    ]
    assert set(net.link_rel.tolist()) == {0}


def test_everything_wrong_is_told_at_once() -> None:
    builder = InternetBuilder("t")
    builder.add_as(0)
    builder.add_as(1, at=[LHR, LHR])
    builder.add_as(1, at=[LHR, NRT], users={"cdg": 1.0})
    builder.add_as(2)
    builder.buys(1, 99, at="lhr")
    builder.buys(1, 2)
    builder.peers(1, 2, at=["xxx"])
    told = complaint(builder)
    for part in (
        "0 is not an AS number",
        "AS1 is added twice",
        "AS1 has two PoPs in one city",
        "AS1 has users at 'cdg' but no PoP there",
        "a link names AS99, which is not added",
        "a link says no city, and AS1 has PoPs at lhr, nrt",
        "no AS has a PoP at 'xxx'",
    ):
        assert part in told


def test_two_ases_are_related_in_one_way_only() -> None:
    builder = InternetBuilder("t")
    builder.add_as(1, at=[LHR, NRT])
    builder.add_as(2, at=[LHR, NRT])
    builder.buys(1, 2, at="lhr")
    builder.peers(1, 2, at="nrt")
    assert "AS1 and AS2 are related in two ways" in complaint(builder)


def test_an_as_has_no_link_with_itself() -> None:
    builder = InternetBuilder("t")
    builder.add_as(1, at=[LHR, NRT])
    builder.peers(1, 1, at="lhr")
    assert "AS1 has 1 link(s) with itself" in complaint(builder)


def test_an_internet_without_ases_is_refused() -> None:
    assert complaint(InternetBuilder("t")) == "t: there is no AS"
