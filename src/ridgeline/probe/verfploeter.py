"""Verfploeter's files: who answered a probe from the anycast address, and at which site.

De Vries et al., "Broad and Load-Aware Anycast Mapping with Verfploeter", IMC 2017; the columns are
those of the Tangled testbed's runs. A file is read twice, so that one of any size needs little
memory: a target that answered more than once tells nothing certain, and only a first reading shows
which ones did.
"""

import csv
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ridgeline.catchment.jsonl import SCHEMA
from ridgeline.catchment.model import CatchmentMap, Kind, Row
from ridgeline.errors import InputError, Problem

_SITE: Final = "client_id"
_TARGET: Final = "source_address"
_RTT: Final = "send_receive_time_diff"
_COUNTRY: Final = "source_address_country"
_ASN: Final = "source_address_asn"
_NEEDED: Final = (_SITE, _TARGET)
_SLOWEST_MS: Final = 1e6
_ADDRESS: Final = b"0123456789abcdefABCDEF.:"
_LINE: Final = (
    b'{"name": "%b", "asn": %d, "country": "%b", "weight": 1.0, "site": %b, "rtt_ms": %r}\n'
)
_N_BUCKETS: Final = 64
_MOST_SITES: Final = 0xFFFF
_WORST_PART: Final = 0.05
"""With more lines than this that cannot be read, the file is something else."""


class Reply(NamedTuple):
    """One reply that arrived at a site."""

    site: str
    target: str
    rtt_ms: float | None
    country: str
    asn: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a first reading tells."""

    counts: Mapping[str, int]
    """Targets by site, most first; only those that answered once."""
    n_replies: int
    n_repeated: int
    """Replies of targets that answered more than once: left out everywhere."""
    n_malformed: int
    first_malformed: str
    """The first line that could not be read, and why; empty: none."""
    sent_at: str
    """When the first probe was sent, ISO 8601 in UTC; empty: not told."""
    repeated: frozenset[int]
    """Hashes of targets that answered more than once; good for this process only."""

    @property
    def n_targets(self) -> int:
        """Targets that answered once."""
        return sum(self.counts.values())


def survey(lines: Iterable[bytes], *, file: str) -> Survey:
    """Read a file once: count targets by site and find those that answered more than once.

    Raises
    ------
    InputError
        The file is no Verfploeter file.
    """
    source = iter(lines)
    columns = _columns(next(source, b""), file)
    site_at, target_at = columns[_SITE], columns[_TARGET]
    n_split = max(site_at, target_at) + 1
    hashes = [array("q") for _ in range(_N_BUCKETS)]
    owners = [array("H") for _ in range(_N_BUCKETS)]
    add = [(h.append, o.append) for h, o in zip(hashes, owners, strict=True)]
    sites: dict[bytes, int] = {}
    bad = _Malformed(file)
    first = b""
    number = 1
    for number, line in enumerate(source, 2):
        fields = line.split(b",", n_split)
        if len(fields) <= n_split or b'"' in line:
            fields = _unquote(line)
        try:
            site, target = fields[site_at], fields[target_at]
        except IndexError:
            bad.add(number, line)
            continue
        owner = sites.get(site)
        if owner is None:
            if not site or len(sites) >= _MOST_SITES:
                bad.add(number, line)
                continue
            owner = sites[site] = len(sites)
        if not target:
            bad.add(number, line)
            continue
        first = first or line
        h = hash(target)
        add_hash, add_owner = add[h & (_N_BUCKETS - 1)]
        add_hash(h)
        add_owner(owner)
    bad.check(number - 1)
    repeated: set[int] = set()
    counts: Counter[int] = Counter()
    n_replies = 0
    for of_targets, of_sites in zip(hashes, owners, strict=True):
        n_replies += len(of_targets)
        if len(set(of_targets)) < len(of_targets):
            several = {h for h, n in Counter(of_targets).items() if n > 1}
            repeated |= several
            counts.update(o for h, o in zip(of_targets, of_sites, strict=True) if h not in several)
        else:
            counts.update(of_sites)
    names = [site.decode("utf-8", "replace") for site in sites]
    return Survey(
        counts={names[i]: n for i, n in sorted(counts.items(), key=lambda p: (-p[1], names[p[0]]))},
        n_replies=n_replies,
        n_repeated=n_replies - sum(counts.values()),
        n_malformed=bad.n,
        first_malformed=bad.first,
        sent_at=_sent_at(first, columns),
        repeated=frozenset(repeated),
    )


def replies(lines: Iterable[bytes], found: Survey, *, file: str) -> Iterator[Reply]:
    """Read a file again: each reply of a target that answered once."""
    source = iter(lines)
    columns = _columns(next(source, b""), file)
    yield from _replies(source, columns, found)


def _replies(lines: Iterable[bytes], columns: Mapping[str, int], found: Survey) -> Iterator[Reply]:
    site_at, target_at = columns[_SITE], columns[_TARGET]
    rtt_at, country_at, asn_at = columns.get(_RTT), columns.get(_COUNTRY), columns.get(_ASN)
    n_columns = max(columns.values()) + 1
    repeated = found.repeated
    for line in lines:
        fields = line.rstrip(b"\r\n").split(b",")
        if len(fields) != n_columns or b'"' in line:
            fields = _unquote(line)
        if len(fields) <= max(site_at, target_at):
            continue
        target = fields[target_at]
        if not target or not fields[site_at] or hash(target) in repeated:
            continue
        yield Reply(
            fields[site_at].decode("utf-8", "replace"),
            target.decode("utf-8", "replace"),
            _rtt(_field(fields, rtt_at)),
            _country(_field(fields, country_at)),
            _asn(_field(fields, asn_at)),
        )


def to_map(
    lines: Iterable[bytes], found: Survey, *, file: str, network: str = "", prefix: str = ""
) -> CatchmentMap:
    """Make a catchment map: one row for each target."""
    return CatchmentMap.from_rows(
        map(_row, replies(lines, found, file=file)),
        kind=Kind.OBSERVED,
        network=network,
        prefix=prefix,
        sites=sorted(found.counts),
        source=f"verfploeter {file}",
        when=found.sent_at,
    )


def to_jsonl(
    lines: Iterable[bytes], found: Survey, *, file: str, network: str = "", prefix: str = ""
) -> Iterator[bytes]:
    """Lines of the same map as a file: one by one, so that millions of targets need no memory.

    Written by hand, because `json` alone would take longer than everything else together; a line
    with anything unusual in it goes the long way.
    """
    head = {
        "schema": SCHEMA,
        "kind": Kind.OBSERVED,
        "network": network,
        "prefix": prefix,
        "source": f"verfploeter {file}",
        "when": found.sent_at,
        "sites": sorted(found.counts),
        "n_rows": found.n_targets,
    }
    yield json.dumps(head, ensure_ascii=False).encode() + b"\n"
    source = iter(lines)
    columns = _columns(next(source, b""), file)
    order = _Order.of(columns)
    if order is None:
        for reply in _replies(source, columns, found):
            yield _json_line(reply)
        return
    site_at, target_at, rtt_at, country_at, asn_at = order
    n_columns = max(columns.values()) + 1
    repeated = found.repeated
    sites = {site.encode(): json.dumps(site).encode() for site in found.counts}
    for line in source:
        fields = line.split(b",")
        try:
            target = fields[target_at]
            if hash(target) in repeated:
                continue
            asn, country = fields[asn_at].rstrip(), fields[country_at]
            rtt = float(fields[rtt_at])
            if (
                len(fields) == n_columns
                and not target.strip(_ADDRESS)
                and asn.isdigit()
                and 0 < int(asn) < 2**32
                and len(country) == 2
                and country.isalpha()
                and 0 < rtt < _SLOWEST_MS
            ):
                yield _LINE % (target, int(asn), country, sites[fields[site_at]], rtt)
                continue
        except (IndexError, ValueError, KeyError):
            pass
        for reply in _replies([line], columns, found):
            yield _json_line(reply)


class _Order(NamedTuple):
    """Where the columns of a row are."""

    site: int
    target: int
    rtt: int
    country: int
    asn: int

    @classmethod
    def of(cls, columns: Mapping[str, int]) -> "_Order | None":
        """Return None for a file that lacks some: it goes the long way."""
        found = [columns.get(name) for name in (_SITE, _TARGET, _RTT, _COUNTRY, _ASN)]
        known = [at for at in found if at is not None]
        last = max(columns.values())
        return cls(*known) if len(known) == len(found) and last not in known[:-1] else None


def _json_line(reply: Reply) -> bytes:
    values = {
        "name": reply.target,
        "asn": reply.asn,
        "country": reply.country or None,
        "weight": 1.0,
        "site": reply.site,
        "rtt_ms": reply.rtt_ms,
    }
    told = {key: value for key, value in values.items() if value is not None}
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def percent(n: int, total: int) -> int:
    """Return a share as Verfploeter's own ``.stats`` files write it.

    To a tenth, then cut: 5.99 is 6, but 89.84 is 89.
    """
    return int(round(100 * n / total, 1)) if total else 0


def render_stats(
    found: Survey, *, policy: str, timestamp: str, hitlist: str = "not_provided"
) -> str:
    """Write the totals as the testbed's ``.stats`` files do."""
    lines = [f"#policy,{policy}", f"#timestamp,{timestamp}", f"#hitlist,{hitlist}"]
    lines.append("site,counts,percent")
    lines += [f"{site},{n},{percent(n, found.n_targets)}" for site, n in found.counts.items()]
    return "\n".join(lines) + "\n\n"


def _row(reply: Reply) -> Row:
    return Row(
        name=reply.target,
        asn=reply.asn,
        country=reply.country,
        site=reply.site,
        rtt_ms=reply.rtt_ms,
    )


def _columns(heading: bytes, file: str) -> dict[str, int]:
    names = [name.decode("utf-8", "replace").strip().strip('"') for name in heading.split(b",")]
    columns = {name: i for i, name in enumerate(names)}
    missing = [name for name in _NEEDED if name not in columns]
    if missing:
        raise InputError(
            [
                Problem(
                    file, 1, 1, name, "no such column; a Verfploeter file's heading names "
                    f"{' and '.join(_NEEDED)}, found {heading[:60].decode('utf-8', 'replace')!r}"
                )
                for name in missing
            ]
        )  # fmt: skip
    return columns


class _Malformed:
    """Lines that cannot be read."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.n = 0
        self.first = ""
        self._problem: Problem | None = None

    def add(self, number: int, line: bytes) -> None:
        self.n += 1
        if self._problem is None:
            text = line[:40].decode("utf-8", "replace").rstrip("\r\n")
            message = f"the line names no site and target: {text!r}"
            self._problem = Problem(self._file, number, 1, "", message)
            self.first = str(self._problem)

    def check(self, n_lines: int) -> None:
        if self._problem is not None and self.n > _WORST_PART * n_lines:
            raise InputError([self._problem])


def _unquote(line: bytes) -> list[bytes]:
    """Split a line that has quoted fields, or too few."""
    try:
        fields = next(csv.reader([line.decode("utf-8", "replace").rstrip("\r\n")]), [])
    except csv.Error:
        return []
    return [field.encode() for field in fields]


def _field(fields: list[bytes], at: int | None) -> bytes:
    return fields[at] if at is not None and at < len(fields) else b""


def _rtt(text: bytes) -> float | None:
    try:
        rtt = float(text)
    except ValueError:
        return None
    return rtt if 0 < rtt < _SLOWEST_MS else None


def _country(text: bytes) -> str:
    return text.decode("ascii") if len(text) == 2 and text.isalpha() and text.isascii() else ""


def _asn(text: bytes) -> int | None:
    if not text.isdigit() or len(text) > 10:
        return None
    asn = int(text)
    return asn if 0 < asn < 2**32 else None


def _sent_at(line: bytes, columns: Mapping[str, int]) -> str:
    text = _field(line.split(b","), columns.get("transmit_time"))
    if not text.isdigit() or len(text) > 20:
        return ""
    try:
        sent = datetime.fromtimestamp(int(text) // 1_000_000_000, tz=UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    return sent.isoformat().replace("+00:00", "Z")
