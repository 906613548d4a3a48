"""What probes found, as tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_MOST_ROWS = 60
_MOST_PROBLEMS = 10
_PALETTE = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta")


def make_console() -> Console:
    """Make a console that wraps nothing in a file or a pipe."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width of its own
    return console


def colours(sites: Iterable[str | None]) -> dict[str, str]:
    """Give each site a colour of its own, in a fixed order."""
    names = dict.fromkeys(site for site in sites if site)
    return {site: _PALETTE[at % len(_PALETTE)] for at, site in enumerate(sorted(names))}


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def print_traces(traces: Sequence[Mapping[str, Any]]) -> None:
    """Print traces side by side, and in words what each came to."""
    console = make_console()
    console.print(traces_table(traces))
    for trace in traces:
        console.print(describe_trace(trace))


def traces_table(traces: Sequence[Mapping[str, Any]]) -> Table:
    """Make the table: a column for each trace, a row for each hop."""
    colour = colours(trace["site"] for trace in traces)
    table = Table(title_justify="left")
    table.add_column("hop", justify="right")
    for trace in traces:
        style = colour.get(trace["site"], "bold")
        table.add_column(_heading(trace), header_style=style, overflow="fold")
    for at in range(max((len(trace["hops"]) for trace in traces), default=0)):
        table.add_row(str(at + 1), *(_hop(trace, at, colour) for trace in traces))
    return table


def _heading(trace: Mapping[str, Any]) -> str:
    origin = "" if trace["from"] == "here" else f"from {trace['from']} "
    site = f" → {trace['site']}" if trace["site"] else ""
    return f"{origin}to {trace['target']}{site}"


def _hop(trace: Mapping[str, Any], at: int, colour: Mapping[str, str]) -> Text:
    if at >= len(trace["hops"]):
        return Text("")
    hop = trace["hops"][at]
    text = Text()
    if trace["parts_at"] == at + 1:
        text.append("┬ the paths part\n", style="bold")
    if trace["meets_at"] == at + 1:
        text.append("┴ the paths meet\n", style="bold")
    if hop["address"] is None:
        return text.append("*", style="dim")
    last = at == len(trace["hops"]) - 1
    style = (colour.get(trace["site"], "bold") if trace["reached"] else "red") if last else ""
    text.append(hop["name"] or hop["address"], style=style)
    lost = hop["sent"] - len(hop["rtts_ms"])
    facts = [
        milliseconds(hop["rtt_ms"]),
        hop["address"] if hop["name"] else "",
        hop["network"] or "",
        hop["place"]["city"] if hop["place"] else "",
        f"also {', '.join(hop['addresses'][1:])}" if len(hop["addresses"]) > 1 else "",
        f"{lost} of {hop['sent']} lost" if lost > 0 else "",
        hop.get("note", ""),
    ]
    return text.append("\n" + "  ".join(filter(None, facts)), style="dim")


def describe_trace(trace: Mapping[str, Any]) -> str:
    """Say in a line what a trace came to."""
    origin = "" if trace["from"] == "here" else f"{trace['from']}: "
    what = trace["target"]
    if trace["address"] != what:
        what += f" ({trace['address']})"
    if not trace["reached"]:
        return f"{origin}{what} was not reached: {trace['problem']}"
    flow = "by the flow of the trace" if trace["identity"]["same_flow"] else "beside the trace"
    n_hops = len(trace["hops"])
    last = trace["hops"][-1] if n_hops else {}
    reached = (
        f"{origin}{what} is {n_hops} hop{'s' * (n_hops != 1)} and "
        f"{milliseconds(last.get('rtt_ms'))} away"
    )
    if trace["site"]:
        return f"{reached}; site {trace['site']} answers, asked {flow}"
    answers = trace["identity"]["answers"]
    why = "; ".join(f"{a['way']}: {a['outcome']}" for a in answers) or "its answer says nothing"
    return f"{reached}; it does not say which site it is ({why})"


def print_identities(document: Mapping[str, Any]) -> None:
    """Print what each way of asking gave, and whether they agree."""
    console = make_console()
    for target in document["targets"]:
        table = Table(title=f"who answers at {target['target']}", title_justify="left")
        for heading in ("way", "over", "answer", "time", "place"):
            table.add_column(heading, justify="right" if heading == "time" else "left")
        for answer in target["answers"]:
            if answer["outcome"] == "answered":
                shown = Text(answer["value"])
            else:
                detail = answer.get("detail", "")
                more = f" ({detail})" if detail not in ("", answer["outcome"]) else ""
                shown = Text(f"{answer['outcome']}{more}", style="dim")
            place = answer.get("place")
            rejected = answer.get("place_rejected", "")
            table.add_row(
                answer["way"],
                f"{answer['transport']}, IPv{answer['ipv']}",
                shown,
                "" if answer["rtt_ms"] is None else milliseconds(answer["rtt_ms"]),
                f"{place['city']}, {place['country']}" if place else Text(rejected, style="red"),
            )
        console.print(table)
        console.print(describe_agreement(target))


def describe_agreement(target: Mapping[str, Any]) -> str:
    """Say in a line whether all ways name one site."""
    names: Mapping[str, Sequence[str]] = target["names"]
    if not names:
        return f"{target['target']} does not say which site it is"
    if len(names) == 1:
        n_ways = sum(len(ways) for ways in names.values())
        return f"{target['target']} is site {target['site']}: {n_ways} ways say so, none another"
    said = "; ".join(f"{name} ({', '.join(ways)})" for name, ways in names.items())
    return f"{target['target']} gives several names: {said}"


def print_plan(plan: Mapping[str, Any]) -> None:
    """Print what a sweep from inside would send."""
    console = make_console()
    before = plan["n_asked_before"]
    resumed = f"; {before} were asked before and are left alone" if before else ""
    console.print(
        f"would send {plan['n_to_ask']} echoes from {plan['from']} at site {plan['at']}, "
        f"{plan['rate']:g} a second, in about {plan['seconds']:g} s{resumed}\n"
        f"listening at {', '.join(plan['listening'])}\n"
        f"first to {', '.join(plan['first'])}{' ...' if plan['n_to_ask'] > 5 else ''}\n"
        "nothing was sent"
    )


def print_sweep(document: Mapping[str, Any]) -> None:
    """Print who lands where, and who did not answer."""
    console = make_console()
    rows: Sequence[Mapping[str, Any]] = document["rows"]
    colour = colours(document["sites"])
    services = list(dict.fromkeys(row.get("service", "") for row in rows))
    table = Table(title=f"who lands where ({document['source']})", title_justify="left")
    for heading in ("vantage point", "city", *(service or "site" for service in services)):
        table.add_column(heading)
    by_name: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], {})[row.get("service", "")] = row
    for name, seen in list(by_name.items())[:_MOST_ROWS]:
        city = next(iter(seen.values())).get("city", "")
        table.add_row(name, city, *(_site_cell(seen.get(s), colour) for s in services))
    console.print(table)
    if len(by_name) > _MOST_ROWS:
        console.print(f"... and {len(by_name) - _MOST_ROWS} more; --output writes all")
    n_landed = sum(document["clients_of"].values())
    for site, count in document["clients_of"].items():
        share = f"{100 * count / n_landed:.1f} %" if n_landed else "-"
        console.print(Text(f"{site:<12} {count:>9}  {share:>7}", style=colour.get(site, "")))
    if document["n_silent"]:
        console.print(f"{document['n_silent']} of {document['n_asked']} gave no site")
    for name, problem in list(document["problems"].items())[:_MOST_PROBLEMS]:
        console.print(Text(f"  {name}: {problem}", style="dim"))


def _site_cell(row: Mapping[str, Any] | None, colour: Mapping[str, str]) -> Text:
    if row is None:
        return Text("")
    site = row.get("site")
    if not site:
        return Text("none", style="bold red")
    time = f" {milliseconds(row['rtt_ms']):>9}" if row.get("rtt_ms") is not None else ""
    return Text(f"{site:<5}{time}", style=colour.get(site, ""))
