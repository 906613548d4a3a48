from collections.abc import Callable

from ridgeline.picture.html import render_page, render_section, render_table

ReadPage = Callable[[str], str]


def test_a_page_forbids_itself_every_request(read_page: ReadPage) -> None:
    page = render_page("Title", "<main>Body</main>", description="About")
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert "Body" in read_page(page)


def test_title_and_description_are_escaped(read_page: ReadPage) -> None:
    page = render_page("</title><b>", "", description='"><b>')
    assert read_page(page) == "</title><b>"
    assert "<b>" not in page


def test_the_page_is_light_on_paper_whatever_the_screen() -> None:
    page = render_page("", "")
    assert "@media screen and (prefers-color-scheme:dark){:root{--rl-sea:" in page


def test_a_table_names_its_rows_and_sets_numbers_flush(read_page: ReadPage) -> None:
    table = render_table(["City", "Lost"], [("nrt", "5"), ("sin", "0")], numbers=[1], caption="<i>")
    text = read_page(f"<div>{table}</div>")
    assert text == "<i> City Lost nrt 5 sin 0"
    assert '<th scope="row">nrt</th><td class="num">5</td>' in table


def test_a_section_without_a_body_is_left_out() -> None:
    assert render_section("a", "A", "") == ""
    assert 'aria-labelledby="a-h"' in render_section("a", "A", "<p>x</p>")
