"""What a sweep is about, and what it found: a catchment map with what did not come through."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from ridgeline.app.check import read_spec
from ridgeline.app.probe_lab import LabPoints
from ridgeline.catchment.jsonl import render_jsonl
from ridgeline.catchment.model import CatchmentMap, Kind, Row
from ridgeline.errors import InputError
from ridgeline.probe.hitlist import Prefix
from ridgeline.spec.model import ServiceKind, SiteState, Spec

SCHEMA = "ridgeline.sweep/1"
_BY = {
    ServiceKind.AUTHORITATIVE_DNS: "dns",
    ServiceKind.RECURSIVE_DNS: "dns",
    ServiceKind.HTTP_CACHE: "http",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One address of the anycast network, and how it tells who answers."""

    service: str
    """Empty: an address that no spec names."""
    address: str
    by: str
    """``dns``, ``http`` or ``tls``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The anycast network that a sweep is about."""

    network: str
    prefixes: tuple[Prefix, ...]
    asked: tuple[Asked, ...]
    sites: tuple[str, ...]
    """Empty: not known before."""

    def prefix_of(self, address: str) -> str:
        """Find the announced prefix that holds an address; empty if it is not known."""
        found = (str(p) for p in self.prefixes if ip_address(address) in p)
        return next(found, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep found."""

    catchment: CatchmentMap
    how: str
    """``vantage`` or ``inside``."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Name -> why its site is not known, or is doubtful."""
    facts: Mapping[str, int] = field(default_factory=dict)
    """What else was counted."""

    def document(self) -> dict[str, Any]:
        """Describe it for programs."""
        import json

        header, *rows = (json.loads(line) for line in render_jsonl(self.catchment))
        return {
            "schema": SCHEMA,
            "how": self.how,
            **{key: value for key, value in header.items() if key not in {"schema", "n_rows"}},
            "clients_of": self.clients_of(),
            "n_asked": len(self.catchment),
            "n_silent": sum(site is None for site in self.catchment.site),
            **self.facts,
            "problems": dict(self.problems),
            "rows": rows,
        }

    def clients_of(self) -> dict[str, int]:
        """Count the rows of each site."""
        counts = Counter(site for site in self.catchment.site if site is not None)
        return {site: counts.get(site, 0) for site in self.catchment.sites}


def find_subject(
    target: str, *, lab: LabPoints | None, version: int, service: str = "", by: str = ""
) -> Subject:
    """Find out what TARGET means: a spec file, or one address.

    Raises
    ------
    InputError
        It is neither; or the spec lacks the service, or an address of that version of IP.
    """
    try:
        address = str(ip_address(target))
    except ValueError:
        if not Path(target).is_file():
            raise InputError(f"{target!r} is neither an address nor the file of a spec") from None
        return _subject_of_spec(read_spec(target), version=version, service=service)
    asked = (Asked(service=service, address=address, by=by or "dns"),)
    if lab is None:
        return Subject(network=address, prefixes=(), asked=asked, sites=())
    return Subject(
        network=lab.status["network"],
        prefixes=tuple(ip_network(prefix) for prefix in lab.status["prefixes"]),
        asked=asked,
        sites=tuple(lab.sites()),
    )


def _subject_of_spec(spec: Spec, *, version: int, service: str) -> Subject:
    names = [each.name for each in spec.services]
    if service and service not in names:
        raise InputError(f"{spec.file}: no service {service!r}; there are {', '.join(names)}")
    asked = tuple(
        Asked(service=each.name, address=str(address), by=_BY.get(each.kind, "dns"))
        for each in spec.services
        if not service or each.name == service
        for address in [a for a in each.addresses if a.version == version][:1]
    )
    if not asked:
        raise InputError(f"{spec.file}: no service has an IPv{version} address")
    return Subject(
        network=spec.network,
        prefixes=spec.prefixes,
        asked=asked,
        sites=tuple(s.name for s in spec.sites if s.state is not SiteState.PLANNED),
    )


def make_map(
    rows: Sequence[Row], subject: Subject, *, in_lab: bool, source: str, address: str = ""
) -> CatchmentMap:
    """Make a map of what was seen, with every site that there is."""
    seen = sorted({row.site for row in rows if row.site is not None})
    prefixes = {subject.prefix_of(a.address) for a in subject.asked}
    prefix = (
        subject.prefix_of(address)
        if address
        else next(iter(prefixes))
        if len(prefixes) == 1
        else ""
    )
    return CatchmentMap.from_rows(
        rows,
        kind=Kind.REHEARSED if in_lab else Kind.OBSERVED,
        network=subject.network,
        prefix=prefix,
        sites=dict.fromkeys((*subject.sites, *seen)),
        source=source,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )
