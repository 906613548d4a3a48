import re
from collections.abc import Callable, Iterable
from xml.etree import ElementTree as ET

from ridgeline.picture.chips import Chips
from ridgeline.picture.strip import render_strip

CHIPS = Chips(["nrt", "sin"])
Answer = dict[str, object]
ReadSvg = Callable[[str], ET.Element]


def answers(
    city: str, sites: Iterable[str | None], start: float = -50.0, step: float = 10.0
) -> list[Answer]:
    return [
        {
            "city": city,
            "t_ms": start + n * step,
            "site": site,
            "rtt_ms": None if site is None else 3.0,
        }
        for n, site in enumerate(sites)
    ]


MOVES = answers("icn", ["nrt"] * 8 + [None] * 3 + ["sin"] * 40)
STAYS = answers("fra", ["lhr"] * 51)


def draw(timeline: list[Answer], routing: list[Answer] | None = None, width: int = 1000) -> str:
    svg = render_strip(
        timeline, routing or [], CHIPS, event="nrt withdrawn", names={"icn": "Seoul"}, width=width
    )
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def spots(svg: str, css: str) -> list[float]:
    """X of each dot or tick of that class."""
    found = re.findall(rf'<path class="{css}" d="([^"]*)"', svg)
    return [float(x) for path in found for x in re.findall(r"M([-\d.]+) ", path)]


def test_a_dot_for_each_answer_in_the_window_and_a_tick_for_each_loss(read_svg: ReadSvg) -> None:
    svg = draw(MOVES)
    read_svg(svg)
    assert len(spots(svg, "lost")) == 3
    # The window is -50 ms (a little before) to 100 ms (half as long again as the last change).
    assert len(spots(svg, "ok q0")) == 8
    assert len(spots(svg, "ok q1")) == 5
    assert max(spots(svg, "ok q0")) < min(spots(svg, "lost")) < min(spots(svg, "ok q1"))


def test_the_gap_lasts_until_the_next_answer() -> None:
    svg = draw(MOVES)
    assert "no answer for 30 ms" in svg
    assert svg.count('class="gap"') == 1


def test_a_city_that_never_comes_back_has_an_open_gap() -> None:
    assert "no answer to the end" in draw(answers("icn", ["nrt"] * 8 + [None] * 5))


def test_unaffected_cities_are_left_out_unless_all_are() -> None:
    assert ">fra" not in draw([*MOVES, *STAYS])
    assert ">fra" in draw(STAYS)


def test_routing_changes_are_ticks_that_say_what_changed() -> None:
    svg = draw(MOVES, [{"t_ms": 4.2, "router": "nrt1", "change": "192.0.2.0/24 <withdrawn>"}])
    assert "4.2 ms nrt1 192.0.2.0/24 &lt;withdrawn&gt;" in svg


def test_the_event_is_at_zero_and_named(read_svg: ReadSvg) -> None:
    for width in (1000, 440):
        svg = draw(MOVES, width=width)
        root = read_svg(svg)
        assert root.get("aria-label") == (
            "nrt withdrawn: the answers of one city over time, 3 lost queries"
        )
        zero = re.search(r'class="zero" d="M([\d.]+) ', svg)
        assert zero
        # A query was sent exactly then; dots lie on half pixels.
        assert min(abs(x - float(zero[1])) for x in spots(svg, "ok q0")) <= 0.3
        assert ">0</text>" in svg


def test_a_hundred_thousand_answers_stay_small() -> None:
    flood = answers("icn", ["nrt"] * 50_000 + ["sin"] * 50_000, start=-50_000, step=1.0)
    assert len(draw(flood)) < 60_000


def test_no_timeline_no_chart() -> None:
    assert render_strip([], [], CHIPS, event="", names={}) == ""
    assert render_strip([{"city": "icn"}], [], CHIPS, event="", names={}) == ""


def test_a_single_answer_is_a_chart_too(read_svg: ReadSvg) -> None:
    read_svg(draw(answers("icn", ["nrt"], start=0.0)))


def test_of_several_services_the_first_is_drawn() -> None:
    dns = [{**answer, "service": "dns"} for answer in MOVES]
    web = [{**answer, "service": "web"} for answer in answers("icn", ["nrt"] * 51)]
    both = [entry for pair in zip(dns, web, strict=True) for entry in pair]
    assert draw(both) == draw(MOVES)


def test_a_change_before_the_event_is_in_the_window() -> None:
    # Asked 180 ms before it, under way when it happened, answered by the next site.
    early = answers("icn", ["nrt"] * 20 + ["sin"] * 60, start=-380.0)
    svg = draw(early)
    assert spots(svg, "ok q0")
    assert spots(svg, "ok q1")


def test_labels_of_the_time_stay_inside() -> None:
    svg = draw(MOVES)
    xs = [float(x) for x in re.findall(r'text-anchor="middle" x="([\d.]+)"', svg)]
    assert len(xs) >= 3
    assert min(xs) > 10
    assert max(xs) < 990
