"""A map in a page: one drawing for wide pages, one for narrow ones."""

from collections.abc import Sequence

from ridgeline.picture.worldmap import ClientMark, SiteMark, render_world


def draw_maps(
    clients: Sequence[ClientMark],
    sites: Sequence[SiteMark],
    *,
    title: str,
    caption: str,
    ident: str,
    width: int,
) -> str:
    """Draw a map for a page that holds `land_defs`.

    Parameters
    ----------
    title
        Plain text, for those who do not see the map.
    caption
        Markup.
    width
        Of the wide drawing, in user units; type keeps its size.
    """
    wide = render_world(clients, sites, title=title, width=width, ident=ident, embedded=True)
    narrow = render_world(
        clients, sites, title=title, width=400, ident=f"{ident}-narrow", embedded=True
    )
    return (
        f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )
