"""`ridgeline probe identify`: which site answers."""

import json
from typing import Any

import click

_KINDS = ("dns", "http", "tls")


@click.command("identify")
@click.argument("target")
@click.option("-4", "--ipv4", is_flag=True, help="Only over IPv4.")
@click.option("-6", "--ipv6", is_flag=True, help="Only over IPv6.")
@click.option(
    "--by",
    "kinds",
    type=click.Choice(_KINDS),
    multiple=True,
    help="Only in these ways (repeatable; default: all).",
)
@click.option(
    "--name",
    "names",
    metavar="NAME",
    multiple=True,
    help="A TXT name that tells who answers (repeatable; default: whoami.anycast.test).",
)
@click.option(
    "--timeout", type=click.FloatRange(0.05, 30), default=2.0, show_default=True, help="Seconds."
)
@click.option("--here", metavar="IATA", default="", help="Where this machine stands.")
@click.option("--lab", metavar="NAME", default="", help="Ask from the clients of this lab.")
@click.option("--from", "vantage", metavar="CITY,...", default="", help="Only these clients.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(target: str, *, as_json: bool, **options: Any) -> int:
    """Ask TARGET in every way who it is: DNS, HTTP and TLS; UDP and TCP; IPv4 and IPv6.

    Each way's answer is shown as what it is: an identity, refused, a timeout, malformed. The exit
    code is 1 if no way names a site, or if ways name different ones.
    """
    from ridgeline.app.probe_identify import identify_target

    ipv4, ipv6, vantage = options.pop("ipv4"), options.pop("ipv6"), options.pop("vantage")
    kinds = options.pop("kinds") or _KINDS
    document = identify_target(
        target,
        versions=[version for version, wanted in ((4, ipv4), (6, ipv6)) if wanted],
        kinds=kinds,
        vantage=[part.strip() for part in vantage.split(",") if part.strip()],
        **options,
    )
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        from ridgeline.cli.probe_tables import print_identities

        print_identities(document)
    return 0 if all(found["agree"] for found in document["targets"]) else 1
