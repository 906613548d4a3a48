"""`ridgeline probe consistency`: whether every site is the same."""

import json

import click


@click.command("consistency")
@click.argument("spec", metavar="SPEC", type=click.Path())
@click.option(
    "--site",
    "sites",
    metavar="NAME=ADDRESS",
    multiple=True,
    help="An address that this site alone has (repeatable).",
)
@click.option("--lab", metavar="NAME", default="", help="Ask in this lab, which knows addresses.")
@click.option("--from", "vantage", metavar="CITY", default="", help="From this client of the lab.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(spec: str, *, sites: tuple[str, ...], lab: str, vantage: str, as_json: bool) -> int:
    """Ask every site of SPEC, by its own address, what must not depend on the site.

    Serials of zones, fingerprints of the configuration, the certificate, whether sites take each
    other's DNS cookies and resume each other's TLS sessions. The site that differs from most is
    marked. The exit code is 1 if any differs, or if no site said anything.
    """
    from ridgeline.app.consistency import consistency_outside

    addresses = {}
    for text in sites:
        name, equals, address = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not NAME=ADDRESS", param_hint="--site")
        addresses[name.lower()] = address
    document = consistency_outside(spec, addresses, lab=lab, vantage=vantage)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        from ridgeline.cli.consistency_table import print_consistency

        print_consistency(document)
    return 0 if document["consistent"] and document["facts"] else 1
