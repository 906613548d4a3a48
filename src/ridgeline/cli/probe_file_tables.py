"""What probes tell from files, as tables for people."""

import sys
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from ridgeline.app.probe import Enumerated
from ridgeline.cli.probe_tables import make_console
from ridgeline.net.place import Place
from ridgeline.probe.changes import Changes, Mode, Step
from ridgeline.probe.enumerate import Site
from ridgeline.probe.places import Decoded
from ridgeline.probe.verfploeter import Survey, percent

_MOST_FLOWS = 12
_MOST_FLIPPERS = 10
_MOST_SUSPECTS = 10
_MOST_SWEEPS = 12
_SURE = 0.8
_WORTH_TELLING = 0.01


def print_enumeration(found: Enumerated) -> None:
    """Print the verdict, then the sites."""
    console = make_console()
    enumeration = found.enumeration
    target = found.file.target or found.name
    console.print(Text(_verdict(found), style="bold"))
    if enumeration.proof is not None:
        first, second = enumeration.proof
        console.print(
            f"{first.vantage_point} was answered in {first.rtt_ms:g} ms and "
            f"{second.vantage_point} in {second.rtt_ms:g} ms: no place is near enough to both",
            markup=False,
        )
    table = Table(title=f"sites of {target}", title_justify="left")
    for heading in ("", "city", "confidence", "evidence", "seen from", "RTT", "within", "or else"):
        right = heading in ("", "confidence", "RTT", "within")
        table.add_column(heading, justify="right" if right else "left")
    for number, site in enumerate(enumeration.sites, 1):
        table.add_row(str(number), *_site_cells(site))
    console.print(table)
    for suspect in enumeration.suspects[:_MOST_SUSPECTS]:
        console.print(
            f"left out: {suspect.vantage_point} at {suspect.lat:g}, {suspect.lon:g}, "
            f"{suspect.rtt_ms:g} ms: {suspect.reason}",
            style="yellow",
            markup=False,
        )
    more = len(enumeration.suspects) - _MOST_SUSPECTS
    if more > 0:
        console.print(f"left out: {more} more vantage points (--json names them)", style="yellow")
    for note in found.file.notes:
        print(f"note: {note}", file=sys.stderr)  # noqa: T201 - not for the reader of the table


def _verdict(found: Enumerated) -> str:
    enumeration = found.enumeration
    target = found.file.target or found.name
    n = len(enumeration.sites)
    vps = f"{enumeration.n_vantage_points} vantage points"
    if enumeration.is_anycast:
        return f"{target} is anycast: at least {n} sites, seen from {vps}"
    if not n:
        return f"{target}: nothing to tell from {vps}"
    return f"{target} is not shown to be anycast: one place can have answered all of {vps}"


def _site_cells(site: Site) -> list[Text | str]:
    return [
        place_text(site.place),
        Text(f"{100 * site.confidence:.0f} %", style="" if site.confidence >= _SURE else "yellow"),
        site.evidence.value,
        site.disc.vantage_point,
        f"{site.disc.rtt_ms:g} ms",
        f"{site.disc.radius_km:.0f} km",
        ", ".join(
            f"{other.place.city} {100 * other.confidence:.0f} %"
            for other in site.alternatives
            if other.confidence >= _WORTH_TELLING
        ),
    ]


def place_text(place: Place | None) -> str:
    """Write a place as people do: ``Tokyo, JP (NRT)``."""
    if place is None:
        return "no city of the table"
    code = f" ({place.code.upper()})" if place.code else ""
    return f"{place.city}, {place.country}{code}" if place.country else f"{place.city}{code}"


def print_decoded(decoded: Sequence[Decoded]) -> None:
    """Print each name's guesses with their reasons."""
    console = make_console()
    table = Table()
    for heading in ("name", "place", "confidence", "because"):
        table.add_column(heading, justify="right" if heading == "confidence" else "left")
    for one in decoded:
        name = one.name
        for guess in one.guesses[:3]:
            style = "" if guess is one.guesses[0] else "dim"
            table.add_row(
                Text(name),
                Text(place_text(guess.place), style=style),
                Text(f"{100 * guess.confidence:.0f} %", style=style),
                Text(guess.reason, style=style),
            )
            name = ""
        for rejected in one.rejected[:2]:
            table.add_row(
                Text(name),
                Text(place_text(rejected.guess.place), style="red strike"),
                Text("0 %", style="red"),
                Text(rejected.reason, style="red"),
            )
            name = ""
        if name:
            table.add_row(Text(name), Text("no place", style="yellow"), "", "no rule reads one")
    console.print(table)


def print_survey(found: Survey, output: str) -> None:
    """Print Verfploeter's totals."""
    console = make_console()
    table = Table(title=output, title_justify="left")
    for heading in ("site", "targets", "percent"):
        table.add_column(heading, justify="left" if heading == "site" else "right")
    for site, n in found.counts.items():
        table.add_row(Text(site), f"{n}", f"{percent(n, found.n_targets)}")
    console.print(table)
    if found.n_repeated:
        console.print(
            f"{found.n_repeated} replies of targets that answered more than once are left out"
        )
    if found.n_malformed:
        console.print(
            f"{found.n_malformed} lines could not be read; {found.first_malformed}",
            style="yellow",
            markup=False,
        )


def print_changes(changes: Changes) -> None:
    """Print what changed from sweep to sweep, then flips and modes."""
    console = make_console()
    for step in changes.steps:
        _print_step(step)
    moved = changes.n_clients - changes.n_steady
    part = f" ({100 * moved / changes.n_clients:.1f} %)" if changes.n_clients else ""
    console.print(
        f"{moved} of {changes.n_clients} vantage points changed their site at least once{part}"
    )
    flipping = [f for f in changes.flippers if f.is_back_and_forth]
    if flipping:
        table = Table(title="back and forth", title_justify="left")
        for heading in ("vantage point", "flips", "sites in order"):
            table.add_column(heading, justify="right" if heading == "flips" else "left")
        for flipper in flipping[:_MOST_FLIPPERS]:
            name = f"{flipper.name} {flipper.service}".strip()
            path = " ".join(site or "-" for site in flipper.sites[:_MOST_SWEEPS])
            table.add_row(Text(name), str(flipper.n_flips), Text(path))
        console.print(table)
        if len(flipping) > _MOST_FLIPPERS:
            console.print(f"... and {len(flipping) - _MOST_FLIPPERS} more")
    _print_modes(changes.modes)


def _print_step(step: Step) -> None:
    console = make_console()
    console.print(
        f"{step.before} -> {step.after}: {step.n_moved} of {step.n_common} moved "
        f"({100 * step.part_moved:.1f} % of the weight)",
        style="bold",
        markup=False,
    )
    for word, sites in (("vanished", step.vanished), ("appeared", step.appeared)):
        if sites:
            console.print(f"  {word}: {', '.join(sites)}", markup=False)
    if step.n_clients_gone or step.n_clients_new:
        console.print(f"  vantage points: {step.n_clients_gone} gone, {step.n_clients_new} new")
    if not step.flows:
        return
    table = Table(box=None, pad_edge=True)
    for heading in ("  from", "to", "n", "weight", "such as"):
        table.add_column(heading, justify="right" if heading in ("n", "weight") else "left")
    for flow in step.flows[:_MOST_FLOWS]:
        table.add_row(
            Text(f"  {flow.before or 'no site'}"),
            Text(flow.after or "no site"),
            str(flow.n),
            f"{flow.weight:g}",
            Text(", ".join(flow.names[:3])),
        )
    console.print(table)


def _print_modes(modes: Sequence[Mode]) -> None:
    console = make_console()
    table = Table(title="routing modes", title_justify="left")
    for heading in ("mode", "sweeps", "recurs", "shares"):
        table.add_column(heading, justify="right" if heading == "mode" else "left")
    for mode in modes:
        sweeps = ", ".join(mode.sweeps[:_MOST_SWEEPS])
        more = len(mode.sweeps) - _MOST_SWEEPS
        table.add_row(
            str(mode.number),
            Text(sweeps + (f" and {more} more" if more > 0 else "")),
            "yes" if mode.is_recurring else "",
            Text(_shares(mode.shares)),
        )
    console.print(table)


def _shares(shares: Mapping[str | None, float]) -> str:
    return ", ".join(f"{site or 'no site'} {100 * share:.1f} %" for site, share in shares.items())
