"""`ridgeline probe sweep`: who lands at which site, seen from outside or from inside."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from ridgeline.cli.progress import progress

if TYPE_CHECKING:
    from ridgeline.app.probe_inside import InsideOptions
    from ridgeline.app.probe_sweep import Swept
    from ridgeline.app.probe_vantage import VantageOptions


@click.command("sweep")
@click.argument("target", metavar="SPEC|ADDRESS")
@click.option("--lab", metavar="NAME", default="", help="In this lab.")
@click.option("--from", "vantage", metavar="CITY,...", default="", help="Only these clients.")
@click.option("--hosts", metavar="FILE", default="", help="Vantage points: host[,asn[,city]].")
@click.option(
    "--command",
    "host_command",
    metavar="TEMPLATE",
    help="How a host asks, with {host} and {address}. Default: `ridgeline probe identify` by ssh.",
)
@click.option("--service", default="", help="Only this service of the spec.")
@click.option("--by", type=click.Choice(("dns", "http", "tls")), help="For an ADDRESS: how to ask.")
@click.option("-6", "--ipv6", is_flag=True, help="Use the spec's IPv6 addresses.")
@click.option("--inside", is_flag=True, help="Ask from the anycast address itself, by ICMP.")
@click.option("--at", "sender", metavar="SITE", default="", help="--inside: the site that asks.")
@click.option(
    "--hitlist", metavar="FILE", default="", help="--inside: addresses. In a lab: its clients."
)
@click.option("--rate", type=float, help="--inside: probes per second.")
@click.option("--max-targets", type=click.IntRange(1), help="--inside: at most so many addresses.")
@click.option(
    "--sites",
    metavar="SITE,...",
    default="",
    help="--inside: other sites that listen, by --listen.",
)
@click.option(
    "--listen",
    metavar="TEMPLATE",
    default="",
    help="--inside: command that listens elsewhere, with {site}, {address} and {token}: "
    "`ssh {site} ridgeline probe listen {address} --token {token}`.",
)
@click.option(
    "--journal", metavar="FILE", default="", help="--inside: go on here if the sweep is broken off."
)
@click.option("--seed", type=int, default=0, show_default=True, help="--inside: order of asking.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 600),
    default=5.0,
    show_default=True,
    help="--inside: seconds to wait for the last replies.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be sent; send nothing.")
@click.option("--watch", is_flag=True, help="Keep sweeping; print what changes, one JSON a line.")
@click.option(
    "--every",
    type=click.FloatRange(0.1),
    default=60.0,
    show_default=True,
    help="--watch: seconds from one sweep to the next.",
)
@click.option("--count", type=click.IntRange(1), help="--watch: end after so many sweeps.")
@click.option("--output", metavar="FILE", default="", help="Write the map: .jsonl or .parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(target: str, **options: Any) -> int:
    """Map the catchments of an anycast network: who lands at which site.

    From vantage points: the clients of a lab, or hosts that a command reaches. Each asks the
    services of SPEC, or ADDRESS, which site they are.

    From inside: echoes leave from the anycast address at one site, and the site at which each reply
    lands is the catchment of who replied. Only addresses of the hitlist are asked, each once, no
    faster than --rate.
    """
    from ridgeline.app.maps import check_map_name

    if options["output"]:
        check_map_name(options["output"])
    if options["inside"]:
        return _inside(target, options)
    return _vantage(target, options)


def _inside(target: str, options: dict[str, Any]) -> int:
    from ridgeline.app.probe_inside import InsideSweep

    with closing(InsideSweep(_read_inside(target, options))) as sweep:
        if options["dry_run"]:
            plan = sweep.plan()
            if options["as_json"]:
                click.echo(json.dumps(plan, indent=2))
            else:
                from ridgeline.cli.probe_tables import print_plan

                print_plan(plan)
            return 0
        try:
            return _sweep(sweep.run, options)
        except KeyboardInterrupt:
            if options["journal"]:
                click.echo("broken off; the same command goes on where it stopped", err=True)
            raise


def _vantage(target: str, options: dict[str, Any]) -> int:
    from ridgeline.app.probe_vantage import VantageSweep

    with closing(VantageSweep(_read_vantage(target, options))) as sweep:
        if options["dry_run"]:
            plan = sweep.plan()
            if options["as_json"]:
                click.echo(json.dumps({"schema": "ridgeline.sweep-plan/1", "would_ask": plan}))
            else:
                click.echo("\n".join(plan))
            return 0
        return _sweep(sweep.run, options)


def _sweep(run: "Callable[[Callable[[str], None]], Swept]", options: dict[str, Any]) -> int:
    from ridgeline.app.maps import write_map

    if options["watch"]:
        from ridgeline.app.probe_watch import watch

        with progress("probe sweep") as tell:
            events = watch(lambda: run(tell), every=options["every"], count=options["count"])
            for event in events:
                click.echo(json.dumps(event, ensure_ascii=False))
        return 0
    with progress("probe sweep") as tell:
        swept = run(tell)
    if options["output"]:
        write_map(swept.catchment, options["output"])
    if options["as_json"]:
        click.echo(json.dumps(swept.document(), ensure_ascii=False, indent=2))
    else:
        from ridgeline.cli.probe_tables import print_sweep

        print_sweep(swept.document())
    return 0 if any(site is not None for site in swept.catchment.site) else 1


def _read_inside(target: str, options: dict[str, Any]) -> "InsideOptions":
    from ridgeline.app.probe_inside import InsideOptions

    needed = {"--at SITE": "sender", "--rate R": "rate", "--max-targets N": "max_targets"}
    missing = [flag for flag, key in needed.items() if not options[key]]
    if missing:
        raise click.UsageError(
            f"--inside sends only what you name: say {', '.join(missing)}; "
            "try it with --dry-run first"
        )
    for flag, key in (("--hosts", "hosts"), ("--command", "host_command"), ("--from", "vantage")):
        if options[key]:
            raise click.UsageError(f"{flag} asks from outside: it does not go with --inside")
    if options["watch"] and options["journal"]:
        raise click.UsageError("--journal asks nobody twice, and --watch asks again and again")
    return InsideOptions(
        target=target,
        sender=options["sender"],
        rate=options["rate"],
        max_targets=options["max_targets"],
        version=6 if options["ipv6"] else 4,
        service=options["service"],
        lab=options["lab"],
        hitlist=options["hitlist"],
        sites=_names(options["sites"]),
        listen=options["listen"],
        journal=options["journal"],
        seed=options["seed"],
        patience=options["patience"],
    )


def _read_vantage(target: str, options: dict[str, Any]) -> "VantageOptions":
    from ridgeline.app.probe_vantage import VantageOptions
    from ridgeline.probe.observers import DEFAULT_COMMAND

    inside_only = {
        "--at": "sender",
        "--rate": "rate",
        "--hitlist": "hitlist",
        "--journal": "journal",
    }
    for flag, key in inside_only.items():
        if options[key]:
            raise click.UsageError(f"{flag} is of sweeps from inside: add --inside")
    return VantageOptions(
        target=target,
        version=6 if options["ipv6"] else 4,
        service=options["service"],
        by=options["by"] or "",
        lab=options["lab"],
        vantage=_names(options["vantage"]),
        hosts=options["hosts"],
        command=options["host_command"] or DEFAULT_COMMAND,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
