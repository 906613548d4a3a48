from collections.abc import Callable, Iterator
from copy import deepcopy
from re import findall
from typing import Any

import pytest

from ridgeline.picture.rehearsal import Rehearsal
from ridgeline.picture.report import render_report

ReadPage = Callable[[str], str]
Report = dict[str, Any]


@pytest.mark.parametrize(
    "words",
    [
        "example-anycast AS64500",
        "Internet: builtin:demo, 41 ASes, 96 routers, 187 links",
        "22 November 2026, 09:14 UTC",
        "client cities answered 12",
        "longest outage in the failover, 9 of 243 queries lost 81 ms",
        "of cities answered by the predicted site 92 %",
        "Every client city is answered by a site 12 of 12 cities, 3 services",
        "resolver and web are answered alike.",
        "gw.nrt.tanuki.test 198.18.0.1 0.4 ms nrt, tanuki",
        "nrt withdrew its announcement. 3 cities moved to another site;",
        "(3.7 %), and the longest outage was 81 ms. Routers here announce changes at once.",
        "nrt came back. 3 cities moved back; 0 of 243 queries were lost.",
        "384 KiB received from nrt 151 ms after the route moved to iad connection reset",
        "nrt was drained, with a warning to its neighbours (RFC 8326). 3 cities moved to another site;",
        "12 more could not be sent in time; they count as neither.",
        "Sydney syd dns nrt iad likely iad, nrt",
        "nrt 7 849 km nearer nrt, likely, or iad",
        "kitsune AS65550, prepended once",
        "What this does not show This Internet is builtin:demo:",
        "Made by Ridgeline from a ridgeline.report/1 document.",
        "bird 2.0.12",
    ],
)
def test_the_page_tells(read_page: ReadPage, rehearsal_report: Report, words: str) -> None:
    assert words in read_page(render_report(rehearsal_report))


def test_a_claim_that_was_not_seen_says_so(rehearsal_report: Report) -> None:
    page = render_report(rehearsal_report)
    assert page.count('aria-label="seen"') == 6
    assert page.count('aria-label="not seen"') == 1


def test_every_client_is_on_both_maps_at_both_widths(rehearsal_report: Report) -> None:
    page = render_report(rehearsal_report)
    for code in (client["city"] for client in rehearsal_report["clients"]):
        assert len(findall(rf"<title>[^<]*\({code}\): ", page)) == 4, code


def test_the_second_map_shows_who_moved_where(rehearsal_report: Report) -> None:
    page = render_report(rehearsal_report)
    before, after = page.partition('id="after"')[::2]
    assert "Singapore (sin): nrt, 86 ms" in before
    assert "Singapore (sin): lhr, 172 ms, before: nrt" in after
    assert "nrt Tokyo: down, 0 %" in after


def test_a_report_is_small(rehearsal_report: Report) -> None:
    assert len(render_report(rehearsal_report).encode()) < 250_000


@pytest.mark.parametrize("report", [{}, {"schema": "ridgeline.report/1"}, {"clients": [{}]}])
def test_a_report_of_nothing_is_still_a_page(read_page: ReadPage, report: Report) -> None:
    assert "rehearsal of an anycast network" in read_page(render_report(report))


def test_any_part_may_be_missing(read_page: ReadPage, rehearsal_report: Report) -> None:
    for key in rehearsal_report:
        part = {k: v for k, v in rehearsal_report.items() if k != key}
        assert "rehearsal of an anycast network" in read_page(render_report(part)), key


@pytest.mark.parametrize("junk", [None, 7, "junk", [], {}, [None, 7, "junk", [[]]], True])
def test_any_part_may_be_of_another_type(
    read_page: ReadPage, rehearsal_report: Report, junk: object
) -> None:
    for key in rehearsal_report:
        assert "rehearsal" in read_page(render_report({**rehearsal_report, key: junk})), key


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:2]):
            yield from leaves(inner, (*path, index))
    else:
        yield path


EVIL = "</style></title><script>alert(1)</script><img src=//evil.example onerror='x'>\"'&\x00"


def test_no_text_of_the_document_becomes_markup(
    read_page: ReadPage, rehearsal_report: Report
) -> None:
    report = deepcopy(rehearsal_report)
    for path in leaves(rehearsal_report):
        holder: Any = report
        for step in path[:-1]:
            holder = holder[step]
        if isinstance(holder[path[-1]], str):
            holder[path[-1]] = EVIL
    page = render_report(report)
    assert "<script>alert(1)</script>" in read_page(page)  # as text; the reader refuses the element
    assert "<img" not in page


def test_services_that_land_elsewhere_are_named(rehearsal_report: Report) -> None:
    report = deepcopy(rehearsal_report)
    report["clients"][0]["services"]["web"]["site"] = "gru"
    report["clients"][1]["services"]["web"]["site"] = "gru"
    report["clients"][1]["services"]["resolver"]["site"] = "gru"
    assert Rehearsal(report).other_services() == (
        "Answered by another site: resolver in 1 city and web in 2 cities."
    )


def test_a_city_that_nobody_answers_is_shown_so(
    read_page: ReadPage, rehearsal_report: Report
) -> None:
    report = deepcopy(rehearsal_report)
    for answer in report["clients"][2]["services"].values():
        answer["site"] = None
    text = read_page(render_report(report))
    assert "client cities answered 11 of 12" in text
    assert "Singapore (sin): no answer" in text


def test_a_detour_is_remarked_and_a_short_one_is_not() -> None:
    near = {"city": "a", "services": {"dns": {"site": "x"}}, "nearest": "y"}
    long_way = {**near, "nearest_km": 100.0, "site_km": 4000.0}
    short_way = {**near, "nearest_km": 100.0, "site_km": 120.0}
    notes = [m.note for m in Rehearsal({"clients": [long_way, short_way]}).client_marks()]
    assert notes == ["not the nearest: y is 3\u202f900 km nearer", ""]


def test_limits_of_the_document_replace_ours(read_page: ReadPage) -> None:
    text = read_page(render_report({"limits": ["Only one machine."]}))
    assert "Only one machine." in text
    assert "RFC 4271" not in text


def test_an_unknown_way_to_fail_keeps_its_name(read_page: ReadPage) -> None:
    assert "nrt failed (meteor)." in read_page(
        render_report({"failover": {"site": "nrt", "how": "meteor"}})
    )


def test_dns_and_pages_are_one_table_with_what_all_share_in_its_head(read_page: ReadPage) -> None:
    asked = {"question": "www.example.test A", "kind": "recursive", "answer": ["192.0.2.80"]}
    got = {"url": "http://www.example.test/", "status": 200, "bytes": 75}
    report = {
        "resolve": [
            {**asked, "from": "nrt", "site": "nrt", "rtt_ms": 3.3},
            {**asked, "from": "fra", "site": "lhr", "rtt_ms": 13.0},
        ],
        "fetch": [
            {**got, "from": "nrt", "site": "nrt", "ms": 14.0, "cache": "miss"},
            {**got, "from": "nrt", "site": "nrt", "ms": 9.0, "cache": "hit"},
            {**got, "from": "fra", "site": "lhr", "ms": 39.0, "cache": "hit"},
        ],
    }
    text = read_page(render_report(report)).partition("Names and pages ")[2]
    assert text.startswith(
        "City www.example.test A, recursive: 192.0.2.80 "
        "http://www.example.test/: status 200, 75 bytes http://www.example.test/, again "
        "nrt nrt 3.3 ms nrt 14 ms cache miss nrt 9.0 ms status 200, cache hit, 75 bytes "
        "fra lhr 13 ms lhr 39 ms cache hit "
    )


def test_many_claims_stand_in_columns_with_those_not_seen_first(read_page: ReadPage) -> None:
    claims = [{"claim": f"Claim {n}", "seen": n != 11} for n in range(12)]
    page = render_report({"claims": claims, "clients": [{"city": "nrt"}]})
    assert 'class="first alone"' in page
    text = read_page(page)
    assert "claims seen 11 of 12" in text
    assert "What was seen Claim 11 Claim 0" in text


def test_a_difference_goes_from_the_prediction_to_the_rehearsal(read_page: ReadPage) -> None:
    found = {
        "differences": [{"before": "nrt", "after": "iad", "names": ["syd", "akl"]}, "a remark"]
    }
    text = read_page(render_report({"comparison": found}))
    assert "Predicted Rehearsed Cities nrt iad syd, akl" in text
    assert "a remark" in text


def test_a_city_that_is_never_answered_again_is_told(read_page: ReadPage) -> None:
    row = {"city": "nrt", "service": "dns", "queries": 9, "queries_lost": 9, "outage_ms": None,
           "before": "nrt", "after": None}  # fmt: skip
    event = {"site": "nrt", "how": "hang", "clients": [row]}
    text = read_page(render_report({"failover": event}))
    assert "nrt hung: its services stopped answering, its route stayed." in text
    assert "1 city had no answer to the end." in text
    assert "no answer 9 9 to the end" in text
