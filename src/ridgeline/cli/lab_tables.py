"""What the lab answers, as tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_PALETTE = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta")


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width of its own
    return console


def _colours(sites: Iterable[str]) -> dict[str, str]:
    return {site: _PALETTE[at % len(_PALETTE)] for at, site in enumerate(sites)}


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def print_status(document: Mapping[str, Any]) -> None:
    """Print who answers whom, and the sites."""
    console = _console()
    colours = _colours(document["sites"])
    clients: Mapping[str, Any] = document["clients"]
    total = sum(client["users"] for client in clients.values()) or 1.0
    first = next((list(c["services"]) for c in clients.values() if c["services"]), [])
    served: dict[str, float] = {}
    for client in clients.values():
        site = client["services"].get(first[0], {}).get("site") if first else None
        if site:
            served[site] = served.get(site, 0.0) + client["users"]

    sites = Table(title=f"{document['network']} (AS{document['asn']})", title_justify="left")
    for heading in ("site", "city", "state", "upstreams", "users"):
        sites.add_column(heading, justify="right" if heading == "users" else "left")
    for name, site in document["sites"].items():
        state = site["state"] + (f" ({site['how']})" if site["how"] else "")
        sites.add_row(
            Text(name, style=colours[name]),
            site["city"],
            Text(state, style="" if site["state"] == "announced" else "bold red"),
            ", ".join(u["name"] or f"AS{u['asn']}" for u in site["upstreams"]),
            f"{100 * served.get(name, 0.0) / total:.1f} %",
        )
    console.print(sites)

    table = Table(title="who answers whom", title_justify="left")
    for heading in ("client", "city", "network", *first):
        table.add_column(heading)
    for name, client in clients.items():
        cells = []
        for service in first:
            answer = client["services"].get(service, {})
            site = answer.get("site")
            cells.append(
                Text(f"{site:<5} {_ms(answer.get('rtt_ms')):>9}", style=colours.get(site, ""))
                if site
                else Text("no answer", style="bold red")
            )
        table.add_row(name, client["city"], client["network"], *cells)
    console.print(table)
    for lost in document["daemons_lost"]:
        console.print(f"[bold red]lost[/]: {lost['why']}")
    _print_rescue(console, document.get("rescue") or {})
    for node in document.get("nodes", ()):
        console.print("  ".join(node))


def _print_rescue(console: Console, rescue: Mapping[str, Any]) -> None:
    if rescue.get("problem"):
        console.print(f"[bold red]rescue is off[/]: {rescue['problem']}")
    elif rescue.get("on"):
        console.print("rescue is on: ridgeline lab rescue")


def print_answered(clients: Sequence[Mapping[str, Any]]) -> None:
    """Print who answers whom in a report, with the detour that BGP makes."""
    console = _console()
    services = list(clients[0]["services"]) if clients else []
    colours = _colours(dict.fromkeys(client["nearest"] for client in clients))
    table = Table(title="who answers whom", title_justify="left")
    for heading in ("client", "city", "network", *services, "detour"):
        table.add_column(heading)
    for client in clients:
        cells = [
            Text(
                f"{answer['site'] or 'nobody':<5} {_ms(answer['rtt_ms']):>9}",
                style=colours.get(answer["site"], ""),
            )
            for answer in client["services"].values()
        ]
        extra = client["site_km"] - client["nearest_km"]
        detour = f"{client['nearest']} is {extra:,.0f} km nearer" if extra > 50 else ""
        table.add_row(client["city"], client["name"], client["network"], *cells, detour)
    console.print(table)


def print_traces(traces: Sequence[Mapping[str, Any]]) -> None:
    """Print traceroutes side by side; what all share is dim, the last hops stand out."""
    console = _console()
    table = Table(
        title=f"routes to {traces[0]['target']}" if traces else "no traces",
        title_justify="left",
        show_lines=False,
    )
    table.add_column("hop", justify="right")
    for trace in traces:
        where = f" → {trace['site']}" if trace["site"] else " (not reached)"
        table.add_column(f"from {trace['from']}{where}")
    depth = max((len(trace["hops"]) for trace in traces), default=0)
    for at in range(depth):
        cells = []
        for trace in traces:
            hops = trace["hops"]
            if at >= len(hops):
                cells.append(Text(""))
                continue
            cells.append(_hop(hops[at], left=len(hops) - 1 - at, reached=trace["reached"]))
        table.add_row(str(at + 1), *cells)
    console.print(table)
    for line in describe_divergence(traces):
        console.print(line)


def _hop(hop: Mapping[str, Any], *, left: int, reached: bool) -> Text:
    if hop["address"] is None:
        return Text("*", style="dim")
    # The port says least: what is left tells device, place and network.
    name = (hop["name"] or hop["address"]).removesuffix(".example")
    if hop["city"] and name.count(".") > 2:
        name = name.split(".", 1)[1]
    style = "bold green" if reached and left == 0 else "bold yellow" if left == 1 else ""
    return Text(f"{name}\n{_ms(hop['rtt_ms'])}", style=style)


def describe_divergence(traces: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in words where each route goes and which data centre its last hops name."""
    lines = []
    for trace in traces:
        path: list[str] = []
        for hop in trace["hops"]:
            if hop["city"] and f"{hop['network']} {hop['city']}" not in path[-1:]:
                path.append(f"{hop['network']} {hop['city']}")
        end = f"answered at {trace['site']}" if trace["reached"] else "not reached"
        lines.append(f"{trace['from']}: {' → '.join(path)}: {end}")
    sites = {trace["site"] for trace in traces if trace["site"]}
    if len(sites) > 1:
        lines.append(
            f"One address, {len(sites)} data centres: {', '.join(sorted(sites))}. "
            "The routes part where networks choose different neighbours."
        )
    return lines


def print_answers(answers: Sequence[Mapping[str, Any]]) -> None:
    """Print DNS answers by client."""
    console = _console()
    table = Table(
        title=f"{answers[0]['question']} @{answers[0]['server']}" if answers else "no answers",
        title_justify="left",
    )
    for heading in ("from", "site", "status", "time", "answer"):
        table.add_column(heading)
    for answer in answers:
        table.add_row(
            answer["from"],
            answer["site"] or "-",
            f"{answer['status']}{' validated' if answer['validated'] else ''}",
            _ms(answer["rtt_ms"]),
            "\n".join([*answer["answer"], *(f"EDE {ede}" for ede in answer["ede"])])
            or answer["error"]
            or "-",
        )
    console.print(table)


def print_fetched(fetched: Sequence[Mapping[str, Any]]) -> None:
    """Print HTTP fetches by client."""
    console = _console()
    table = Table(title=fetched[0]["url"] if fetched else "nothing fetched", title_justify="left")
    for heading in ("from", "site", "status", "time", "bytes", "cache"):
        table.add_column(heading)
    for item in fetched:
        table.add_row(
            item["from"],
            item["site"] or "-",
            str(item["status"] or item["error"]),
            _ms(item["ms"]),
            str(item["bytes"]),
            item["cache"] or "-",
        )
    console.print(table)
    bodies = {item["body"] for item in fetched}
    if len(bodies) == 1:
        console.print(bodies.pop().rstrip())


def print_failover(document: Mapping[str, Any]) -> None:
    """Print what clients saw while a site failed, drained or came back."""
    console = _console()
    table = Table(
        title=f"{document['event']} {document['site']} ({document['how']}): what clients saw",
        title_justify="left",
    )
    for heading in ("client", "service", "before", "after", "queries", "lost", "outage"):
        table.add_column(heading, justify="right" if heading in {"queries", "lost"} else "left")
    touched = [
        row for row in document["clients"] if row["queries_lost"] or row["before"] != row["after"]
    ]
    for row in touched:
        outage = (
            "never answered again" if row["outage_ms"] is None else f"{row['outage_ms']:.0f} ms"
        )
        table.add_row(
            row["city"],
            row["service"],
            row["before"] or "-",
            Text(row["after"] or "nobody", style="" if row["after"] else "bold red"),
            str(row["queries"]),
            str(row["queries_lost"]),
            outage,
        )
    console.print(table)
    untouched = len(document["clients"]) - len(touched)
    if untouched:
        console.print(f"{untouched} other clients noticed nothing.")
    for line in document.get("notes", ()):
        console.print(line)
    timeline = document["routing"]
    if timeline:
        console.print(
            f"Routing: {len(timeline)} changes at "
            f"{len({event['router'] for event in timeline})} routers, "
            f"first after {timeline[0]['t_ms']:.1f} ms, last after {timeline[-1]['t_ms']:.1f} ms."
        )
