"""SVG to PNG, for places that take no SVG.

The renderer (resvg) knows static CSS alone: variables are resolved here, to their light values, and
rules for dark screens and for hovering are left out. Text needs a font on the machine.
"""

import re
from types import ModuleType
from typing import Final

from ridgeline.errors import MachineError

# The metric twins of Helvetica come first: labels were measured for them.
_FAMILIES: Final = ("Liberation Sans", "Arial", "Helvetica", "DejaVu Sans", "Noto Sans")

_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_MEDIA: Final = re.compile(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}")
_RULE: Final = re.compile(r"([^{}]+)\{([^{}]*)\}")
_DEFINITION: Final = re.compile(r"--([\w-]+):\s*([^;{}]+)")
_VARIABLE: Final = re.compile(r"var\(--([\w-]+)(?:,([^()]*))?\)")


def svg_to_png(svg: str, *, width: int) -> bytes:
    """Render a drawing of ours at a width in pixels, in its light colours.

    Raises
    ------
    MachineError
        The renderer is not installed, refuses the drawing, or finds no font for its text.
    """
    renderer = _renderer()
    family = _family(renderer)
    try:
        return _render(renderer, _flatten(svg), width, family)
    except ValueError as problem:
        raise MachineError(f"resvg could not render the drawing: {problem}") from problem


def _renderer() -> ModuleType:
    try:
        import resvg_py
    except ImportError as problem:
        raise MachineError(
            "rendering PNG needs the package resvg-py, which is not installed",
            hint="pip install resvg-py (or write SVG instead)",
        ) from problem
    assert isinstance(resvg_py, ModuleType)  # noqa: S101 - untyped to mypy
    return resvg_py


def _render(renderer: ModuleType, svg: str, width: int, family: str) -> bytes:
    return bytes(
        renderer.svg_to_bytes(
            svg_string=svg, width=width, font_family=family, sans_serif_family=family
        )
    )


def _family(renderer: ModuleType) -> str:
    """Find a family that draws something: without a font, text silently vanishes."""
    blank = _sample(renderer, "", "none")
    for family in _FAMILIES:
        if _sample(renderer, "M", family) != blank:
            return family
    raise MachineError(
        "no font was found for the text of the drawing",
        hint="apt-get install fonts-liberation (or fonts-dejavu-core)",
    )


def _sample(renderer: ModuleType, letter: str, family: str) -> bytes:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">'
        f'<text y="8" font-size="8" font-family="{family}">{letter}</text></svg>'
    )
    return _render(renderer, svg, 8, family)


def _flatten(svg: str) -> str:
    """Resolve variables; drop the rules that only a browser needs."""

    def style(match: re.Match[str]) -> str:
        css = _MEDIA.sub("", match[1])
        values: dict[str, str] = dict(_DEFINITION.findall(css))
        rules = []
        for selector, body in _RULE.findall(css):
            if ":" in selector:
                continue
            plain = ";".join(p for p in body.split(";") if not p.strip().startswith("--"))
            for _ in range(3):  # a variable may stand for another
                plain = _VARIABLE.sub(lambda v: values.get(v[1], v[2] or "none"), plain)
            rules.append(f"{selector.strip()}{{{plain}}}")
        return f"<style>{chr(10).join(rules)}</style>"

    return _STYLE.sub(style, svg)
