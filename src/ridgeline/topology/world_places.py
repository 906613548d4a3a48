"""Where the ASes of a generated Internet are: home cities, other PoPs, exchanges and users."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.cities import Cities, countries, unit_vectors

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

MAX_POPS: Final = 32
# Part of the people who are online, and how many ASes serve a million of them compared with Asia.
_ONLINE: Final = {"AF": 0.4, "AN": 0.5, "AS": 0.68, "EU": 0.9, "NA": 0.87, "OC": 0.77, "SA": 0.81}
_AS_DENSITY: Final = {"AF": 1.0, "AN": 1.0, "AS": 1.0, "EU": 6.0, "NA": 8.0, "OC": 6.0, "SA": 4.0}
# Where networks meet: the world's exchanges and carrier hotels gather in fewer cities than people
# do. Relative sizes, by judgement; a country's largest city that is not listed has the size 0.3.
HUBS: Final = {
    "fra": 10, "ams": 9, "lhr": 8, "gru": 8, "iad": 7, "sin": 6, "jfk": 5, "nrt": 5, "hkg": 5, "svo": 5,
    "cdg": 4, "lax": 4, "sjc": 4, "ord": 4, "dfw": 4, "mia": 4, "jnb": 4, "bom": 4, "syd": 4, "cgk": 4,
    "arn": 3, "waw": 3, "vie": 3, "mxp": 3, "mad": 3, "kbp": 3, "atl": 3, "sea": 3, "yyz": 3, "eze": 3,
    "dxb": 3, "del": 3, "maa": 3, "zrh": 2, "prg": 2, "cph": 2, "bru": 2, "dub": 2, "otp": 2, "sof": 2,
    "ist": 2, "led": 2, "kix": 2, "icn": 2, "kul": 2, "mel": 2, "scl": 2, "bog": 2, "gig": 2, "for": 2,
    "nbo": 2, "los": 2, "den": 2, "muc": 1, "ham": 1, "ber": 1, "mrs": 1, "man": 1, "bcn": 1, "lis": 1,
    "hel": 1, "osl": 1, "bud": 1, "ath": 1, "yul": 1, "yvr": 1, "akl": 1, "per": 1, "bne": 1, "tpe": 1,
    "bkk": 1, "mnl": 1, "sgn": 1, "lim": 1, "mex": 1, "cpt": 1, "cai": 1, "acc": 1, "mba": 1, "pvg": 1,
}  # fmt: skip
_LOCAL_HUB: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Homes:
    """The home of each AS; int64 arrays of shape (n,).

    Attributes
    ----------
    city : home city, an index into the table of cities
    country, continent : numbers that only tell them apart
    """

    city: IntArray
    country: IntArray
    continent: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Map:
    """The table of cities with what the generator asks of it; arrays of shape (n_cities,).

    Attributes
    ----------
    country, continent : int64 array
        Numbers.
    people : float64 array
        People online, a country's divided among its cities.
    hub : float64 array
        Relative size as a meeting place of networks; 0 for most.
    nearest_hub : int64 array
        The hub that a network of this city goes to, in its own country where there is one.
    """

    cities: Cities
    country: IntArray
    continent: IntArray
    people: FloatArray
    hub: FloatArray
    nearest_hub: IntArray


def chart(table: Cities) -> Map:
    """Work out a `Map` of the cities."""
    known = countries()
    names, country = np.unique(np.array(table.country), return_inverse=True)
    _, continent = np.unique([known[c].continent for c in names], return_inverse=True)
    online = np.array([known[c].people * _ONLINE[known[c].continent] for c in names])
    # Places of research stations count nobody: one each keeps the division sound.
    people = np.maximum(table.people, 1)
    people = people / np.bincount(country, people)[country] * online[country]

    hub = np.array([float(HUBS.get(code, 0)) for code in table.code])
    for city in table.largest_of().values():
        hub[city] = max(hub[city], _LOCAL_HUB)
    points = unit_vectors(table.lat, table.lon)
    hubs = np.flatnonzero(hub)
    near = points @ points[hubs].T + 4.0 * (country[:, None] == country[hubs])
    return Map(
        cities=table,
        country=country,
        continent=continent[country],
        people=people,
        hub=hub,
        nearest_hub=hubs[np.argmax(near, axis=1)],
    )


def homes(n: int, world: Map, rng: np.random.Generator) -> Homes:
    """Give each AS a home: countries by their people online and their density of ASes."""
    table = world.cities
    density = np.array([_AS_DENSITY[countries()[c].continent] for c in table.country])
    online = np.bincount(world.country, world.people)
    weight = world.people / online[world.country] * online[world.country] ** 0.8 * density
    city = draw(weight, rng.random(n))
    return Homes(city=city, country=world.country[city], continent=world.continent[city])


def draw(weight: FloatArray, chance: FloatArray) -> IntArray:
    """Return for each chance in [0, 1) an index, drawn by weight."""
    total = np.cumsum(weight)
    at: IntArray = np.searchsorted(total, chance * total[-1], side="right")
    last: IntArray = np.minimum(at, weight.size - 1)
    return last


def presence(
    home: Homes,
    world: Map,
    *,
    wide: FloatArray,
    users: FloatArray,
    peers: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray]:
    """Choose each AS's cities.

    Parameters
    ----------
    wide : float64 array, shape (n,)
        How many hubs abroad the AS goes to.
    users : float64 array, shape (n,)
        People that it serves: the more, the more cities at home.
    peers : bool array, shape (n,)
        Whether it goes to the nearest hub, to meet others.

    Returns
    -------
    as_index, city : int64 array
        Each AS's cities, by AS, home first, then in order of choice; none twice.
    """
    n = home.city.size
    everyone = np.arange(n)
    rounds = [(everyone, home.city)]
    rounds.append((everyone[peers], world.nearest_hub[home.city[peers]]))
    most = min(12, int(n**0.3))  # a small Internet shall not have many more PoPs than ASes
    n_home = np.clip(np.sqrt(users / 4e5).astype(np.int64) + (wide > 3), 0, most)
    rounds += _draw_rounds(n_home, home.country, world.country, world.people, rng)
    n_near = np.clip(np.ceil(wide * 0.5).astype(np.int64), 0, 10)
    rounds += _draw_rounds(n_near, home.continent, world.continent, world.hub, rng)
    n_far = np.floor(wide).astype(np.int64)
    rounds += _draw_rounds(
        n_far, np.zeros(n, np.int64), np.zeros_like(world.country), world.hub, rng
    )

    as_index = np.concatenate([who for who, _ in rounds])
    city = np.concatenate([where for _, where in rounds])
    # Keep the first of each pair, in the order of the rounds.
    _, first = np.unique(as_index * len(world.cities) + city, return_index=True)
    first = np.sort(first)
    as_index, city = as_index[first], city[first]
    order = np.argsort(as_index, kind="stable")
    as_index, city = as_index[order], city[order]
    rank = np.arange(as_index.size) - np.searchsorted(as_index, as_index)
    return as_index[rank < MAX_POPS], city[rank < MAX_POPS]


def _draw_rounds(
    count: IntArray,
    region: IntArray,
    region_of_city: IntArray,
    weight: FloatArray,
    rng: np.random.Generator,
) -> list[tuple[IntArray, IntArray]]:
    """Draw so many cities for each AS from its region; a city may come twice."""
    who = np.repeat(np.arange(count.size), count)
    chance = rng.random(who.size)
    city = np.full(who.size, -1)
    for part in np.unique(region[who]).tolist():
        members = np.flatnonzero(region_of_city == part)
        mine = region[who] == part
        if weight[members].any():
            city[mine] = members[draw(weight[members], chance[mine])]
    found = city >= 0
    return [(who[found], city[found])]


def user_weights(
    home: Homes, world: Map, *, n_transit: int, rng: np.random.Generator
) -> FloatArray:
    """Divide the people online of each country among its ASes; most transits and half the stubs."""
    n = home.city.size
    is_transit = np.arange(n) < n_transit
    serves = rng.random(n) < np.where(is_transit, 0.7, 0.45)
    # A Pareto tail: in most countries a handful of networks serve most people.
    weight = serves * (1 - rng.random(n)) ** -0.9 * np.where(is_transit, 6.0, 1.0)
    # Who is alone in a country serves it.
    first = np.unique(home.country, return_index=True)[1]
    total = np.bincount(home.country, weight)
    alone = first[total[home.country[first]] == 0]
    weight[alone] = 1.0
    total = np.bincount(home.country, weight)
    online = np.bincount(world.country, world.people)
    return weight / total[home.country] * online[home.country]
