"""`ridgeline probe import`: files of others as catchment maps."""

import click


@click.group("import")
def command() -> None:
    """Turn files of others into catchment maps (.jsonl or .parquet)."""


@command.command("atlas")
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("-o", "--output", required=True, metavar="OUT", help="The map: .jsonl or .parquet.")
@click.option(
    "--locations",
    metavar="FILE",
    help="Where probes are: RIPE Atlas' probe list, or lines of id,lat,lon.",
)
@click.option(
    "--site",
    type=click.Choice(["place", "identity"]),
    default="place",
    show_default=True,
    help="Name sites by the airport that an identity tells, or by the identity itself.",
)
@click.option("--network", default="", metavar="NAME", help="The anycast network's name.")
def atlas(file: str, *, output: str, locations: str | None, site: str, network: str) -> None:
    """Read RIPE Atlas results: DNS (CHAOS, NSID) or traceroute, as the API gives them.

    FILE may be of any size: a JSON array, JSON Lines, or several after each other; plain or
    compressed, - for standard input. Of several results of one probe, the last decides its site.
    """
    from ridgeline.app.probe import import_atlas

    made, notes = import_atlas(
        file, output, locations=locations, by_place=site == "place", network=network
    )
    _tell(output, len(made), made.sites, notes)


@command.command("verfploeter")
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("-o", "--output", required=True, metavar="OUT", help="The map: .jsonl or .parquet.")
@click.option("--network", default="", metavar="NAME", help="The anycast network's name.")
@click.option("--prefix", default="", metavar="P", help="The prefix that the probes came from.")
def verfploeter(file: str, *, output: str, network: str, prefix: str) -> None:
    """Read Verfploeter's replies, as the Tangled testbed writes them; plain or compressed.

    Targets that answered more than once are left out, as in the testbed's own totals.
    """
    from ridgeline.app.probe import import_verfploeter
    from ridgeline.cli.probe_file_tables import print_survey

    found = import_verfploeter(file, output, network=network, prefix=prefix)
    print_survey(found, output)


def _tell(output: str, n_rows: int, sites: tuple[str, ...], notes: tuple[str, ...]) -> None:
    click.echo(f"{output}: {n_rows} rows, {len(sites)} sites")
    for note in notes:
        click.echo(f"note: {note}", err=True)
