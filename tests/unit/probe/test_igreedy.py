"""iGreedy as published: the baseline must not be weaker than the original."""

from ridgeline.net.place import Place
from ridgeline.probe.igreedy import KM_PER_RTT_MS, Airport, igreedy
from ridgeline.probe.vantage import VantagePoint


def airport(code: str, lat: float, lon: float, people: int) -> Airport:
    return Airport(Place(code=code, city=code.upper(), country="", lat=lat, lon=lon), people)


def vp(name: str, lat: float, lon: float, rtt_ms: float) -> VantagePoint:
    return VantagePoint(name=name, lat=lat, lon=lon, rtt_ms=rtt_ms)


AIRPORTS = [airport("big", 1.0, 0.0, 1_000_000), airport("small", 0.0, 0.0, 1_000)]


def test_light_is_as_fast_as_the_authors_have_it() -> None:
    assert abs(KM_PER_RTT_MS - 98.615940132) < 1e-6


def test_the_largest_city_of_the_disc_is_taken_however_far_from_its_centre() -> None:
    (found,) = igreedy([vp("a", 0.0, 0.0, 2)], AIRPORTS)
    assert found.place is not None
    assert found.place.code == "big"


def test_a_disc_that_shrank_to_its_city_lets_others_appear() -> None:
    # The discs overlap, so the second is no proof; but it does not hold the first one's city.
    found = igreedy(
        [vp("a", 0.0, 0.0, 2), vp("b", -3.0, 0.0, 2.5)], [*AIRPORTS, airport("south", -3.1, 0.0, 5)]
    )
    assert [f.place.code for f in found if f.place] == ["big", "south"]


def test_a_disc_without_an_airport_stays_a_disc() -> None:
    (found,) = igreedy([vp("a", 50.0, 50.0, 1)], AIRPORTS)
    assert found.place is None
    assert found.vantage_point.name == "a"


def test_discs_that_touch_overlap() -> None:
    assert len(igreedy([vp("a", 0.0, 0.0, 5), vp("b", 1.0, 0.5, 5)], AIRPORTS)) == 1
