"""What the caches forgot, as a table for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_purge(document: Mapping[str, Any]) -> None:
    """Print when each site had forgotten."""
    console = Console(highlight=False, soft_wrap=True)
    title = f"{document['service']}: {', '.join(document['items'])} (order {document['sequence']})"
    table = Table(title=title, title_justify="left")
    for heading in ("site", "forgotten after", ""):
        table.add_column(heading, justify="right" if heading == "forgotten after" else "left")
    for site, said in document["sites"].items():
        after = "-" if said["ms"] is None else f"{said['ms']:.1f} ms"
        late = "" if said["state"] == "purged" else f"{said['why']}; it forgets before it announces"
        table.add_row(site, after if said["state"] == "purged" else "-", late)
    console.print(table)
