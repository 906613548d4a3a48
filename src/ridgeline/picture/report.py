"""The report of a rehearsal, ``report.json`` to ``report.html``: one page, nothing fetched.

First screen: the map of who answers whom, the figures, what was seen. Then each in its detail.
Every section stands alone; what the document lacks, the page leaves out.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from ridgeline.picture import report_events, report_tables, strip, traces
from ridgeline.picture.html import render_page, render_section
from ridgeline.picture.markup import count, esc, milliseconds, percent
from ridgeline.picture.record import Record, child, items, number, records, text, texts
from ridgeline.picture.rehearsal import Rehearsal
from ridgeline.picture.report_maps import draw_maps
from ridgeline.picture.traces import render_traces
from ridgeline.picture.worldmap import land_defs

_CLAIMS_BESIDE: Final = 8  # more than these are longer than the map is high

_STYLE: Final = """
header.top{padding-top:34px}
header.top .kind{font-size:13px;color:var(--rl-soft);margin:0 0 4px}
header.top .meta{color:var(--rl-soft);font-size:14px;margin:8px 0 0;max-width:none}
.figures{display:flex;flex-wrap:wrap;margin:26px 0 22px;border-top:1px solid var(--rl-rule);border-bottom:1px solid var(--rl-rule)}
.figures div{flex:1 1 150px;padding:14px 18px 13px;border-left:1px solid var(--rl-rule)}
.figures div:first-child{border-left:0;padding-left:0}
.figures dd{margin:0;font-size:29px;font-weight:650;letter-spacing:-.02em;line-height:1.15;font-variant-numeric:tabular-nums}
.figures dt{font-size:13px;color:var(--rl-soft);line-height:1.35;margin-top:2px}
.figures div{display:flex;flex-direction:column-reverse;justify-content:flex-end}
.first{display:grid;grid-template-columns:minmax(0,1fr) 304px;gap:34px;align-items:start}
.first figure{margin-top:10px}
.claims{list-style:none;margin:12px 0 0;padding:0}
.claims li{break-inside:avoid;position:relative;padding:0 0 12px 28px;line-height:1.35}
.claims svg{position:absolute;left:0;top:1px;width:17px;height:17px}
.claims small{display:block;font-size:13px;color:var(--rl-soft);margin-top:1px}
.claims path{fill:none;stroke-width:2.2;stroke-linecap:round;stroke-linejoin:round}
.claims .yes{stroke:var(--rl-good)}
.claims .no{stroke:var(--rl-bad)}
.first.alone{display:block}
.alone #claims{margin-top:44px}
.alone .claims{columns:3 280px;column-gap:44px}
.limits li{margin-bottom:8px;max-width:78ch}
@media(max-width:980px){
 .first{grid-template-columns:minmax(0,1fr)}
 .figures div{flex:1 1 30%;border-left:0;padding-left:0}
}
@media(hover:none){.hover{display:none}}
@media(max-width:720px){
 .figures div{flex-basis:42%;padding:10px 12px 10px 0}
 .figures dd{font-size:24px}
}
@media print{.hover{display:none}.first{grid-template-columns:minmax(0,1fr) 230px}}
"""


_LIMITS: Final = (
    (
        "This Internet is {internet}: its networks, links and preferences are a model. Where a "
        "real client lands depends on choices that no model knows; probe before you rely on it."
    ),
    "Delay is distance: the length of the path in fibre, without queues, congestion or loss.",
    (
        "Failover here is faster than on the Internet. These routers have little else to do and "
        "wait for no advertisement timer (RFC 4271, section 9.2.1.1); out there a withdrawal "
        "needs seconds to minutes to settle."
    ),
    (
        "One client stands for each city. Shares count modelled users, not traffic, and no site "
        "was near its capacity."
    ),
)


def render_report(report: Mapping[str, object]) -> str:
    """Draw the page of a ``ridgeline.report/1`` document; any part of it may be missing."""
    rehearsal = Rehearsal(report)
    network = text(report, "network") or "Anycast network"
    body = "".join(
        (
            land_defs(),
            _header(rehearsal, network),
            "\n<main>\n",
            _figures(rehearsal),
            _first(rehearsal),
            _paths(rehearsal),
            report_events.failover(rehearsal),
            report_events.heal(rehearsal),
            report_events.drain(rehearsal),
            report_events.download(rehearsal),
            report_tables.answers(rehearsal),
            report_tables.comparison(rehearsal),
            report_tables.cities(rehearsal),
            report_tables.network(rehearsal),
            _limits(rehearsal),
            "</main>\n",
            _footer(rehearsal),
        )
    )
    return render_page(
        f"{network}: rehearsal",
        body,
        description=f"Rehearsal of the anycast network {network}",
        style=(_STYLE + rehearsal.chips.style() + traces.STYLE + strip.STYLE + report_events.STYLE),
    )


def _header(rehearsal: Rehearsal, network: str) -> str:
    report = rehearsal.report
    facts = []
    if text(report, "asn"):
        facts.append(f"AS{esc(text(report, 'asn'))}")
    facts += [f'<span class="mono">{esc(p)}</span>' for p in texts(report, "prefixes")]
    internet = child(report, "internet")
    sizes = [
        f"{count(size)} {noun}"
        for noun, key in (("ASes", "ases"), ("routers", "routers"), ("links", "links"))
        if (size := number(internet, key)) is not None
    ]
    if text(internet, "name") or sizes:
        parts = filter(None, (text(internet, "name"), *sizes))
        facts.append(f"Internet: {esc(', '.join(parts))}")
    when = _when(text(report, "started"))
    if when:
        facts.append(when)
    seconds = number(report, "seconds")
    if seconds is not None:
        facts.append(f"took {seconds:.0f} s")
    return (
        '<header class="top"><p class="kind">Ridgeline, rehearsal of an anycast network</p>\n'
        f'<h1>{esc(network)}</h1>\n<p class="meta">{" &nbsp;·&nbsp; ".join(facts)}</p></header>\n'
    )


def _when(started: str) -> str:
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return esc(started)
    zone = moment.tzname() or ""
    return esc(f"{moment.day} {moment:%B %Y, %H:%M} {zone}".strip())


def _figures(rehearsal: Rehearsal) -> str:
    figures: list[tuple[str, str]] = []
    claims = records(rehearsal.report, "claims")
    if claims:
        seen = sum(claim.get("seen") is True for claim in claims)
        figures.append((f"{seen} of {len(claims)}", "claims seen"))
    if rehearsal.clients:
        answered = sum(
            rehearsal.site_of(c, rehearsal.service) is not None for c in rehearsal.clients
        )
        total = len(rehearsal.clients)
        share = count(total) if answered == total else f"{count(answered)} of {count(total)}"
        figures.append((share, "client cities answered"))
    if rehearsal.sites:
        figures.append((count(len(rehearsal.sites)), "sites"))
    median = rehearsal.median_rtt_ms()
    if median is not None:
        figures.append((milliseconds(median), "median round trip, by users"))
    loss = rehearsal.loss(child(rehearsal.report, "failover"))
    if loss.longest_ms is not None:
        asked = f"{count(loss.lost)} of {count(loss.asked)} queries lost"
        figures.append((milliseconds(loss.longest_ms), f"longest outage in the failover, {asked}"))
    agreement = number(child(rehearsal.report, "comparison"), "agreement")
    if agreement is not None:
        figures.append((percent(agreement), "of cities answered by the predicted site"))
    cells = "".join(f"<div><dt>{esc(words)}</dt><dd>{esc(n)}</dd></div>" for n, words in figures)
    return f'<dl class="figures">{cells}</dl>\n' if cells else ""


def _first(rehearsal: Rehearsal) -> str:
    """Draw the map, and the claims: beside it if they are few, under it in columns if many."""
    claims = _claims(rehearsal)
    if not rehearsal.clients and not rehearsal.sites:
        return claims
    few = claims and len(records(rehearsal.report, "claims")) <= _CLAIMS_BESIDE
    service = f"Service {rehearsal.service}. " if rehearsal.service else ""
    figure = draw_maps(
        rehearsal.client_marks(),
        rehearsal.site_marks(),
        title="Who answers whom",
        caption=(
            f"{esc(service + rehearsal.other_services())} "
            '<span class="hover">Hover over a site to see its catchment alone.</span>'
        ),
        ident="map",
        width=870 if few else 1080,
    )
    first = f"<div><h2>Who answers whom</h2>{figure}</div>"
    return f'<div class="{"first" if few else "first alone"}">{first}{claims}</div>\n'


def _claims(rehearsal: Rehearsal) -> str:
    claims = records(rehearsal.report, "claims")
    if not claims:
        return ""
    rows = "".join(map(_claim, sorted(claims, key=lambda c: c.get("seen") is True)))
    return f'<div id="claims"><h2>What was seen</h2><ul class="claims">{rows}</ul></div>\n'


def _claim(claim: Record) -> str:
    seen = claim.get("seen") is True
    path = "M3 9.5l4 4 8-9" if seen else "M4 4l9 9M13 4l-9 9"
    detail = f" <small>{esc(text(claim, 'detail'))}</small>" if text(claim, "detail") else ""
    return (
        f'<li><svg viewBox="0 0 17 17" role="img" aria-label="{"seen" if seen else "not seen"}">'
        f'<path class="{"yes" if seen else "no"}" d="{path}"/></svg>'
        f"{esc(text(claim, 'claim'))}{detail}</li>\n"
    )


def _paths(rehearsal: Rehearsal) -> str:
    table = render_traces(records(rehearsal.report, "traces"), rehearsal.chips)
    return render_section("paths", "The way there, hop by hop", table)


def _limits(rehearsal: Rehearsal) -> str:
    told = [str(words) for words in items(rehearsal.report, "limits")]
    name = text(child(rehearsal.report, "internet"), "name") or "a model"
    limits = told or [words.format(internet=name) for words in _LIMITS]
    rows = "".join(f"<li>{esc(words)}</li>\n" for words in limits)
    return render_section("limits", "What this does not show", f'<ul class="limits">{rows}</ul>\n')


def _footer(rehearsal: Rehearsal) -> str:
    machine = child(rehearsal.report, "machine")
    facts = ", ".join(f"{key} {text(machine, key)}" for key in machine if text(machine, key))
    schema = text(rehearsal.report, "schema")
    made = "Made by Ridgeline" + (f" from a {schema} document" if schema else "")
    outlines = "Coasts and borders: Natural Earth, by way of world-atlas."
    return (
        f"<footer>{esc(made)}. {outlines}"
        + (f"<br>Machine: {esc(facts)}." if facts else "")
        + "</footer>\n"
    )
