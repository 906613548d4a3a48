"""The door: the text of a spec goes in, a frozen `Spec` or every problem comes out."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from ridgeline.errors import InputError, Problem
from ridgeline.spec._raw import RawHealth, RawParts, RawService, RawSite, RawSpec, RawUpstream
from ridgeline.spec.document import MAX_PROBLEMS, Entries, Location, find, read_document
from ridgeline.spec.meaning import check_meaning, merge_health, place_of
from ridgeline.spec.model import (
    Health,
    Prefix,
    Service,
    ServiceKind,
    Site,
    Spec,
    Tls,
    Upstream,
)
from ridgeline.spec.report import Report
from ridgeline.spec.shape import read_shape


class FileKind(Enum):
    """What a file that the spec names should hold."""

    ZONE = "zone"
    CERTIFICATE = "certificate"
    KEY = "key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """All there is to say about the text of a spec."""

    spec: Spec | None
    """None where there are problems."""
    problems: tuple[Problem, ...]
    """In file order."""
    warnings: tuple[Problem, ...]
    """What works, but perhaps not as its author thinks; in file order."""
    files: tuple["NamedFile", ...] = ()
    """The files that the well-formed parts of the spec name. Nobody has looked for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """A file that the spec names, and where it names it."""

    path: str
    """As written: relative to the spec's folder, or absolute."""
    holds: FileKind
    at: Problem
    """A problem at that place of the spec, its message still empty."""

    def problem(self, message: str) -> Problem:
        """Say what is wrong with the file."""
        return replace(self.at, message=message)


def parse_spec(text: str, *, file: str) -> Spec:
    """Read a spec; `file` is how messages call it.

    Raises
    ------
    InputError
        With all problems of the text, in file order.
    """
    return parse_spec_with_warnings(text, file=file)[0]


def parse_spec_with_warnings(text: str, *, file: str) -> tuple[Spec, tuple[Problem, ...]]:
    """Read a spec as `parse_spec` does, and return the warnings too."""
    examined = examine_spec(text, file=file)
    if examined.spec is None:
        raise InputError(examined.problems)
    return examined.spec, examined.warnings


def examine_spec(text: str, *, file: str) -> Examined:
    """Read a spec and raise nothing: problems and warnings are results."""
    root, problems = read_document(text, file=file)
    if root is None:
        return Examined(spec=None, problems=_in_order(problems), warnings=())
    raw, parts, misshapen = read_shape(root, file=file)
    report = Report(file, root)
    check_meaning(parts, report, complete=raw is not None)
    problems += misshapen + report.problems
    spec = _build(raw, root, file) if raw is not None and not problems else None
    return Examined(
        spec=spec,
        problems=_in_order(problems),
        warnings=_in_order(report.warnings),
        files=tuple(_named_files(parts, report)),
    )


def decode_spec(data: bytes, *, file: str) -> str:
    """Return the text of a file: UTF-8, with or without a byte order mark.

    Raises
    ------
    InputError
        The bytes are not UTF-8; says where the first wrong one is.
    """
    data = data.removeprefix(BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        found = f"byte 0x{data[error.start]:02x} is not UTF-8: save the file in that encoding"
        raise InputError([Problem(file, line, column, "", found)]) from None


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    found = sorted(set(problems))
    if len(found) > MAX_PROBLEMS:
        follows = found[MAX_PROBLEMS]
        found[MAX_PROBLEMS:] = [replace(follows, where="", message="more follow; mend these first")]
    return tuple(found)


def _named_files(parts: RawParts, report: Report) -> Iterator[NamedFile]:
    for name, service in parts.services.items():
        here: Location = ("services", name)
        named: list[tuple[Location, str, FileKind]] = [
            ((*here, "zones", index), path, FileKind.ZONE)
            for index, path in enumerate(service.zones)
        ]
        if service.tls is not None:
            tls = service.tls
            if tls.certificate is not None and tls.key is not None:
                named.append(((*here, "tls", "certificate"), tls.certificate, FileKind.CERTIFICATE))
                named.append(((*here, "tls", "key"), tls.key, FileKind.KEY))
        for location, path, holds in named:
            yield NamedFile(path=path, holds=holds, at=report.at(location))


def _build(raw: RawSpec, root: Entries, file: str) -> Spec:
    prefixes = tuple(raw.prefixes)
    return Spec(
        file=file,
        network=raw.network,
        asn=raw.asn,
        prefixes=prefixes,
        services=tuple(
            _build_service(name, service, raw.health) for name, service in raw.services.items()
        ),
        sites=tuple(
            _build_site(name, site, prefixes, line=find(root, ("sites", name)).key_at.line)
            for name, site in raw.sites.items()
        ),
        secrets=raw.secrets or "",
        rescue=raw.rescue,
    )


def _build_service(name: str, raw: RawService, defaults: RawHealth) -> Service:
    health = merge_health(defaults, raw.health)
    return Service(
        name=name,
        kind=raw.kind,
        addresses=tuple(raw.addresses),
        zones=tuple(raw.zones),
        origin=raw.origin or "",
        tls=Tls(certificate=raw.tls.certificate or "", key=raw.tls.key or "") if raw.tls else None,
        health=Health(
            interval=health.interval, timeout=health.timeout, fall=health.fall, rise=health.rise
        ),
        primary=raw.primary,
        dnssec=raw.kind is ServiceKind.RECURSIVE_DNS if raw.dnssec is None else raw.dnssec,
        clients=tuple(raw.clients),
        rate_limit=raw.rate_limit,
        engine=raw.engine,
        cache_cookies=raw.cache_cookies,
        shield=tuple(site.lower() for site in raw.shield),
        handoff=tuple(raw.handoff),
    )


def _build_site(name: str, raw: RawSite, prefixes: tuple[Prefix, ...], *, line: int) -> Site:
    place = place_of(name, raw)
    if place is None:
        raise ValueError(f"site {name} has no place; check_meaning refuses that")
    return Site(
        name=name.lower(),
        place=place,
        upstreams=tuple(_build_upstream(upstream, prefixes) for upstream in raw.upstreams),
        capacity=raw.capacity,
        state=raw.state,
        line=line,
    )


def _build_upstream(raw: RawUpstream, prefixes: tuple[Prefix, ...]) -> Upstream:
    return Upstream(
        asn=raw.asn,
        prefixes=prefixes if raw.prefixes is None else tuple(raw.prefixes),
        prepend=raw.prepend,
        communities=tuple(raw.communities),
        bfd=raw.bfd,
    )
