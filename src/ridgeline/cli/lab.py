"""`ridgeline lab`: rehearse the network with real routers and servers on this machine."""

import json
from typing import Any

import click

from ridgeline.cli.progress import progress

_HOWS = ("withdraw", "link", "crash", "silent", "hang")

name_option = click.option("--name", default="lab", show_default=True, help="Which lab.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
from_option = click.option(
    "--from", "vantage", metavar="CITY,...", default="", help="Only these clients (default: all)."
)
ipv6_option = click.option("-6", "--ipv6", is_flag=True, help="Use IPv6 addresses.")


@click.group("lab", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Rehearse the network with real routers and servers on this machine.

    Every PoP of the Internet is a BIRD router in a network namespace of its own; every site runs
    the services of the spec; links take as long as the distance says.
    """


def ask(lab: str, verb: str, /, **arguments: object) -> Any:
    """Ask a running lab, showing progress while it works."""
    from ridgeline.lab.control import LabClient

    with progress(f"lab {verb}") as tell:
        return LabClient(lab).ask(verb, tell, **arguments)


def show_json(document: object) -> None:
    """Print a document for programs."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _cities(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@command.command()
@click.argument("spec", type=click.Path())
@click.option("--internet", default="builtin:demo", show_default=True, help="See `internet show`.")
@click.option("--clients", default=40, show_default=True, help="At most so many client cities.")
@click.option("--agents", is_flag=True, help="Run the agent at every site, which heals by itself.")
@name_option
@json_option
def up(spec: str, *, internet: str, clients: int, agents: bool, name: str, as_json: bool) -> None:
    """Build the network of SPEC and return once its routing is quiet."""
    from ridgeline.app.lab import bring_up

    with progress("lab up") as tell:
        summary = bring_up(
            spec, internet=internet, name=name, max_clients=clients, agents=agents, progress=tell
        )
    if as_json:
        show_json({"schema": "ridgeline.lab/1", "name": name, "ready": True, **summary})
        return
    also = "" if name == "lab" else f" --name {name}"
    click.echo(
        f"lab {name} is up after {summary['ready_s']} s: {summary['ases']} networks, "
        f"{summary['routers']} routers, {summary['links']} links ({summary['delay']}), "
        f"{summary['n_sites']} sites, {summary['n_clients']} clients\n"
        f"next: ridgeline lab status{also}; ridgeline lab trace --from "
        f"CITY,CITY{also}; ridgeline lab fail SITE{also}; "
        f"ridgeline lab down{also}"
    )


@command.command()
@name_option
@click.option("--all", "every", is_flag=True, help="Every lab of this user.")
@json_option
def down(*, name: str, every: bool, as_json: bool) -> None:
    """End a lab: every process, namespace and interface of it."""
    from ridgeline.lab.control import running_labs, take_down

    labs = running_labs() if every else [name]
    for lab in labs:
        take_down(lab)
        if not as_json:
            click.echo(f"lab {lab} is down")
    if as_json:
        show_json({"schema": "ridgeline.labs/1", "ended": labs})


@command.command("list")
@json_option
def list_labs(*, as_json: bool) -> None:
    """List the labs that are up."""
    from ridgeline.lab.control import running_labs

    labs = running_labs()
    if as_json:
        show_json({"schema": "ridgeline.labs/1", "labs": labs})
        return
    for lab in labs:
        click.echo(lab)


@command.command()
@name_option
@json_option
@ipv6_option
@click.option("--nodes", is_flag=True, help="List every node, for `lab exec`.")
@click.option(
    "--consistency",
    is_flag=True,
    help="Show instead what must not depend on the site, and which site differs.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="Also write the catchment map, .jsonl or .parquet.",
)
def status(
    *, name: str, as_json: bool, ipv6: bool, nodes: bool, consistency: bool, output: str | None
) -> int:
    """Show which site answers whom, asked now from every client.

    With --consistency each site is asked for what all must have in common, and the exit code is 1
    if any differs.
    """
    if consistency:
        return _consistency(name, as_json=as_json)
    if output:
        from ridgeline.app.maps import check_map_name

        check_map_name(output)
    document = ask(name, "status", ipv6=ipv6, nodes=nodes)
    if output:
        from ridgeline.app.maps import write_map
        from ridgeline.app.rehearsed import rehearsed_map

        write_map(rehearsed_map(document), output)
    if as_json:
        show_json(document)
        return 0
    from ridgeline.cli.lab_tables import print_status

    print_status(document)
    return 0


def _consistency(name: str, *, as_json: bool) -> int:
    from ridgeline.app.consistency import consistency_of_lab

    document = consistency_of_lab(name)
    if as_json:
        show_json(document)
    else:
        from ridgeline.cli.consistency_table import print_consistency

        print_consistency(document)
    return 0 if document["consistent"] else 1


@command.command()
@click.argument("target", required=False)
@from_option
@ipv6_option
@name_option
@json_option
def trace(target: str | None, *, vantage: str, ipv6: bool, name: str, as_json: bool) -> None:
    """Trace the route to TARGET (an address or a service) from several cities, side by side.

    Host names tell city and network of each hop; the last ones name the data centre. By default
    the target is the first service's address.
    """
    traces = ask(name, "trace", target=target, ipv6=ipv6, **{"from": _cities(vantage)})
    if as_json:
        show_json({"schema": "ridgeline.traces/1", "traces": traces})
        return
    from ridgeline.cli.lab_tables import print_traces

    print_traces(traces)


@command.command()
@click.argument("qname", metavar="NAME")
@click.argument("qtype", metavar="[TYPE]", default="A")
@click.option("--server", help="Address or service to ask (default: the first DNS service).")
@click.option("--tcp", "transport", flag_value="tcp", help="Ask over TCP.")
@click.option("--tls", "transport", flag_value="tls", help="Ask over TLS (RFC 7858), port 853.")
@click.option("--https", "transport", flag_value="https", help="Ask over HTTPS (RFC 8484).")
@click.option(
    "--tls-name",
    metavar="HOST",
    default="",
    help="Name that the certificate must bear (default: the address asked).",
)
@from_option
@ipv6_option
@name_option
@json_option
def dig(  # noqa: PLR0913 - one for each option
    qname: str,
    qtype: str,
    *,
    server: str | None,
    transport: str | None,
    tls_name: str,
    vantage: str,
    ipv6: bool,
    name: str,
    as_json: bool,
) -> int:
    """Ask for NAME from the clients; each answer says which site gave it."""
    answers = ask(
        name,
        "dig",
        name=qname,
        type=qtype,
        target=server,
        transport=transport or "udp",
        tls_name=tls_name,
        ipv6=ipv6,
        **{"from": _cities(vantage)},
    )
    if as_json:
        show_json({"schema": "ridgeline.dig/1", "answers": answers})
    else:
        from ridgeline.cli.lab_tables import print_answers

        print_answers(answers)
    return 0 if all(answer["status"] not in {"TIMEOUT", "FAILED"} for answer in answers) else 1


@command.command("get")
@click.argument("url", required=False)
@from_option
@ipv6_option
@name_option
@json_option
def get_url(url: str | None, *, vantage: str, ipv6: bool, name: str, as_json: bool) -> int:
    """Fetch URL from the clients (default: the trace page of the HTTP service)."""
    fetched = ask(name, "get", url=url, ipv6=ipv6, **{"from": _cities(vantage)})
    if as_json:
        show_json({"schema": "ridgeline.get/1", "fetched": fetched})
    else:
        from ridgeline.cli.lab_tables import print_fetched

        print_fetched(fetched)
    return 0 if all(item["status"] for item in fetched) else 1


@command.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@name_option
def execute(node: str, argv: tuple[str, ...], *, name: str) -> int:
    """Run COMMAND on a node: a city, a site, or a router such as tanuki.nrt."""
    from ridgeline.lab.enter import run_on_node

    return run_on_node(name, node, list(argv))


@command.command()
@click.argument("site")
@click.option(
    "--how",
    type=click.Choice(_HOWS),
    default="withdraw",
    show_default=True,
    help="withdraw: stop announcing. link: uplinks lose carrier. crash: kill the router. "
    "silent: swallow all packets. hang: services stop, the route stays.",
)
@name_option
@json_option
def fail(site: str, *, how: str, name: str, as_json: bool) -> None:
    """Break SITE and report what clients saw, asking every 10 ms from every city."""
    _failover(name, "fail", as_json=as_json, site=site, how=how)


@command.command()
@click.argument("site")
@name_option
@json_option
def heal(site: str, *, name: str, as_json: bool) -> None:
    """Mend SITE and report what clients saw."""
    _failover(name, "heal", as_json=as_json, site=site)


@command.command()
@click.argument("site")
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Wait until no TCP flow is left at SITE, at most so long, before it withdraws; also make "
    "the AS path longer for neighbours that heed no GRACEFUL_SHUTDOWN.",
)
@name_option
@json_option
def drain(site: str, *, grace: float, name: str, as_json: bool) -> None:
    """Move the clients of SITE away before it withdraws (RFC 8326), and report what they saw."""
    _failover(name, "drain", as_json=as_json, site=site, grace=grace)


@command.command()
@click.argument("site")
@click.option(
    "--event",
    type=click.Choice(("fail", "drain", "heal")),
    default="fail",
    show_default=True,
    help="What happens to SITE.",
)
@click.option("--how", type=click.Choice(_HOWS), default="withdraw", show_default=True)
@click.option(
    "-n",
    "downloads",
    metavar="N",
    type=click.IntRange(1, 20_000),
    default=1000,
    show_default=True,
    help="Downloads, over all clients together.",
)
@click.option(
    "--asking",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=2,
    show_default=True,
    help="Sessions of every other class, per client.",
)
@click.option(
    "--quic",
    is_flag=True,
    help="Hold QUIC connections too, to an echo whose connection IDs name the site (needs aioquic).",
)
@click.option(
    "--watch",
    metavar="SECONDS",
    type=click.FloatRange(0, 3600),
    default=6.0,
    show_default=True,
    help="How long to watch them afterwards.",
)
@click.option(
    "--hang",
    metavar="SECONDS",
    type=click.FloatRange(0.5, 3600),
    default=3.0,
    show_default=True,
    help="A session in which nothing comes for so long hangs.",
)
@click.option("--grace", metavar="SECONDS", type=click.FloatRange(min=0), help="As for `drain`.")
@from_option
@ipv6_option
@name_option
@json_option
def sessions(*, vantage: str, name: str, as_json: bool, downloads: int, **wanted: object) -> None:
    """Hold sessions open from the clients while something happens to SITE; count who lives.

    Slow downloads, keep-alive HTTP, and DNS over TCP and TLS, as far as the spec has the services.
    """
    document = ask(name, "sessions", n=downloads, **{"from": _cities(vantage)}, **wanted)
    if as_json:
        show_json(document)
        return
    from ridgeline.cli.session_tables import print_sessions

    print_sessions(document)


@command.command()
@click.argument("turn", type=click.Choice(("on", "off")), required=False)
@click.option(
    "--rate",
    metavar="N",
    type=click.IntRange(min=0),
    help="With `on`: packets a second that one site may send on.  [default: 20000]",
)
@click.option(
    "--quic",
    is_flag=True,
    help="With `on`: also QUIC whose connection IDs name the site (QUIC-LB).",
)
@click.option("--cost", is_flag=True, help="With `on`: also time the program, packet by packet.")
@click.option("--prometheus", is_flag=True, help="Print the counters as Prometheus reads them.")
@name_option
@json_option
def rescue(
    turn: str | None, *, prometheus: bool, name: str, as_json: bool, **settings: object
) -> None:
    """Send packets that a route change brought to the wrong site on to their own; or say how many.

    Needs root: the sites' servers get a BPF program.
    """
    document = ask(name, "rescue", turn=turn, **settings)
    if as_json:
        show_json(document)
    elif prometheus:
        from ridgeline.lab.rescuers import prometheus as metrics

        click.echo(metrics(document), nl=False)
    else:
        from ridgeline.cli.session_tables import print_rescue

        print_rescue(document)


@command.command()
@name_option
@json_option
def publish(*, name: str, as_json: bool) -> int:
    """Bring zone files that changed to every site, and say when each answered with them.

    Reads the zone files that the spec names now, so a new zone is one line more there. A file that
    is no zone changes nothing.
    """
    document = ask(name, "publish")
    if as_json:
        show_json(document)
    else:
        from ridgeline.cli.publish_table import print_publication

        print_publication(document)
    return 0 if document["everywhere"] else 1


@command.command()
@click.argument("items", nargs=-1, metavar="KEY|URL...")
@click.option("--service", help="Which HTTP cache (default: the first).")
@click.option("--everything", is_flag=True, help="Forget all pages.")
@name_option
@json_option
def purge(
    items: tuple[str, ...], *, service: str | None, everything: bool, name: str, as_json: bool
) -> int:
    """Let the caches of all sites forget pages: by surrogate key, or by URL.

    A KEY is one of those that the origin gave in the page's Surrogate-Key. A site that is away forgets
    before it announces again.
    """
    document = ask(name, "purge", items=list(items), service=service, everything=everything)
    if as_json:
        show_json(document)
    else:
        from ridgeline.cli.purge_table import print_purge

        print_purge(document)
    return 0 if document["everywhere"] else 1


def _failover(name: str, verb: str, *, as_json: bool, **arguments: object) -> None:
    document = ask(name, verb, **arguments)
    if as_json:
        show_json(document)
        return
    from ridgeline.cli.lab_tables import print_failover

    print_failover(document)
    if document.get("stages"):
        from ridgeline.cli.session_tables import print_stages

        print_stages(document["stages"])


@command.command()
@click.argument("what", type=click.Choice(["cookie", "tickets", "certificate"]))
@name_option
@json_option
def rotate(what: str, *, name: str, as_json: bool) -> int:
    """Change a secret at every site, and count meanwhile what clients notice.

    The key of DNS cookies, that of TLS tickets (three steps each, like `secrets rotate`), or the
    certificates. At every site a client asks all the time with what the old one made. The exit code
    is 1 if one of them got no answer.
    """
    from ridgeline.app.rotation import rotate_in_lab

    with progress("lab rotate") as tell:
        document = rotate_in_lab(name, what, tell)
    if as_json:
        show_json(document)
    else:
        for step in document["steps"]:
            click.echo(f"{step['t_ms']:8.0f} ms  {step['step']}: {len(document['sites'])} sites")
        again = "told a new cookie" if what == "cookie" else "full handshakes"
        for service, seen in document["clients"].items():
            click.echo(
                f"{service}: asked {seen['asked']} times with what the old one made, "
                f"{seen['failed']} without an answer, {seen['again']} asked again, "
                f"{seen['renewed']} {again}"
            )
    return 1 if any(seen["failed"] for seen in document["clients"].values()) else 0
