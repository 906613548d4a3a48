"""The report of a rehearsal, ``report.json`` to ``report.html``: one page, nothing fetched.

First screen: the map of who answers whom, the figures, what was seen. Then each in its detail.
Every section stands alone; what the document lacks, the page leaves out.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from ridgeline.picture import report_tables, strip, traces
from ridgeline.picture.html import render_page, render_section
from ridgeline.picture.markup import count, esc, milliseconds, percent
from ridgeline.picture.record import Record, child, items, number, records, text, texts
from ridgeline.picture.rehearsal import Rehearsal
from ridgeline.picture.strip import render_strip
from ridgeline.picture.traces import render_traces
from ridgeline.picture.worldmap import ClientMark, SiteMark, land_defs, render_world

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
.claims li{position:relative;padding:0 0 12px 28px;line-height:1.35}
.claims svg{position:absolute;left:0;top:1px;width:17px;height:17px}
.claims small{display:block;font-size:13px;color:var(--rl-soft);margin-top:1px}
.yes{stroke:var(--rl-good)}.no{stroke:var(--rl-bad)}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:20px 44px}
.pair h3{margin-top:14px}
.now{margin-top:36px}
figure+.scroll{margin-top:22px}
details{margin-top:16px;font-size:14px}
summary{cursor:pointer;color:var(--rl-soft)}
.limits li{margin-bottom:8px;max-width:78ch}
.break{display:flex;margin:22px 0 8px;list-style:none;padding:0}
.break li{flex:1 1 0;padding:14px 16px 0 0;border-top:6px solid var(--q)}
.break li.gap{border-top:6px dotted var(--rl-bad);flex:0.8 1 0}
.break b{display:block}
.break small{color:var(--rl-soft);font-size:13px}
@media(max-width:980px){
 .first{grid-template-columns:minmax(0,1fr)}
 .figures div{flex:1 1 30%;border-left:0;padding-left:0}
}
@media(hover:none){.hover{display:none}}
@media(max-width:720px){
 .figures div{flex-basis:42%;padding:10px 12px 10px 0}
 .figures dd{font-size:24px}
 .pair{grid-template-columns:minmax(0,1fr)}
 .break{display:block}
 .break li,.break li.gap{border-top:0;border-left:6px solid var(--q);padding:4px 0 14px 14px}
 .break li.gap{border-left:6px dotted var(--rl-bad)}
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
            _event(rehearsal, "failover"),
            _event(rehearsal, "heal"),
            _download(rehearsal),
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
        style=_STYLE + rehearsal.chips.style() + traces.STYLE + strip.STYLE,
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
    claims = _claims(rehearsal)
    if not rehearsal.clients and not rehearsal.sites:
        return f'<div class="keep">{claims}</div>' if claims else ""
    service = f"Service {rehearsal.service}. " if rehearsal.service else ""
    caption = (
        f"{esc(service + rehearsal.other_services())} "
        '<span class="hover">Hover over a site to see its catchment alone.</span>'
    )
    figure = _maps(
        rehearsal.client_marks(),
        rehearsal.site_marks(),
        title="Who answers whom",
        caption=caption,
        ident="map",
        width=870,
    )
    return (
        f'<div class="first"><div><h2>Who answers whom</h2>{figure}</div>'
        f'<div class="keep">{claims}</div></div>\n'
    )


def _maps(
    clients: list[ClientMark],
    sites: list[SiteMark],
    *,
    title: str,
    caption: str,
    ident: str,
    width: int,
) -> str:
    """Draw a map twice, for wide pages and for narrow ones; the page shows one. Caption: markup."""
    wide = render_world(clients, sites, title=title, width=width, ident=ident, embedded=True)
    narrow = render_world(
        clients, sites, title=title, width=400, ident=f"{ident}-narrow", embedded=True
    )
    return (
        f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _claims(rehearsal: Rehearsal) -> str:
    rows = []
    for claim in records(rehearsal.report, "claims"):
        seen = claim.get("seen") is True
        path = "M3 9.5l4 4 8-9" if seen else "M4 4l9 9M13 4l-9 9"
        mark = (
            f'<svg viewBox="0 0 17 17" role="img" aria-label="{"seen" if seen else "not seen"}">'
            f'<path class="{"yes" if seen else "no"}" d="{path}" fill="none" stroke-width="2.2" '
            'stroke-linecap="round" stroke-linejoin="round"/></svg>'
        )
        detail = f" <small>{esc(text(claim, 'detail'))}</small>" if text(claim, "detail") else ""
        rows.append(f"<li>{mark}{esc(text(claim, 'claim'))}{detail}</li>\n")
    if not rows:
        return ""
    return f'<h2>What was seen</h2><ul class="claims">{"".join(rows)}</ul>'


def _paths(rehearsal: Rehearsal) -> str:
    table = render_traces(records(rehearsal.report, "traces"), rehearsal.chips)
    return render_section("paths", "The way there, hop by hop", table)


def _event(rehearsal: Rehearsal, key: str) -> str:
    event = child(rehearsal.report, key)
    if not event:
        return ""
    site = text(event, "site")
    failed = key == "failover"
    did = rehearsal.how(event) if failed else "came back"
    chart = _charts(rehearsal, event, f"{site} {did}")
    body = chart + report_tables.losses(rehearsal, event)
    if failed and rehearsal.clients:
        moved = rehearsal.loss(event).moved
        body += '<h3 class="now">Who answers whom now</h3>' + _maps(
            rehearsal.marks_after(event),
            rehearsal.site_marks(down=site),
            title=f"Who answers whom without {site}",
            caption=(
                f"Solid lines: the {len(moved)} cities that moved. Dashed: where they were before."
                if moved
                else "No city moved."
            ),
            ident="after",
            width=980,
        )
    heading = f"Site {site} fails" if failed else f"Site {site} comes back"
    return render_section(key, heading, body, lead=_story(rehearsal, event, did, failed=failed))


def _story(rehearsal: Rehearsal, event: Record, did: str, *, failed: bool) -> str:
    loss = rehearsal.loss(event)
    words = f"{rehearsal.chips.chip(text(event, 'site'))} {esc(did)}."
    if records(event, "clients"):
        moved = len(loss.moved)
        cities = "1 city" if moved == 1 else f"{moved} cities"
        words += f" {cities} {'moved to another site' if failed else 'moved back'}; "
        words += f"{count(loss.lost)} of {count(loss.asked)} queries were lost"
        if loss.lost and loss.asked:
            words += f" ({100 * loss.lost / loss.asked:.1f} %)"
        if loss.longest_ms:
            words += f", and the longest outage was {milliseconds(loss.longest_ms)}"
        words += "."
    return words


def _charts(rehearsal: Rehearsal, event: Record, title: str) -> str:
    timeline, routing = records(event, "timeline"), records(event, "routing")
    wide, narrow = (
        render_strip(
            timeline,
            routing,
            rehearsal.chips,
            event=title,
            names=rehearsal.names,
            width=width,
        )
        for width in (1000, 440)
    )
    if not wide:
        return ""
    caption = (
        "A dot is an answer, in the colour of the site that gave it. A red tick is a lost query; "
        "the shade lasts until the next answer. Time runs from the event."
    )
    if routing:
        caption += ' Triangles are changes in routing tables<span class="hover">; hover to read them</span>.'
    return (
        f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div>'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _download(rehearsal: Rehearsal) -> str:
    tcp = child(rehearsal.report, "tcp")
    if not tcp:
        return ""
    before, after = text(tcp, "from_site"), text(tcp, "to_site")
    size, wait = number(tcp, "bytes_before"), number(tcp, "after_ms")
    got = report_tables.size(size) if size is not None else "Data"
    chips = rehearsal.chips
    steps = (
        f'<li class="{chips.css(before)}"><b>{got} received</b>'
        f"<small>from {chips.chip(before)}</small></li>"
        f'<li class="gap"><b>{milliseconds(wait) if wait is not None else "A while"} of silence</b>'
        f"<small>the route now leads to {chips.chip(after)}</small></li>"
        f'<li class="{chips.css(after)}"><b>{esc(text(tcp, "how") or "broken off")}</b>'
        f"<small>{esc(text(tcp, 'note'))}</small></li>"
    )
    start = rehearsal.names.get(text(tcp, "from"), text(tcp, "from"))
    lead = f'{esc(start)} was fetching <span class="mono">{esc(text(tcp, "url"))}</span> when the route moved.'
    return render_section(
        "download",
        "A download across the failure",
        f'<ol class="break keep">{steps}</ol>\n',
        lead=f"{lead} TCP belongs to the server that holds its state; anycast does not move that.",
    )


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
