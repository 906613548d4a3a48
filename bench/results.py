"""What every benchmark prints and writes: a table, and `bench/results/NAME.json`."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def figure(
    value: float,
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    peers: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Make a figure; `holds` says whether it meets its bar, and is absent without one."""
    made: dict[str, Any] = {"value": round(value, 4), "unit": unit}
    if peers:
        made["peers"] = {name: round(other, 4) for name, other in peers.items()}
    if at_most is not None:
        made |= {"bar": at_most, "holds": value <= at_most}
    if at_least is not None:
        made |= {"bar": at_least, "holds": value >= at_least}
    return made


def publish(name: str, figures: Mapping[str, Mapping[str, Any]]) -> bool:
    """Print the figures as a table and write them; say whether every bar holds."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"bench {name}", title_justify="left")
    for heading in ("figure", "value", "bar", "holds", "peers"):
        table.add_column(heading, justify="right" if heading in {"value", "bar"} else "left")
    for key, made in figures.items():
        holds = made.get("holds")
        table.add_row(
            key,
            f"{made['value']:,.4g} {made['unit']}",
            "" if "bar" not in made else f"{made['bar']:,.4g}",
            "" if holds is None else ("yes" if holds else "[bold red]NO[/]"),
            ", ".join(f"{peer} {value:,.4g}" for peer, value in made.get("peers", {}).items()),
        )
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    document = {"schema": "ridgeline.bench/1", "machine": machine(), "figures": figures}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    return all(made.get("holds", True) for made in figures.values())


def machine() -> dict[str, Any]:
    """Describe where the figures were taken."""
    return {
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }
