"""Who lands farther away than necessary, and by how much."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ridgeline.catchment.model import CatchmentMap
from ridgeline.catchment.shares import weighted_quantile
from ridgeline.net.place import ACCESS_RTT_MS, Place, great_circle_km, one_way_ms

SAME_KM: Final = 25.0  # two sites in one metropolis are equally near


@dataclass(frozen=True, slots=True, kw_only=True)
class Detour:
    """A vantage point that reaches a farther site than its nearest one."""

    row: int
    """Of the map."""
    nearest: str
    nearest_rtt_ms: float
    """Round trip to the nearest site over a direct fibre."""
    extra_ms: float
    """What the site reached costs beyond that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inflation:
    """All detours of a map."""

    detours: tuple[Detour, ...]
    """Slowest first."""
    part: float
    """Part of the weight of placed, reached vantage points that takes a detour."""
    weight: float
    median_extra_ms: float | None
    """Over those that take one, by weight."""
    p95_extra_ms: float | None


def inflation(catchment: CatchmentMap, sites: Mapping[str, Place]) -> Inflation:
    """Compare where everyone lands with the nearest of these sites."""
    detours: list[Detour] = []
    placed = 0.0
    cached: dict[tuple[float, float], dict[str, float]] = {}
    for row, site in enumerate(catchment.site):
        lat, lon, rtt = catchment.lat[row], catchment.lon[row], catchment.rtt_ms[row]
        if site is None or site not in sites or lat is None or lon is None or rtt is None:
            continue
        placed += catchment.weight[row]
        if (lat, lon) not in cached:
            cached[lat, lon] = {
                name: great_circle_km(lat, lon, place.lat, place.lon)
                for name, place in sites.items()
            }
        km = cached[lat, lon]
        nearest = min(km, key=lambda name: km[name])
        if km[site] <= km[nearest] + SAME_KM:
            continue
        direct = ACCESS_RTT_MS + 2 * one_way_ms(km[nearest])
        detours.append(
            Detour(row=row, nearest=nearest, nearest_rtt_ms=direct, extra_ms=rtt - direct)
        )
    detours.sort(key=lambda d: (-d.extra_ms, catchment.name[d.row]))
    weights = [catchment.weight[d.row] for d in detours]
    extra = [d.extra_ms for d in detours]
    weight = sum(weights)
    return Inflation(
        detours=tuple(detours),
        part=weight / placed if placed else 0.0,
        weight=weight,
        median_extra_ms=weighted_quantile(extra, weights, 0.5),
        p95_extra_ms=weighted_quantile(extra, weights, 0.95),
    )
