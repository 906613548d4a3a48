"""The wall: one row for each thing that sites have in common, one column a site, odd ones red."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_consistency(document: Mapping[str, Any]) -> None:
    """Show what each site has, what it has otherwise than most, and the verdict."""
    console = Console(highlight=False)
    sites = document["sites"]
    table = Table("service", "what", "most sites", *sites)
    for fact in document["facts"]:
        usual = fact["usual"]
        cells = [_cell(fact, site) for site in sites]
        table.add_row(fact["service"], fact["name"], usual or "[red]they differ[/red]", *cells)
    console.print(table)
    odd = document["odd"]
    n = len(document["facts"])
    if odd:
        console.print(f"[red]{', '.join(odd)}: not like the others[/red]")
    elif not n:
        console.print("no site said anything: is the address its own, and reachable?")
    else:
        console.print(f"{len(sites)} sites are the same in {n} things")


def _cell(fact: Mapping[str, Any], site: str) -> str:
    value = fact["values"][site]
    if site in fact["odd"]:
        return f"[bold white on red]{value}[/bold white on red]"
    return "[green]=[/green]"
