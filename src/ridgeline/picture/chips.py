"""A site's name in a page, with its diamond in the colour that it has on the maps."""

from collections.abc import Iterable

from ridgeline.picture.markup import esc
from ridgeline.picture.palette import site_colour


class Chips:
    """The sites of a page, in the order that decides their colours."""

    def __init__(self, names: Iterable[str]) -> None:
        self._number = {name: number for number, name in enumerate(dict.fromkeys(names))}

    @property
    def names(self) -> list[str]:
        return list(self._number)

    def css(self, name: str | None) -> str:
        """Class that sets ``--q`` to the site's colour; ``qx`` (grey) for a stranger."""
        number = self._number.get(name) if name is not None else None
        return "qx" if number is None else f"q{number}"

    def chip(self, name: str | None) -> str:
        """Markup of a site's name; of a dash for no site."""
        if not name:
            return '<span class="chip qx none">no answer</span>'
        return f'<span class="chip {self.css(name)}"><i></i>{esc(name)}</span>'

    def style(self) -> str:
        """CSS of the colours and chips, light and dark."""
        colours = [(number, site_colour(number)) for number in self._number.values()]
        light = "".join(f".q{number}{{--q:{colour.light}}}" for number, colour in colours)
        dark = "".join(f".q{number}{{--q:{colour.dark}}}" for number, colour in colours)
        return (
            f"\n.qx{{--q:var(--rl-soft)}}{light}\n"
            f"@media screen and (prefers-color-scheme:dark){{{dark}}}\n"
            ".chip{white-space:nowrap;font-weight:600}\n"
            ".chip i{display:inline-block;width:.56em;height:.56em;margin:0 .42em .08em .1em;"
            "background:var(--q);transform:rotate(45deg)}\n"
            ".chip.none{font-weight:400;color:var(--rl-bad)}\n"
        )
