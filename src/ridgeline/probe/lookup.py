"""What a code or some letters may stand for: places, each with how likely it is among the others."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from math import exp, log10
from typing import Final

from ridgeline.net.airports import find_place
from ridgeline.net.place import Place, great_circle_km
from ridgeline.probe.abbreviations import abbreviation_cost
from ridgeline.probe.discs import unit_vector
from ridgeline.probe.gazetteer import (
    City,
    all_cities,
    cities_by_name,
    cities_of,
    iata_of_icao,
    locodes,
)
from ridgeline.probe.metros import all_metros
from ridgeline.probe.rules import Rules

_NEAR_KM: Final = 80.0
_SAME_KM: Final = 100.0
_OWN_AIRPORT: Final = 0.7
"""A city with an airport of its own counts for five times its people,"""
_HUB: Final = 1.0
"""and one full of data centres for ten times."""
_OTHER_NAME: Final = 2.0
"""To abbreviate a name that the map does not use first."""
_AIRPORT_LETTERS: Final = 0.7
"""To use letters of the airport's code instead of the name's."""
_SECOND_COUNTRY: Final = 1.0
_SHARPNESS: Final = 2.5
_MOST: Final = 6
_LARGE: Final = 500_000
_FAR_FETCHED: Final = 0.5
_CODE: Final = 3
_SLIP: Final = 0.5
_MADE_UP: Final = 0.6
"""How likely country and letters are meant so where no code book has them."""
_MAIN: Final = 0.35
"""How likely a country's largest city is meant where nothing else fits."""
_PREFIX_PEOPLE: Final = 200_000
_PREFIX: Final = 5
_SHORT: Final = 4
"""Names so short are words of many languages: only a large city's is likely meant."""


@dataclass(frozen=True, slots=True)
class Option:
    """A place that a code may stand for."""

    place: Place
    likelihood: float
    """Among all that it may stand for, and that it stands for any."""
    state: str = ""
    """Of the United States, where known."""
    centre: Place | None = None
    """The city of an airport; None: the place is the city."""


def by_iata(code: str) -> list[Option]:
    """Look up an airport's or a city's IATA code."""
    place = find_place(code)
    if place is None:
        return []
    people, centre = _people_near(place)
    return [Option(place, _plausible(people), centre=centre)]


def by_icao(code: str) -> list[Option]:
    """Look up an airport's ICAO code."""
    iata = iata_of_icao(code)
    return by_iata(iata) if iata else []


def by_locode(regions: Iterable[tuple[str, str]], letters: str, rules: Rules) -> list[Option]:
    """Look up country and three letters: UN/LOCODE takes the airport's code where there is one."""
    wanted = [(country, state) for country, state in regions if not state]
    countries = {country for country, _ in wanted}
    for option in by_iata(letters):
        if option.place.country in countries:
            return [Option(option.place, 1.0, option.state, option.centre)]
    for country in sorted(countries):
        told = by_iata(rules.locodes.get(f"{country.lower()}{letters}", ""))
        if told:
            return [replace(told[0], likelihood=1.0)]
        known = locodes().get(f"{country}{letters.upper()}")
        if known is not None:
            city, lat, lon = known
            place = Place(code="", city=city, country=country, lat=lat, lon=lon)
            return [Option(place, 1.0)]
    return [
        replace(option, likelihood=_MADE_UP * option.likelihood)
        for option in by_letters(letters, wanted, rules)
    ]


def by_letters(letters: str, regions: Iterable[tuple[str, str]], rules: Rules) -> list[Option]:
    """Look up letters of a city's name in countries or states; their main city where none fits."""
    scored: list[tuple[float, City]] = []
    main: list[tuple[float, City]] = []
    costs: dict[City, float] = {}
    wanted = list(regions)
    for i, (country, state) in enumerate(wanted):
        penalty = 0.0 if state or i == 0 else _SECOND_COUNTRY * i
        hubs = rules.hubs.get(country, frozenset())
        cities = cities_of(country)
        inside = [c for c in cities if c.region == state] if state else cities
        for city in inside:
            cost = _cost(letters, city)
            if cost is not None:
                scored.append((_appeal(city, hubs) - cost - penalty, city))
                costs[city] = cost
        main += [(log10(city.people + 1) - penalty, city) for city in inside[:1]]
    if not scored and len(letters) == _CODE:
        return _by_fewer_letters(letters, wanted, rules) or _shared(main, _MAIN)
    if not scored:
        return _shared(main, _MAIN) if len(letters) < _CODE else []
    best = max(scored, key=lambda pair: pair[0])[1]
    return _shared(scored, exp(-_FAR_FETCHED * max(0.0, costs[best])))


def _by_fewer_letters(letters: str, regions: list[tuple[str, str]], rules: Rules) -> list[Option]:
    """Look letters up without one of them, as if it were a slip."""
    found = [
        replace(option, likelihood=_SLIP * option.likelihood)
        for i in range(1, len(letters))
        for option in by_letters(letters[:i] + letters[i + 1 :], regions, rules)
        if option.likelihood > _MAIN
    ]
    return sorted(found, key=lambda option: -option.likelihood)[:_MOST]


def by_letters_anywhere(letters: str) -> list[Option]:
    """Look up letters of a large city's name, wherever it is."""
    scored = [
        (_appeal(city, frozenset()) - 1.5 * cost, city)
        for city in _large_cities()
        if (cost := abbreviation_cost(letters, city.names[0])) is not None and cost <= 0.5
    ]
    return _shared(scored, 1.0)


def main_city(country: str, state: str) -> Option | None:
    """Return the largest city of a country or state: all that is left where only that is told."""
    for city in cities_of(country):
        if not state or city.region == state:
            return Option(city.place, 1.0, city.region)
    return None


def by_city(name: str, regions: Iterable[tuple[str, str]] | None) -> list[Option]:
    """Look up a city's whole name, or the first letters of a large city's."""
    wanted = None if regions is None else list(regions)
    named = list(cities_by_name().get(name, ()))
    likelihood = 1.0
    if not named and len(name) >= _PREFIX:
        likelihood = 0.7
        names = _names()
        at = bisect_left(names, name)
        while at < len(names) and names[at].startswith(name):
            named += [c for c in cities_by_name()[names[at]] if c.people >= _PREFIX_PEOPLE]
            at += 1
    if wanted is not None:
        named = [c for c in named if any(_is_in(c, region) for region in wanted)]
    scored = [(log10(city.people + 1000), city) for city in dict.fromkeys(named)]
    if not scored:
        return []
    if wanted is None:
        plausible = _plausible(max(city.people for _, city in scored))
        likelihood *= plausible**6 if len(name) <= _SHORT else plausible
    return _shared(scored, likelihood)


def _is_in(city: City, region: tuple[str, str]) -> bool:
    country, state = region
    return city.country == country and (not state or city.region == state)


def _cost(letters: str, city: City) -> float | None:
    best = abbreviation_cost(letters, city.names[0])
    for name in city.names[1:]:
        cost = abbreviation_cost(letters, name)
        if cost is not None and (best is None or cost + _OTHER_NAME < best):
            best = cost + _OTHER_NAME
    if any(_is_subsequence(letters, code) for code in city.codes):
        best = _AIRPORT_LETTERS if best is None else min(best, _AIRPORT_LETTERS)
    return best


def _is_subsequence(letters: str, code: str) -> bool:
    rest = iter(code)
    return letters[:1] == code[:1] and all(letter in rest for letter in letters)


def _appeal(city: City, hubs: frozenset[str]) -> float:
    return (
        log10(city.people + 1000)
        + (_OWN_AIRPORT if city.codes else 0.0)
        + (_HUB if city.name in hubs else 0.0)
    )


def _shared(scored: list[tuple[float, City]], likelihood: float) -> list[Option]:
    """Divide a likelihood among cities by their scores; cities of one place count together."""
    if not scored:
        return []
    scored.sort(key=lambda pair: (-pair[0], pair[1].name))
    best = scored[0][0]
    weights = [(exp(_SHARPNESS * (score - best)), city) for score, city in scored[:200]]
    total = sum(weight for weight, _ in weights)
    heads: list[tuple[City, float]] = []
    for weight, city in weights:
        for i, (head, gathered) in enumerate(heads):
            if great_circle_km(city.lat, city.lon, head.lat, head.lon) < _SAME_KM:
                heads[i] = head, gathered + weight
                break
        else:
            if len(heads) < _MOST:
                heads.append((city, weight))
    return [Option(city.place, likelihood * weight / total, city.region) for city, weight in heads]


def _plausible(people: int) -> float:
    """How likely a site is at an airport or a town, by the people around: 1 in a million city."""
    return max(0.3, min(1.0, 0.3 + 0.175 * (log10(people + 1000) - 2)))


@cache
def _large_cities() -> tuple[City, ...]:
    return tuple(city for city in all_cities() if city.people >= _LARGE)


@cache
def _names() -> list[str]:
    return sorted(cities_by_name())


def _people_near(place: Place) -> tuple[int, Place | None]:
    """Return the largest number of people of a city near an airport, and that city."""
    where = unit_vector(place.lat, place.lon)
    near = [metro for metro, _ in all_metros().within(where, place.lat, _NEAR_KM)]
    if not near:
        return 0, None
    largest = max(near, key=lambda metro: metro.people)
    return largest.people, largest.place
