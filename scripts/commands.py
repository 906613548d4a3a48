"""The commands of the program as its reference and its manual page show them, read from the code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from ridgeline.cli import root

EXIT_CODES: Final = {
    "0": "done",
    "1": "the answer is no: a comparison fell short, a rehearsal did not show what it should, "
    "a query was not answered",
    "2": "the input is wrong: a spec, a file, a name or an option; the message says where",
    "3": "the machine did not do what was asked: a program, a privilege or a lab is missing, "
    "or a daemon failed",
    "130": "interrupted",
}
ENVIRONMENT: Final = {
    "NO_COLOR": "no colours, if it is set to anything",
    "COLUMNS": "the width of tables, where the terminal does not tell it",
    "XDG_CACHE_HOME": "where compiled Internets are kept, in `ridgeline/internet`; by default `~/.cache`",
    "XDG_RUNTIME_DIR": "where an ordinary user's labs have their sockets, in `ridgeline`; without it "
    "`/tmp/ridgeline-UID`. Root's are in `/run/ridgeline`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One command."""

    name: str
    """With its parents: ``ridgeline lab up``."""
    usage: str
    """What follows the name: ``[OPTIONS] SPEC``."""
    paragraphs: tuple[str, ...]
    """What it does; the first one is a sentence."""
    options: tuple[tuple[str, str], ...]
    """(``--name TEXT``, what it means), without --help."""
    is_group: bool


def shown_commands() -> Iterator[Shown]:
    """Read every command, in the order of `ridgeline --help`."""
    yield from _walk(root, None, "ridgeline")


def _walk(command: click.Command, parent: click.Context | None, name: str) -> Iterator[Shown]:
    context = click.Context(command, parent=parent, info_name=name.rsplit(" ", 1)[-1])
    options = [p for p in command.get_params(context) if isinstance(p, click.Option)]
    records = [option.get_help_record(context) for option in options]
    yield Shown(
        name=name,
        usage=" ".join(command.collect_usage_pieces(context)),
        paragraphs=tuple(_paragraphs(command.help or "")),
        options=tuple(
            (option, " ".join(meaning.split()))
            for option, meaning in filter(None, records)
            if "--help" not in option
        ),
        is_group=isinstance(command, click.Group),
    )
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from _walk(found, context, f"{name} {child}")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield " ".join(paragraph.split())
