"""`ridgeline probe changes`: what changed from sweep to sweep."""

import json

import click


@click.command("changes")
@click.argument("files", metavar="A B [C...]", nargs=-1, required=True, type=click.Path())
@click.option(
    "--alike",
    type=click.FloatRange(0, 100),
    default=90.0,
    show_default=True,
    metavar="PCT",
    help="Sweeps that agree on so much of the weight belong to one routing mode.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(files: tuple[str, ...], *, alike: float, as_json: bool) -> None:
    """Compare sweeps, oldest first: who moved from where to where, what vanished, who keeps flipping.

    A, B, C... are catchment maps (.jsonl or .parquet) of the same clients. Sweeps that are alike
    form a routing mode; one that comes back after another recurs.
    """
    from ridgeline.app.probe import changes_of_files
    from ridgeline.app.probe_documents import changes_document

    if len(files) < 2:
        raise click.UsageError("name at least two catchment maps, oldest first")
    found = changes_of_files(files, alike=alike / 100)
    if as_json:
        click.echo(json.dumps(changes_document(found), ensure_ascii=False))
        return
    from ridgeline.cli.probe_file_tables import print_changes

    print_changes(found)
