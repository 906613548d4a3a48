"""Predictions and comparisons as tables for people."""

from collections.abc import Iterable, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ridgeline.app.predict import Prediction
from ridgeline.catchment.diff import Agreement, Comparison
from ridgeline.catchment.model import CatchmentMap
from ridgeline.catchment.shares import SiteShare

_PALETTE: Final = (
    "cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta",
)  # fmt: skip
_N_SHOWN: Final = 10
_BAR: Final = 20


def print_prediction(prediction: Prediction) -> None:
    """Print what each site gets, the detours, and how sure it is."""
    console = _console()
    what = "networks" if prediction.weighs_networks else "users"
    console.print(
        f"[bold]{prediction.spec.network}[/] AS{prediction.spec.asn} {prediction.prefix} "
        f"on {prediction.internet}: {len(prediction.map):,} clients"
    )
    colours = _colours(prediction.map.sites)
    console.print(_site_table(prediction, colours, what))
    for note in prediction.notes:
        console.print(f"[yellow]note[/]: {note}")
    console.print(_certainty_line(prediction, what))
    _print_detours(console, prediction, colours, what)


def print_comparison(comparison: Comparison) -> None:
    """Print how far two maps agree, and where they do not."""
    console = _console()
    a, b = _label(comparison.a), _label(comparison.b)
    if a == b:
        a, b = f"{a} (first)", f"{b} (second)"
    console.print(f"[bold]{a}[/] against [bold]{b}[/], paired by {comparison.matched_by}")
    console.print(_agreement_line(comparison.overall))
    for certainty, agreement in comparison.by_certainty.items():
        console.print(f"  {certainty:<9}{agreement.n_same:>7,} of {agreement.n:,}")
    if comparison.outside_possible:
        names = ", ".join(comparison.outside_possible[:_N_SHOWN])
        console.print(f"[red]landed where the first map says nobody can[/]: {names}")
    colours = _colours(dict.fromkeys((*comparison.a.sites, *comparison.b.sites)))
    if comparison.moved:
        console.print(_move_table(comparison, colours))
    if comparison.slower:
        console.print(_slower_table(comparison, colours))
    rest = [
        f"{n:,} {what}"
        for n, what in (
            (comparison.n_faster, "answered faster"),
            (comparison.n_only_a, f"only in {a}"),
            (comparison.n_only_b, f"only in {b}"),
        )
        if n
    ]
    if rest:
        console.print(", ".join(rest))


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _colours(sites: Iterable[str]) -> dict[str | None, str]:
    colours: dict[str | None, str] = {None: "bold red"}
    return colours | {site: _PALETTE[at % len(_PALETTE)] for at, site in enumerate(sites)}


def _site_table(prediction: Prediction, colours: Mapping[str | None, str], what: str) -> Table:
    spec = prediction.spec
    shares = prediction.sites.values()
    has_time = any(share.median_rtt_ms is not None for share in shares)
    has_capacity = any(spec.site(name).capacity is not None for name in prediction.sites)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("site", no_wrap=True)
    table.add_column("city", no_wrap=True, max_width=14)
    for heading in ("share", what):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    if has_time:
        table.add_column("median", justify="right", no_wrap=True)
        table.add_column("p95", justify="right", no_wrap=True)
    if has_capacity:
        table.add_column("load")
    bar = _BAR // 2 if has_capacity and has_time else _BAR
    top = max((share.share for share in shares), default=0.0) or 1.0
    for name, share in prediction.sites.items():
        cells = [
            Text(name, style=colours[name]),
            Text(spec.site(name).place.city),
            *_share_cells(share),
            Text("█" * round(bar * share.share / top), style=colours[name]),
        ]
        if has_time:
            cells += [Text(_ms(share.median_rtt_ms)), Text(_ms(share.p95_rtt_ms))]
        if has_capacity:
            cells.append(_load(prediction, name, share))
        table.add_row(*cells)
    if prediction.unreached is not None:
        nobody = [Text("none", style=colours[None]), Text("unreached")]
        table.add_row(*nobody, *_share_cells(prediction.unreached))
    return table


def _share_cells(share: SiteShare) -> list[Text]:
    return [Text(f"{100 * share.share:.1f} %"), Text(_count(share.weight))]


def _load(prediction: Prediction, name: str, share: SiteShare) -> Text:
    """Load against capacity, or the total at which the site would be full."""
    capacity = prediction.spec.site(name).capacity
    if capacity is None:
        return Text("")
    if prediction.load_is_users:
        full = _count(capacity / share.share) if share.share else "never"
        return Text(f"full at {full} q/s")
    load = prediction.load[name]
    return Text(
        f"{100 * load / capacity:.0f} % of {_count(capacity)} q/s",
        style="bold red" if load > capacity else "",
    )


def _certainty_line(prediction: Prediction, what: str) -> str:
    parts = ", ".join(
        f"{100 * part:.1f} % {certainty}" for certainty, part in prediction.certainty.items()
    )
    return f"[bold]certainty[/] of {what}: {parts}"


def _print_detours(
    console: Console, prediction: Prediction, colours: Mapping[str | None, str], what: str
) -> None:
    found = prediction.inflation
    if not found.detours:
        return
    console.print(
        f"[bold]detours[/]: {100 * found.part:.1f} % of {what} land farther than their nearest site, "
        f"by {_ms(found.median_extra_ms)} (median), {_ms(found.p95_extra_ms)} (p95)"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("client", what, "lands at", "rtt", "nearest", "would be"):
        right = heading in {what, "rtt", "would be"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    table.add_column("route by")
    catchment = prediction.map
    for detour in found.detours[:_N_SHOWN]:
        row = detour.row
        site = catchment.site[row]
        table.add_row(
            catchment.name[row],
            _count(catchment.weight[row]),
            Text(site or "", style=colours[site]),
            _ms(catchment.rtt_ms[row]),
            Text(detour.nearest, style=colours[detour.nearest]),
            _ms(detour.nearest_rtt_ms),
            _path(prediction, catchment.as_path[row] or ()),
        )
    console.print(table)


def _path(prediction: Prediction, as_path: tuple[int, ...]) -> str:
    """Name the networks between a client's own and ours, nearest first."""
    names = [prediction.as_names.get(asn) or str(asn) for asn in as_path]
    ours = as_path.count(int(prediction.spec.asn))
    return ", ".join(names[:-ours] if ours else names) + (f" (+{ours - 1})" if ours > 1 else "")


def _label(catchment: CatchmentMap) -> str:
    return " ".join(x for x in (catchment.kind.value, catchment.source, catchment.when) if x)


def _agreement_line(agreement: Agreement) -> str:
    good = "green" if agreement.n == agreement.n_same else "yellow"
    return (
        f"agreement [{good}]{100 * agreement.part:.1f} %[/]: {agreement.n_same:,} of "
        f"{agreement.n:,} clients, {100 * agreement.weighted:.1f} % by users"
    )


def _move_table(comparison: Comparison, colours: Mapping[str | None, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("from", "to", "clients", "users", "who"):
        table.add_column(heading, justify="right" if heading in {"clients", "users"} else "left")
    for move in comparison.moved[:_N_SHOWN]:
        who = ", ".join(move.names[:4]) + (", ..." if len(move.names) > 4 else "")
        table.add_row(
            Text(move.before or "none", style=colours.get(move.before, "")),
            Text(move.after or "none", style=colours.get(move.after, "")),
            f"{move.n:,}",
            _count(move.weight),
            who,
        )
    return table


def _slower_table(comparison: Comparison, colours: Mapping[str | None, str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("slower")
    table.add_column("from")
    table.add_column("before", justify="right")
    table.add_column("to")
    table.add_column("after", justify="right")
    for slower in comparison.slower[:_N_SHOWN]:
        table.add_row(
            f"{slower.name} {slower.service}".strip(),
            Text(slower.before or "none", style=colours.get(slower.before, "")),
            _ms(slower.before_ms),
            Text(slower.after or "none", style=colours.get(slower.after, "")),
            _ms(slower.after_ms),
        )
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _count(value: float) -> str:
    """Write a number as people say it: 1,234 or 230 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if value >= size:
            scaled = value / (1e3 if unit == "k" else size)
            return f"{scaled:.3g} {unit}" if scaled < 1000 else f"{scaled:,.0f} {unit}"
    return f"{value:,.0f}"
