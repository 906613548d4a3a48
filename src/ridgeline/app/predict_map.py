"""A prediction as a picture of the world: SVG, PNG, or an HTML page that stands alone."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ridgeline.app.predict import Prediction
from ridgeline.catchment.inflation import Detour
from ridgeline.catchment.model import CatchmentMap, Certainty
from ridgeline.errors import InputError, MachineError
from ridgeline.spec.model import SiteState

if TYPE_CHECKING:
    from ridgeline.picture.worldmap import ClientMark, SiteLook

FORMATS: Final = (".svg", ".png", ".html")
NOTED_MS: Final = 50.0  # a detour that users notice

_LOOKS: "Final[dict[SiteState, SiteLook]]" = {
    SiteState.ACTIVE: "announced",
    SiteState.DRAINED: "drained",
    SiteState.PLANNED: "planned",
}
_LEAST_SURE: Final = (Certainty.POSSIBLE, Certainty.LIKELY, Certainty.CERTAIN)


def check_picture_name(path: str) -> None:
    """Refuse a file name that says no format, before any work is done.

    Raises
    ------
    InputError
        With the endings that there are.
    """
    if Path(path).suffix not in FORMATS:
        raise InputError(f"{path}: a map is drawn as {', '.join(FORMATS)}; end the name so")


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


def write_picture(svg: str, path: str, *, title: str) -> None:
    """Write a drawing in the format that the name ends in.

    Raises
    ------
    MachineError
        The file cannot be written, or PNG is asked for and nothing can make one.
    """
    check_picture_name(path)
    try:
        if path.endswith(".png"):
            Path(path).write_bytes(_png(svg))
        elif path.endswith(".html"):
            Path(path).write_text(_page(svg, title), encoding="utf-8")
        else:
            Path(path).write_text(svg, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error.strerror}") from None


def _clients(prediction: Prediction) -> "list[ClientMark]":
    from ridgeline.picture.worldmap import ClientMark

    catchment = prediction.map
    cities: dict[tuple[float, float, str | None], list[int]] = defaultdict(list)
    for row, site in enumerate(catchment.site):
        lat, lon = catchment.lat[row], catchment.lon[row]
        if lat is not None and lon is not None:
            cities[lat, lon, site].append(row)
    detours = {detour.row: detour for detour in prediction.inflation.detours}
    return [
        ClientMark(
            code=catchment.city[rows[0]],
            city="",
            lat=lat,
            lon=lon,
            weight=sum(catchment.weight[row] for row in rows),
            site=site,
            rtt_ms=catchment.rtt_ms[rows[0]],
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
    if worst is None or worst.extra_ms < NOTED_MS:
        return ""
    return f"not the nearest: {worst.nearest} would be {worst.extra_ms:.0f} ms nearer"


def _png(svg: str) -> bytes:
    try:
        import resvg_py
    except ImportError:
        raise MachineError(
            "a PNG needs resvg_py, which is not installed",
            hint="pip install resvg_py, or name the map .svg or .html",
        ) from None
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=2400))


def _page(svg: str, title: str) -> str:
    from html import escape

    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title>"
        "<style>html{color-scheme:light dark}body{margin:0}svg{display:block;width:100%;height:auto}</style>"
        f"</head><body>{svg}</body></html>\n"
    )
