"""Run the command lines that the documentation shows, and compare what they print.

    scripts/run_docs.py [--update] [--lab] [PAGE...]

A page is one session in an empty folder, in which `examples` leads to the examples. In a `console`
block a line that begins with ``$ `` is a command, what follows is its output; a line ``...`` in an
output stands for any lines. A `diff` block edits a file, as a reader would with an editor.

Without --lab the commands that need no namespaces are run: their output must be the same to the
letter. With --lab a page that brings a lab up is run as a whole, under a lab name of its own; its
figures differ from run to run, so lines are compared with every number left out, and more may be
printed than is shown. With --update the page is given the output where it differs.
"""

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    *sorted(
        str(path.relative_to(ROOT))
        for folder in ("tutorial", "how-to", "explanation")
        for path in (ROOT / "docs" / folder).glob("*.md")
    ),
)
CHEAP = {"--help", "--version", "check", "compare", "internet", "new", "predict"}
COLUMNS = "100"
LAB_SECONDS = 120
IF_NOT_BUSY = re.compile(r"# other clients noticed nothing\.")
"""On a busy machine, clients lose queries of their own, and are shown."""
MAP_OF_A_LAB = "rehearsed."
"""How pages name the files that hold what a lab showed."""


@dataclass(slots=True)
class Step:
    """A command and the output shown below it, or an edit."""

    line: int
    """Of the command, from 0."""
    command: str
    shown: list[str] = field(default_factory=list)
    here: list[str] = field(default_factory=list)
    """The lines of a here-document."""
    edit: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Difference:
    """What a page shows is not what is printed."""

    page: str
    step: Step
    printed: list[str]

    def __str__(self) -> str:
        lines = unified_diff(self.step.shown, self.printed, "shown", "printed", lineterm="", n=2)
        return f"{self.page}:{self.step.line + 1}: $ {self.step.command}\n" + "\n".join(lines)


def read_steps(text: str) -> list[Step]:
    """Find the commands and edits of a page, in order."""
    steps: list[Step] = []
    fence = ""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("```"):
            fence = "" if fence else line[3:].strip() or "text"
            if fence == "diff":
                steps.append(Step(at, "edit"))
        elif fence == "diff":
            steps[-1].edit.append(line)
        elif fence == "console" and line.startswith("$ "):
            step = Step(at, line[2:])
            while step.command.endswith("\\"):
                at += 1
                step.command = step.command[:-1] + lines[at].strip()
            if match := re.search(r"<<'(\w+)'$", step.command):
                while (at := at + 1) < len(lines) and lines[at] != match[1]:
                    step.here.append(lines[at])
            steps.append(step)
        elif fence == "console" and steps:
            steps[-1].shown.append(line)
        at += 1
    return steps


def split_commands(line: str) -> Iterator[list[str]]:
    """Split a command line into its commands, each as words; comments are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set(";&|"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


class Session:
    """A folder, the last exit code, and a lab if the page has one."""

    def __init__(self, folder: Path, lab: str = "") -> None:
        self.folder = folder
        self.lab = lab
        self.code = 0
        self._labs: set[str] = set()
        (folder / "examples").symlink_to(ROOT / "examples")

    def run(self, step: Step) -> list[str] | None:
        """Do one step; return what was printed, or None if it is not for us to run."""
        if step.edit:
            apply_edit(self.folder, step.edit)
            return None
        if step.here:
            (self.folder / step.command.split()[2]).write_text("\n".join(step.here) + "\n")
            return None
        words, *more = split_commands(step.command)
        target = None
        if ">" in words:
            target, words = self.folder / words[words.index(">") + 1], words[: words.index(">")]
        printed = None if more else self._answer(words)
        if printed is not None and target is not None:
            target.write_text(printed)
            return None
        if printed is None:
            return None
        return [line.rstrip() for line in self._as_shown(printed).splitlines()]

    def _answer(self, words: list[str]) -> str | None:
        match words:
            case ["cd", folder]:
                self.folder = self.folder / folder
            case ["echo", "$?"]:
                return str(self.code)
            case ["jq", *_] if shutil.which("jq"):
                return self._outside(words).stdout
            case ["ridgeline", verb, *_] if verb in CHEAP:
                if not self.lab and any(MAP_OF_A_LAB in word for word in words):
                    return None
                return self._in_process(words[1:])
            case ["ridgeline", "lab", *_] if self.lab:
                return self._in_lab(words[1:])
        return None

    def _in_process(self, arguments: list[str]) -> str:
        from ridgeline.cli import main

        heard = io.StringIO()
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(heard),
            contextlib.redirect_stderr(heard),
        ):
            try:
                main(arguments)
            except SystemExit as end:
                self.code = int(end.code or 0)
        return heard.getvalue()

    def _in_lab(self, arguments: list[str]) -> str:
        name = self.lab
        if "--name" in arguments:
            at = arguments.index("--name") + 1
            name = f"{self.lab}-{arguments[at]}"
            arguments[at] = name
        elif arguments[1] != "list":
            arguments[2:2] = ["--name", name]
        if arguments[1] == "up":
            self._labs.add(name)
        done = self._outside([sys.executable, "-m", "ridgeline", *arguments])
        return done.stdout if done.returncode == 0 else done.stderr + done.stdout

    def _as_shown(self, printed: str) -> str:
        """Call labs by the names that the page gives them."""
        if self.lab:
            for ours, theirs in (
                (f"{self.lab}-", ""),
                (f" --name {self.lab}", ""),
                (self.lab, "lab"),
            ):
                printed = printed.replace(ours, theirs)
        return printed

    def close(self) -> None:
        """Take down what the page left up."""
        for name in self._labs:
            self._outside([sys.executable, "-m", "ridgeline", "lab", "down", "--name", name])

    def _outside(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LAB_SECONDS,
            check=False,
        )
        self.code = done.returncode
        return done


def apply_edit(folder: Path, edit: Sequence[str]) -> None:
    """Make the change that a diff block shows; its first line names the file."""
    path = folder / edit[0].removeprefix("--- ").strip()
    old, new = [], []
    for line in edit[1:]:
        if not line.startswith("+"):
            old.append(line[1:])
        if not line.startswith("-"):
            new.append(line[1:])
    text = path.read_text()
    before, after = ("\n".join(lines) + "\n" for lines in (old, new))
    if text.count(before) != 1:
        raise ValueError(
            f"{path.name}: these lines stand there {text.count(before)} times:\n{before}"
        )
    path.write_text(text.replace(before, after))


def agrees(shown: Sequence[str], printed: Sequence[str], *, loosely: bool) -> bool:
    """Compare an output with what is shown of it."""
    if loosely:
        return _is_within([_shape(line) for line in shown], [_shape(line) for line in printed])
    pieces: list[list[str]] = [[]]
    for line in shown:
        if line.strip() == "...":
            pieces.append([])
        else:
            pieces[-1].append(line.rstrip())
    pattern = r"(?:.*\n)*".join("".join(re.escape(f"{line}\n") for line in p) for p in pieces)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


def _shape(line: str) -> str:
    """Leave out what differs between two runs: numbers, and the width of columns."""
    line = re.sub(r"[─━┏┳┓┡╇┩└┴┘┃│├┼┤]+", " ", line)
    line = re.sub(r"\d[\d.,]*", "#", line)
    return " ".join(line.split())


def _is_within(wanted: Sequence[str], lines: Sequence[str]) -> bool:
    """Whether all wanted lines occur, in that order."""
    rest = iter(lines)
    return all(
        line in ("", "...") or IF_NOT_BUSY.fullmatch(line) or line in rest for line in wanted
    )


def run_page(name: str, *, lab: str = "", update: bool = False) -> list[Difference]:
    """Run a page; return where it shows something else than is printed."""
    path = ROOT / name
    text = path.read_text()
    differences: list[Difference] = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"COLUMNS": COLUMNS, "XDG_CACHE_HOME": f"{scratch}/.cache"}
        session = Session(Path(scratch), lab)
        try:
            for step in read_steps(text):
                printed = session.run(step)
                if printed is None or not step.shown:
                    continue
                varies = step.command.startswith("ridgeline lab ") or MAP_OF_A_LAB in step.command
                if not agrees(step.shown, printed, loosely=varies):
                    differences.append(Difference(name, step, printed))
        finally:
            session.close()
    if update:
        lines = text.splitlines()
        for found in reversed(differences):
            begin = lines.index(found.step.shown[0], found.step.line)
            lines[begin : begin + len(found.step.shown)] = found.printed
        path.write_text("\n".join(lines) + "\n")
    return differences


def has_lab(name: str) -> bool:
    """Whether a page brings a lab up."""
    return any(
        s.command.startswith("ridgeline lab up") for s in read_steps((ROOT / name).read_text())
    )


def main() -> int:
    """Run the pages that were named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("pages", nargs="*", default=PAGES, metavar="PAGE")
    parser.add_argument("--update", action="store_true", help="write what is printed into the page")
    parser.add_argument("--lab", action="store_true", help="run the pages with a lab, as a whole")
    given = parser.parse_args()
    found = []
    for page in given.pages:
        if given.lab and not has_lab(page):
            continue
        lab = f"docs-{os.getpid()}" if given.lab else ""
        found += run_page(page, lab=lab, update=given.update)
    for difference in found:
        print(difference, end="\n\n")
    return 1 if found and not given.update else 0


if __name__ == "__main__":
    sys.exit(main())
