"""Put ASes into cities: the last step of placing a measured Internet and of generating one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.cities import Cities
from ridgeline.topology.internet import Internet
from ridgeline.topology.meet import sessions


def assemble(
    name: str,
    asn: NDArray[np.uint32],
    pops: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    links: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]],
    cities: Cities,
) -> Internet:
    """Return an Internet whose ASes meet where they are.

    Parameters
    ----------
    asn
        AS numbers, rising.
    pops
        AS index (rising, none left out), city (-1: nowhere; none twice in an AS; the most important
        first) and user weight of each PoP.
    links
        AS indices of both ends and relationship of each AS-level link, as in `Internet`.
    """
    pop_as, city, users = pops
    a, b, rel = links
    somewhere = city >= 0
    lat = np.where(somewhere, cities.lat[city], np.nan)
    lon = np.where(somewhere, cities.lon[city], np.nan)
    ptr = np.searchsorted(pop_as, np.arange(asn.size + 1)).astype(np.int32)
    link_a, link_b, link = sessions(ptr, city.astype(np.int32), lat, lon, a, b)
    arrays = {
        "asn": asn,
        "pop_as": pop_as.astype(np.int32),
        "pop_lat": lat,
        "pop_lon": lon,
        "pop_users": users,
        "link_a": link_a,
        "link_b": link_b,
        "link_rel": rel[link].astype(np.int8),
    }
    for array in arrays.values():
        array.setflags(write=False)
    return Internet(
        name=name,
        as_name=("",) * asn.size,
        pop_code=_texts(cities.code, city),
        pop_city=_texts(cities.name, city),
        pop_country=_texts(cities.country, city),
        **arrays,
    )


def _texts(words: Sequence[str], index: NDArray[np.int64]) -> tuple[str, ...]:
    table = np.array([*words, ""], object)  # -1 finds the empty one
    return tuple(table[index].tolist())
