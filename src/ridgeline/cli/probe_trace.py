"""`ridgeline probe trace`: by which path, and who answers at its end."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ridgeline.app.probe_trace import TraceOptions, Tracing

_METHODS = ("dns", "udp", "icmp", "tcp")


@click.command("trace")
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option(
    "--method",
    type=click.Choice(_METHODS),
    default="dns",
    show_default=True,
    help="dns: queries that the target answers with its site. tcp: connections. "
    "Only icmp may need a privilege.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Default: dns 53, udp 33434, tcp 443.")
@click.option(
    "--source-port",
    type=click.IntRange(1, 65535),
    help="The flow's source port: another one may take another of several equal paths.",
)
@click.option("-4", "--ipv4", "version", flag_value=4, type=int, help="Use IPv4.")
@click.option("-6", "--ipv6", "version", flag_value=6, type=int, help="Use IPv6.")
@click.option("--max-hops", type=click.IntRange(1, 255), default=30, show_default=True)
@click.option("--queries", type=click.IntRange(1, 10), default=3, show_default=True, help="A hop.")
@click.option(
    "--timeout", type=click.FloatRange(0.05, 30), default=1.0, show_default=True, help="Seconds."
)
@click.option(
    "--as-table",
    metavar="FILE",
    default="",
    help="Networks of addresses: CSV of start,end,asn[,name] or prefix,asn[,name].",
)
@click.option("--here", metavar="IATA", default="", help="Where this machine stands.")
@click.option("--names/--no-names", "look_up", default=True, help="Ask DNS for the hops' names.")
@click.option("--lab", metavar="NAME", default="", help="Trace from the clients of this lab.")
@click.option("--from", "vantage", metavar="CITY,...", default="", help="Only these clients.")
@click.option("--report", metavar="FILE.html", default="", help="Write a page as well.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    targets: tuple[str, ...],
    *,
    report: str,
    as_json: bool,
    **options: Any,
) -> int:
    """Trace the path to each TARGET, side by side, and ask who answers there.

    All probes of a trace are one flow, so that routers which spread load over paths do not mix
    them up, and by dns or tcp the target is asked for its site by that same flow. The exit code
    is 1 if a target was not reached.
    """
    from ridgeline.app.probe_trace import prepare_traces, write_trace_report

    with prepare_traces(_read(targets, options)) as tracing:
        look_up = bool(options["look_up"])
        if as_json or not sys.stdout.isatty():
            tracing.run(look_up=look_up)
        else:
            _watch(tracing, look_up=look_up)
        document = tracing.document()
    if report:
        write_trace_report(document, report)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        from ridgeline.cli.probe_tables import print_traces

        print_traces(document["traces"])
    return 0 if all(trace["reached"] for trace in document["traces"]) else 1


def _read(targets: tuple[str, ...], options: Mapping[str, Any]) -> "TraceOptions":
    from ridgeline.app.probe_trace import TraceOptions
    from ridgeline.probe.tracecore import TracePolicy
    from ridgeline.probe.tracer import Method

    return TraceOptions(
        targets=tuple(dict.fromkeys(targets)),
        method=Method(options["method"]),
        port=options["port"] or 0,
        source_port=options["source_port"] or 0,
        version=options["version"],
        policy=TracePolicy(
            max_hops=options["max_hops"], queries=options["queries"], timeout=options["timeout"]
        ),
        as_table=options["as_table"],
        here=options["here"],
        lab=options["lab"],
        vantage=tuple(part.strip() for part in options["vantage"].split(",") if part.strip()),
        look_up=options["look_up"],
    )


def _watch(tracing: "Tracing", *, look_up: bool) -> None:
    """Make the traces and show them as they grow."""
    from rich.console import Console
    from rich.live import Live

    from ridgeline.cli.probe_tables import traces_table

    with Live(console=Console(highlight=False), transient=True, auto_refresh=False) as live:
        tracing.run(
            look_up=look_up,
            beat=lambda: live.update(traces_table(tracing.document()["traces"]), refresh=True),
        )
