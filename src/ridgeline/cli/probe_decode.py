"""`ridgeline probe decode`: where servers are, by what they call themselves."""

import json

import click


@click.command("decode")
@click.argument("names", metavar="NAME...", nargs=-1)
@click.option(
    "--header",
    metavar="HEADER",
    help="The names are values of this HTTP header, e.g. cf-ray or x-served-by.",
)
@click.option(
    "--rtt",
    "seen",
    multiple=True,
    metavar="PLACE=MS",
    help="An answer took so long to a vantage point there: an IATA code or LAT,LON. Repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(
    names: tuple[str, ...], *, header: str | None, seen: tuple[str, ...], as_json: bool
) -> int:
    """Guess where servers are by their CHAOS or NSID identity, host name or header (- reads lines).

    Each guess comes with its reason and how sure it is; with --rtt, places from which light could
    not have come in time are rejected. The exit code is 1 if some name tells no place.
    """
    from ridgeline.app.probe import decode_names
    from ridgeline.app.probe_documents import decoding_document

    if not names:
        raise click.UsageError("name at least one identifier, or - to read them line by line")
    decoded = decode_names(names, header=header, seen=seen)
    if as_json:
        click.echo(json.dumps(decoding_document(decoded), ensure_ascii=False))
    else:
        from ridgeline.cli.probe_file_tables import print_decoded

        print_decoded(decoded)
    return 0 if all(one.best for one in decoded) else 1
