"""The tables of a report: losses, answers, differences, cities, sites."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from ridgeline.picture.html import render_section, render_table
from ridgeline.picture.markup import count, esc, milliseconds, percent
from ridgeline.picture.record import Record, child, items, number, records, text, texts
from ridgeline.picture.rehearsal import Rehearsal

MAX_COLUMNS: Final = 8


def size(n_bytes: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} GiB"


def _ms(record: Record, key: str) -> str:
    value = number(record, key)
    return milliseconds(value) if value is not None else ""


def _city(rehearsal: Rehearsal, code: str) -> str:
    name = rehearsal.names.get(code, code)
    return f'{esc(name)} <span class="soft">{esc(code)}</span>' if name != code else esc(code)


def losses(rehearsal: Rehearsal, event: Record) -> str:
    """Draw what each client lost, and when routers changed their minds."""
    chips = rehearsal.chips
    rows = [
        row
        for row in records(event, "clients")
        if text(row, "before") != text(row, "after") or number(row, "queries_lost")
    ]
    out = ""
    if rows:
        out += render_table(
            ["City", "Service", "Before", "After", "Queries", "Lost", "Outage"],
            (
                (
                    _city(rehearsal, text(row, "city")),
                    esc(text(row, "service")),
                    chips.chip(text(row, "before")),
                    chips.chip(text(row, "after")),
                    count(number(row, "queries") or 0),
                    count(number(row, "queries_lost") or 0),
                    _ms(row, "outage_ms") or "to the end",
                )
                for row in rows
            ),
            numbers=(4, 5, 6),
        )
    routing = records(event, "routing")
    if routing:
        table = render_table(
            ["Time", "Router", "Change"],
            (
                (
                    _ms(r, "t_ms"),
                    esc(text(r, "router")),
                    f'<span class="mono">{esc(text(r, "change"))}</span>',
                )
                for r in routing[:200]
            ),
        )
        out += (
            f"<details><summary>{count(len(routing))} changes in routing "
            f"tables</summary>{table}</details>\n"
        )
    return out


@dataclass(frozen=True, slots=True)
class _Answer:
    """One thing that a city asked for and got."""

    city: str
    what: str
    """Heads the column."""
    main: str
    """Site and time; markup."""
    facts: tuple[str, ...]
    """Plain text; those that a whole column shares move to its head."""


def answers(rehearsal: Rehearsal) -> str:
    """Draw the DNS answers and the pages fetched: a row for each city, a column for each thing."""
    got = [*_names(rehearsal), *_pages(rehearsal)]
    columns = list(dict.fromkeys(answer.what for answer in got))[:MAX_COLUMNS]
    if not got:
        return ""
    filled = {(answer.city, answer.what): answer for answer in got}
    shared = {what: _shared([a.facts for a in got if a.what == what]) for what in columns}
    table = render_table(
        [
            "City",
            *(f"{what}: {', '.join(shared[what])}" if shared[what] else what for what in columns),
        ],
        (
            [
                _city(rehearsal, city),
                *(_answer(filled.get((city, what)), shared[what]) for what in columns),
            ]
            for city in dict.fromkeys(answer.city for answer in got)
        ),
    )
    more = len({answer.what for answer in got}) - len(columns)
    rest = f'<p class="soft">{more} more columns are in the JSON document.</p>\n' if more else ""
    return render_section("answers", "Names and pages", table + rest)


def _names(rehearsal: Rehearsal) -> list[_Answer]:
    return [
        _Answer(
            text(r, "from"),
            ", ".join(filter(None, (text(r, "question"), text(r, "kind")))),
            f"{rehearsal.chips.chip(text(r, 'site'))} {_ms(r, 'rtt_ms')}",
            tuple(texts(r, "answer")) or ("no records",),
        )
        for r in records(rehearsal.report, "resolve")
    ]


def _pages(rehearsal: Rehearsal) -> list[_Answer]:
    turns: Counter[tuple[str, str]] = Counter()
    pages = []
    for r in records(rehearsal.report, "fetch"):
        city, url = text(r, "from"), text(r, "url")
        turns[city, url] += 1
        n_bytes = number(r, "bytes")
        facts = (
            f"status {text(r, 'status')}" if text(r, "status") else "",
            f"cache {text(r, 'cache')}" if text(r, "cache") else "",
            size(n_bytes) if n_bytes is not None else "",
        )
        pages.append(
            _Answer(
                city,
                url + (", again" if turns[city, url] > 1 else ""),
                f"{rehearsal.chips.chip(text(r, 'site'))} {_ms(r, 'ms')}",
                tuple(filter(None, facts)),
            )
        )
    return pages


def _shared(columns: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the facts that all of at least two answers have."""
    if len(columns) < 2:
        return ()
    return tuple(fact for fact in columns[0] if all(fact in others for others in columns))


def _answer(answer: _Answer | None, shared: tuple[str, ...]) -> str:
    if answer is None:
        return ""
    own = ", ".join(fact for fact in answer.facts if fact not in shared)
    return f'{answer.main} <span class="soft">{esc(own)}</span>' if own else answer.main


def comparison(rehearsal: Rehearsal) -> str:
    """Draw where the rehearsal did not do what was predicted."""
    found = child(rehearsal.report, "comparison")
    if not found:
        return ""
    plain, weighted = number(found, "agreement"), number(found, "weighted_agreement")
    lead = ""
    if plain is not None:
        lead = f"{esc(percent(plain))} of the cities were answered by the site that the model predicted"
        lead += f", {esc(percent(weighted))} weighted by users." if weighted is not None else "."
    differences = items(found, "differences")
    rows = records(found, "differences")
    heads = list(dict.fromkeys(key for row in rows for key in row))
    body = ""
    if rows:
        body = render_table(
            [_HEADS.get(head, head.replace("_", " ").capitalize()) for head in heads],
            ([_cell(rehearsal, row, head) for head in heads] for row in rows),
        )
    words = [str(d) for d in differences if isinstance(d, str)]
    if words:
        body += "<ul>" + "".join(f"<li>{esc(w)}</li>" for w in words) + "</ul>\n"
    if not body:
        body = "<p>No city differed.</p>\n"
    return render_section("comparison", "Predicted and rehearsed", body, lead=lead)


# A comparison goes from the prediction to the rehearsal.
_HEADS: Final = {"before": "Predicted", "after": "Rehearsed", "names": "Cities"}


def _cell(rehearsal: Rehearsal, row: Record, key: str) -> str:
    words = ", ".join(texts(row, key)) or text(row, key)
    if key in ("city", "from"):
        return _city(rehearsal, words)
    if words in rehearsal.chips.names:
        return rehearsal.chips.chip(words)
    return esc(words)


def cities(rehearsal: Rehearsal) -> str:
    """Draw every client: who answers it, how fast, and what was nearest."""
    if not rehearsal.clients:
        return ""
    chips = rehearsal.chips
    alike = all(
        rehearsal.site_of(c, s) == rehearsal.site_of(c, rehearsal.service)
        for c in rehearsal.clients
        for s in rehearsal.services
    )
    sites = ["Site"] if alike else list(rehearsal.services)
    heads = ["City", "Network", "Users", *sites, *(f"{s} RTT" for s in rehearsal.services)]
    heads += ["Nearest site", "Predicted"]
    rows = []
    for client in sorted(rehearsal.clients, key=lambda c: -(number(c, "users") or 0)):
        shown = rehearsal.services[:1] if alike else rehearsal.services
        rows.append(
            [
                _city(rehearsal, text(client, "city")),
                _network(client),
                _people(number(client, "users")),
                *(chips.chip(rehearsal.site_of(client, s)) for s in shown),
                *(_ms(child(child(client, "services"), s), "rtt_ms") for s in rehearsal.services),
                _nearest(rehearsal, client),
                _predicted(rehearsal, client),
            ]
        )
        if alike and not rehearsal.services:
            rows[-1].insert(3, chips.chip(None))
    first = 3 + len(sites)
    numbers = (2, *range(first, first + len(rehearsal.services)))
    return render_section("cities", "City by city", render_table(heads, rows, numbers=numbers))


def _network(client: Record) -> str:
    asn = f'<span class="soft">AS{esc(text(client, "asn"))}</span>' if text(client, "asn") else ""
    return f"{esc(text(client, 'network'))} {asn}".strip()


def _people(users: float | None) -> str:
    if users is None:
        return ""
    return f"{users / 1e6:.3g} M" if users >= 1e5 else count(users)


def _nearest(rehearsal: Rehearsal, client: Record) -> str:
    nearest = text(client, "nearest")
    if not nearest:
        return ""
    detour = rehearsal.detour_km(client)
    if detour is None:
        return '<span class="soft">the same</span>'
    return f'{rehearsal.chips.chip(nearest)} <span class="soft">{count(detour)} km nearer</span>'


def _predicted(rehearsal: Rehearsal, client: Record) -> str:
    predicted = child(client, "predicted")
    site = text(predicted, "site")
    if not site:
        return ""
    sure = text(predicted, "certainty")
    others = [p for p in texts(predicted, "possible") if p != site]
    remark = ", ".join(
        filter(None, (sure if sure != "certain" else "", *(f"or {o}" for o in others)))
    )
    words = (
        '<span class="soft">the same</span>'
        if site == rehearsal.site_of(client, rehearsal.service)
        else rehearsal.chips.chip(site)
    )
    return f'{words}<span class="soft">, {esc(remark)}</span>' if remark else words


def _times(number_of: float) -> str:
    return {1: "once", 2: "twice"}.get(int(number_of), f"{number_of:.0f} times")


def network(rehearsal: Rehearsal) -> str:
    """Draw the sites and what each tells its upstreams."""
    if not rehearsal.sites:
        return ""
    rows = []
    for site in rehearsal.sites:
        upstreams = []
        for upstream in records(site, "upstreams"):
            prepend = number(upstream, "prepend") or 0
            words = (
                f'{esc(text(upstream, "name"))} <span class="soft">AS{esc(text(upstream, "asn"))}'
            )
            words += f", prepended {_times(prepend)}" if prepend else ""
            upstreams.append(f"{words}</span>")
        rows.append(
            [
                rehearsal.chips.chip(text(site, "name")),
                esc(text(site, "city")),
                "<br>".join(upstreams),
                esc(text(site, "state")),
            ]
        )
    return render_section(
        "sites", "The network", render_table(["Site", "City", "Upstreams", "State"], rows)
    )
