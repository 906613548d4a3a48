"""Did we get what we planned? Two maps, row by row."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ridgeline.catchment.model import CatchmentMap, Certainty, Row
from ridgeline.errors import InputError

Key: TypeAlias = Callable[[Row], Hashable | None]

SLOWER_MS: Final = 1.0  # less is noise in any measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How many rows, and how much weight, say the same in both maps."""

    n: int = 0
    n_same: int = 0
    weight: float = 0.0
    weight_same: float = 0.0

    @property
    def part(self) -> float:
        """Part of the rows; 1 where there are none."""
        return self.n_same / self.n if self.n else 1.0

    @property
    def weighted(self) -> float:
        """Part of the weight; 1 where there is none."""
        return self.weight_same / self.weight if self.weight else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Vantage points that the first map sends to one site and the second to another."""

    before: str | None
    after: str | None
    n: int
    weight: float
    names: tuple[str, ...]
    """Heaviest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """A vantage point whose answers take longer in the second map."""

    name: str
    service: str
    weight: float
    before: str | None
    after: str | None
    before_ms: float
    after_ms: float

    @property
    def by_ms(self) -> float:
        """How much longer."""
        return self.after_ms - self.before_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two maps."""

    a: CatchmentMap
    b: CatchmentMap
    matched_by: str
    """How rows were paired: ``name``, ``network and city`` or ``network``."""
    overall: Agreement
    by_certainty: dict[Certainty, Agreement]
    """Rows of `a` by how sure it was; empty where `a` predicts nothing."""
    outside_possible: tuple[str, ...]
    """Vantage points whose site in `b` is none that `a` thought possible."""
    moved: tuple[Move, ...]
    """Heaviest first."""
    slower: tuple[Slower, ...]
    """By weight times milliseconds, worst first."""
    n_faster: int
    n_only_a: int
    n_only_b: int


def compare(a: CatchmentMap, b: CatchmentMap) -> Comparison:
    """Pair the rows of two maps and say what differs.

    Rows pair by name, else by network and city, else by network, whichever pairs most. A row that
    names no service pairs with every service of its vantage point.

    Raises
    ------
    InputError
        No row of one map has a partner in the other.
    """
    rows_a, rows_b = list(a.rows()), list(b.rows())
    matched_by, key = _best_key(rows_a, rows_b)
    index_a, index_b = _index(rows_a, key), _index(rows_b, key)
    pairs = [
        pair for k in index_a.keys() & index_b.keys() for pair in _pair(index_a[k], index_b[k])
    ]
    if not pairs:
        raise InputError(
            f"the maps have no vantage point in common: {_first(a)} against {_first(b)}"
        )
    pairs.sort(key=lambda pair: (-pair[0].weight, pair[0].name, pair[1].service))
    slower = [s for s in map(_slower, pairs) if s is not None]
    return Comparison(
        a=a,
        b=b,
        matched_by=matched_by,
        overall=_agreement(pairs),
        by_certainty={
            c: _agreement(some)
            for c in Certainty
            if (some := [pair for pair in pairs if pair[0].certainty is c])
        },
        outside_possible=tuple(
            dict.fromkeys(x.name for x, y in pairs if x.possible and y.site not in x.possible)
        ),
        moved=_moves(pairs),
        slower=tuple(sorted((s for s in slower if s.by_ms > 0), key=lambda s: -s.by_ms * s.weight)),
        n_faster=sum(s.by_ms < 0 for s in slower),
        n_only_a=len(rows_a) - len({id(x) for x, _ in pairs}),
        n_only_b=len(rows_b) - len({id(y) for _, y in pairs}),
    )


_KEYS: Final[dict[str, Key]] = {
    "name": lambda row: row.name,
    "network and city": lambda row: (row.asn, row.city) if row.asn and row.city else None,
    "network": lambda row: row.asn,
}


def _best_key(a: list[Row], b: list[Row]) -> tuple[str, Key]:
    def n_paired(key: Key) -> int:
        known = {key(row) for row in a} - {None}
        return sum(key(row) in known for row in b)

    name = max(_KEYS, key=lambda name: n_paired(_KEYS[name]))  # the first of equals
    return name, _KEYS[name]


def _index(rows: list[Row], key: Key) -> dict[Hashable, dict[str, Row]]:
    """Rows by key and service; of several, the heaviest stands for the vantage point."""
    index: dict[Hashable, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        k = key(row)
        if k is not None:
            other = index[k].get(row.service)
            if other is None or row.weight > other.weight:
                index[k][row.service] = row
    return index


def _pair(a: dict[str, Row], b: dict[str, Row]) -> Iterator[tuple[Row, Row]]:
    for service, row in a.items():
        if not service:
            yield from ((row, other) for other in b.values())
        elif service in b or "" in b:
            yield row, b.get(service, b.get("", row))


def _agreement(pairs: list[tuple[Row, Row]]) -> Agreement:
    same = [pair for pair in pairs if pair[0].site == pair[1].site]
    return Agreement(
        n=len(pairs),
        n_same=len(same),
        weight=sum(x.weight for x, _ in pairs),
        weight_same=sum(x.weight for x, _ in same),
    )


def _moves(pairs: list[tuple[Row, Row]]) -> tuple[Move, ...]:
    found: dict[tuple[str | None, str | None], list[Row]] = defaultdict(list)
    for x, y in pairs:
        if x.site != y.site:
            found[x.site, y.site].append(x)
    moves = [
        Move(
            before=before,
            after=after,
            n=len(rows),
            weight=sum(row.weight for row in rows),
            names=tuple(Counter(row.name for row in rows)),
        )
        for (before, after), rows in found.items()
    ]
    return tuple(sorted(moves, key=lambda m: (-m.weight, -m.n, m.before or "", m.after or "")))


def _slower(pair: tuple[Row, Row]) -> Slower | None:
    """Return the change in time, either way, where it is known and more than noise."""
    x, y = pair
    if x.rtt_ms is None or y.rtt_ms is None or abs(y.rtt_ms - x.rtt_ms) < SLOWER_MS:
        return None
    return Slower(
        name=x.name,
        service=y.service or x.service,
        weight=x.weight,
        before=x.site,
        after=y.site,
        before_ms=x.rtt_ms,
        after_ms=y.rtt_ms,
    )


def _first(catchment: CatchmentMap) -> str:
    return f"{catchment.name[0]!r}..." if catchment.name else "an empty map"
