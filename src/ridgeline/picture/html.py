"""The frame of a page that stands alone: inline style, no script, and a policy that asks for nothing."""

from collections.abc import Iterable, Sequence
from typing import Final

from ridgeline.picture.mapstyle import FONTS
from ridgeline.picture.markup import esc
from ridgeline.picture.palette import TONES

# Content Security Policy Level 3: nothing may be fetched, run or sent.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)

_MONO: Final = (
    'ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace'
)

_STYLE: Final = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;color-scheme:light dark}
body{margin:0;background:var(--rl-paper);color:var(--rl-ink);font:15px/1.5 FONTS}
main,header.top,footer{max-width:1240px;margin:0 auto;padding:0 28px}
h1,h2,h3{line-height:1.2;letter-spacing:-.012em;text-wrap:balance}
h1{font-size:34px;font-weight:650;margin:0}
h2{font-size:23px;font-weight:650;margin:0 0 6px}
h3{font-size:15px;font-weight:650;margin:0 0 6px}
p{margin:0 0 12px;max-width:74ch}
section{margin-top:56px;padding-top:22px;border-top:1px solid var(--rl-rule)}
a{color:inherit}
.soft{color:var(--rl-soft)}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code,.mono{font-family:MONO;font-size:.88em}
figure{margin:16px 0 0}
figure svg{display:block;width:100%;height:auto;border-radius:8px}
figcaption{color:var(--rl-soft);font-size:13px;margin-top:8px;max-width:92ch}
.narrow{display:none}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-weight:600;font-size:12.5px;color:var(--rl-soft);text-align:left;vertical-align:bottom}
th.num{text-align:right}
th,td{padding:7px 14px 7px 0;border-bottom:1px solid var(--rl-rule)}
td{vertical-align:top}
tbody th{font-size:14px;color:var(--rl-ink);vertical-align:top}
th:last-child,td:last-child{padding-right:0}
caption{text-align:left;font-weight:650;padding-bottom:6px}
footer{margin-top:64px;padding-top:18px;padding-bottom:48px;font-size:13px;color:var(--rl-soft)}
@media(min-width:721px){tbody th{white-space:nowrap}}
@media(max-width:720px){
 main,header.top,footer{padding:0 16px}
 h1{font-size:27px}
 section{margin-top:40px}
 .wide{display:none}
 .narrow{display:block}
}
@media print{
 body{font-size:10.5pt}
 *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
 section{margin-top:24px}
 figure,tr,li,.keep{break-inside:avoid}
 h2,h3{break-after:avoid}
 .wide{display:block}
 .narrow{display:none}
 .scroll{overflow:visible}
}
"""


def render_page(title: str, body: str, *, description: str = "", style: str = "") -> str:
    """Frame a body as a page of its own.

    Parameters
    ----------
    title, description
        Plain text; escaped here.
    body
        Markup, already escaped where it must be.
    style
        CSS after the page's own. The tones are ``var(--rl-ink)`` and so on (see `palette.TONES`).
    """
    about = f'<meta name="description" content="{esc(description)}">\n' if description else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"{about}<title>{esc(title)}</title>\n"
        f"<style>{_tones()}{_STYLE.replace('FONTS', FONTS).replace('MONO', _MONO)}{style}</style>\n"
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _tones() -> str:
    light = "".join(f"--rl-{name}:{pair[0]};" for name, pair in TONES.items())
    dark = "".join(f"--rl-{name}:{pair[1]};" for name, pair in TONES.items())
    return f"\n:root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def render_table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Iterable[int] = (),
    caption: str = "",
) -> str:
    """Draw a table; the first cell of a row names it.

    Parameters
    ----------
    heads, caption
        Plain text.
    rows
        Cells of markup, already escaped.
    numbers
        Columns to set flush right.
    """
    flush = set(numbers)

    def attributes(column: int) -> str:
        return ' class="num"' if column in flush else ""

    head = "".join(
        f'<th scope="col"{attributes(column)}>{esc(words)}</th>'
        for column, words in enumerate(heads)
    )
    lines = []
    for row in rows:
        cells = "".join(
            f'<th scope="row"{attributes(0)}>{cell}</th>'
            if column == 0
            else f"<td{attributes(column)}>{cell}</td>"
            for column, cell in enumerate(row)
        )
        lines.append(f"<tr>{cells}</tr>\n")
    title = f"<caption>{esc(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{''.join(lines)}</tbody></table></div>\n"
    )


def render_section(ident: str, heading: str, body: str, *, lead: str = "") -> str:
    """Draw a section; `lead` (markup) stands under the heading. Nothing gives nothing."""
    if not body and not lead:
        return ""
    opening = f"<p>{lead}</p>\n" if lead else ""
    return (
        f'<section id="{esc(ident)}" aria-labelledby="{esc(ident)}-h">\n'
        f'<h2 id="{esc(ident)}-h">{esc(heading)}</h2>\n{opening}{body}</section>\n'
    )
