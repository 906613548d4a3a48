"""Did we get what we planned? Two maps, row by row."""

from collections import defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from ridgeline.catchment.model import CatchmentMap, Certainty
from ridgeline.errors import InputError

_Pair: TypeAlias = tuple[int, int]

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
    matched_by, keys_a, keys_b = _best_keys(a, b)
    index_a, index_b = _index(a, keys_a), _index(b, keys_b)
    pairs = [
        pair
        for key, rows in index_a.items()
        if key in index_b
        for pair in _pair(rows, index_b[key])
    ]
    if not pairs:
        raise InputError(
            f"the maps have no vantage point in common: {_first(a)} against {_first(b)}"
        )
    pairs.sort(key=lambda pair: (-a.weight[pair[0]], a.name[pair[0]], b.service[pair[1]]))
    both = _Pairs(a, b)
    slower = [s for s in map(both.slower, pairs) if s is not None]
    certain: dict[Certainty | None, list[_Pair]] = defaultdict(list)
    for pair in pairs:
        certain[a.certainty[pair[0]]].append(pair)
    return Comparison(
        a=a,
        b=b,
        matched_by=matched_by,
        overall=both.agreement(pairs),
        by_certainty={c: both.agreement(certain[c]) for c in Certainty if c in certain},
        outside_possible=tuple(
            dict.fromkeys(
                a.name[i] for i, j in pairs if a.possible[i] and b.site[j] not in a.possible[i]
            )
        ),
        moved=both.moves(pairs),
        slower=tuple(sorted((s for s in slower if s.by_ms > 0), key=lambda s: -s.by_ms * s.weight)),
        n_faster=sum(s.by_ms < 0 for s in slower),
        n_only_a=len(a) - len({i for i, _ in pairs}),
        n_only_b=len(b) - len({j for _, j in pairs}),
    )


def _keys(catchment: CatchmentMap) -> dict[str, list[Hashable | None]]:
    """Return what may tell one vantage point from another, best first; None where it is not known."""
    places = zip(catchment.asn, catchment.city, strict=True)
    return {
        "name": list(catchment.name),
        "network and city": [(asn, city) if asn and city else None for asn, city in places],
        "network": list(catchment.asn),
    }


def _best_keys(
    a: CatchmentMap, b: CatchmentMap
) -> tuple[str, list[Hashable | None], list[Hashable | None]]:
    keys_a, keys_b = _keys(a), _keys(b)

    def n_paired(name: str) -> int:
        known = set(keys_a[name]) - {None}
        return sum(key in known for key in keys_b[name])

    name = max(keys_a, key=n_paired)  # the first of equals
    return name, keys_a[name], keys_b[name]


def _index(catchment: CatchmentMap, keys: list[Hashable | None]) -> dict[Hashable, dict[str, int]]:
    """Rows by key and service; of several, the heaviest stands for the vantage point."""
    index: dict[Hashable, dict[str, int]] = {}
    for row, (key, service) in enumerate(zip(keys, catchment.service, strict=True)):
        if key is None:
            continue
        services = index.setdefault(key, {})
        other = services.get(service)
        if other is None or catchment.weight[row] > catchment.weight[other]:
            services[service] = row
    return index


def _pair(a: dict[str, int], b: dict[str, int]) -> Iterator[_Pair]:
    for service, row in a.items():
        if not service:
            yield from ((row, other) for other in b.values())
            continue
        other = b.get(service, b.get(""))
        if other is not None:
            yield row, other


class _Pairs:
    """Two maps, looked at through pairs of their rows."""

    def __init__(self, a: CatchmentMap, b: CatchmentMap) -> None:
        self.a, self.b = a, b

    def agreement(self, pairs: list[_Pair]) -> Agreement:
        same = [i for i, j in pairs if self.a.site[i] == self.b.site[j]]
        return Agreement(
            n=len(pairs),
            n_same=len(same),
            weight=sum(self.a.weight[i] for i, _ in pairs),
            weight_same=sum(self.a.weight[i] for i in same),
        )

    def moves(self, pairs: list[_Pair]) -> tuple[Move, ...]:
        found: dict[tuple[str | None, str | None], list[int]] = defaultdict(list)
        for i, j in pairs:
            if self.a.site[i] != self.b.site[j]:
                found[self.a.site[i], self.b.site[j]].append(i)
        moves = [
            Move(
                before=before,
                after=after,
                n=len(rows),
                weight=sum(self.a.weight[i] for i in rows),
                names=tuple(dict.fromkeys(self.a.name[i] for i in rows)),
            )
            for (before, after), rows in found.items()
        ]
        return tuple(sorted(moves, key=lambda m: (-m.weight, -m.n, m.before or "", m.after or "")))

    def slower(self, pair: _Pair) -> Slower | None:
        """Return the change in time, either way, where it is known and more than noise."""
        i, j = pair
        before, after = self.a.rtt_ms[i], self.b.rtt_ms[j]
        if before is None or after is None or abs(after - before) < SLOWER_MS:
            return None
        return Slower(
            name=self.a.name[i],
            service=self.b.service[j] or self.a.service[i],
            weight=self.a.weight[i],
            before=self.a.site[i],
            after=self.b.site[j],
            before_ms=before,
            after_ms=after,
        )


def _first(catchment: CatchmentMap) -> str:
    return f"{catchment.name[0]!r}..." if catchment.name else "an empty map"
