"""`ridgeline compare`: whether we got what we planned."""

import json

import click


@click.command("compare")
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option(
    "--require",
    type=click.FloatRange(0, 100),
    metavar="PCT",
    help="Exit with 1 if less than PCT percent of the users agree.",
)
def command(a: str, b: str, *, as_json: bool, require: float | None) -> int:
    """Compare two catchment maps: predicted, rehearsed or observed (.jsonl or .parquet).

    Tells how many clients land at the same site in both, who moved from where to where, and whose
    answers take longer in B. The exit code is 0 unless --require says otherwise.
    """
    from ridgeline.app.compare import compare_files

    comparison = compare_files(a, b)
    if as_json:
        from ridgeline.app.prediction_document import comparison_document

        click.echo(json.dumps(comparison_document(comparison), ensure_ascii=False))
    else:
        from ridgeline.cli.predict_tables import print_comparison

        print_comparison(comparison)
    agreed = 100 * comparison.overall.weighted
    if require is not None and agreed < require:
        click.echo(f"{agreed:.1f} % of the users agree, {require:g} % are required", err=True)
        return 1
    return 0
