"""What happened when a site left and came back, and to a download in between."""

from typing import Final

from ridgeline.picture import report_tables
from ridgeline.picture.html import render_section
from ridgeline.picture.markup import count, esc, milliseconds
from ridgeline.picture.record import Record, child, number, records, text, texts
from ridgeline.picture.rehearsal import Loss, Rehearsal
from ridgeline.picture.report_maps import draw_maps
from ridgeline.picture.strip import render_strip

STYLE: Final = """
.now{margin-top:36px}
figure+.scroll{margin-top:22px}
details{margin-top:16px;font-size:14px}
summary{cursor:pointer;color:var(--rl-soft)}
.break{display:flex;margin:22px 0 8px;list-style:none;padding:0}
.break li{flex:1 1 0;padding:14px 16px 0 0;border-top:6px solid var(--q)}
.break li.gap{border-top:6px dotted var(--rl-bad);flex:0.8 1 0}
.break b{display:block}
.break small{color:var(--rl-soft);font-size:13px}
@media(max-width:720px){
 .break{display:block}
 .break li,.break li.gap{border-top:0;border-left:6px solid var(--q);padding:4px 0 14px 14px}
 .break li.gap{border-left:6px dotted var(--rl-bad)}
}
"""


def failover(rehearsal: Rehearsal) -> str:
    """Draw the failure: the story, the strip chart, the losses, the map afterwards."""
    event = child(rehearsal.report, "failover")
    if not event:
        return ""
    site, loss = text(event, "site"), rehearsal.loss(event)
    body = _chart(rehearsal, event, f"{site} {rehearsal.how(event)}", explain=True)
    body += report_tables.losses(rehearsal, event)
    if rehearsal.clients:
        caption = (
            f"Solid lines: {_cities(len(loss.moved))} that moved. Dashed: the site of before."
            if loss.moved
            else "No city moved."
        )
        body += '<h3 class="now">Who answers whom now</h3>' + draw_maps(
            rehearsal.marks_after(event),
            rehearsal.site_marks(down=site),
            title=f"Who answers whom without {site}",
            caption=caption,
            ident="after",
            width=980,
        )
    lead = _story(rehearsal, event, rehearsal.how(event), "moved to another site")
    return render_section("failover", f"Site {site} fails", body, lead=lead)


def heal(rehearsal: Rehearsal) -> str:
    """Draw the return of the site."""
    return _brief(rehearsal, "heal", "comes back", did="came back", moved="moved back")


def drain(rehearsal: Rehearsal) -> str:
    """Draw what a site taken out on purpose costs."""
    did = rehearsal.how({"how": "drain"})
    return _brief(rehearsal, "drain", "is drained", did=did, moved="moved to another site")


def _brief(rehearsal: Rehearsal, key: str, title: str, *, did: str, moved: str) -> str:
    event = child(rehearsal.report, key)
    if not event:
        return ""
    site = text(event, "site")
    body = _chart(rehearsal, event, f"{site} {did}")
    table = report_tables.losses(rehearsal, event)
    if table and not rehearsal.loss(event).lost:
        table = f"<details><summary>The cities that moved</summary>{table}</details>\n"
    lead = _story(rehearsal, event, did, moved)
    return render_section(key, f"Site {site} {title}", body + table, lead=lead)


def _story(rehearsal: Rehearsal, event: Record, did: str, moved: str) -> str:
    words = f"{rehearsal.chips.chip(text(event, 'site'))} {esc(did)}."
    if records(event, "clients"):
        words += _told(rehearsal.loss(event), moved)
    unsent = number(event, "queries_not_sent")
    if unsent:
        words += f" {count(unsent)} more could not be sent in time; they count as neither."
    for note in texts(event, "notes"):
        words += f' <span class="soft">{esc(note)}</span>'
    return words


def _told(loss: Loss, moved: str) -> str:
    words = f" {_cities(len(loss.moved))} {moved}; "
    words += f"{count(loss.lost)} of {count(loss.asked)} queries were lost"
    if loss.lost and loss.asked:
        words += f" ({100 * loss.lost / loss.asked:.1f} %)"
    if loss.longest_ms:
        words += f", and the longest outage was {milliseconds(loss.longest_ms)}"
    words += "."
    if loss.silent:
        words += f" {_cities(len(loss.silent))} had no answer to the end."
    return words


def _cities(number_of: int) -> str:
    return "1 city" if number_of == 1 else f"{number_of} cities"


def _chart(rehearsal: Rehearsal, event: Record, title: str, *, explain: bool = False) -> str:
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
        "A dot is an answer, in the colour of the site that gave it, at the time of asking: a query "
        "under way when the event came may already be answered by the next site. A red tick is a "
        "lost query; the shade lasts until the next answer."
    )
    if routing:
        caption += ' Triangles are changes in routing tables<span class="hover">; hover to read them</span>.'
    words = f"<figcaption>{caption}</figcaption>" if explain else ""
    return f'<figure><div class="wide">{wide}</div><div class="narrow">{narrow}</div>{words}</figure>\n'


def download(rehearsal: Rehearsal) -> str:
    """Draw a TCP transfer whose route moved."""
    tcp = child(rehearsal.report, "tcp")
    if not tcp:
        return ""
    before, after = text(tcp, "from_site"), text(tcp, "to_site")
    size, whole, wait = (number(tcp, key) for key in ("bytes_before", "of_bytes", "after_ms"))
    got = report_tables.size(size) if size is not None else "Data"
    if size is not None and whole is not None:
        got += f" of {report_tables.size(whole)}"
    chips = rehearsal.chips
    steps = (
        f'<li class="{chips.css(before)}"><b>{got} received</b> '
        f"<small>from {chips.chip(before)}</small></li>"
        f'<li class="gap"><b>{milliseconds(wait) if wait is not None else "A while"}</b> '
        f"<small>after the route moved to {chips.chip(after)}</small></li>"
        f'<li class="{chips.css(after)}"><b>{esc(text(tcp, "how") or "broken off")}</b> '
        f"<small>{esc(text(tcp, 'note'))}</small></li>"
    )
    start = rehearsal.names.get(text(tcp, "from"), text(tcp, "from"))
    return render_section(
        "download",
        "A download across the failure",
        f'<ol class="break keep">{steps}</ol>\n',
        lead=(
            f'{esc(start)} was fetching <span class="mono">{esc(text(tcp, "url"))}</span> when the '
            "route moved. TCP belongs to the server that holds its state; anycast does not move that."
        ),
    )
