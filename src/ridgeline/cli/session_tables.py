"""What the lab says of sessions and of rescue, as tables for people."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

MAX_COLUMNS: Final = 12
"""Sites that a table has room for beside each other."""


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width of its own
    return console


def print_sessions(document: Mapping[str, Any]) -> None:
    """Print, per class of sessions, how many outlived the event."""
    console = _console()
    moved = sum(row["before"] != row["after"] for row in document["clients"].values())
    console.print(
        f"{document['event']} {document['site']} ({document['how']}), watched for "
        f"{document['watched_s']:.1f} s; rescue {'on' if document['rescue']['on'] else 'off'}"
    )
    table = Table(
        title=f"sessions of the {moved} cities whose route moved, "
        f"and of the {len(document['clients']) - moved} others",
        title_justify="left",
    )
    table.add_column("class")
    for heading in ("open", "survived", "reset", "hung", "other", "share", "ended after"):
        table.add_column(heading, justify="right")
    table.add_column("others survived", justify="right")
    for kind, groups in document["classes"].items():
        row, stayed = groups["moved"], groups["stayed"]
        table.add_row(
            kind,
            *(f"{row[key]:,}" for key in ("sessions", "survived", "reset", "hung", "other")),
            "-" if row["share"] is None else f"{100 * row['share']:.1f} %",
            "-" if row["median_end_ms"] is None else f"{row['median_end_ms']:,.0f} ms",
            f"{stayed['survived']:,} of {stayed['sessions']:,}",
        )
    console.print(table)
    stages = document.get("stages")
    if stages:
        print_stages(stages)


def print_stages(stages: list[Mapping[str, Any]]) -> None:
    """Print what a drain did when, and how many flows the site still had."""
    console = _console()
    table = Table(title="the drain, stage by stage", title_justify="left")
    for heading in ("stage", "after", "flows left"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for row in stages:
        table.add_row(row["stage"], f"{row['t_ms'] / 1000:.1f} s", f"{row['flows']:,}")
    console.print(table)


def print_rescue(document: Mapping[str, Any]) -> None:
    """Print whether rescue is on, and what each site has counted."""
    console = _console()
    if not document["on"]:
        console.print("rescue is off")
        if document.get("problem"):
            console.print(document["problem"])
        return
    sites = sorted(document["sites"], key=lambda site: -document["sites"][site]["sent"])
    busiest = set(sites[:MAX_COLUMNS])
    shown = {site: row for site, row in document["sites"].items() if site in busiest}
    rest = len(sites) - len(shown)
    title = f"rescue is on; {rest} sites that send less are not shown" if rest else "rescue is on"
    table = Table(title=title, title_justify="left")
    table.add_column("packets")
    for site in shown:
        table.add_column(site, justify="right")
    for name in next(iter(shown.values())):
        values = [counted[name] for counted in shown.values()]
        table.add_row(name.replace("_", " "), *(f"{value:,g}" for value in values))
    console.print(table)
