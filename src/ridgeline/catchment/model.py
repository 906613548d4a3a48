"""`CatchmentMap`: one row for each vantage point, whoever says where it lands.

Kept as columns of equal length, because that is how maps are stored, drawn and compared.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum


class Kind(StrEnum):
    """How a map came to be."""

    PREDICTED = "predicted"
    REHEARSED = "rehearsed"
    OBSERVED = "observed"


class Certainty(StrEnum):
    """How sure a vantage point's site is."""

    CERTAIN = "certain"
    """No other site is possible."""
    LIKELY = "likely"
    """Others are possible; more than half of the equally good routes lead here."""
    POSSIBLE = "possible"
    """One of several; a coin decides, or nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One vantage point and where it lands."""

    name: str
    """Unique within its map and service: ``yuzu.nrt``."""
    asn: int | None = None
    city: str = ""
    """City code, lower case."""
    country: str = ""
    lat: float | None = None
    lon: float | None = None
    weight: float = 1.0
    """Users behind it, or 1."""
    service: str = ""
    """Name of the service asked; empty: whatever answers on the prefix."""
    site: str | None = None
    """None: no site was reached."""
    rtt_ms: float | None = None
    certainty: Certainty | None = None
    """None: it was seen, not predicted."""
    possible: tuple[str, ...] = ()
    """Sites that it could be, `site` among them; empty: not said."""
    as_path: tuple[int, ...] | None = None
    """Next AS first, origin last; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchmentMap:
    """Where vantage points land; the columns are those of `Row`, in its order."""

    kind: Kind
    network: str
    """The anycast network, as its spec names it."""
    prefix: str
    """The prefix that was announced or asked; empty where several were."""
    source: str
    """What was asked: a topology's name, ``lab``, a list of probes."""
    when: str
    """When that was, ISO 8601; empty where time plays no part."""
    sites: tuple[str, ...]
    """Every site that there is, reached or not; in the order of the spec."""

    name: tuple[str, ...]
    asn: tuple[int | None, ...]
    city: tuple[str, ...]
    country: tuple[str, ...]
    lat: tuple[float | None, ...]
    lon: tuple[float | None, ...]
    weight: tuple[float, ...]
    service: tuple[str, ...]
    site: tuple[str | None, ...]
    rtt_ms: tuple[float | None, ...]
    certainty: tuple[Certainty | None, ...]
    possible: tuple[tuple[str, ...], ...]
    as_path: tuple[tuple[int, ...] | None, ...]

    def __post_init__(self) -> None:
        for column in COLUMNS:
            if len(getattr(self, column)) != len(self.name):
                raise ValueError(
                    f"column {column} has {len(getattr(self, column))} rows, not {len(self.name)}"
                )

    def __len__(self) -> int:
        return len(self.name)

    def rows(self) -> Iterator[Row]:
        """Each row as a value of its own."""
        for values in zip(*(getattr(self, column) for column in COLUMNS), strict=True):
            yield Row(**dict(zip(COLUMNS, values, strict=True)))

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Row],
        *,
        kind: Kind,
        network: str,
        sites: Iterable[str],
        prefix: str = "",
        source: str = "",
        when: str = "",
    ) -> "CatchmentMap":
        """Make a map of rows that were gathered one by one."""
        gathered = list(rows)
        columns = {column: tuple(getattr(r, column) for r in gathered) for column in COLUMNS}
        return cls(
            kind=kind,
            network=network,
            prefix=prefix,
            source=source,
            when=when,
            sites=tuple(sites),
            **columns,
        )


COLUMNS = tuple(field.name for field in fields(Row))


def vantage_name(asn: int, network: str, city: str) -> str:
    """Name the vantage point of a network in a city: ``yuzu.nrt``, or ``as64533.nrt``."""
    base = network or f"as{asn}"
    return f"{base}.{city}" if city else base
