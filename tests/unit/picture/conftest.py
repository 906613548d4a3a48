"""What a drawing or a page of ours must be, whatever it shows: well formed, and asking for nothing."""

import re
from collections.abc import Callable
from html.parser import HTMLParser
from json import loads
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

_VOID = {"meta", "br", "hr", "img", "input", "wbr", "link", "base", "col", "source"}
_INLINE = {"span", "i", "tspan", "code", "abbr", "sup"}
_FETCHING = {
    "script",
    "link",
    "img",
    "iframe",
    "object",
    "embed",
    "base",
    "image",
    "form",
    "video",
    "audio",
}
_REFERRING = {
    "src",
    "href",
    "xlink:href",
    "srcset",
    "action",
    "poster",
    "data",
    "background",
    "formaction",
}


def _check_css(css: str) -> None:
    assert "@import" not in css
    assert all(inside.startswith("#") for inside in re.findall(r"url\(\s*['\"]?([^)]*)", css))
    assert css.count("{") == css.count("}")
    assert "<" not in css


class _Page(HTMLParser):
    """Stricter than a browser: every element is closed, in order, and every id is its own."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in _FETCHING, f"<{tag}> could fetch or run something"
        for name, value in attrs:
            assert not name.startswith("on"), f"<{tag} {name}=...> runs a script"
            if name in _REFERRING:
                assert (value or "").startswith("#"), f"<{tag} {name}={value!r}> leaves the page"
                self.targets.append((value or "")[1:])
            if name == "style":
                _check_css(value or "")
            if name == "id":
                self.ids.append(value or "")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _INLINE:
            self.words.append(" ")
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            _check_css(data)
        else:
            self.words.append(data)


@pytest.fixture
def read_page() -> Callable[[str], str]:
    """Check a page from end to end; return its text."""

    def read(markup: str) -> str:
        page = _Page()
        page.feed(markup)
        page.close()
        assert page.open == []
        assert len(page.ids) == len(set(page.ids)), "an id stands twice"
        assert set(page.targets) <= set(page.ids), "a reference leads nowhere"
        return " ".join("".join(page.words).split())

    return read


@pytest.fixture
def read_svg() -> Callable[[str], ET.Element]:
    """Check a drawing that stands alone; return its root."""

    def read(svg: str) -> ET.Element:
        root = ET.fromstring(svg)  # noqa: S314 - our own output
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        for element in root.iter():
            name = element.tag.rpartition("}")[2]
            assert name not in _FETCHING
            for key, value in element.attrib.items():
                assert not key.startswith("on")
                if key.rpartition("}")[2] in _REFERRING:
                    assert value.startswith("#")
                assert "nan" not in value.split(), f"<{name} {key}={value!r}>"
                assert all(inside.startswith("#") for inside in re.findall(r"url\(([^)]*)", value))
            if name == "style":
                _check_css(element.text or "")
        return root

    return read


@pytest.fixture
def rehearsal_report() -> dict[str, object]:
    """A rehearsal of four sites seen from twelve cities, as the demo writes it."""
    text = (Path(__file__).parent / "data" / "rehearsal.json").read_text(encoding="utf-8")
    report = loads(text)
    assert isinstance(report, dict)
    return report
