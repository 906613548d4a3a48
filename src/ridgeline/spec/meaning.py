"""The rules between fields: does the file describe a network that can work.

Each rule stands in docs/reference/spec.md with its reason. What cannot work is a problem; what will
work otherwise than its author may think is a warning. The parts given are of the right shape, and
may be fewer than the file has.
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from ridgeline.net.airports import codes_of_city, find_place
from ridgeline.net.asn import Asn
from ridgeline.net.community import GRACEFUL_SHUTDOWN, render_community
from ridgeline.net.place import Place, great_circle_km
from ridgeline.spec._raw import (
    RawCoordinates,
    RawHealth,
    RawParts,
    RawService,
    RawServiceHealth,
    RawSite,
    RawSitePart,
    RawUpstream,
)
from ridgeline.spec.document import Entries, Location, find
from ridgeline.spec.model import Address, Prefix, ServiceKind, SiteState
from ridgeline.spec.prefix_table import PrefixTable
from ridgeline.spec.report import Report
from ridgeline.spec.values import NAME
from ridgeline.spec.words import did_you_mean, listed

FAR_KM: Final = 300.0
"""A site named after an airport this far away is named after the wrong one."""
LAB_PREFIXES: Final = (ip_network("198.18.0.0/15"), ip_network("2001:2::/48"))
"""RFC 2544 and RFC 5180: what the lab numbers its own links from."""
_LONGEST: Final = {4: 24, 6: 48}
_PORTS: Final = {
    ServiceKind.AUTHORITATIVE_DNS: frozenset({53}),
    ServiceKind.RECURSIVE_DNS: frozenset({53}),
    ServiceKind.HTTP_CACHE: frozenset({80}),
    ServiceKind.CUSTOM: frozenset[int](),
}
_TLS_PORTS: Final = {
    ServiceKind.RECURSIVE_DNS: frozenset({443, 853}),  # RFC 8484 and RFC 7858
    ServiceKind.HTTP_CACHE: frozenset({443}),
}


def check_meaning(parts: RawParts, report: Report, *, complete: bool) -> None:
    """Try every rule on the parts; `complete` says that they are the whole file."""
    table = PrefixTable(parts.prefixes or ())
    _check_prefixes(table, report)
    for name, service in parts.services.items():
        _check_service(name, service, report)
        if table.prefixes:
            _check_addresses(name, service, table, report)
        if parts.health is not None:
            _check_service_health(name, service, parts.health, report)
        if complete:
            _check_shield(name, service, parts, report)
    _check_shared_addresses(parts.services, report)
    if parts.health is not None:
        _check_patience(("health",), parts.health, report)
    for name, site in parts.sites.items():
        _check_site(name, site, report)
        for index, upstream in enumerate(site.upstreams):
            if upstream is not None:
                _check_upstream(("sites", name, "upstreams", index), upstream, parts, report)
    _check_site_names(report)
    if complete:
        _check_announced(parts, report)


def merge_health(defaults: RawHealth, own: RawServiceHealth | None) -> RawHealth:
    """Return the network's defaults with what one service does differently."""
    given = own.model_dump(exclude_unset=True) if own is not None else {}
    return defaults.model_copy(update=given)


def place_of(name: str, site: RawSite | RawSitePart) -> Place | None:
    """Return where a site is: by its location, or else by the code that is its name."""
    code = name.lower()
    by_name = find_place(code)
    if site.location is None or isinstance(site.location, Place):
        return site.location or by_name
    at = site.location
    near = by_name if by_name is not None and _km(by_name, at) <= FAR_KM else None
    return Place(
        code=code,
        city=at.city or (near.city if near else code),
        country=at.country or (near.country if near else ""),
        lat=at.lat,
        lon=at.lon,
    )


def _km(one: Place, other: Place | RawCoordinates) -> float:
    return great_circle_km(one.lat, one.lon, other.lat, other.lon)


# --- prefixes ---


def _check_prefixes(table: PrefixTable, report: Report) -> None:
    prefixes = table.prefixes
    for index in _repeated(prefixes):
        report.problem(("prefixes", index), f"{prefixes[index]} stands twice")
    for index, prefix in enumerate(prefixes):
        where = ("prefixes", index)
        outer = table.find(prefix.network_address, shorter_than=prefix.prefixlen)
        if outer is not None:
            first, later = sorted((index, outer))
            report.problem(
                ("prefixes", later),
                f"{prefixes[later]} overlaps {prefixes[first]}: traffic would follow the longer "
                "one alone",
            )
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
    if service.kind is ServiceKind.HTTP_CACHE and service.origin is None:
        report.problem(
            (*where, "origin"),
            "an http-cache service needs an origin, such as http://origin.example.test:8080",
        )
    _check_fields_of_kind(where, service, report)
    _check_tls(where, service, report)
    if service.kind is ServiceKind.AUTHORITATIVE_DNS and service.dnssec and not service.primary:
        report.problem(
            (*where, "dnssec"),
            "zones are signed by the hidden primary: write `primary: true` too, or sign the files",
        )
    if service.kind is ServiceKind.RECURSIVE_DNS:
        _check_clients(where, service, report)
    lists = ("zones", "addresses", "clients", "handoff")
    for field, items in ((field, getattr(service, field)) for field in lists):
        for index in _repeated(items):
            report.problem((*where, field, index), f"{items[index]} stands twice")


# Which kinds have a field that is not for all.
_FIELDS_OF_KINDS: Final[dict[str, tuple[ServiceKind, ...]]] = {
    "zones": (ServiceKind.AUTHORITATIVE_DNS,),
    "primary": (ServiceKind.AUTHORITATIVE_DNS,),
    "dnssec": (ServiceKind.AUTHORITATIVE_DNS, ServiceKind.RECURSIVE_DNS),
    "clients": (ServiceKind.RECURSIVE_DNS,),
    "rate_limit": (
        ServiceKind.AUTHORITATIVE_DNS,
        ServiceKind.RECURSIVE_DNS,
        ServiceKind.HTTP_CACHE,
    ),
    "tls": (ServiceKind.HTTP_CACHE, ServiceKind.RECURSIVE_DNS),
    "origin": (ServiceKind.HTTP_CACHE,),
    "engine": (ServiceKind.HTTP_CACHE,),
    "cache_cookies": (ServiceKind.HTTP_CACHE,),
    "shield": (ServiceKind.HTTP_CACHE,),
    "handoff": (ServiceKind.HTTP_CACHE,),
}


_WITH_ARTICLE: Final = {
    "origin": "an origin",
    "primary": "a primary",
    "rate_limit": "a rate limit",
    "engine": "an engine",
    "cache_cookies": "a rule for cookies",
    "shield": "a shield",
    "handoff": "paths to hand off",
}


def _check_fields_of_kind(where: Location, service: RawService, report: Report) -> None:
    for field in sorted(service.model_fields_set & _FIELDS_OF_KINDS.keys()):
        kinds = _FIELDS_OF_KINDS[field]
        if service.kind not in kinds and getattr(service, field) not in (None, [], False):
            names = listed([kind.value for kind in kinds], "and")
            have = "has" if len(kinds) == 1 else "have"
            report.problem(
                (*where, field),
                f"only {names} {have} {_WITH_ARTICLE.get(field, field)}; "
                f"this is {service.kind.value}",
            )


def _check_clients(where: Location, service: RawService, report: Report) -> None:
    if not service.clients:
        report.warning(
            where,
            "answers everyone, within a rate limit: list the networks of its `clients`, or write "
            '`clients: [0.0.0.0/0, "::/0"]` if everyone is meant (RFC 5358)',
        )
        return
    served = {network.version for network in service.clients}
    for version in sorted({address.version for address in service.addresses} - served):
        report.warning(
            (*where, "clients"),
            f"hold no IPv{version} network: what asks its IPv{version} address is refused",
        )


def _check_tls(where: Location, service: RawService, report: Report) -> None:
    tls = service.tls
    if tls is None:
        return
    if (tls.certificate is None) != (tls.key is None):
        there, missing = ("key", "certificate") if tls.key else ("certificate", "key")
        report.problem((*where, "tls"), f"has a {there} and no {missing}: name both, or neither")
    elif tls.certificate is None:
        report.warning(
            (*where, "tls"),
            "names no certificate: a rehearsal signs one of its own, production needs one",
        )


def _check_shield(name: str, service: RawService, parts: RawParts, report: Report) -> None:
    states = {site.lower(): part.state for site, part in parts.sites.items()}
    for index, site in enumerate(service.shield):
        where = ("services", name, "shield", index)
        if site.lower() not in states:
            near = did_you_mean(site.lower(), list(states))
            hint = f"; did you mean {near}?" if near else f": {listed(list(states))}"
            report.problem(where, f"{site} is none of the sites{hint}")
        elif states[site.lower()] is SiteState.PLANNED:
            report.problem(where, f"{site} is planned: it cannot fetch for the others yet")
    for index in _repeated([site.lower() for site in service.shield]):
        report.problem(("services", name, "shield", index), f"{service.shield[index]} stands twice")


def _check_addresses(name: str, service: RawService, table: PrefixTable, report: Report) -> None:
    for index, address in enumerate(service.addresses):
        where = ("services", name, "addresses", index)
        found = table.find(address)
        prefix = None if found is None else table.prefixes[found]
        if prefix is None:
            same = [str(p) for p in table.prefixes if p.version == address.version]
            report.problem(
                where,
                f"{address} is in none of the prefixes: {listed(same)}"
                if same
                else f"{address} is IPv{address.version}, and no IPv{address.version} prefix is "
                "announced",
            )
        elif address == prefix.network_address and prefix.prefixlen < prefix.max_prefixlen - 1:
            what = "the network's own" if prefix.version == 4 else "the Subnet-Router anycast"
            standard = (
                "RFC 1122, section 3.2.1.3" if prefix.version == 4 else "RFC 4291, section 2.6.1"
            )
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
    inside = table.find(origin)
    if inside is not None:
        report.problem(
            ("services", name, "origin"),
            f"{origin} is inside {table.prefixes[inside]}, which we announce: "
            "each site would fetch from itself",
        )


def _ports(service: RawService) -> frozenset[int]:
    tls = _TLS_PORTS.get(service.kind, frozenset()) if service.tls is not None else frozenset()
    return _PORTS[service.kind] | tls


def _check_shared_addresses(services: dict[str, RawService], report: Report) -> None:
    owners: dict[tuple[Address, int], str] = {}
    for name, service in services.items():
        for index, address in enumerate(service.addresses):
            taken: dict[str, list[int]] = {}
            for port in sorted(_ports(service)):
                owner = owners.setdefault((address, port), name)
                if owner != name:
                    taken.setdefault(owner, []).append(port)
            for owner, ports in taken.items():
                on = f"port{'s' if len(ports) > 1 else ''} {listed(map(str, ports), 'and')}"
                report.problem(
                    ("services", name, "addresses", index),
                    f"{address} is {owner}'s already, and both answer on {on}",
                )


def _check_service_health(
    name: str, service: RawService, defaults: RawHealth, report: Report
) -> None:
    if service.health is not None and service.health.model_fields_set & {"interval", "timeout"}:
        own = merge_health(defaults, service.health)
        _check_patience(("services", name, "health"), own, report)


def _check_patience(where: Location, health: RawHealth, report: Report) -> None:
    if health.timeout <= health.interval:
        return
    written = [
        f for f in ("timeout", "interval") if find(report.root, (*where, f)).node is not None
    ]
    other = {"timeout": "interval", "interval": "timeout"}[written[0]]
    hint = "" if len(written) == 2 else f"; set `{other}` here too"
    report.problem(
        (*where, written[0]),
        f"a timeout of {_duration(health.timeout)} is longer than the interval of "
        f"{_duration(health.interval)}: a check must end before the next begins{hint}",
    )


def _duration(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


# --- sites ---


def _check_site(name: str, site: RawSitePart, report: Report) -> None:
    by_name = find_place(name)
    place = place_of(name, site)
    if by_name is not None and place is not None and site.location is not None:
        km = _km(by_name, place)
        if km > FAR_KM:
            report.warning(
                ("sites", name, "location"),
                f"is {km:.0f} km from {by_name.city} ({by_name.country}), which the code "
                f"{name.lower()} stands for; `location` is what counts",
            )
    _check_repeated_upstreams(name, site, report)


def _unplaced(name: str) -> str:
    need = "is not an IATA code, so it needs a `location`"
    codes = codes_of_city(name.replace("-", " "))
    if codes:
        return f"{need}, such as `location: {codes[0]}`"
    if find_place(name[:3]) is not None:
        return f"{need}, such as `location: {name[:3].lower()}`"
    return f"{need}: an IATA code, or {{lat: .., lon: ..}}"


def _check_repeated_upstreams(name: str, site: RawSitePart, report: Report) -> None:
    """Refuse two entries for one upstream that share a prefix: which would count."""
    said: dict[Asn, set[Prefix]] = {}
    for index, upstream in enumerate(site.upstreams):
        if upstream is None:
            continue
        if upstream.asn not in said:
            said[upstream.asn] = set(upstream.prefixes or ())
            continue
        earlier = said[upstream.asn]
        both = [prefix for prefix in upstream.prefixes or () if prefix in earlier]
        if not earlier or upstream.prefixes is None:
            shared = "announce the same prefixes; give each its own `prefixes`"
        elif both:
            shared = f"announce {listed(map(str, both), 'and')}; a prefix is announced once"
        else:
            earlier.update(upstream.prefixes)
            continue
        report.problem(
            ("sites", name, "upstreams", index),
            f"AS{upstream.asn} stands twice at this site, and both {shared}",
        )


def _check_upstream(
    where: Location, upstream: RawUpstream, parts: RawParts, report: Report
) -> None:
    if parts.asn is not None and upstream.asn == parts.asn:
        report.problem(
            (*where, "asn"),
            f"AS{upstream.asn} is our own; an upstream is another network (RFC 4271, section 9.1.2)",
        )
    ours = set(parts.prefixes or ())
    for index, prefix in enumerate(upstream.prefixes or ()):
        if ours and prefix not in ours:
            known = list(map(str, parts.prefixes or ()))
            near = did_you_mean(str(prefix), known)
            hint = f"did you mean {near}?" if near else f"they are {listed(known, 'and')}"
            report.problem(
                (*where, "prefixes", index),
                f"{prefix} is not one of the network's prefixes; {hint}",
            )
    for index in _repeated(upstream.prefixes or ()):
        prefixes = upstream.prefixes or ()
        report.problem((*where, "prefixes", index), f"{prefixes[index]} stands twice")
    for index in _repeated(upstream.communities):
        community = render_community(upstream.communities[index])
        report.problem((*where, "communities", index), f"{community} stands twice")
    if GRACEFUL_SHUTDOWN in upstream.communities:
        report.warning(
            (*where, "communities", upstream.communities.index(GRACEFUL_SHUTDOWN)),
            "GRACEFUL_SHUTDOWN drains this announcement for good; to drain a site, "
            "say `state: drained` (RFC 8326)",
        )


def _check_site_names(report: Report) -> None:
    """Judge the names alone, so that whatever else is wrong at a site hides nothing of this."""
    seen: dict[str, str] = {}
    sites = find(report.root, ("sites",)).node
    for name, (_, site) in sites.nodes.items() if isinstance(sites, Entries) else ():
        if not isinstance(site, Entries) or not re.fullmatch(NAME, name.lower()):
            continue
        if not site.nodes.keys() & {"location", "<<"} and find_place(name) is None:
            report.problem(("sites", name), _unplaced(name), at_key=True)
        earlier = seen.setdefault(name.lower(), name)
        if earlier != name:
            report.problem(
                ("sites", name),
                f"is the same site as {earlier}: capitals do not count",
                at_key=True,
            )


def _check_announced(parts: RawParts, report: Report) -> None:
    active = [site for site in parts.sites.values() if site.state is SiteState.ACTIVE]
    if not active:
        report.warning(("sites",), "no site is active: nothing will be announced in earnest")
        return
    said = [upstream.prefixes for site in active for upstream in site.upstreams if upstream]
    if None in said:
        return
    announced = {prefix for prefixes in said for prefix in prefixes or ()}
    for index, prefix in enumerate(parts.prefixes or ()):
        if prefix not in announced:
            report.warning(
                ("prefixes", index), f"{prefix} is announced to no upstream of an active site"
            )


# --- small helpers ---


def _repeated(values: Sequence[Hashable]) -> Iterator[int]:
    """Yield the index of each value that stands earlier too."""
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index
        seen.add(value)
