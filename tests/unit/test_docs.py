"""What the documentation shows is what the program does."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ridgeline.cli import main, root
from ridgeline.spec.parse import parse_spec
from ridgeline.spec.schema import read_schema

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
SPEC_KEYS = set(json.loads(read_schema())["properties"])
WHOLE_SPEC = (ROOT / "examples" / "demo" / "ridgeline.yaml").read_text()


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


run_docs = load_script("run_docs")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def tokens_of(page: Path) -> Iterator[Token]:
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        yield token
        yield from token.children or ()


def fences_of(page: Path, *kinds: str) -> Iterator[str]:
    for token in tokens_of(page):
        if token.type == "fence" and token.info.strip() in kinds:
            yield token.content


# Command lines.


def command_lines(page: Path) -> Iterator[list[str]]:
    """Yield each call of the program in the blocks that a reader would type."""
    shown = [step.command for step in run_docs.read_steps(page.read_text())]
    for block in fences_of(page, "sh"):
        shown += block.replace("\\\n", " ").splitlines()
    for line in shown:
        for words in run_docs.split_commands(line) if "ridgeline " in line else ():
            while words and re.fullmatch(r"\w+=\S*", words[0]):
                words.pop(0)
            if words and words[0] == "ridgeline":
                yield words[: words.index(">")] if ">" in words else words


def mentions(page: Path) -> Iterator[list[str]]:
    """Yield each call of the program that the prose mentions, perhaps with words in capitals."""
    for token in tokens_of(page):
        if token.type == "code_inline" and token.content.startswith("ridgeline "):
            yield token.content.split()


def find_command(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """Walk down to the command that the words name; return what is left of them."""
    command: click.Command = root
    context = click.Context(root, info_name="ridgeline")
    rest = words[1:]
    while isinstance(command, click.Group) and rest and rest[0][0] != "-":
        child = command.get_command(context, rest[0])
        assert child is not None, f"there is no command `{' '.join(words)}`"
        command, context = child, click.Context(child, parent=context, info_name=rest[0])
        rest = rest[1:]
    return command, context, rest


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_line_that_is_shown_can_be_typed(page: Path) -> None:
    for words in command_lines(page):
        command, context, rest = find_command(words)
        try:
            command.make_context(words[-1], rest, parent=context.parent)
        except click.exceptions.Exit:
            pass  # --help and --version
        except click.UsageError as error:
            if rest or not isinstance(command, click.Group):
                pytest.fail(f"{' '.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_is_mentioned_has_these_options(page: Path) -> None:
    for words in mentions(page):
        command, context, rest = find_command(words)
        known = {name for p in command.get_params(context) for name in p.opts + p.secondary_opts}
        asked = {w.split("=")[0] for w in rest[: rest.index("--") if "--" in rest else None]}
        assert {word for word in asked if word.startswith("-")} <= known, " ".join(words)


def test_the_readme_lists_every_command() -> None:
    table = re.findall(r"^\| `ridgeline ([a-z]+)` \|", PAGES[0].read_text(), re.MULTILINE)
    assert table == root.list_commands(click.Context(root))


def test_the_readme_quotes_claims_that_the_demo_makes() -> None:
    source = "".join(p.read_text() for p in (ROOT / "src" / "ridgeline" / "app").glob("demo*.py"))
    claims = re.findall(r"^seen +(.+)$", PAGES[0].read_text(), re.MULTILINE)
    assert len(claims) >= 4
    for claim in claims:  # its first word may be the name of a site
        assert claim.split(" ", 1)[1] in source


# Specs.


def spec_fragments() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in fences_of(page, "yaml"):
            keys = set(re.findall(r"^(\w+):", block, re.MULTILINE))
            if keys and keys <= SPEC_KEYS:
                yield name_of(page), block


def test_there_are_specs_in_the_documentation() -> None:
    assert len(list(spec_fragments())) >= 4


@pytest.mark.parametrize(("page", "block"), list(spec_fragments()))
def test_a_spec_that_is_shown_even_a_part_of_one_is_right(page: str, block: str) -> None:
    rest = "" if re.search(r"^network:", block, re.MULTILINE) else WHOLE_SPEC
    for key in re.findall(r"^(\w+):", block, re.MULTILINE):
        rest = re.sub(rf"^{key}:.*\n(?:[ #].*\n|\n)*", "", rest, flags=re.MULTILINE)
    assert parse_spec(rest + block, file=page).sites


# Links.


def slugs(page: Path) -> set[str]:
    """Name the headings as GitHub and MyST do."""
    tokens = list(tokens_of(page))
    headings = [b.content for a, b in pairwise(tokens) if a.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for token in tokens_of(page):
        target = str(token.attrGet("href") or token.attrGet("src") or "")
        if not target or re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in slugs(there), f"{name_of(page)} links to {target}"


# Outputs.


@pytest.mark.parametrize("page", run_docs.PAGES)
def test_what_a_page_shows_is_what_is_printed(page: str) -> None:
    found = run_docs.run_page(page)
    assert not found, "\n\n".join(map(str, found)) + "\nor: scripts/run_docs.py --update"


def test_a_changed_output_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ ridgeline --version\nridgeline, version 99\n```\n")
    (tmp_path / "examples").mkdir()
    monkeypatch.setattr(run_docs, "ROOT", tmp_path)
    (difference,) = run_docs.run_page("page.md")
    assert "-ridgeline, version 99" in str(difference)
    assert "page.md:2: $ ridgeline --version" in str(difference)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (["a", "...", "d"], ["a", "b", "c", "d"], True),
        (["a", "...", "d"], ["a", "d"], True),
        (["a", "...", "d"], ["a", "b", "c"], False),
        (["a"], ["a", "b"], False),
        (["..."], ["a", "b"], True),
    ],
)
def test_three_dots_stand_for_any_lines(shown: list[str], printed: list[str], same: bool) -> None:
    assert run_docs.agrees(shown, printed, loosely=False) is same


def test_outputs_of_a_lab_agree_if_only_numbers_and_widths_differ() -> None:
    printed = ["┃ from ┃  lost ┃", "│ nrt  │    12 │", "noise"]
    assert run_docs.agrees(["┃ from ┃ lost ┃", "│ nrt  │ 7 │"], printed, loosely=True)
    assert not run_docs.agrees(["│ lhr  │ 7 │"], printed, loosely=True)
    assert not run_docs.agrees(["noise", "│ nrt │ 7 │"], printed, loosely=True)


# What is generated.


@pytest.mark.parametrize("script", ["make_cli_reference.py", "make_man.py"])
def test_what_is_written_from_the_commands_is_fresh(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_page_is_right_for_groff() -> None:
    page = ROOT / "docs" / "man" / "ridgeline.1"
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-c", str(page)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "EXIT STATUS" in re.sub(".\x08", "", done.stdout)


def test_the_picture_of_the_readme_is_what_predict_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = tmp_path / "map.svg"
    spec = ROOT / "examples" / "demo" / "ridgeline.yaml"
    with pytest.raises(SystemExit) as end:
        main(["predict", str(spec), "--map", str(drawn)])
    assert end.value.code == 0
    kept = ROOT / "docs" / "images" / "map.svg"
    assert kept.stat().st_size < 150_000
    assert kept.read_text() == drawn.read_text(), f"ridgeline predict {spec} --map {kept}"


# JSON documents.


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict[str, Any]:
    """The documents of commands that need no lab, for the network of the examples, by schema."""
    monkeypatch.chdir(tmp_path)

    def answer(*arguments: str) -> Any:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        assert end.value.code == 0
        return json.loads(capsys.readouterr().out)

    spec = "my-anycast/ridgeline.yaml"
    found = [
        answer("new", "my-anycast", "--json"),
        answer("check", spec, "--json"),
        answer("predict", spec, "--json", "--output", "a.jsonl"),
        answer("compare", "a.jsonl", "a.jsonl", "--json"),
        answer("internet", "show", "builtin:demo", "--asn", "65537", "--json"),
        json.loads(Path("a.jsonl").read_text().splitlines()[0]),
    ]
    return {document["schema"]: document for document in found}


def is_part_of(shown: Any, real: Any) -> bool:
    if isinstance(shown, dict):
        return all(key in real and is_part_of(shown[key], real[key]) for key in shown)
    if isinstance(shown, list):
        return all(is_part_of(a, b) for a, b in zip(shown, real, strict=False))
    return bool(shown == real)


def section(schema: str) -> str:
    """Return what the page says of a document."""
    text = (ROOT / "docs" / "reference" / "json.md").read_text()
    return text.split(f"\n## {schema}\n", 1)[1].split("\n## ", 1)[0]


def test_documents_that_are_shown_are_parts_of_real_ones(documents: dict[str, Any]) -> None:
    page = ROOT / "docs" / "reference" / "json.md"
    shown = [json.loads(block) for block in fences_of(page, "json")]
    known = [example for example in shown if example.get("schema") in documents]
    assert len(known) >= 2
    for example in known:
        assert is_part_of(example, documents[example["schema"]])


@pytest.mark.parametrize("thing", ["new", "prediction", "comparison"])
def test_every_field_of_a_document_is_described(thing: str, documents: dict[str, Any]) -> None:
    schema = f"ridgeline.{thing}/1"
    described = set(re.findall(r"\w+", section(schema)))
    assert documents[schema].keys() - {"schema"} <= described
