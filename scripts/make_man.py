"""Write docs/man/ridgeline.1 from the program's commands; with --check, only say if it is stale."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from commands import ENVIRONMENT, EXIT_CODES, Shown, shown_commands

from ridgeline import __version__

TARGET = Path(__file__).resolve().parents[1] / "docs" / "man" / "ridgeline.1"
FILES = {
    "ridgeline.yaml": "The spec, by custom. `ridgeline new` writes one, `ridgeline check` reads it.",
    "~/.cache/ridgeline/internet": "Compiled Internets. They may be deleted at any time.",
    "/run/ridgeline, $XDG_RUNTIME_DIR/ridgeline": "A folder for each running lab: its control "
    "socket, its log and the number of its first process.",
}
EXAMPLES = (
    ("Write a spec, see what it will do, and rehearse it:", (
        "ridgeline new my-anycast",
        "ridgeline predict my-anycast/ridgeline.yaml",
        "ridgeline lab up my-anycast/ridgeline.yaml",
        "ridgeline lab trace --from nrt,lhr,iad",
        "ridgeline lab fail nrt",
        "ridgeline lab heal nrt",
        "ridgeline lab down",
    )),
    ("Who moves, and who gets slower, if London announces its prefix longer?", (
        "ridgeline predict ridgeline.yaml --output before.jsonl",
        "ridgeline predict ridgeline.yaml --prepend lhr=2 --output after.jsonl",
        "ridgeline compare before.jsonl after.jsonl",
    )),
)  # fmt: skip
SEE_ALSO = ("bird", 8), ("knotd", 8), ("nginx", 8), ("traceroute", 1), ("network_namespaces", 7)


def render(commands: list[Shown]) -> str:
    """Write the page in roff's man macros (groff_man(7))."""
    return "\n".join(_lines(commands)) + "\n"


def _lines(commands: list[Shown]) -> Iterator[str]:
    whole, *parts = commands
    yield '.\\" Written by scripts/make_man.py from the commands themselves: do not edit.'
    yield f'.TH RIDGELINE 1 "" "ridgeline {__version__}" "User commands"'
    purpose = whole.paragraphs[0].removesuffix(".")
    yield from (".SH NAME", f"ridgeline \\- {_text(purpose[0].lower() + purpose[1:])}")
    yield from (".SH SYNOPSIS", f".B ridgeline\n{_text(whole.usage)}")
    yield from (".SH DESCRIPTION", _text(DESCRIPTION))
    yield from _definitions(dict(whole.options))
    yield ".SH COMMANDS"
    for command in parts:
        yield f'.SS "{_text(command.name)} {_text(command.usage)}"'
        yield "\n.PP\n".join(_text(paragraph) for paragraph in command.paragraphs)
        yield from _definitions(dict(command.options))
    for heading, entries in (
        ("EXIT STATUS", EXIT_CODES),
        ("ENVIRONMENT", ENVIRONMENT),
        ("FILES", FILES),
    ):
        yield f".SH {heading}"
        yield from _definitions(entries)
    yield ".SH EXAMPLES"
    for purpose, lines in EXAMPLES:
        yield f".PP\n{_text(purpose)}\n.PP\n.RS 4\n.nf"
        yield from (_text(line) for line in lines)
        yield ".fi\n.RE"
    yield ".SH SEE ALSO"
    yield ",\n".join(f".BR {_text(name)} ({section})" for name, section in SEE_ALSO)


DESCRIPTION = """\
Ridgeline describes an anycast network in one file, the spec: which prefixes are announced from which \
sites through which upstreams, and what answers on them. From it, Ridgeline predicts on a model of the \
Internet where each client lands, and rehearses the network with real routers and servers in network \
namespaces of one Linux machine. Data goes to standard output, progress and problems to standard error."""


def _definitions(entries: Mapping[str, str]) -> Iterator[str]:
    for name, meaning in entries.items():
        yield f".TP\n.B {_text(name)}\n{_text(meaning)}"


def _text(text: str) -> str:
    """Write text so that roff takes none of it for a request or an escape."""
    escaped = text.replace("`", "").replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return re.sub(r"^(?=[.'])", r"\\&", escaped, flags=re.MULTILINE)


def main() -> int:
    """Write the page, or compare it."""
    text = render(list(shown_commands()))
    if "--check" not in sys.argv[1:]:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.name} is stale: run .venv/bin/python scripts/make_man.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
