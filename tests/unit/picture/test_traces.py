import re
from collections.abc import Callable

from ridgeline.picture.chips import Chips
from ridgeline.picture.traces import render_traces

ReadPage = Callable[[str], str]
Trace = dict[str, object]


def trace(start: str, site: str, *hops: str, network: str = "example-anycast") -> Trace:
    """Hops as ``city/last octet``; an empty one did not answer."""
    listed = []
    for ttl, hop in enumerate(hops, 1):
        city, _, octet = hop.partition("/")
        address = f"198.51.100.{octet}" if octet else ""
        owner = network if int(octet or 0) >= 200 else "transit"
        listed.append(
            {"ttl": ttl, "address": address, "name": f"{city}{octet}.example.test" if octet else "",
             "rtt_ms": 1.5 * ttl, "city": city, "network": owner}
        )  # fmt: skip
    return {"from": start, "target": "192.0.2.53", "site": site, "hops": listed}


CHIPS = Chips(["nrt", "lhr"])


def cells(html: str) -> list[list[str]]:
    """Attributes of each cell of each body row."""
    body = html.partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.findall(r"<td([^>]*)>", row) for row in body.split("</tr>")[:-1]]


def test_common_hops_stand_once_and_the_parting_is_marked(read_page: ReadPage) -> None:
    html = render_traces(
        [
            trace("fra", "lhr", "fra/1", "ams/2", "lhr/3", "lhr/201"),
            trace("fra", "nrt", "fra/1", "ams/2", "nrt/4", "nrt/202"),
        ],
        CHIPS,
    )
    first, second, third, last = cells(html)
    assert len(first) == len(second) == 1
    assert 'colspan="2"' in first[0]
    assert "shared" in second[0]
    assert len(third) == 2
    assert all("part" in cell.split('"')[1].split() for cell in third)
    assert not any("part" in cell.split('"')[1].split() for cell in last)
    assert read_page(html).count("ams2.example.test") == 1


def test_paths_with_a_common_beginning_are_neighbours(read_page: ReadPage) -> None:
    html = render_traces(
        [
            trace("fra", "lhr", "fra/1", "lhr/201"),
            trace("icn", "nrt", "icn/7", "nrt/202"),
            trace("fra", "nrt", "fra/1", "nrt/203"),
        ],
        CHIPS,
    )
    assert re.findall(r"from (\w+) <small>", html) == ["fra", "fra", "icn"]
    assert 'colspan="2"' in cells(html)[0][0]


def test_the_last_hops_carry_the_colour_of_their_site() -> None:
    html = render_traces([trace("fra", "lhr", "fra/1", "lhr/3", "lhr/201", "lhr/202")], CHIPS)
    rows = [row[0] for row in cells(html)]
    assert "end" not in rows[0]
    assert 'class="end q1"' in rows[1]
    assert 'class="end q1 in"' in rows[2]
    assert 'class="end q1 in"' in rows[3]


def test_a_silent_hop_is_shown_and_shared_with_nobody(read_page: ReadPage) -> None:
    html = render_traces(
        [trace("fra", "lhr", "fra/1", "", "lhr/201"), trace("fra", "lhr", "fra/1", "", "lhr/201")],
        CHIPS,
    )
    assert read_page(html).count("no answer") == 2
    assert "colspan" in cells(html)[0][0]
    assert all("colspan" not in cell for cell in cells(html)[1])


def test_a_shorter_path_leaves_its_column_empty() -> None:
    html = render_traces(
        [trace("icn", "nrt", "icn/1", "nrt/201"), trace("fra", "lhr", "fra/2", "ams/3", "lhr/202")],
        CHIPS,
    )
    assert [len(row) for row in cells(html)] == [2, 2, 2]
    assert 'class="over q0"' in cells(html)[2][0]


def test_paths_from_different_networks_are_said_to_share_nothing(read_page: ReadPage) -> None:
    html = render_traces(
        [trace("icn", "nrt", "icn/1", "nrt/201"), trace("fra", "lhr", "fra/2", "lhr/202")], CHIPS
    )
    text = read_page(html)
    assert "No two begin with the same hop" in text
    assert "2 paths end in 2 sites" in text


def test_no_traces_no_table() -> None:
    assert render_traces([], CHIPS) == ""
    assert render_traces([{"from": "fra", "hops": []}], CHIPS) == ""


def test_twenty_traces_show_sixteen_and_say_so(read_page: ReadPage) -> None:
    many = [trace(f"c{n}", "nrt", f"c{n}/{n + 1}", "nrt/201") for n in range(20)]
    assert "4 more are in the JSON document" in read_page(render_traces(many, CHIPS))


def test_an_end_of_unknown_place_belongs_to_the_site_before_it() -> None:
    path = trace("fra", "lhr", "fra/1", "lhr/3", "lhr/201", "lhr/202")
    last = path["hops"][-1]  # type: ignore[index]  # a list of hops
    last.update(city="", network="")
    rows = [row[0] for row in cells(render_traces([path], CHIPS))]
    assert ["end q1" in row for row in rows] == [False, True, True, True]
    assert ['in"' in row for row in rows] == [False, False, True, True]


def test_a_path_that_stops_on_its_way_carries_no_colour() -> None:
    html = render_traces([trace("fra", "lhr", "fra/1", "ams/2")], CHIPS)
    assert not any("end q1" in row[0] for row in cells(html))
