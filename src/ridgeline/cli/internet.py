"""`ridgeline internet`: make, read and show Internet topologies."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from ridgeline.net.asn import parse_asn

if TYPE_CHECKING:
    from ridgeline.topology.internet import Internet
    from ridgeline.topology.summary import Neighbour, Profile, Spread, Summary

_NAMES_SHOWN: Final = 12
_SOURCE_HELP: Final = """
    SOURCE is builtin:demo, builtin:world, builtin:world:size=2000,seed=7, or a file: CAIDA's as-rel
    or as-rel2 (plain or bz2) or a compiled one.
"""


def _read_asn(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_asn(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.group("internet")
def command() -> None:
    """Make, read and show Internet topologies: who sells to whom, who peers, and where."""


@command.command("show", help=f"Describe an Internet, or one AS of it.\n{_SOURCE_HELP}")
@click.argument("source", metavar="SOURCE", type=click.Path())
@click.option("--asn", callback=_read_asn, help="Describe this AS: its PoPs and neighbours.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show(source: str, *, asn: int | None, as_json: bool) -> None:
    from ridgeline.app.internet import describe_as, describe_internet

    summary = describe_internet(source)
    profile = None if asn is None else describe_as(source, asn)
    if as_json:
        click.echo(json.dumps(_document(source, summary, profile), ensure_ascii=False))
    elif profile is not None:
        _print_as(profile)
    else:
        _print_internet(source, summary)


@command.command("read")
@click.argument("file", metavar="FILE", type=click.Path())
@click.option(
    "--geo-asn", multiple=True, metavar="CSV", help="Who holds which addresses. Repeatable."
)
@click.option(
    "--geo-place", multiple=True, metavar="CSV", help="Which addresses are where. Repeatable."
)
@click.option("-o", "--out", metavar="OUT.npz", help="Write the Internet here, compiled.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def read(
    file: str,
    *,
    geo_asn: tuple[str, ...],
    geo_place: tuple[str, ...],
    out: str | None,
    as_json: bool,
) -> None:
    """Read a file of AS relationships, check it and describe what is in it.

    FILE is CAIDA's as-rel or as-rel2, plain or bz2. The tables that place its ASes are those of
    ip-location-db or alike, IPv4 or IPv6, plain or gz: --geo-asn START,END,ASN,NAME and --geo-place
    START,END,COUNTRY or with a city. With OUT.npz the result can be named wherever an Internet is
    asked for, and loads in milliseconds.
    """
    if bool(geo_asn) != bool(geo_place):
        raise click.UsageError("--geo-asn and --geo-place are only of use together")
    if geo_asn and out is None:
        raise click.UsageError("say with -o where to write the Internet with its places")

    from ridgeline.app.internet import load_internet, place_internet

    net = place_internet(file, geo_asn, geo_place) if geo_asn else load_internet(file)
    _write_and_tell(net, file, out, as_json=as_json)


@command.command("make")
@click.option("--size", default=5000, show_default=True, help="Number of ASes.")
@click.option("--seed", default=1, show_default=True, help="Equal seeds give equal Internets.")
@click.option("-o", "--out", required=True, metavar="OUT.npz", help="Where to write it, compiled.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def make(*, size: int, seed: int, out: str, as_json: bool) -> None:
    """Generate an Internet in real cities, with people, of any size.

    builtin:world is the same without a file: make is for an Internet to keep or to pass on.
    """
    from ridgeline.app.internet import make_world

    net = make_world(size, seed)
    _write_and_tell(net, net.name, out, as_json=as_json)


def _write_and_tell(net: "Internet", source: str, out: str | None, *, as_json: bool) -> None:
    from ridgeline.app.internet import describe, write_internet

    summary = describe(net)
    if out is not None:
        write_internet(out, net)
    if as_json:
        click.echo(json.dumps(_document(source, summary, None), ensure_ascii=False))
    else:
        _print_internet(source, summary)
    if len(summary.part_sizes) > 1:
        click.echo(f"warning: {source}: not in one piece, {_pieces(summary)}", err=True)
    if out is not None:
        click.echo(f"written: {out}", err=True)


def _document(source: str, summary: "Summary", profile: "Profile | None") -> dict[str, Any]:
    document: dict[str, Any] = {
        "schema": "ridgeline.internet/1",
        "source": source,
        "ases": summary.n_as,
        "placed_ases": summary.n_placed,
        "pops": summary.n_pop,
        "sessions": summary.n_session,
        "links": {
            "provider_customer": summary.n_provider_customer,
            "peer_peer": summary.n_peer_peer,
        },
        "tiers": {
            "tier1": summary.n_tier1,
            "transit": summary.n_transit,
            "stub": summary.n_stub,
        },
        "levels": summary.n_levels,
        "provider_loops": list(summary.loops),
        "degree": {
            "all": asdict(summary.degree),
            "providers": asdict(summary.providers),
            "customers": asdict(summary.customers),
            "peers": asdict(summary.peers),
        },
        "users": summary.users,
        "countries": [
            {"country": c.country, "ases": c.n_as, "pops": c.n_pop, "users": c.users}
            for c in summary.countries
        ],
        "parts": {
            "count": len(summary.part_sizes),
            "largest": summary.part_sizes[0],
            "outside": list(summary.part_examples),
        },
    }
    if profile is not None:
        document["as"] = {
            "asn": profile.asn,
            "name": profile.name,
            "cone": profile.n_cone,
            "pops": [asdict(pop) for pop in profile.pops],
            "providers": [asdict(n) for n in profile.providers],
            "customers": [asdict(n) for n in profile.customers],
            "peers": [asdict(n) for n in profile.peers],
        }
    return document


def _print_internet(source: str, summary: "Summary") -> None:
    rows = [
        ("ASes", f"{summary.n_as:,}"),
        ("", f"{summary.n_tier1:,} sell and buy from nobody (tier 1)"),
        ("", f"{summary.n_transit:,} sell and buy (transit)"),
        ("", f"{summary.n_stub:,} sell to nobody (stubs)"),
        ("PoPs", f"{summary.n_pop:,}, {summary.n_placed:,} of the ASes have a place"),
        ("links", _links(summary)),
        ("levels", f"{summary.n_levels:,} from the bottom of the customer hierarchy to its top"),
        ("in one piece", _pieces(summary)),
    ]
    if summary.loops:
        rows.append(("loops", f"{len(summary.loops):,} ASes buy, through others, from themselves"))
    click.echo(source)
    for name, value in rows:
        click.echo(f"  {name:<13} {value}")
    click.echo("\n  neighbours        mean  median     90 %     99 %      most")
    for name in ("degree", "providers", "customers", "peers"):
        spread: Spread = getattr(summary, name)
        click.echo(
            f"  {'all' if name == 'degree' else name:<13}"
            f"{spread.mean:>9.2f}{spread.median:>8.0f}{spread.p90:>9.0f}{spread.p99:>9.0f}"
            f"{spread.max:>10,}"
        )
    if summary.n_placed:
        _print_countries(summary)


def _links(summary: "Summary") -> str:
    return (
        f"{summary.n_provider_customer:,} provider-customer, {summary.n_peer_peer:,} peer-peer, "
        f"over {summary.n_session:,} sessions"
    )


def _pieces(summary: "Summary") -> str:
    sizes = summary.part_sizes
    if len(sizes) == 1:
        return "yes"
    examples = ", ".join(f"AS{n}" for n in summary.part_examples)
    return (
        f"no: {len(sizes):,} parts, the largest of {sizes[0]:,} ASes; "
        f"outside it are {examples}{' ...' if sum(sizes[1:]) > len(summary.part_examples) else ''}"
    )


def _print_countries(summary: "Summary") -> None:
    shown = [c for c in summary.countries if c.country][:10]
    n_countries = sum(1 for c in summary.countries if c.country)
    click.echo(f"\n  country      ASes    PoPs         users   ({len(shown)} of {n_countries})")
    for c in shown:
        click.echo(f"  {c.country:<8}{c.n_as:>9,}{c.n_pop:>8,}{c.users:>14,.0f}")


def _print_as(profile: "Profile") -> None:
    click.echo(_label(profile.asn, profile.name))
    for pop in profile.pops:
        if pop.lat is None:
            click.echo("  nowhere")
            continue
        users = f", {pop.users:,.0f} users" if pop.users else ""
        click.echo(f"  {pop.code or '-':<4} {pop.city or pop.country}, {pop.country}{users}")
    for name, neighbours in (
        ("providers", profile.providers),
        ("customers", profile.customers),
        ("peers", profile.peers),
    ):
        click.echo(f"  {name:<10} {len(neighbours):,}")
        for neighbour in neighbours[:_NAMES_SHOWN]:
            click.echo(f"    {_neighbour(neighbour)}")
        if len(neighbours) > _NAMES_SHOWN:
            click.echo(f"    ... and {len(neighbours) - _NAMES_SHOWN:,} more (--json lists all)")
    click.echo(f"  {profile.n_cone:,} ASes in the customer cone, itself included")


def _neighbour(neighbour: "Neighbour") -> str:
    at = f"  at {', '.join(neighbour.at)}" if neighbour.at else ""
    return _label(neighbour.asn, neighbour.name) + at


def _label(asn: int, name: str) -> str:
    return f"AS{asn} {name}".rstrip()
