"""What the author of a spec reads: quoting, suggestions, and a YAML parser's phrases in our words."""

import re
from collections.abc import Iterable
from typing import Final

# Phrase of the YAML parser (a regular expression) -> what to tell the author.
_SYNTAX: Final[tuple[tuple[str, str], ...]] = (
    (
        "mapping values are not allowed",
        "a `:` that fits nowhere: check the indentation, and quote a value that holds `: `",
    ),
    (
        "sequence entries are not allowed",
        "a `- ` that fits nowhere: start the list on its own line",
    ),
    (r"found ?(?:\('|')?([\]}])", "a `{0}` that closes nothing"),
    ("could not find expected ':'", "a key without `: ` after it"),
    (
        "expected <block end>, but found",
        "the indentation fits none of the lines above (what it belongs to starts on line {opened})",
    ),
    ("expected ',' or ']'", "a `,` or `]` is missing: the list starts on line {opened}"),
    ("expected ',' or '}'", "a `,` or `}}` is missing: the mapping starts on line {opened}"),
    (
        "but found '<stream end>'",
        "the file ends inside a list or mapping: a `]` or `}}` is missing",
    ),
    ("found unexpected end of stream", "the quote opened on line {opened} is never closed"),
    ("found unexpected document separator", "the quote opened on line {opened} is never closed"),
    (
        "character '(.+)' that cannot start",
        "a value cannot start with `{0}`: put it in quotes",
    ),
    (
        "unknown escape character '(.+)'",
        r"`\{0}` means nothing in double quotes: use single quotes",
    ),
    ("expected escape sequence", "a broken escape in double quotes: use single quotes"),
)


def shown(text: str, *, quote: str = "'") -> str:
    """Quote the author's text so that it stays on one line and no longer than one."""
    short = text if len(text) <= 60 else f"{text[:57]}..."
    escaped = "".join(c if c.isprintable() else repr(c)[1:-1] for c in short)
    return f"{quote}{escaped}{quote}"


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return the known name of which this is surely a slip, or an empty string."""
    from difflib import get_close_matches

    candidates = list(known)
    if len(text) > 40 or len(candidates) > 100:
        return ""
    near = get_close_matches(text.lower().replace("_", "-"), candidates, n=2, cutoff=0.75)
    return near[0] if near else ""


def listed(names: Iterable[str], last: str = "or") -> str:
    """Join names as prose: ``a, b or c``."""
    *head, tail = names
    if len(head) > 12:
        head, tail = head[:12], f"{len(head) - 11} more"
    return f"{', '.join(head)} {last} {tail}" if head else tail


def flow(value: object) -> str:
    """Write an example as the author would: ``{lat: 35.76, lon: 140.39}``."""
    match value:
        case list():
            return f"[{', '.join(map(flow, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {flow(inner)}' for key, inner in value.items())}}}"
        case _:
            return str(value)


def explain_syntax(problem: str, context: str, *, opened: int = 0) -> str:
    """Say in our words what the YAML parser stumbled over."""
    for pattern, words in _SYNTAX:
        found = re.search(pattern, problem, re.DOTALL)
        if found:
            parts = (shown(part, quote="") for part in found.groups())
            return words.format(*parts, opened=opened)
    said = " ".join(f"{context} {problem}".split())
    return f"is not YAML: {shown(said, quote='')}"
