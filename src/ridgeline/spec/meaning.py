"""The rules between fields: does the file describe a network that can work.

Each rule stands in docs/reference/spec.md with its reason. What cannot work is a problem; what will
work otherwise than its author may think is a warning. The parts given are of the right shape, and
may be fewer than the file has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from itertools import combinations
from typing import Final
from urllib.parse import urlsplit

from ridgeline.errors import Problem
from ridgeline.net.airports import codes_of_city, find_place
from ridgeline.net.community import GRACEFUL_SHUTDOWN, render_community
from ridgeline.net.place import Place, great_circle_km
from ridgeline.spec._raw import (
    RawHealth,
    RawParts,
    RawService,
    RawServiceHealth,
    RawSite,
    RawUpstream,
)
from ridgeline.spec.document import Entries, Location, find
from ridgeline.spec.model import Address, Prefix, ServiceKind, SiteState
from ridgeline.spec.words import did_you_mean, listed

FAR_KM: Final = 300.0
"""A site named after an airport this far away is named after the wrong one."""
LAB_PREFIXES: Final = (ip_network("198.18.0.0/15"), ip_network("2001:2::/48"))
"""RFC 2544 and RFC 5180: what the lab numbers its own links from."""
_LONGEST: Final = {4: 24, 6: 48}
_PORTS: Final = {
    ServiceKind.AUTHORITATIVE_DNS: frozenset({53}),
    ServiceKind.RECURSIVE_DNS: frozenset({53}),
    ServiceKind.HTTP_CACHE: frozenset({80, 443}),
    ServiceKind.CUSTOM: frozenset[int](),
}


@dataclass(frozen=True, slots=True)
class Report:
    """Collects what is wrong, each at its place in the file."""

    file: str
    root: Entries
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def problem(self, location: Location, message: str) -> None:
        self.problems.append(self.at(location, message))

    def warning(self, location: Location, message: str) -> None:
        self.warnings.append(self.at(location, message))

    def at(self, location: Location, message: str = "") -> Problem:
        """Make a problem that points at a place of the file."""
        found = find(self.root, location)
        return Problem(self.file, found.at.line, found.at.column, found.where, message)


def check_meaning(parts: RawParts, report: Report, *, complete: bool) -> None:
    """Try every rule on the parts; `complete` says that they are the whole file."""
    prefixes = parts.prefixes or []
    _check_prefixes(prefixes, report)
    for name, service in parts.services.items():
        _check_service(name, service, report)
        if prefixes:
            _check_addresses(name, service, prefixes, report)
        if parts.health is not None:
            _check_service_health(name, service, parts.health, report)
    _check_shared_addresses(parts.services, report)
    if parts.health is not None and parts.health.timeout > parts.health.interval:
        where: Location = ("health", _given(report.root, ("health",), "timeout", "interval"))
        report.problem(where, _too_patient(parts.health))
    for name, site in parts.sites.items():
        _check_site(name, site, report)
        for index, upstream in enumerate(site.upstreams):
            _check_upstream(("sites", name, "upstreams", index), upstream, parts, report)
    _check_site_names(parts.sites, report)
    if complete:
        _check_announced(parts, report)


def merge_health(defaults: RawHealth, own: RawServiceHealth | None) -> RawHealth:
    """Return the network's defaults with what one service does differently."""
    given = own.model_dump(exclude_unset=True) if own is not None else {}
    return defaults.model_copy(update=given)


def place_of(name: str, site: RawSite) -> Place | None:
    """Return where a site is: by its location, or else by the code that is its name."""
    code = name.lower()
    match site.location:
        case None:
            return find_place(code)
        case Place() as place:
            return place
        case at:
            return Place(
                code=code, city=at.city or code, country=at.country or "", lat=at.lat, lon=at.lon
            )


# --- prefixes ---


def _check_prefixes(prefixes: Sequence[Prefix], report: Report) -> None:
    for index, prefix in enumerate(prefixes):
        where = ("prefixes", index)
        for earlier in prefixes[:index]:
            if prefix == earlier:
                report.problem(where, f"{prefix} stands twice")
                break
            if prefix.overlaps(earlier):
                report.problem(
                    where,
                    f"{prefix} overlaps {earlier}: traffic would follow the longer one alone",
                )
                break
        longest = _LONGEST[prefix.version]
        if prefix.prefixlen > longest:
            report.warning(
                where,
                f"{prefix} is longer than /{longest}: most networks will not accept it "
                "(RFC 7454, section 6.1.3)",
            )
        if any(prefix.overlaps(lab) for lab in LAB_PREFIXES):
            report.warning(
                where, f"{prefix} is benchmarking space; the lab numbers its links from it"
            )


# --- services ---


def _check_service(name: str, service: RawService, report: Report) -> None:
    where: Location = ("services", name)
    if service.kind is ServiceKind.AUTHORITATIVE_DNS and not service.zones:
        report.problem(
            (*where, "zones"), "an authoritative-dns service needs at least one zone file"
        )
    if service.kind is not ServiceKind.AUTHORITATIVE_DNS and service.zones:
        report.problem(
            (*where, "zones"), f"only authoritative-dns has zones; this is {service.kind.value}"
        )
    if service.kind is ServiceKind.HTTP_CACHE and service.origin is None:
        report.problem(
            (*where, "origin"),
            "an http-cache service needs an origin, such as http://origin.example.test:8080",
        )
    if service.kind is not ServiceKind.HTTP_CACHE and service.origin is not None:
        report.problem(
            (*where, "origin"), f"only http-cache has an origin; this is {service.kind.value}"
        )
    if service.kind is not ServiceKind.HTTP_CACHE and service.tls is not None:
        report.problem((*where, "tls"), f"only http-cache has tls; this is {service.kind.value}")
    for index in _repeated(service.zones):
        report.problem((*where, "zones", index), f"{service.zones[index]} stands twice")
    for index in _repeated(service.addresses):
        report.problem((*where, "addresses", index), f"{service.addresses[index]} stands twice")


def _check_addresses(
    name: str, service: RawService, prefixes: Sequence[Prefix], report: Report
) -> None:
    for index, address in enumerate(service.addresses):
        where = ("services", name, "addresses", index)
        prefix = _prefix_of(address, prefixes)
        if prefix is None:
            same = [str(p) for p in prefixes if p.version == address.version]
            report.problem(
                where,
                f"{address} is in none of the prefixes: {listed(same)}"
                if same
                else f"{address} is IPv{address.version}, and no IPv{address.version} prefix is "
                "announced",
            )
        elif address == prefix.network_address and prefix.prefixlen < prefix.max_prefixlen - 1:
            what = "the network's own" if prefix.version == 4 else "the Subnet-Router anycast"
            standard = "RFC 1122, section 3.2.1.3" if prefix.version == 4 else "RFC 4291, 2.6.1"
            report.warning(
                where, f"{address} is {what} address of {prefix}; choose another ({standard})"
            )
        elif prefix.version == 4 and address == prefix.broadcast_address and prefix.prefixlen < 31:
            report.warning(
                where,
                f"{address} is the broadcast address of {prefix}; choose another "
                "(RFC 1122, section 3.2.1.3)",
            )
    host = urlsplit(service.origin or "").hostname or ""
    try:
        origin = ip_address(host)
    except ValueError:
        return  # a name; where it leads is not for us to ask
    inside = _prefix_of(origin, prefixes)
    if inside is not None:
        report.problem(
            ("services", name, "origin"),
            f"{origin} is inside {inside}, which we announce: each site would fetch from itself",
        )


def _check_shared_addresses(services: dict[str, RawService], report: Report) -> None:
    for (first, one), (second, other) in combinations(services.items(), 2):
        if not _PORTS[one.kind] & _PORTS[other.kind]:
            continue
        for index, address in enumerate(other.addresses):
            if address in one.addresses:
                ports = listed(map(str, sorted(_PORTS[one.kind] & _PORTS[other.kind])), "and")
                report.problem(
                    ("services", second, "addresses", index),
                    f"{address} is {first}'s already, and both answer on port {ports}",
                )


def _check_service_health(
    name: str, service: RawService, defaults: RawHealth, report: Report
) -> None:
    if service.health is None:
        return
    own = merge_health(defaults, service.health)
    touched = service.health.model_fields_set & {"interval", "timeout"}
    if touched and own.timeout > own.interval:
        location: Location = ("services", name, "health")
        field = _given(report.root, location, "timeout", "interval")
        report.problem((*location, field), _too_patient(own))


def _too_patient(health: RawHealth) -> str:
    return (
        f"a timeout of {_duration(health.timeout)} is longer than the interval of "
        f"{_duration(health.interval)}: a check must end before the next begins"
    )


def _duration(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def _given(root: Entries, location: Location, *fields: str) -> str:
    """Return the first of the fields that the author wrote."""
    return next((f for f in fields if find(root, (*location, f)).node is not None), fields[0])


# --- sites ---


def _check_site(name: str, site: RawSite, report: Report) -> None:
    by_name = find_place(name)
    place = place_of(name, site)
    if place is None:
        report.problem(("sites", name), _unplaced(name))
    elif by_name is not None and site.location is not None:
        km = great_circle_km(by_name.lat, by_name.lon, place.lat, place.lon)
        if km > FAR_KM:
            report.warning(
                ("sites", name, "location"),
                f"is {km:.0f} km from {by_name.city} ({by_name.country}), which the code "
                f"{name.lower()} stands for; `location` is what counts",
            )
    for index in range(len(site.upstreams)):
        _check_upstream_again(name, site.upstreams, index, report)


def _unplaced(name: str) -> str:
    need = "is not an IATA code, so it needs a `location`"
    codes = codes_of_city(name.replace("-", " "))
    if codes:
        return f"{need}, such as `location: {codes[0]}`"
    if find_place(name[:3]) is not None:
        return f"{need}, such as `location: {name[:3].lower()}`"
    return f"{need}: an IATA code, or {{lat: .., lon: ..}}"


def _check_upstream_again(
    name: str, upstreams: Sequence[RawUpstream], index: int, report: Report
) -> None:
    """Refuse two entries for one upstream that share a prefix: which would count."""
    upstream = upstreams[index]
    for other in upstreams[:index]:
        if other.asn != upstream.asn:
            continue
        if other.prefixes is None or upstream.prefixes is None:
            shared = "announce the same prefixes; give each its own `prefixes`"
        else:
            both = [str(p) for p in upstream.prefixes if p in other.prefixes]
            if not both:
                continue
            shared = f"announce {listed(both, 'and')}; a prefix is announced once"
        report.problem(
            ("sites", name, "upstreams", index),
            f"AS{upstream.asn} stands twice at this site, and both {shared}",
        )
        return


def _check_upstream(
    where: Location, upstream: RawUpstream, parts: RawParts, report: Report
) -> None:
    if parts.asn is not None and upstream.asn == parts.asn:
        report.problem(
            (*where, "asn"),
            f"AS{upstream.asn} is our own; an upstream is another network (RFC 4271, 9.1.2)",
        )
    for index, prefix in enumerate(upstream.prefixes or ()):
        at = (*where, "prefixes", index)
        if parts.prefixes is not None and prefix not in parts.prefixes:
            ours = [str(p) for p in parts.prefixes]
            near = did_you_mean(str(prefix), ours)
            hint = f"did you mean {near}?" if near else f"they are {listed(ours, 'and')}"
            report.problem(at, f"{prefix} is not one of the network's prefixes; {hint}")
    for index in _repeated(upstream.prefixes or ()):
        report.problem((*where, "prefixes", index), "stands twice")
    for index, community in enumerate(upstream.communities):
        at = (*where, "communities", index)
        if community in upstream.communities[:index]:
            report.problem(at, f"{render_community(community)} stands twice")
        elif community == GRACEFUL_SHUTDOWN:
            report.warning(
                at,
                "GRACEFUL_SHUTDOWN drains this announcement for good; to drain a site, "
                "say `state: drained` (RFC 8326)",
            )


def _check_site_names(sites: dict[str, RawSite], report: Report) -> None:
    seen: dict[str, str] = {}
    for name in sites:
        earlier = seen.setdefault(name.lower(), name)
        if earlier != name:
            report.problem(("sites", name), f"is the same site as {earlier}: capitals do not count")


def _check_announced(parts: RawParts, report: Report) -> None:
    active = [site for site in parts.sites.values() if site.state is SiteState.ACTIVE]
    if not active:
        report.warning(("sites",), "no site is active: nothing will be announced in earnest")
        return
    for index, prefix in enumerate(parts.prefixes or ()):
        upstreams = [upstream for site in active for upstream in site.upstreams]
        if all(u.prefixes is not None and prefix not in u.prefixes for u in upstreams):
            report.warning(
                ("prefixes", index), f"{prefix} is announced to no upstream of an active site"
            )


# --- small helpers ---


def _prefix_of(address: Address, prefixes: Sequence[Prefix]) -> Prefix | None:
    return next((p for p in prefixes if p.version == address.version and address in p), None)


def _repeated(values: Sequence[object]) -> Iterator[int]:
    """Yield the index of each value that stands earlier too."""
    return (index for index, value in enumerate(values) if value in values[:index])
