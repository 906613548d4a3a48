"""`ridgeline check`: is the spec right, and are the files there that it names."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from ridgeline.errors import Problem

if TYPE_CHECKING:
    from ridgeline.app.check import Verdict


@click.command("check")
@click.argument("specs", nargs=-1, metavar="SPEC...", type=click.Path())
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON document a line, one for each SPEC."
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a spec, for editors.")
def command(specs: tuple[str, ...], *, as_json: bool, schema: bool) -> int:
    """Read each SPEC (- for standard input) and report every problem at once.

    Problems and warnings go to standard error, one a line, as FILE:LINE:COLUMN: WHERE: WHAT; the
    verdict goes to standard output. The exit code is 0 if every SPEC is right (warnings do not
    count), else 2.
    """
    if schema:
        if specs:
            raise click.UsageError("--schema takes no SPEC")
        from ridgeline.spec.schema import read_schema

        click.echo(read_schema(), nl=False)
        return 0
    if not specs:
        raise click.UsageError("which SPEC? Name a file, or - for standard input")

    from ridgeline.app.check import check_spec

    verdicts = [check_spec(spec) for spec in specs]
    for verdict in verdicts:
        if as_json:
            click.echo(json.dumps(_document(verdict), ensure_ascii=False))
        else:
            for line in render_problems(verdict.problems, verdict.warnings):
                click.echo(line, err=True)
            click.echo(f"{verdict.file}: {_summary(verdict)}")
    return 0 if all(verdict.ok for verdict in verdicts) else 2


def render_problems(problems: Iterable[Problem], warnings: Iterable[Problem]) -> list[str]:
    """Write a line for each, in file order."""
    found = [(problem, "") for problem in problems]
    found += [(warning, "warning: ") for warning in warnings]
    lines = []
    for problem, severity in sorted(found):
        where = f"{problem.where}: " if problem.where else ""
        place = f"{problem.file}:{problem.line}:{problem.column}"
        lines.append(f"{place}: {severity}{where}{problem.message}")
    return lines


def _summary(verdict: "Verdict") -> str:
    n_warnings = len(verdict.warnings)
    parts = [_count(n_warnings, "warning")] if n_warnings else []
    if not verdict.ok or verdict.spec is None:
        return ", ".join([_count(len(verdict.problems), "problem"), *parts])
    spec = verdict.spec
    sizes = [
        _count(len(spec.sites), "site"),
        _count(len(spec.services), "service"),
        _count(len(spec.prefixes), "prefix", "prefixes"),
    ]
    return f"ok: {', '.join(sizes + parts)}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _document(verdict: "Verdict") -> dict[str, Any]:
    spec = verdict.spec
    return {
        "schema": "ridgeline.check/1",
        "file": verdict.file,
        "ok": verdict.ok,
        "problems": [
            *(_entry(problem, "error") for problem in verdict.problems),
            *(_entry(warning, "warning") for warning in verdict.warnings),
        ],
        "summary": None
        if spec is None
        else {
            "network": spec.network,
            "asn": spec.asn,
            "sites": len(spec.sites),
            "services": len(spec.services),
            "prefixes": len(spec.prefixes),
        },
    }


def _entry(problem: Problem, severity: str) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "where": problem.where,
        "message": problem.message,
        "severity": severity,
    }
