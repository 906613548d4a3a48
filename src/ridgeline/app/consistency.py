"""Ask every site what it serves and compare: inside a lab at each site, outside by its own address."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from ridgeline.app.check import read_spec
from ridgeline.app.probe_lab import LabPoints
from ridgeline.errors import InputError
from ridgeline.lab.material.zonefiles import read_zones
from ridgeline.probe.consistency import Consistency, compare, groups
from ridgeline.probe.consistencysockets import Asked, Cookies, Facts, Tickets, ask_service
from ridgeline.probe.sockets import MakeSocket, open_socket
from ridgeline.spec.model import ServiceKind, Spec

_AT_ONCE: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    name: str
    kind: ServiceKind
    addresses: tuple[str, ...]
    tls: bool
    host: str
    zones: tuple[str, ...]


def consistency_of_lab(name: str) -> dict[str, Any]:
    """Ask every site of a running lab at the site itself, whatever routing does.

    Raises
    ------
    MachineError
        No such lab is up.
    """
    lab = LabPoints(name)
    try:
        files: Mapping[str, Mapping[str, str]] = lab.ask("fingerprints")
        more = {
            site: {(service, "files"): value for service, value in found.items()}
            for site, found in files.items()
        }
        return compare_sites(asked_at_home(lab), more).document(lab=name, asked="at the sites")
    finally:
        lab.close()


def asked_at_home(lab: LabPoints) -> dict[str, list[Asked]]:
    """Say how every service of a lab is reached at each site, whatever routing does."""
    services = _services_of(lab)
    return {
        site: [
            _asked(service, service.addresses[0], lab.site_socket(site), at_home=True)
            for service in services
        ]
        for site in lab.sites()
    }


def consistency_outside(
    spec_path: str, addresses: Mapping[str, str], *, lab: str = "", vantage: str = ""
) -> dict[str, Any]:
    """Ask every site by an address of its own, as anybody outside can.

    Parameters
    ----------
    addresses
        Site -> its own address; in a lab those that the lab tells are the default.
    vantage
        Client of the lab to ask from; empty: the first.

    Raises
    ------
    InputError
        A site is none of the spec's, or fewer than two addresses are known.
    """
    spec = read_spec(spec_path)
    known = [site.name for site in spec.sites]
    for site, address in addresses.items():
        if site not in known:
            raise InputError(f"--site: {site} is none of the sites: {', '.join(known)}")
        _check_own_address(spec, site, address)
    if not lab:
        return _outside(_services(spec), dict(addresses), open_socket).document(asked="by address")
    points = LabPoints(lab)
    try:
        client = points.clients([vantage] if vantage else ())[0]
        told: Mapping[str, Any] = points.status["sites"]
        own = {
            site: told[site]["addresses"][0] for site in points.sites() if told[site]["addresses"]
        }
        found = _outside(_services_of(points), own | dict(addresses), client.make)
        return found.document(lab=lab, asked=f"by address, from {client.name}")
    finally:
        points.close()


def _outside(
    services: Iterable[_Service], addresses: Mapping[str, str], make: MakeSocket
) -> Consistency:
    if len(addresses) < 2:
        raise InputError(
            "name at least two sites: --site NAME=ADDRESS, each the site's own address"
        )
    # By a site's own address its name server answers, also where a resolver is beside it.
    services = [s for s in services if s.kind is not ServiceKind.RECURSIVE_DNS]
    return compare_sites(
        {
            site: [_asked(service, address, make, at_home=False) for service in services]
            for site, address in addresses.items()
        }
    )


def compare_sites(
    asked: Mapping[str, Sequence[Asked]], known: Mapping[str, Facts] | None = None
) -> Consistency:
    """Ask everything at every site, at once as far as that is wise, and compare.

    Parameters
    ----------
    known
        Site -> what is known of it without asking.
    """
    said: dict[str, Facts] = {site: {} for site in asked}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        jobs = [
            (site, one, pool.submit(ask_service, one))
            for site, all_ in asked.items()
            for one in all_
        ]
        for site, _, job in jobs:
            said[site] |= job.result()
        n_services = max((len(all_) for all_ in asked.values()), default=0)
        for index in range(n_services):
            at = {site: all_[index] for site, all_ in asked.items()}
            first = next(iter(at.values()))
            if first.kind is ServiceKind.AUTHORITATIVE_DNS:
                _add_groups(said, at, Cookies(), "cookie keys", pool)
            if first.tls:
                _add_groups(said, at, Tickets(), "ticket keys", pool)
    for site in said.keys() & (known or {}).keys():
        said[site] |= (known or {})[site]
    return compare(said)


def _add_groups(
    said: dict[str, Facts],
    at: Mapping[str, Asked],
    maker: Cookies | Tickets,
    name: str,
    pool: ThreadPoolExecutor,
) -> None:
    service = next(iter(at.values())).service
    gave = [
        site
        for site, made in zip(at, pool.map(lambda s: maker.give(s, at[s]), at), strict=True)
        if made
    ]
    found = groups(
        gave, lambda made, shown: pool.map(lambda site: maker.accepts(made, at[site]), shown)
    )
    for site, group in found.items():
        said[site][service, name] = group


def _asked(service: _Service, address: str, make: MakeSocket, *, at_home: bool) -> Asked:
    return Asked(
        service=service.name,
        kind=service.kind,
        address=address,
        # At home every site asks itself from the same address: cookies depend on it (RFC 9018).
        source=address if at_home else "",
        host=service.host,
        tls=service.tls,
        zones=service.zones,
        make=make,
    )


def _services(spec: Spec) -> list[_Service]:
    zones = tuple(zone.domain for zone in read_zones(spec))
    return [
        _Service(
            name=service.name,
            kind=service.kind,
            addresses=tuple(map(str, service.addresses)),
            tls=service.tls is not None,
            host=urlsplit(service.origin).hostname or "",
            zones=zones if service.zones else (),
        )
        for service in spec.services
        if service.kind is not ServiceKind.CUSTOM
    ]


def _services_of(lab: LabPoints) -> list[_Service]:
    told: Mapping[str, Any] = lab.status["services"]
    return [
        _Service(
            name=name,
            kind=ServiceKind(service["kind"]),
            addresses=tuple(service["addresses"]),
            tls=service["tls"],
            host=service["host"],
            zones=tuple(service["zones"]),
        )
        for name, service in told.items()
        if service["kind"] != ServiceKind.CUSTOM.value
    ]


def _check_own_address(spec: Spec, site: str, text: str) -> None:
    try:
        address = ip_address(text)
    except ValueError:
        raise InputError(f"--site {site}={text}: {text!r} is not an address") from None
    if any(address in prefix for prefix in spec.prefixes):
        raise InputError(
            f"--site {site}={text}: {text} is anycast: which site answers is for routing to say; "
            "name an address that this site alone has"
        )
