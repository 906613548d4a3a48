import builtins
from struct import unpack
from typing import Any

import pytest

from ridgeline.errors import MachineError
from ridgeline.picture.png import _family, _flatten, svg_to_png
from ridgeline.picture.worldmap import ClientMark, SiteMark, render_world

SVG = render_world(
    [ClientMark(code="icn", city="Seoul", lat=37.5, lon=126.5, site="nrt")],
    [SiteMark(name="nrt", city="Tokyo", lat=35.8, lon=140.4)],
    title="Who answers whom",
)


def test_a_png_is_as_wide_as_asked() -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    png = svg_to_png(SVG, width=640)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = unpack(">II", png[16:24])
    assert width == 640
    assert 250 < height < 450


def test_a_drawing_that_is_none_is_refused_with_a_reason() -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    with pytest.raises(MachineError, match="resvg could not render the drawing"):
        svg_to_png("<html/>", width=100)


def test_a_machine_without_fonts_is_told_so() -> None:
    resvg = pytest.importorskip("resvg_py", reason="resvg-py is not installed")

    class Fontless:
        @staticmethod
        def svg_to_bytes(**more: Any) -> bytes:
            return bytes(resvg.svg_to_bytes(**more, skip_system_fonts=True))

    with pytest.raises(MachineError, match="no font was found"):
        _family(Fontless)  # type: ignore[arg-type]  # the one function of the module


def test_without_the_renderer_we_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without_resvg(name: str, *rest: Any, **more: Any) -> Any:
        if name == "resvg_py":
            raise ModuleNotFoundError(name)
        return usual(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_resvg)
    with pytest.raises(MachineError) as caught:
        svg_to_png(SVG, width=100)
    assert caught.value.hint.startswith("pip install resvg-py")


def test_the_style_for_the_renderer_is_plain_and_light() -> None:
    style = _flatten(SVG).partition("<style>")[2].partition("</style>")[0]
    assert "var(" not in style
    assert "@media" not in style
    assert ":has" not in style
    assert "#map .land,#map .antarctica{fill:#d9dfdb}" in style
    assert "#map .s0{fill:#1e7fb1;stroke:#1e7fb1}" in style
