"""`ridgeline agent`: the daemon at a site, and what an operator asks of it."""

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ridgeline.agent.router import Finding

_config = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False),
    help="The agent's own settings; agent.yaml beside SPEC by default.",
)
_site = click.option("--site", required=True, help="The site that this machine is part of.")
_socket = click.option(
    "--socket",
    "control",
    type=click.Path(dir_okay=False),
    help="Control socket of the agent; by default what ./agent.yaml says, or /run/ridgeline/agent.sock.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group("agent")
def command() -> None:
    """Announce while the services are healthy; withdraw or drain when they are not."""


@command.command()
@click.argument("spec")
@_site
@_config
def run(spec: str, site: str, config_path: str | None) -> None:
    """Run the agent of one site until SIGTERM.

    SIGHUP reads SPEC and agent.yaml again; a wrong file changes nothing. Log lines go to standard
    output, as JSON unless it is a terminal.
    """
    from ridgeline.app.agent import run_agent

    run_agent(spec, site, config_path)


@command.command()
@click.argument("spec")
@_site
@_config
@_json
def check(spec: str, site: str, config_path: str | None, *, as_json: bool) -> int:
    """Say whether the site's router is set up right, with the lines to add where it is not.

    Changes nothing. The exit code is 1 if something would keep the agent from its work.
    """
    from ridgeline.agent.router import Severity
    from ridgeline.app.agent import check_agent

    findings = check_agent(spec, site, config_path)
    bad = any(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        document = {
            "schema": "ridgeline.agent-check/1",
            "ok": not bad,
            "findings": [_finding(finding) for finding in findings],
        }
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        for finding in findings:
            _print_finding(finding)
    return 1 if bad else 0


@command.command()
@_socket
@_json
def status(control: str | None, *, as_json: bool) -> int:
    """Say what the running agent knows, wants and sees at the neighbours.

    The exit code is 1 if something is not as it should be.
    """
    return _ask({"verb": "status"}, control, as_json=as_json)


@command.command()
@click.argument("prefixes", nargs=-1, metavar="[PREFIX]...")
@click.option("--reason", default="maintenance", help="Why; goes to the log and the neighbours.")
@click.option("--for", "duration", help="Resume by itself after this long, such as 30m or 2h.")
@click.option("--hold", help="How long it stays announced, drained; by default as agent.yaml says.")
@_socket
@_json
def drain(
    prefixes: tuple[str, ...],
    reason: str,
    duration: str | None,
    hold: str | None,
    control: str | None,
    *,
    as_json: bool,
) -> int:
    """Move clients away (RFC 8326), then withdraw: all of the site, or PREFIX.

    A drain survives restarts until `ridgeline agent resume`, or until --for is over.
    """
    request = {
        "verb": "drain",
        "prefixes": list(prefixes),
        "reason": reason,
        "for_s": None if duration is None else _seconds("--for", duration),
        "hold": None if hold is None else 0.0 if hold in {"0", "0s"} else _seconds("--hold", hold),
    }
    _ask(request, control, as_json=as_json)
    return 0


@command.command()
@click.argument("prefixes", nargs=-1, metavar="[PREFIX]...")
@_socket
@_json
def resume(prefixes: tuple[str, ...], control: str | None, *, as_json: bool) -> int:
    """End a drain: announce again as soon as the services are healthy."""
    _ask({"verb": "resume", "prefixes": list(prefixes)}, control, as_json=as_json)
    return 0


def _seconds(option: str, text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    unit = units.get(text[-1:], 0)
    try:
        seconds = float(text[:-1]) * unit
    except ValueError:
        seconds = 0
    if not 0 < seconds < 366 * 86400:
        raise click.UsageError(f"{option} {text}: not a duration such as 90s, 30m, 2h or 1d")
    return seconds


def _ask(request: dict[str, Any], control: str | None, *, as_json: bool) -> int:
    from ridgeline.app.agent import ask_running

    document = ask_running(request, control=control)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        _print_status(document)
    return 0 if document["ok"] else 1


def _finding(finding: "Finding") -> dict[str, Any]:
    return {
        "severity": finding.severity.value,
        "what": finding.what,
        "why": finding.why,
        "lines": list(finding.lines),
        "where": finding.where,
    }


def _print_finding(finding: "Finding") -> None:
    colour = {"ok": "green", "warning": "yellow", "error": "red"}.get(finding.severity.value)
    mark = click.style(f"{finding.severity.value:8}", fg=colour)
    click.echo(f"{mark}{finding.what}")
    if finding.why:
        click.echo(f"        {finding.why}")
    if finding.lines:
        click.echo(f"        add to {finding.where}:" if finding.where else "        do:")
        for line in finding.lines:
            click.echo(f"          {line}")


def _print_status(document: dict[str, Any]) -> None:
    router = document["router"]
    click.echo(f"site {document['site']} of {document['network']}, up {document['up_s']:.0f} s")
    click.echo(f"router: {router['problem'] or 'answers'}")
    for text in router["degraded"]:
        click.echo(f"  degraded: {text}")
    for neighbour in router["neighbours"]:
        state = "established" if neighbour["established"] else "down"
        click.echo(f"  {neighbour['name']} AS{neighbour['asn']} {neighbour['address']}: {state}")
    if document["dead_man"]["waits"]:
        why = document["dead_man"]["problem"] or "nothing goes out before the checks have spoken"
        click.echo(f"dead-man switch: open: {why}")
    for p in document["prefixes"]:
        sent = ", ".join(p["exported"]) or "nobody"
        believed = p["held"] or "unknown"
        wanted = "" if p["wanted"] == p["held"] else f" (wanted: {p['wanted']})"
        click.echo(f"{p['prefix']}: {believed}{wanted} to {sent}; {p['reason']}")
        if p["drain"]:
            left = p["drain"]["left_s"]
            until = "until resumed" if left is None else f"for {left:.0f} s more"
            click.echo(f"  draining {until}: {p['drain']['reason']}")
        if p["damped_s"] and p["held"] != "announced":
            click.echo(f"  damped: announced again in {p['damped_s']:.0f} s at the earliest")
        for text in p["alerts"]:
            click.echo(f"  alert: {text}")
    bad = [c for c in document["checks"] if c["condition"] != "up"]
    click.echo(f"checks: {len(document['checks']) - len(bad)} of {len(document['checks'])} up")
    for entry in bad:
        click.echo(f"  {entry['name']}: {entry['condition']}: {entry['reason']}")
