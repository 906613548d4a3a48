"""World maps of catchments, as one SVG: who answers whom, from where, and what is not as it should.

Colours belong to the position of a site in `sites`: pass the same list to every map of a network.
Times and shares shown are those given; nothing here decides where a client lands.
"""

from collections.abc import Mapping, Sequence

from ridgeline.net.place import great_circle_km
from ridgeline.picture.land import outline
from ridgeline.picture.layers import (
    MAX_ARCS,
    Arc,
    Drawing,
    draw_arcs,
    draw_dots,
    draw_ground,
    draw_labels,
    draw_sites,
    spread_dots,
)
from ridgeline.picture.legend import Entry, KeySign, draw_legend
from ridgeline.picture.mapstyle import map_style
from ridgeline.picture.marks import (
    ClientMark,
    Emphasis,
    SiteLook,
    SiteMark,
    median_rtts,
    shares_of,
)
from ridgeline.picture.markup import esc, num, percent
from ridgeline.picture.palette import site_colour
from ridgeline.picture.sheet import choose_view

__all__ = ["ClientMark", "Emphasis", "SiteLook", "SiteMark", "land_defs", "render_world"]

_SAME_CITY_KM = 40.0


def render_world(
    clients: Sequence[ClientMark],
    sites: Sequence[SiteMark],
    *,
    title: str,
    subtitle: str = "",
    width: int = 1200,
    ident: str = "map",
    embedded: bool = False,
    legend: bool = True,
) -> str:
    """Draw a map of the world, or of the part of it in which all marks lie.

    Parameters
    ----------
    clients, sites
        In any number; a site that a client names but `sites` lacks is drawn grey.
    title, subtitle
        Shown above the map; the title is also its name for those who do not see it.
    width
        Width in user units. Type keeps its size, so a narrow map has relatively larger type.
    ident
        Id of the ``<svg>``, letters, digits and hyphens; maps in one page need different ones.
    embedded
        For a page that has the heading itself and `land_defs` in its body: draw neither again.
    legend
        Draw the table of sites and shares underneath.

    Returns
    -------
    str
        A standalone SVG document. The tones follow the reader's light or dark preference; a page
        may set ``--rl-sea``, ``--rl-land``, ``--rl-ink`` and so on (see `palette.TONES`).
    """
    if not (ident.isascii() and ident.replace("-", "").isalnum() and ident[0].isalpha()):
        raise ValueError(f"{ident!r} is not an id of letters, digits and hyphens")
    placed = sorted((c for c in clients if c.has_place), key=lambda c: (-c.weight, c.code))
    seated = [s for s in sites if s.has_place]
    arcs = _arcs(placed, {s.name: s for s in seated}) if len(placed) <= MAX_ARCS else []
    view = choose_view(
        [*((c.lat, c.lon) for c in placed), *((s.lat, s.lon) for s in seated)],
        [((a.lat, a.lon), (b.lat, b.lon)) for a, b, _ in arcs],
        width=float(width),
    )
    drawing = Drawing(
        view=view,
        small=width < 700,
        sites=seated,
        clients=placed,
        shares=shares_of(clients),
        numbers={site.name: number for number, site in enumerate(sites)},
        colours=[site_colour(number) for number in range(len(sites))],
    )
    spots = spread_dots(drawing)
    head, top = ("", 0.0) if embedded else _heading(title, subtitle, small=drawing.small)
    foot, below = "", 0.0
    if legend:
        foot, below = draw_legend(
            _entries(drawing, clients, sites),
            _keys(clients, sites, has_lines=bool(arcs)),
            top=top + view.height + 14,
            width=width,
            small=drawing.small,
        )
        below += 14
    height = num(top + view.height + below)
    label = _summary(title, drawing, clients)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rl-map" id="{ident}" role="img" '
        f'viewBox="0 0 {width} {height}" aria-label="{esc(label)}">'
        f"<style>{map_style(ident, drawing.colours)}</style>\n"
        f'<rect class="sea" width="{width}" height="{height}"/>{head}\n'
        f'<clipPath id="{ident}-clip"><rect width="{width}" height="{num(view.height)}"/></clipPath>'
        f'<g transform="translate(0 {num(top)})" clip-path="url(#{ident}-clip)">'
        f"{draw_ground(view, shared=embedded)}\n"
        f"{draw_arcs(drawing, arcs, spots)}\n"
        f"{draw_dots(drawing, spots)}{draw_sites(drawing)}{draw_labels(drawing, spots)}</g>\n"
        f"{foot}</svg>\n"
    )


def land_defs() -> str:
    """Outlines for maps drawn ``embedded``: once in a page, in its body."""
    return (
        '<svg width="0" height="0" aria-hidden="true" style="position:absolute"><defs>'
        f'<path id="rl-land" d="{outline("land")}"/>'
        f'<path id="rl-antarctica" d="{outline("antarctica")}"/>'
        f'<path id="rl-borders" d="{outline("borders")}"/></defs></svg>'
    )


def _arcs(clients: Sequence[ClientMark], sites: Mapping[str, SiteMark]) -> list[Arc]:
    arcs: list[Arc] = []
    for client in clients:
        for name, before in ((client.moved_from, True), (client.answered_by, False)):
            site = sites.get(name) if name is not None else None
            if site is None:
                continue
            if great_circle_km(client.lat, client.lon, site.lat, site.lon) > _SAME_CITY_KM:
                arcs.append((client, site, before))
    return arcs


def _heading(title: str, subtitle: str, *, small: bool) -> tuple[str, float]:
    if not title:
        return "", 0.0
    x = 10 if small else 20
    head = f'<text class="t" x="{x}" y="32">{esc(title)}</text>'
    if not subtitle:
        return head, 44.0
    return f'{head}<text class="u" x="{x}" y="53">{esc(subtitle)}</text>', 64.0


def _entries(
    drawing: Drawing, clients: Sequence[ClientMark], sites: Sequence[SiteMark]
) -> list[Entry]:
    medians = median_rtts(clients)
    entries = [
        Entry(
            css=f"s{number}",
            name=site.name,
            city=site.city,
            state=site.state,
            shape=drawing.colours[number].shape,
            share=drawing.shares.get(site.name, 0.0),
            rtt_ms=medians.get(site.name),
        )
        for number, site in enumerate(sites)
    ]
    strange = sum(
        share
        for name, share in drawing.shares.items()
        if name is not None and name not in drawing.numbers
    )
    for name, state, share in (
        ("elsewhere", "rest", strange),
        ("no answer", "unreached", drawing.shares.get(None, 0.0)),
    ):
        if share:
            entries.append(
                Entry(
                    css="sx", name=name, city="", state=state, shape="circle",
                    share=share, rtt_ms=None,
                )
            )  # fmt: skip
    return entries


def _keys(
    clients: Sequence[ClientMark], sites: Sequence[SiteMark], *, has_lines: bool
) -> list[tuple[KeySign, str]]:
    """Signs that this map uses, and what they mean."""
    drawn = [c for c in clients if c.has_place]
    absent = len(clients) - len(drawn)
    missing = "1 client without a place is" if absent == 1 else f"{absent} without a place are"
    states = {s.state for s in sites if s.has_place}
    keys: list[tuple[KeySign, str, bool]] = [
        ("dot", "clients, by number", bool(drawn)),
        ("pale", "not certain", any(c.is_uncertain for c in drawn)),
        ("ring", "with a remark", any(c.note for c in drawn)),
        ("line", "to the answering site", has_lines),
        ("dash", "to the site before", has_lines and any(c.moved_from for c in drawn)),
        ("drained", "drained", "drained" in states),
        ("down", "down", "down" in states),
        ("planned", "planned", "planned" in states),
        ("", f"{missing} not drawn", absent > 0),
    ]
    return [(sign, words) for sign, words, used in keys if used]


def _summary(title: str, drawing: Drawing, clients: Sequence[ClientMark]) -> str:
    """Tell in words what the map shows, for those who do not see it."""
    ranked = sorted(
        ((share, name) for name, share in drawing.shares.items() if name is not None),
        key=lambda pair: (-pair[0], pair[1]),
    )
    parts = [f"{name} {percent(share)}" for share, name in ranked[:12]]
    if len(ranked) > 12:
        parts.append(f"{len(ranked) - 12} more sites")
    if drawing.shares.get(None):
        parts.append(f"no answer {percent(drawing.shares[None])}")
    return f"{title or 'World map'}. {len(clients)} client marks: {', '.join(parts) or 'none'}."
