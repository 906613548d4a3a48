from pathlib import Path

import pytest

import ridgeline.net.airports
from ridgeline.net.airports import codes_of_city, find_place
from ridgeline.net.place import Place, great_circle_km

TABLE = Path(ridgeline.net.airports.__file__).parent / "data" / "airports.tsv"


def test_a_code_names_a_place() -> None:
    assert find_place("nrt") == Place(
        code="nrt", city="Tokyo", country="JP", lat=35.7647, lon=140.386
    )


def test_capitals_do_not_count() -> None:
    assert find_place("LHR") == find_place("lhr") == find_place("Lhr")


def test_a_city_code_is_amid_its_airports() -> None:
    city, airport = find_place("lon"), find_place("lhr")
    assert city is not None
    assert airport is not None
    assert city.city == "London"
    assert great_circle_km(city.lat, city.lon, airport.lat, airport.lon) < 60


@pytest.mark.parametrize(
    "text", ["zzz", "", "nr", "nrtx", "n t", "nrt\t", "nrt\n", "ﬁx", "# I", "\n"]
)
def test_what_is_no_code_has_no_place(text: str) -> None:
    assert find_place(text) is None


def test_the_first_and_the_last_code_are_found() -> None:
    codes = [line[:3] for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
    assert codes == sorted(set(codes))
    for code in (codes[0], codes[-1]):
        place = find_place(code)
        assert place is not None
        assert place.code == code.lower()


def test_every_row_of_the_table_is_a_place() -> None:
    rows = TABLE.read_text(encoding="utf-8").splitlines()[1:]
    assert len(rows) > 7000
    for row in rows:
        place = find_place(row[:3])
        assert place is not None
        assert place.city
        assert len(place.country) == 2
        assert place.country.isupper()
        assert -90 <= place.lat <= 90
        assert -180 <= place.lon <= 180


def test_a_city_has_codes() -> None:
    assert codes_of_city("tokyo") == ("hnd", "nrt", "tyo")
    assert codes_of_city(" SAO  paulo ") == ("cgh", "gru", "sao")
    assert codes_of_city("atlantis") == ()
    assert codes_of_city("") == ()
