"""The style sheet of a map: rules under the map's own id, so that maps in one page do not meet."""

from collections.abc import Sequence
from typing import Final

from ridgeline.picture.palette import TONES, SiteColour

FONTS: Final = '-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Liberation Sans","DejaVu Sans",sans-serif'

# `ID` stands for the map's id selector. Rules of equal weight: the later one holds.
_RULES: Final = """
ID{font-family:FONTS}
ID .sea{fill:var(--sea)}
ID .sheet{fill:var(--sheet)}
ID .land,ID .antarctica{fill:var(--land)}
ID .borders{fill:none;stroke:var(--border)}
ID .sx{fill:var(--soft);stroke:var(--soft)}
SITES
ID .t{font-size:20px;font-weight:600;fill:var(--ink)}
ID .u{font-size:13px;fill:var(--soft)}
ID .n,ID .c{fill:var(--ink);stroke:var(--sheet);stroke-width:3.4px;stroke-linejoin:round;paint-order:stroke}
ID .c{fill:var(--soft)}
ID .c.moved{fill:var(--ink)}
ID .b{font-weight:700}
ID .leader{fill:none;stroke:var(--soft);stroke-width:.8}
ID .arcs path{fill:none;stroke-width:1.5;stroke-linecap:round;opacity:.6}
ID .arcs.quiet .arc{stroke-width:1;opacity:.28}
ID .arcs .now,ID .arcs.quiet .now{stroke-width:2.2;opacity:.95}
ID .arcs .was{stroke-width:1.2;stroke-dasharray:1.5 4;opacity:.8}
ID .dots{stroke:none}
ID .dots .pale{fill-opacity:.5}
ID .dots .none{fill:var(--sheet);stroke:var(--bad);stroke-width:1.8}
ID .ring{fill:none;stroke:var(--ink);stroke-width:1}
ID .site.announced{stroke:var(--sheet);stroke-width:1.6}
ID .site.drained,ID .site.planned{fill:var(--sheet);stroke-width:2}
ID .site.planned{stroke-dasharray:2 2}
ID .site.down{fill:var(--sheet);stroke:var(--soft);stroke-width:2}
ID .core{fill:var(--ink);stroke:none}
ID .lt,ID .ls{stroke:none;fill:var(--ink);font-size:13px}
ID .ls{fill:var(--soft);font-size:12px}
ID .track,ID .bar{stroke:none}
ID .track{fill:var(--rule)}
ID .keyline{fill:none;stroke:var(--soft);stroke-width:1.5}
ID .keydash{stroke-dasharray:1.5 4}
ID .keydot{fill:var(--soft);stroke:none}
ID .keypale{fill-opacity:.5}
ID .h{cursor:default}
"""

_MAX_HOVER: Final = 64  # sites with a highlight rule of their own


def map_style(ident: str, colours: Sequence[SiteColour]) -> str:
    """CSS of the map with that id; hovering a site fades what is not its own."""
    scope = f"#{ident}"
    light, dark = (
        "".join(f"--{name}:var(--rl-{name},{pair[side]});" for name, pair in TONES.items())
        + "".join(f"--c{n}:{(c.light, c.dark)[side]};" for n, c in enumerate(colours))
        for side in (0, 1)
    )
    sites = "".join(
        f"ID .s{n}{{fill:var(--c{n});stroke:var(--c{n})}}\n" for n in range(len(colours))
    )
    hover = "".join(
        f"ID:has(.h.s{n}:hover) .k:not(.s{n}){{opacity:.1}}\n"
        f"ID:has(.h.s{n}:hover) .k.s{n}{{opacity:1}}\n"
        for n in range(min(len(colours), _MAX_HOVER))
    )
    rules = (_RULES.replace("SITES\n", sites) + hover).replace("FONTS", FONTS).replace("ID", scope)
    return (
        f"\n{scope}{{{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{{scope}{{{dark}}}}}{rules}"
    )
