"""What changed between sweeps: who moved, what vanished, who keeps flipping, which modes recur.

Two sweeps are as alike as the weight of the vantage points that land at the same site in both.
A mode is a way in which the Internet routes to the network: sweeps that are alike belong to one mode,
and a mode that comes back after another one recurs. The idea is that of Song and Heidemann,
"Rediscovering Recurring Routing Results", IMC 2025.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ridgeline.catchment.model import CatchmentMap, Row
from ridgeline.errors import InputError

Client: TypeAlias = tuple[str, str]
"""Name and service of a vantage point."""

ALIKE: Final = 0.9
_MOST_NAMES: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One sweep, in short."""

    label: str
    when: str
    n_clients: int
    mode: int
    """Number of its mode, 0 for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Clients that one sweep saw at one site and the next at another."""

    before: str | None
    """None: it reached no site."""
    after: str | None
    n: int
    weight: float
    names: tuple[str, ...]
    """Heaviest first, a few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What changed from one sweep to the next."""

    before: str
    after: str
    """Labels of the sweeps."""
    n_common: int
    n_moved: int
    part_moved: float
    """Of the common clients' weight."""
    flows: tuple[Flow, ...]
    """Heaviest first."""
    vanished: tuple[str, ...]
    """Sites that clients reached before and none reaches now."""
    appeared: tuple[str, ...]
    n_clients_gone: int
    """Asked before, and not now."""
    n_clients_new: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flipper:
    """A client that changes its site."""

    name: str
    service: str
    n_flips: int
    sites: tuple[str | None, ...]
    """One for each sweep that asked it, in order."""
    is_back_and_forth: bool
    """It returned to a site that it had left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """Sweeps that are alike."""

    number: int
    sweeps: tuple[str, ...]
    """Labels, in order."""
    is_recurring: bool
    """Another mode came between two of them."""
    shares: Mapping[str | None, float]
    """Part of the weight at each site, in its first sweep; largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Everything that changed over a series of sweeps."""

    sweeps: tuple[Sweep, ...]
    steps: tuple[Step, ...]
    flippers: tuple[Flipper, ...]
    """Most flips first."""
    n_clients: int
    """Asked in at least two sweeps."""
    n_steady: int
    """Of those, always at the same site."""
    modes: tuple[Mode, ...]
    alike: tuple[tuple[float, ...], ...]
    """How alike each two sweeps are, 0 to 1."""


def find_changes(
    sweeps: Sequence[CatchmentMap], *, labels: Sequence[str], alike: float = ALIKE
) -> Changes:
    """Compare sweeps, oldest first.

    Parameters
    ----------
    labels
        A name for each sweep, as the reader knows it.
    alike
        Sweeps that agree on so much of the weight belong to one mode.

    Raises
    ------
    InputError
        Less than two sweeps, or two that follow each other have no client in common.
    """
    if len(sweeps) < 2:
        raise InputError("changes need two sweeps at least")
    tables = [_table(sweep) for sweep in sweeps]
    for before, after, a, b in zip(labels, labels[1:], tables, tables[1:], strict=False):
        if not a.keys() & b.keys():
            raise InputError(f"{before} and {after} have no vantage point in common")
    matrix = _matrix(tables)
    modes = _modes(matrix, alike)
    histories = _histories(tables)
    flippers = _flippers(histories)
    return Changes(
        sweeps=tuple(
            Sweep(label=label, when=sweep.when, n_clients=len(table), mode=mode)
            for label, sweep, table, mode in zip(labels, sweeps, tables, modes, strict=True)
        ),
        steps=tuple(
            _step(before, after, a, b)
            for before, after, a, b in zip(
                labels[:-1], labels[1:], tables[:-1], tables[1:], strict=True
            )
        ),
        flippers=flippers,
        n_clients=len(histories),
        n_steady=len(histories) - len(flippers),
        modes=_describe_modes(modes, labels, tables),
        alike=matrix,
    )


def _table(sweep: CatchmentMap) -> dict[Client, Row]:
    return {(row.name, row.service): row for row in sweep.rows()}


def _step(before: str, after: str, a: dict[Client, Row], b: dict[Client, Row]) -> Step:
    common = a.keys() & b.keys()
    total = sum(a[client].weight for client in common)
    moved: dict[tuple[str | None, str | None], list[Row]] = defaultdict(list)
    for client in common:
        if a[client].site != b[client].site:
            moved[a[client].site, b[client].site].append(a[client])
    flows = [
        Flow(
            before=source,
            after=target,
            n=len(rows),
            weight=sum(row.weight for row in rows),
            names=_names(rows),
        )
        for (source, target), rows in moved.items()
    ]
    sites_a, sites_b = _reached(a.values()), _reached(b.values())
    weight = sum(flow.weight for flow in flows)
    return Step(
        before=before,
        after=after,
        n_common=len(common),
        n_moved=sum(flow.n for flow in flows),
        part_moved=weight / total if total else 0.0,
        flows=tuple(sorted(flows, key=lambda f: (-f.weight, -f.n, f.before or "", f.after or ""))),
        vanished=tuple(sorted(sites_a - sites_b)),
        appeared=tuple(sorted(sites_b - sites_a)),
        n_clients_gone=len(a.keys() - b.keys()),
        n_clients_new=len(b.keys() - a.keys()),
    )


def _names(rows: list[Row]) -> tuple[str, ...]:
    heaviest = sorted(rows, key=lambda row: (-row.weight, row.name))
    return tuple(dict.fromkeys(row.name for row in heaviest))[:_MOST_NAMES]


def _reached(rows: Iterable[Row]) -> set[str]:
    return {row.site for row in rows if row.site is not None}


def _histories(tables: Sequence[dict[Client, Row]]) -> dict[Client, list[str | None]]:
    found: dict[Client, list[str | None]] = defaultdict(list)
    for table in tables:
        for client, row in table.items():
            found[client].append(row.site)
    return {client: sites for client, sites in found.items() if len(sites) > 1}


def _flippers(histories: Mapping[Client, list[str | None]]) -> tuple[Flipper, ...]:
    flippers = []
    for (name, service), sites in histories.items():
        runs = [site for i, site in enumerate(sites) if i == 0 or site != sites[i - 1]]
        if len(runs) > 1:
            flippers.append(
                Flipper(
                    name=name,
                    service=service,
                    n_flips=len(runs) - 1,
                    sites=tuple(sites),
                    is_back_and_forth=len(set(runs)) < len(runs),
                )
            )
    return tuple(sorted(flippers, key=lambda f: (-f.n_flips, f.name, f.service)))


def _matrix(tables: Sequence[dict[Client, Row]]) -> tuple[tuple[float, ...], ...]:
    n = len(tables)
    matrix = [[1.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            matrix[i][j] = matrix[j][i] = _alike(tables[i], tables[j])
    return tuple(map(tuple, matrix))


def _alike(a: dict[Client, Row], b: dict[Client, Row]) -> float:
    same = total = 0.0
    for client in a.keys() & b.keys():
        total += a[client].weight
        if a[client].site == b[client].site:
            same += a[client].weight
    return same / total if total else 0.0


def _modes(matrix: Sequence[Sequence[float]], alike: float) -> list[int]:
    """Give each sweep the mode whose first sweep it is most like, or a new one."""
    first: list[int] = []
    modes: list[int] = []
    for i, row in enumerate(matrix):
        best = max(range(len(first)), key=lambda mode: (row[first[mode]], -mode), default=None)
        if best is None or row[first[best]] < alike:
            first.append(i)
            best = len(first) - 1
        modes.append(best)
    return modes


def _describe_modes(
    modes: list[int], labels: Sequence[str], tables: Sequence[dict[Client, Row]]
) -> tuple[Mode, ...]:
    described = []
    for number in range(max(modes) + 1):
        members = [i for i, mode in enumerate(modes) if mode == number]
        described.append(
            Mode(
                number=number,
                sweeps=tuple(labels[i] for i in members),
                is_recurring=members[-1] - members[0] >= len(members),
                shares=_shares(tables[members[0]].values()),
            )
        )
    return tuple(described)


def _shares(rows: Iterable[Row]) -> dict[str | None, float]:
    weight: dict[str | None, float] = defaultdict(float)
    for row in rows:
        weight[row.site] += row.weight
    total = sum(weight.values())
    ranked = sorted(weight.items(), key=lambda pair: (-pair[1], pair[0] or ""))
    return {site: w / total if total else 0.0 for site, w in ranked}
