"""A prediction as a picture of the world: SVG, PNG, or an HTML page that stands alone."""

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from ridgeline.app.predict import Prediction
from ridgeline.app.prediction_document import N_WORST
from ridgeline.catchment.inflation import Detour
from ridgeline.catchment.model import CatchmentMap, Certainty
from ridgeline.errors import InputError
from ridgeline.spec.model import SiteState

if TYPE_CHECKING:
    from ridgeline.picture.worldmap import ClientMark, SiteLook

NOTED_MS: Final = 50.0  # a detour that users notice

_LOOKS: "Final[dict[SiteState, SiteLook]]" = {
    SiteState.ACTIVE: "announced",
    SiteState.DRAINED: "drained",
    SiteState.PLANNED: "planned",
}
_LEAST_SURE: Final = (Certainty.POSSIBLE, Certainty.LIKELY, Certainty.CERTAIN)


def draw_prediction(prediction: Prediction) -> str:
    """Draw clients in the colour of their site; one dot for each city and site.

    Raises
    ------
    InputError
        The Internet places nobody.
    """
    from ridgeline.picture.worldmap import SiteMark, render_world

    clients = _clients(prediction)
    if not clients:
        raise InputError(f"{prediction.internet} places no client on the globe: nothing to draw")
    sites = [
        SiteMark(
            name=site.name,
            city=site.place.city,
            lat=site.place.lat,
            lon=site.place.lon,
            state=_LOOKS[site.state] if site.name in prediction.sites else "down",
        )
        for site in prediction.spec.sites
    ]
    return render_world(
        clients,
        sites,
        title=f"{prediction.spec.network}: where clients land",
        subtitle=f"{prediction.prefix}, predicted on {prediction.internet}",
    )


def _clients(prediction: Prediction) -> "list[ClientMark]":
    from ridgeline.picture.worldmap import ClientMark

    catchment = prediction.map
    cities: dict[tuple[float, float, str | None], list[int]] = defaultdict(list)
    for row, site in enumerate(catchment.site):
        lat, lon = catchment.lat[row], catchment.lon[row]
        if lat is not None and lon is not None:
            cities[lat, lon, site].append(row)
    # Rings around every other dot would tell nothing: only the worst get one.
    worst = prediction.inflation.detours[:N_WORST]
    detours = {detour.row: detour for detour in worst if detour.extra_ms >= NOTED_MS}
    heaviest = {
        key: max(rows, key=lambda row: catchment.weight[row]) for key, rows in cities.items()
    }
    return [
        ClientMark(
            code=catchment.city[rows[0]],
            city="",
            lat=lat,
            lon=lon,
            weight=sum(catchment.weight[row] for row in rows),
            site=site,
            rtt_ms=catchment.rtt_ms[heaviest[lat, lon, site]],
            certainty=_least_sure(catchment, rows),
            note=_note([detours[row] for row in rows if row in detours]),
            emphasis="" if site is not None else "unreached",
        )
        for (lat, lon, site), rows in cities.items()
    ]


def _least_sure(catchment: CatchmentMap, rows: list[int]) -> str:
    found = {catchment.certainty[row] for row in rows}
    return next((c.value for c in _LEAST_SURE if c in found), Certainty.CERTAIN.value)


def _note(detours: list[Detour]) -> str:
    worst = max(detours, key=lambda d: d.extra_ms, default=None)
    if worst is None:
        return ""
    return f"not the nearest: {worst.nearest} would be {worst.extra_ms:.0f} ms nearer"
