"""From a daemon's complaint about our text to the line that it means.

Each daemon names the line its own way, and some only the value that they stumbled over::

    config, file '/run/nrt/knot.conf', line 12, item 'listen', value 'x' (invalid parameter)    Knot
    /run/nrt/unbound.conf:12: error: unknown keyword 'num-threds'                               Unbound
    unknown directive "lisen" in /run/nrt/nginx.conf:12                                         nginx
    bird: /run/nrt/bird.conf:12:5 syntax error, unexpected CF_SYM_UNDEFINED                     BIRD
"""

import re
from typing import Final

_NUMBERED: Final = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"config, (?:file '(?P<file>[^'\n]*)', )?line (?P<line>\d+)",
        r"^(?P<file>.+?):(?P<line>\d+): (?:error|warning): ",
        r" in (?P<file>\S.*?):(?P<line>\d+)$",
        # Not the minutes and seconds of a time of day.
        r"(?:^(?:bird: )?|<[A-Z]+> )(?P<file>[^:\n]+?)(?<![ T]\d\d):(?P<line>\d+):\d+ ",
    )
)
_NAMED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"bind\(\) to (\S+) failed",
        r"cannot open zonefile (.+?) for ",
        r"Bad local-data RR (.+)",
        r"'([^'\n]+)'",
        r'"([^"\n]+)"',
    )
)


def explain(text: str, message: str, *, file: str | None = None) -> str | None:
    """Find the line of a configuration that a daemon's message is about.

    Parameters
    ----------
    text
        The configuration as we wrote it.
    message
        What the daemon printed, on one line or several.
    file
        The path under which the daemon read it; a message about another file (one that ours
        includes, a zone) is then not taken for ours.

    Returns
    -------
    str or None
        ``line 12: listen: x``; None if the message points to no line, or to more than one.
    """
    lines = text.removesuffix("\n").split("\n")  # daemons count nothing else as a line's end
    for pattern in _NUMBERED:
        for found in pattern.finditer(message):
            named = found["file"]
            if file is not None and named is not None and not _same_file(file, named):
                continue
            return _line(lines, int(found["line"]))
    for pattern in _NAMED:
        for found in pattern.finditer(message):
            holders = [n for n, line in enumerate(lines, 1) if found[1] in line]
            if len(holders) == 1:
                return _line(lines, holders[0])
    return None


def _same_file(ours: str, named: str) -> bool:
    """Compare the paths; a daemon may have been given a relative one."""
    named = named.strip().removeprefix("./")
    return ours == named or ours.endswith(f"/{named}") or named.endswith(f"/{ours}")


def _line(lines: list[str], number: int) -> str:
    if 0 < number <= len(lines):
        return f"line {number}: {lines[number - 1].strip()}"
    return f"line {number}: (the end of the file)"
