"""`ridgeline new`: the files to start from."""

import json
from pathlib import Path

import click


@click.command("new")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--sites",
    default="nrt,lhr,iad",
    show_default=True,
    metavar="CODE,CODE...",
    help="IATA codes of the cities to announce from.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(directory: Path, *, sites: str, as_json: bool) -> None:
    """Write a commented spec, a zone and a page into DIR, ready for `predict` and `lab up`.

    Its upstreams are networks of builtin:demo, an invented Internet. No file is ever overwritten.
    """
    from ridgeline.app.new import new_network

    files = new_network(directory, [code.strip() for code in sites.split(",")])
    if as_json:
        click.echo(
            json.dumps({"schema": "ridgeline.new/1", "files": [str(file) for file in files]})
        )
        return
    for file in files:
        click.echo(str(file))
    click.echo(f"next: ridgeline check {files[0]}", err=True)
