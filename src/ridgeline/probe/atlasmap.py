"""A catchment map out of RIPE Atlas results: one row for each probe and address asked.

DNS results say who answered (CHAOS, NSID). A traceroute says by which last router its packets came
to the target, which tells sites apart without naming them. A ping tells neither.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from ridgeline.catchment.model import CatchmentMap, Kind, Row
from ridgeline.errors import InputError
from ridgeline.probe.atlas import AtlasResult, Parsed, Skipped
from ridgeline.probe.atlas import Kind as Asked
from ridgeline.probe.discs import unit_vector
from ridgeline.probe.locations import Location
from ridgeline.probe.metros import all_metros
from ridgeline.probe.places import decode

_SURE: Final = 0.5
_CITY_KM: Final = 50.0
_MOST_REASONS: Final = 3


@lru_cache(maxsize=1 << 14)
def site_of_identity(identity: str) -> str:
    """Name a site by the airport that its server's identity tells; the identity where it tells none."""
    best = decode(identity).best
    if best is not None and best.confidence >= _SURE and best.place.code:
        return best.place.code
    return identity


@dataclass(slots=True)
class AtlasMap:
    """Gathers results; of several of one probe, the last decides and the fastest times."""

    name_site: Callable[[str], str] = site_of_identity
    _rows: dict[tuple[str, str], AtlasResult] = field(default_factory=dict)
    _rtts: dict[tuple[str, str], float] = field(default_factory=dict)
    _skipped: Counter[str] = field(default_factory=Counter)
    _n_pings: int = 0
    _n_nameless: int = 0
    _first: int | None = None
    _last: int | None = None

    def take(self, parsed: Parsed) -> None:
        """Take one result."""
        if isinstance(parsed, Skipped):
            self._skipped[parsed.reason] += 1
            return
        if parsed.at is not None:
            self._first = parsed.at if self._first is None else min(self._first, parsed.at)
            self._last = parsed.at if self._last is None else max(self._last, parsed.at)
        key = (parsed.probe, parsed.target)
        if parsed.kind is Asked.PING:
            self._n_pings += 1
            self._note_rtt(key, parsed)
        elif parsed.kind is Asked.DNS and not parsed.error and not parsed.identity:
            self._n_nameless += 1
        else:
            self._note_rtt(key, parsed)
            known = self._rows.get(key)
            if known is None or _is_later(parsed, known):
                self._rows[key] = parsed

    def _note_rtt(self, key: tuple[str, str], result: AtlasResult) -> None:
        if result.rtt_ms is not None and result.rtt_ms < self._rtts.get(key, float("inf")):
            self._rtts[key] = result.rtt_ms

    def make(
        self, locations: Mapping[str, Location], *, network: str = "", source: str = ""
    ) -> CatchmentMap:
        """Make the map.

        Raises
        ------
        InputError
            No result tells which site answered.
        """
        if not self._rows:
            reasons = "; ".join(self.notes(locations)) or "there is no result"
            raise InputError(f"{source}: nothing tells which site answered: {reasons}")
        targets = {target for _, target in self._rows}
        rows = [
            self._row(key, result, locations.get(key[0]), several=len(targets) > 1)
            for key, result in self._rows.items()
        ]
        return CatchmentMap.from_rows(
            rows,
            kind=Kind.OBSERVED,
            network=network or (next(iter(targets)) if len(targets) == 1 else ""),
            sites=sorted({row.site for row in rows if row.site is not None}),
            source=source,
            when=_span(self._first, self._last),
        )

    def _row(
        self,
        key: tuple[str, str],
        result: AtlasResult,
        location: Location | None,
        *,
        several: bool,
    ) -> Row:
        site = self._site(result)
        return Row(
            name=result.probe,
            asn=location.asn if location else None,
            city=_city(location) if location else "",
            country=location.country if location else "",
            lat=location.lat if location else None,
            lon=location.lon if location else None,
            service=result.target if several else "",
            site=site,
            rtt_ms=self._rtts.get(key) if site is not None else None,
        )

    def _site(self, result: AtlasResult) -> str | None:
        if result.kind is Asked.DNS:
            return self.name_site(result.identity) if result.identity else None
        if result.error:
            return None
        before = [hop.address for hop in result.hops if hop.address not in ("", result.target)]
        return f"via {before[-1]}" if before else "direct"

    def notes(self, locations: Mapping[str, Location]) -> Iterator[str]:
        """Say what was left out, and what would mend it."""
        if self._n_pings:
            yield (
                f"{self._n_pings} ping results tell no site; `ridgeline probe enumerate` "
                "finds sites from their times"
            )
        if self._n_nameless:
            yield f"{self._n_nameless} answers without an identity: ask for CHAOS or NSID"
        unplaced = sum(probe not in locations for probe, _ in self._rows)
        if self._rows and unplaced:
            yield f"{unplaced} of {len(self._rows)} rows without a place: give --locations FILE"
        for reason, n in self._skipped.most_common(_MOST_REASONS):
            yield f"{n} objects skipped: {reason}"


def make_map(
    results: Iterable[Parsed],
    locations: Mapping[str, Location],
    *,
    network: str = "",
    source: str = "",
) -> tuple[CatchmentMap, tuple[str, ...]]:
    """Make a map of results, and say what was left out.

    Raises
    ------
    InputError
        No result tells which site answered.
    """
    gathered = AtlasMap()
    for result in results:
        gathered.take(result)
    made = gathered.make(locations, network=network, source=source)
    return made, tuple(gathered.notes(locations))


def _is_later(new: AtlasResult, known: AtlasResult) -> bool:
    return new.at is None or known.at is None or new.at >= known.at


def _span(first: int | None, last: int | None) -> str:
    if first is None or last is None:
        return ""
    return _iso(first) if first == last else f"{_iso(first)}/{_iso(last)}"


def _iso(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, OSError, ValueError):
        return ""


@lru_cache(maxsize=1 << 14)
def _city(location: Location) -> str:
    where = unit_vector(location.lat, location.lon)
    near = all_metros().within(where, location.lat, _CITY_KM)
    best = max(near, key=lambda pair: pair[1], default=None)
    return best[0].place.code if best else ""
