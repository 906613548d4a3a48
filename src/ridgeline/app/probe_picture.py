"""An enumeration as a picture of the world."""

from collections import Counter
from typing import TYPE_CHECKING, Final

from ridgeline.app.probe import Enumerated
from ridgeline.probe.discs import cosine, unit_vector
from ridgeline.probe.enumerate import Enumeration

if TYPE_CHECKING:
    from ridgeline.picture.worldmap import ClientMark

_MOST_NOTES: Final = 20


def draw_enumeration(found: Enumerated, *, title: str) -> str:
    """Draw the sites, and each vantage point in the colour of the nearest one."""
    from ridgeline.picture.worldmap import SiteMark, render_world

    enumeration = found.enumeration
    names = _names(enumeration)
    sites = [
        SiteMark(
            name=name,
            city=site.place.city if site.place else "no city in its disc",
            lat=site.lat,
            lon=site.lon,
        )
        for name, site in zip(names, enumeration.sites, strict=True)
    ]
    kind = "anycast" if enumeration.is_anycast else "not shown to be anycast"
    n_sites = f"{len(sites)} site{'' if len(sites) == 1 else 's'}"
    return render_world(
        _clients(found, names),
        sites,
        title=title,
        subtitle=(
            f"{kind}, {n_sites} found from {enumeration.n_vantage_points} vantage points; "
            "a dot has the colour of the nearest site"
        ),
    )


def _names(enumeration: Enumeration) -> list[str]:
    """Name each site by its airport; a second one there gets a number."""
    seen: Counter[str] = Counter()
    names = []
    for site in enumeration.sites:
        code = (site.place.code if site.place else "") or "unplaced"
        seen[code] += 1
        names.append(code if seen[code] == 1 else f"{code}-{seen[code]}")
    return names


def _clients(found: Enumerated, names: list[str]) -> "list[ClientMark]":
    """One dot for all vantage points of a place and site; suspects get a remark."""
    from ridgeline.picture.worldmap import ClientMark

    suspects = {(s.vantage_point, s.lat, s.lon): s.reason for s in found.enumeration.suspects}
    where = [unit_vector(site.lat, site.lon) for site in found.enumeration.sites]
    dots: Counter[tuple[float, float, str]] = Counter()
    marks = []
    for vp in found.file.vantage_points:
        reason = suspects.get((vp.name, vp.lat, vp.lon))
        if reason is not None:
            marks.append(
                ClientMark(
                    code=vp.name, city="", lat=vp.lat, lon=vp.lon, site=None, note=reason,
                    emphasis="unreached",
                )
            )  # fmt: skip
            continue
        here = unit_vector(vp.lat, vp.lon)
        nearest = max(range(len(where)), key=lambda i: cosine(here, where[i]))
        dots[round(vp.lat), round(vp.lon), names[nearest]] += 1
    return [
        ClientMark(code=site, city="", lat=lat, lon=lon, weight=n, site=site)
        for (lat, lon, site), n in dots.items()
    ] + marks[:_MOST_NOTES]
