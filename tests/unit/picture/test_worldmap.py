import re
from collections.abc import Callable
from dataclasses import replace
from math import asin, degrees, nan
from random import Random
from time import process_time
from xml.etree import ElementTree as ET

import pytest

from ridgeline.picture.marks import median_rtts, shares_of
from ridgeline.picture.worldmap import ClientMark, SiteMark, land_defs, render_world

ReadSvg = Callable[[str], ET.Element]
SVG = "{http://www.w3.org/2000/svg}"

NRT = SiteMark(name="nrt", city="Tokyo", lat=35.76, lon=140.39)
LHR = SiteMark(name="lhr", city="London", lat=51.47, lon=-0.46)
SITES = [NRT, LHR]


def client(code: str, lat: float, lon: float, site: str | None, **more: object) -> ClientMark:
    mark = ClientMark(code=code, city=f"City of {code}", lat=lat, lon=lon, site=site)
    return replace(mark, **more)  # type: ignore[arg-type]  # the tests know the fields


CLIENTS = [
    client("icn", 37.47, 126.45, "nrt", weight=25.0, rtt_ms=23.0),
    client("fra", 50.03, 8.57, "lhr", weight=6.0, rtt_ms=14.0),
    client("jnb", -26.13, 28.24, "lhr", weight=10.0, rtt_ms=144.0),
    client("hnl", 21.32, -157.92, "nrt", weight=1.0, rtt_ms=92.0),
]


def dots(root: ET.Element) -> list[ET.Element]:
    """Each client's group: the dot and its title."""
    return [
        mark
        for layer in root.iter(f"{SVG}g")
        if "dots" in layer.get("class", "").split() and "k" in layer.get("class", "").split()
        for mark in layer.findall(f"{SVG}g")
    ]


def words(root: ET.Element) -> str:
    return "\n".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))


def paths(root: ET.Element, css: str) -> list[str]:
    return [
        p.get("d", "") for p in root.iter(f"{SVG}path") if css in (p.get("class") or "").split()
    ]


def test_every_client_is_drawn_with_what_is_known_of_it(read_svg: ReadSvg) -> None:
    root = read_svg(render_world(CLIENTS, SITES, title="Who answers whom"))
    tips = [mark.findtext(f"{SVG}title") for mark in dots(root)]
    assert sorted(filter(None, tips)) == [
        "City of fra (fra): lhr, 14 ms",
        "City of hnl (hnl): nrt, 92 ms",
        "City of icn (icn): nrt, 23 ms",
        "City of jnb (jnb): lhr, 144 ms",
    ]


def test_sites_stand_with_name_share_and_median(read_svg: ReadSvg) -> None:
    text = words(read_svg(render_world(CLIENTS, SITES, title="Who answers whom")))
    assert "Who answers whom" in text
    assert "nrt 62 %" in text
    assert "lhr 38 %" in text
    assert "Tokyo, 23 ms" in text
    assert "London, 144 ms" in text


def test_the_map_tells_its_content_to_those_who_do_not_see_it(read_svg: ReadSvg) -> None:
    root = read_svg(render_world(CLIENTS, SITES, title="Who answers whom"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Who answers whom. 4 client marks: nrt 62 %, lhr 38 %."


def test_dots_grow_with_the_square_root_of_weight(read_svg: ReadSvg) -> None:
    far = [client(f"c{n}", 0.0, -60.0 + 40 * n, "lhr", weight=w) for n, w in enumerate((1, 4, 9))]
    root = read_svg(render_world(far, SITES, title=""))
    radii = sorted(float(m[0].get("r", "0")) for m in dots(root))
    assert radii[2] == pytest.approx(9.5)
    assert radii[1] == pytest.approx(9.5 * 2 / 3, abs=0.06)


def test_a_line_over_the_edge_of_the_sheet_is_drawn_in_two_pieces(read_svg: ReadSvg) -> None:
    root = read_svg(render_world([CLIENTS[3]], SITES, title="", width=1000))
    (line,) = paths(root, "arc")
    pieces = [re.findall(r"-?[\d.]+", piece) for piece in line.split("M")[1:]]
    assert len(pieces) == 2
    assert float(pieces[0][-2]) < 40  # Honolulu, out over the left edge
    assert float(pieces[1][0]) > 960  # and in again on the right
    assert float(pieces[0][-1]) == pytest.approx(float(pieces[1][1]), abs=0.2)


def test_no_line_is_drawn_to_a_site_in_the_same_city(read_svg: ReadSvg) -> None:
    root = read_svg(render_world([client("nrt", 35.7, 140.3, "nrt")], SITES, title=""))
    assert paths(root, "arc") == []
    assert len(dots(root)) == 1


def test_a_dot_does_not_hide_under_its_site(read_svg: ReadSvg) -> None:
    root = read_svg(render_world([client("nrt", NRT.lat, NRT.lon, "lhr")], SITES, title=""))
    (dot,) = (mark[0] for mark in dots(root))
    diamond = re.search(
        r'class="site s0 announced"><path d="M([\d.]+) ([\d.]+)', render_world([], SITES, title="")
    )
    assert diamond
    assert abs(float(dot.get("cx", "0")) - float(diamond[1])) > 4


def test_moved_clients_stand_out_with_a_line_to_the_site_before(read_svg: ReadSvg) -> None:
    moved = replace(CLIENTS[0], site="lhr", was="nrt", emphasis="moved")
    root = read_svg(render_world([moved, CLIENTS[1]], SITES, title=""))
    assert len(paths(root, "was")) == 1
    assert len(paths(root, "now")) == 1
    assert "before: nrt" in (dots(root)[0].findtext(f"{SVG}title") or "")
    assert "to the site before" in words(root)


def test_unreached_clients_have_no_line_and_count_as_no_answer(read_svg: ReadSvg) -> None:
    lost = replace(CLIENTS[0], emphasis="unreached")
    alone = client("bom", 19.0, 72.8, None, weight=25.0)
    root = read_svg(render_world([lost, alone], SITES, title=""))
    assert paths(root, "arc") == []
    assert "no answer" in words(root)
    assert "no answer 100 %" in (root.get("aria-label") or "")
    assert [mark[0].get("class") for mark in dots(root)] == ["none", "none"]


def test_remarks_and_doubts_are_visible_and_explained(read_svg: ReadSvg) -> None:
    noted = replace(CLIENTS[1], note="not the nearest: cdg is 300 km nearer")
    doubted = replace(CLIENTS[2], certainty="possible")
    root = read_svg(render_world([noted, doubted], SITES, title=""))
    tips = " ".join(mark.findtext(f"{SVG}title") or "" for mark in dots(root))
    assert "not the nearest: cdg is 300 km nearer" in tips
    assert "possible" in tips
    assert "with a remark" in words(root)
    assert "not certain" in words(root)


def test_signs_that_the_map_does_not_use_are_not_explained(read_svg: ReadSvg) -> None:
    text = words(read_svg(render_world(CLIENTS, SITES, title="")))
    assert "with a remark" not in text
    assert "drained" not in text


@pytest.mark.parametrize("state", ["drained", "down", "planned"])
def test_the_state_of_a_site_is_told(read_svg: ReadSvg, state: str) -> None:
    site = replace(NRT, state=state)  # type: ignore[arg-type]  # one of the states
    text = words(read_svg(render_world(CLIENTS[1:3], [site, LHR], title="")))
    assert f"nrt {state}" in text


def test_a_site_that_was_not_listed_is_grey_and_counted(read_svg: ReadSvg) -> None:
    root = read_svg(render_world([client("fra", 50.0, 8.6, "ams")], SITES, title=""))
    assert "elsewhere" in words(root)
    assert len(dots(root)) == 1


def test_a_client_without_a_place_is_counted_and_not_drawn(read_svg: ReadSvg) -> None:
    root = read_svg(render_world([*CLIENTS, client("", nan, nan, "nrt")], SITES, title=""))
    assert len(dots(root)) == 4
    assert "1 client without a place is not drawn" in words(root)


@pytest.mark.parametrize("clients", [[], CLIENTS], ids=["no clients", "clients"])
@pytest.mark.parametrize("sites", [[], SITES], ids=["no sites", "sites"])
@pytest.mark.parametrize("width", [320, 1200])
def test_empty_input_gives_an_empty_map(
    read_svg: ReadSvg, clients: list[ClientMark], sites: list[SiteMark], width: int
) -> None:
    root = read_svg(render_world(clients, sites, title="Nothing", width=width))
    assert len(paths(root, "land")) == 1
    assert len(dots(root)) == len(clients)


def test_weights_of_zero_divide_nothing(read_svg: ReadSvg) -> None:
    nobody = [replace(c, weight=0.0) for c in CLIENTS]
    root = read_svg(render_world(nobody, SITES, title=""))
    assert len(dots(root)) == 4
    assert shares_of(nobody) == {"nrt": 0.0, "lhr": 0.0}


def test_hostile_names_stay_text(read_svg: ReadSvg) -> None:
    evil = '"><script>alert(1)</script>&\x00</svg>'
    mark = ClientMark(code=evil, city=evil, lat=0, lon=0, site=evil, note=evil, certainty="likely")
    site = SiteMark(name=evil, city=evil, lat=10, lon=10)
    root = read_svg(render_world([mark], [site], title=evil, subtitle=evil))
    assert "<script>alert(1)</script>" in words(root)
    assert root.get("aria-label", "").startswith('"><script>')


@pytest.mark.parametrize("ident", ["", "a b", "1a", 'a"b', "a{}", "-a"])
def test_an_id_that_could_break_the_style_is_refused(ident: str) -> None:
    with pytest.raises(ValueError, match="is not an id"):
        render_world([], [], title="", ident=ident)


def test_marks_of_one_region_fill_the_map(read_svg: ReadSvg) -> None:
    near = [client("fra", 50.0, 8.6, "lhr"), client("mad", 40.5, -3.6, "lhr")]
    world = read_svg(render_world([*near, CLIENTS[2]], [LHR], title=""))
    region = read_svg(render_world(near, [LHR], title=""))

    def apart(root: ET.Element) -> float:
        xs = [float(mark[0].get("cx", "0")) for mark in dots(root)[:2]]
        return abs(xs[0] - xs[1])

    assert apart(region) > 2 * apart(world)


def test_antarctica_is_drawn_for_those_who_are_there(read_svg: ReadSvg) -> None:
    plain = read_svg(render_world(CLIENTS, SITES, title=""))
    south = read_svg(render_world([*CLIENTS, client("mcm", -77.8, 166.7, "nrt")], SITES, title=""))
    assert paths(plain, "antarctica") == []
    assert len(paths(south, "antarctica")) == 1
    box = [float(n) for n in south.get("viewBox", "").split()]
    assert all(0 < float(mark[0].get("cy", "0")) < box[3] for mark in dots(south))


def test_an_embedded_map_leaves_heading_and_outlines_to_its_page() -> None:
    svg = render_world(CLIENTS, SITES, title="Who answers whom", embedded=True)
    assert len(svg) < 20_000
    for used in re.findall(r'href="#([\w-]+)"', svg):
        assert f'id="{used}"' in land_defs()
    assert ">Who answers whom<" not in svg
    assert 'aria-label="Who answers whom' in svg


def test_the_tones_follow_the_reader_and_the_page_and_print_stays_light() -> None:
    svg = render_world(CLIENTS, SITES, title="")
    assert "@media screen and (prefers-color-scheme:dark)" in svg
    assert "--land:var(--rl-land,#" in svg


def test_hovering_a_site_fades_the_catchments_of_others() -> None:
    svg = render_world(CLIENTS, SITES, title="", ident="m1")
    assert "#m1:has(.h.s1:hover) .k:not(.s1){opacity:.1}" in svg


def test_medians_are_weighted() -> None:
    marks = [
        client("a", 0, 0, "nrt", weight=1.0, rtt_ms=10.0),
        client("b", 0, 0, "nrt", weight=1.0, rtt_ms=20.0),
        client("c", 0, 0, "nrt", weight=9.0, rtt_ms=300.0),
        client("d", 0, 0, "nrt", weight=9.0, rtt_ms=None),
        client("e", 0, 0, None, weight=9.0, rtt_ms=1.0),
    ]
    assert median_rtts(marks) == {"nrt": 300.0}


def crowd(n_sites: int, n_clients: int) -> tuple[list[ClientMark], list[SiteMark]]:
    chance = Random(20)  # noqa: S311 - a picture, not a secret

    def place() -> tuple[float, float]:
        return degrees(asin(chance.uniform(-0.8, 0.93))), chance.uniform(-180, 180)

    sites = []
    for n in range(n_sites):
        lat, lon = place()
        sites.append(SiteMark(name=f"s{n:03d}", city=f"City {n}", lat=lat, lon=lon))
    clients = []
    for n in range(n_clients):
        lat, lon = place()
        site = chance.choice(sites).name
        clients.append(
            client(
                f"c{n}",
                lat,
                lon,
                site,
                weight=chance.paretovariate(1.2),
                rtt_ms=chance.uniform(1, 300),
            )
        )
    return clients, sites


def test_hundreds_of_sites_and_thousands_of_clients_are_quick_and_small(read_svg: ReadSvg) -> None:
    clients, sites = crowd(500, 5000)
    started = process_time()
    svg = render_world(clients, sites, title="Large")
    took = process_time() - started
    assert took < 1.5
    assert len(svg.encode()) < 3_000_000
    root = read_svg(svg)
    assert len(dots(root)) == 5000
    assert paths(root, "arc") == []
    assert "477 more" in words(root)


def test_thirty_sites_all_have_their_label(read_svg: ReadSvg) -> None:
    clients, sites = crowd(30, 200)
    text = words(read_svg(render_world(clients, sites, title="")))
    for site in sites:
        assert re.search(rf"^{site.name} (<?\d+ %)$", text, re.MULTILINE), site.name
