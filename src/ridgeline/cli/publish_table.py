"""What `lab publish` prints."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_publication(document: Mapping[str, Any]) -> None:
    """Print each zone's change and how long each site took."""
    console = Console(highlight=False, soft_wrap=True)
    rows = document["zones"]
    for domain in document["unchanged"]:
        console.print(f"{domain} is as it was")
    if not rows:
        console.print("nothing to publish")
        return
    for row in rows:
        serial = "" if row["serial"] is None else f", serial {row['serial']}"
        console.print(f"{row['zone']} {row['change']}{serial}")
    table = Table(title=f"at the sites, from the {document['from']}", title_justify="left")
    for heading in ("site", *(row["zone"] for row in rows)):
        table.add_column(heading, justify="left" if heading == "site" else "right")
    for site in rows[0]["sites"]:
        times = [row["sites"][site] for row in rows]
        table.add_row(site, *("not there" if ms is None else f"{ms:.1f} ms" for ms in times))
    console.print(table)
    for site in document["skipped"]:
        console.print(f"{site} is down and was not waited for")
    if document["everywhere"]:
        console.print(f"everywhere after {document['ms']:.1f} ms")
