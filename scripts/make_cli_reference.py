"""Write docs/reference/cli.md from the program's commands; with --check, only say if it is stale."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from commands import ENVIRONMENT, EXIT_CODES, Shown, shown_commands

TARGET = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
HEAD = """\
# The command line

<!-- Written by scripts/make_cli_reference.py from the commands themselves: do not edit. -->

Data goes to standard output, progress and problems to standard error. `-h` and `--help` explain each command. How to complete commands with the
TAB key: [shell completion](../how-to/shell-completion.md).
"""


def render(commands: Iterator[Shown]) -> str:
    """Write the page."""
    parts = [HEAD, "\n## Exit codes\n\n", *_table("code", EXIT_CODES)]
    parts.append("\n`ridgeline lab exec` ends with the exit code of the command that it ran.\n")
    parts += ["\n## Environment\n\n", *_table("variable", ENVIRONMENT), "\n"]
    for command in commands:
        level = 1 + len(command.name.split())
        parts.append(f"{'#' * level} {command.name}\n\n")
        parts.append(f"```text\n{command.name} {command.usage}\n```\n\n")
        parts.append("\n\n".join(map(_code, command.paragraphs)) + "\n\n")
        if command.options:
            parts += [*_table("option", {o: _code(m) for o, m in command.options}), "\n"]
    return "".join(parts).rstrip("\n") + "\n"


def _table(heading: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield f"| {heading} | meaning |\n|---|---|\n"
    for name, meaning in rows.items():
        yield f"| `{_cell(name)}` | {_cell(meaning)} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    """Keep Markdown from reading names such as `*.npz` or <x> as its own."""
    return text.replace("<", "&lt;").replace("*", "\\*")


def main() -> int:
    """Write the page, or compare it."""
    text = render(shown_commands())
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.name} is stale: run .venv/bin/python scripts/make_cli_reference.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
