"""`ridgeline demo`: the whole story in one command."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ridgeline.cli.progress import progress


@click.command("demo")
@click.argument("spec", required=False, type=click.Path())
@click.option("--internet", default="builtin:demo", show_default=True, help="See `internet show`.")
@click.option(
    "--output",
    default=".",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.html and report.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
def command(spec: str | None, *, internet: str, output: Path, as_json: bool) -> int:
    """Bring SPEC up, try it, break it, heal it, and write a report.

    Predicts where clients land, builds the network of real routers and servers, shows who answers
    whom, traces, resolves and fetches, kills a site and heals it, and shows the limits. Without
    SPEC it uses a network of its own. The exit code is 0 only if everything it claims was seen.
    """
    from ridgeline.app.demo import run_demo
    from ridgeline.app.report import write_report

    with tempfile.TemporaryDirectory() as scratch, progress("demo") as tell:
        if spec is None:
            from ridgeline.app.new import new_network

            spec = str(new_network(Path(scratch) / "example-anycast")[0])
        report = run_demo(spec, internet=internet, tell=tell)
        tell("writing the report")
        files = write_report(report, output)
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        _print(report)
        for file in files:
            click.echo(f"wrote {file}")
    return 0 if all(claim["seen"] for claim in report["claims"]) else 1


def _print(report: Mapping[str, Any]) -> None:
    from rich.console import Console

    from ridgeline.cli.lab_tables import print_answered, print_failover, print_traces

    console = Console(highlight=False, soft_wrap=True)
    print_answered(report["clients"])
    print_traces([{**trace, "reached": trace["site"] is not None} for trace in report["traces"]])
    for event in ("failover", "drain"):
        if event in report:
            print_failover(report[event])
    console.print()
    for claim in report["claims"]:
        mark = "[green]seen[/]    " if claim["seen"] else "[bold red]NOT SEEN[/]"
        console.print(f"{mark} {claim['claim']}\n         [dim]{claim['detail']}[/]")
    held = report["comparison"]
    console.print(
        f"\n{report['network']}: predicted and rehearsed agree for {held['agreement']:.0%} of "
        f"{held['compared']} answers; the whole took {report['seconds']:.0f} s"
    )
