"""The checks of each service: as `agent.yaml` lists them, or by the kind of the service."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from ridgeline.agent.checks.plan import (
    FLAGS,
    RCODES,
    AddressCheck,
    Check,
    ConsistencyCheck,
    DnsCheck,
    ExecCheck,
    ExpectedCheck,
    HttpCheck,
    IcmpCheck,
    PlannedCheck,
    ProcessCheck,
    TcpCheck,
    UnitCheck,
    ZonesCheck,
)
from ridgeline.agent.config import ServicePlan
from ridgeline.agent.config_nodes import Nodes
from ridgeline.agent.config_values import (
    one_of,
    parse_days,
    parse_domain,
    parse_fingerprint,
    parse_hold,
    parse_host,
    parse_least,
    parse_own,
    parse_pattern,
    parse_port,
    parse_status,
    parse_type,
    parse_unit,
    parse_url_path,
)
from ridgeline.render.identity import HEALTH_PATH
from ridgeline.spec.document import Items, Location, find
from ridgeline.spec.model import Address, Service, ServiceKind, Spec
from ridgeline.spec.values import (
    parse_address,
    parse_duration,
    parse_flag,
    parse_path,
    parse_rounds,
)
from ridgeline.spec.words import did_you_mean, listed

_CHECKS: Final[dict[str, tuple[str, ...]]] = {
    "dns": ("name", "type", "port", "transport", "rcode", "flags", "answer", "recursion"),
    "http": ("host", "path", "port", "tls", "status", "body", "expiry"),
    "zones": ("zones", "peers", "grace", "port"),
    "tcp": ("port",),
    "icmp": (),
    "address": (),
    "exec": ("command",),
    "process": ("pidfile",),
    "unit": ("name",),
    "consistency": ("file", "expect", "own", "expected", "folder"),
}
_COMMON: Final = ("address", "interval", "timeout", "rise", "fall", "shared")


class CheckReader:
    """Plans the checks of one service after the other.

    Parameters
    ----------
    zones
        Service -> names of its zones, since the spec names their files only.
    """

    def __init__(self, nodes: Nodes, spec: Spec, zones: Mapping[str, tuple[str, ...]]) -> None:
        self.nodes = nodes
        self._spec = spec
        self._zones = zones

    def service(self, service: Service) -> ServicePlan:
        where: Location = ("services", service.name)
        self.nodes.keys(where, ("require", "checks"))
        least = self.nodes.one((*where, "require"), parse_least, None)
        listed_checks = find(self.nodes.report.root, (*where, "checks")).node
        if listed_checks is None:
            return ServicePlan(
                name=service.name,
                addresses=service.addresses,
                checks=self._default_checks(service),
                least=least,
            )
        planned: list[PlannedCheck] = []
        if not isinstance(listed_checks, Items):
            self.nodes.report.problem((*where, "checks"), "a list is needed, such as [{icmp: {}}]")
            return ServicePlan(
                name=service.name, addresses=service.addresses, checks=(), least=least
            )
        for index in range(len(listed_checks.nodes)):
            planned += self._checks(service, (*where, "checks", index))
        if planned and all(
            isinstance(one.check, ConsistencyCheck | ExpectedCheck) for one in planned
        ):
            # Being like the others says nothing of answering.
            planned = [*self._default_checks(service), *planned]
        return ServicePlan(
            name=service.name, addresses=service.addresses, checks=_unique(planned), least=least
        )

    def _default_checks(self, service: Service) -> tuple[PlannedCheck, ...]:
        found: list[PlannedCheck] = []
        for address in service.addresses:
            match service.kind:
                case ServiceKind.AUTHORITATIVE_DNS:
                    for zone in self._zones.get(service.name, ()):
                        check: Check = DnsCheck(
                            address=address, name=zone, type="SOA", flags=("aa",)
                        )
                        found.append(_plan(service, f"dns/{zone.rstrip('.')}", check))
                case ServiceKind.RECURSIVE_DNS:
                    check = DnsCheck(address=address, name=".", type="NS", recursion=True)
                    found.append(_plan(service, "dns", check))
                case ServiceKind.HTTP_CACHE:
                    check = HttpCheck(address=address, host=_url_host(address), path=HEALTH_PATH)
                    found.append(_plan(service, "http", check))
                    if service.tls is not None:
                        tls = HttpCheck(
                            address=address,
                            port=443,
                            tls=True,
                            host=_url_host(address),
                            path=HEALTH_PATH,
                        )
                        found.append(_plan(service, "https", tls))
                case ServiceKind.CUSTOM:
                    found.append(_plan(service, "address", AddressCheck(address=address)))
        return _unique(found)

    def _checks(self, service: Service, where: Location) -> list[PlannedCheck]:
        """Read one entry of `checks`: one check for each address that it looks at."""
        kinds = self.nodes.entries(where)
        if len(kinds) != 1 or kinds[0] not in _CHECKS:
            names = listed(list(_CHECKS))
            got = f"{listed(kinds, 'and')} is not one" if kinds else "is empty"
            near = did_you_mean(kinds[0], list(_CHECKS)) if kinds else ""
            hint = f"; did you mean {near}?" if near else ""
            message = f"{got}: one check has one name of {names}{hint}"
            self.nodes.report.problem(where, message)
            return []
        kind = kinds[0]
        here = (*where, kind)
        self.nodes.keys(here, (*_CHECKS[kind], *_COMMON))
        health = service.health
        interval = self.nodes.one((*here, "interval"), parse_duration, health.interval)
        timeout = self.nodes.one((*here, "timeout"), parse_duration, health.timeout)
        if timeout > interval:
            message = f"the timeout ({timeout:g}s) is longer than the interval ({interval:g}s)"
            self.nodes.report.problem(here, message)
        make = self._maker_for(kind, service, here)
        addresses: tuple[Address | None, ...] = service.addresses
        one = self.nodes.one((*here, "address"), parse_address, None)
        if one is not None:
            addresses = (one,)
            if one not in service.addresses:
                known = listed([str(a) for a in service.addresses])
                message = f"{one} is no address of service {service.name}: {known}"
                self.nodes.report.problem((*here, "address"), message)
        if kind in {"exec", "process", "unit", "consistency"}:
            addresses = (one,)
        label = kind
        if kind == "dns":
            label = f"dns/{self.nodes.one((*here, 'name'), parse_domain, '.').rstrip('.')}"
        if kind == "http" and self.nodes.one((*here, "tls"), parse_flag, default=False):
            label = "https"
        return [
            replace(
                _plan(service, label, made),
                interval=interval,
                timeout=timeout,
                rise=self.nodes.one((*here, "rise"), parse_rounds, health.rise),
                fall=self.nodes.one((*here, "fall"), parse_rounds, health.fall),
                shared=self.nodes.one((*here, "shared"), parse_flag, default=False),
            )
            for address in addresses
            if (made := make(address)) is not None
        ]

    def _maker_for(
        self, kind: str, service: Service, here: Location
    ) -> Callable[[Address | None], Check | None]:
        """Read what the check needs, and return what makes it for an address."""
        match kind:
            case "zones":
                return self._zones_maker(service, here)
            case "consistency" if "expected" in self.nodes.entries(here):
                return self._expected(service, here)
            case "consistency":
                return self._consistency(here)
            case _:
                return self._maker(kind, here)

    def _maker(self, kind: str, here: Location) -> Callable[[Address | None], Check | None]:
        make: Callable[[Address], Check]
        match kind:
            case "dns":
                make = self._dns(here)
            case "http":
                make = self._http(here)
            case "tcp":
                port = self.nodes.required((*here, "port"), parse_port, 0)
                make = lambda address: TcpCheck(address=address, port=port)  # noqa: E731
            case "icmp":
                make = lambda address: IcmpCheck(address=address)  # noqa: E731
            case "address":
                make = lambda address: AddressCheck(address=address)  # noqa: E731
            case "exec":
                command = self.nodes.many((*here, "command"), str)
                if not command:
                    message = "`command` is missing, such as [/usr/local/bin/check-it, --fast]"
                    self.nodes.report.problem(here, message)
                return lambda _: ExecCheck(command=command)
            case "process":
                pidfile = self.nodes.required((*here, "pidfile"), parse_path, "")
                return lambda _: ProcessCheck(pidfile=pidfile)
            case _:
                unit = self.nodes.required((*here, "name"), parse_unit, "")
                return lambda _: UnitCheck(unit=unit)
        return lambda address: None if address is None else make(address)

    def _zones_maker(
        self, service: Service, here: Location
    ) -> Callable[[Address | None], Check | None]:
        zones = self.nodes.many((*here, "zones"), parse_domain) or self._zones.get(service.name, ())
        if not zones:
            self.nodes.report.problem(
                here, f"service {service.name} has no zones; name them: `zones`"
            )
        peers = self.nodes.many((*here, "peers"), parse_address)
        if not peers:
            self.nodes.report.problem(
                here, "`peers` is missing: unicast addresses of the primary, or of other sites"
            )
        for index, peer in enumerate(peers):
            if any(peer in prefix for prefix in self._spec.prefixes):
                message = (
                    f"{peer} is anycast: this site itself would answer; name a unicast address"
                )
                self.nodes.report.problem((*here, "peers", index), message)
        grace = self.nodes.one((*here, "grace"), parse_hold, 30.0)
        port = self.nodes.one((*here, "port"), parse_port, 53)
        return lambda address: (
            None
            if address is None
            else ZonesCheck(address=address, zones=zones, peers=peers, grace=grace, port=port)
        )

    def _dns(self, here: Location) -> Callable[[Address], Check]:
        name = self.nodes.required((*here, "name"), parse_domain, ".")
        transport = self.nodes.one((*here, "transport"), one_of("udp", "tcp", "tls"), "udp")
        port = self.nodes.one((*here, "port"), parse_port, 853 if transport == "tls" else 53)
        kind = self.nodes.one((*here, "type"), parse_type, "SOA")
        rcodes = self.nodes.many((*here, "rcode"), one_of(*RCODES, fold=str.upper)) or ("NOERROR",)
        flags = self.nodes.many((*here, "flags"), one_of(*FLAGS, fold=str.lower))
        answer = self.nodes.one((*here, "answer"), parse_pattern, "")
        recursion = self.nodes.one((*here, "recursion"), parse_flag, default=False)
        return lambda address: DnsCheck(
            address=address,
            name=name,
            type=kind,
            port=port,
            transport=transport,
            rcodes=rcodes,
            flags=flags,
            answer=answer,
            recursion=recursion,
        )

    def _http(self, here: Location) -> Callable[[Address], Check]:
        tls = self.nodes.one((*here, "tls"), parse_flag, default=False)
        port = self.nodes.one((*here, "port"), parse_port, 443 if tls else 80)
        path = self.nodes.one((*here, "path"), parse_url_path, HEALTH_PATH)
        host = self.nodes.one((*here, "host"), parse_host, "")
        status = self.nodes.many((*here, "status"), parse_status) or (200,)
        body = self.nodes.one((*here, "body"), str, "")
        expiry = self.nodes.one((*here, "expiry"), parse_days, 0.0)
        return lambda address: HttpCheck(
            address=address,
            port=port,
            tls=tls,
            host=host or _url_host(address),
            path=path,
            status=status,
            body=body,
            expiry=expiry,
        )

    def _consistency(self, here: Location) -> Callable[[Address | None], Check | None]:
        if "folder" in self.nodes.entries(here):
            message = "`folder` goes with `expected`; with `file`, folders stand in `own`"
            self.nodes.report.problem((*here, "folder"), message, at_key=True)
        file = self.nodes.required((*here, "file"), parse_path, "")
        expect = self.nodes.many((*here, "expect"), parse_fingerprint)
        if not expect and find(self.nodes.report.root, (*here, "expect")).node is None:
            message = "`expect` is missing: the fingerprint that the fleet tells, such as 8c1f0e2a9b3d4c5f"
            self.nodes.report.problem(here, message)
        own = self.nodes.many((*here, "own"), parse_own)
        sites = tuple(site.name for site in self._spec.sites)
        return lambda _: ConsistencyCheck(file=file, expect=expect, sites=sites, own=own)

    def _expected(
        self, service: Service, here: Location
    ) -> Callable[[Address | None], Check | None]:
        for name in ("file", "expect", "own"):
            if name in self.nodes.entries(here):
                message = f"`{name}` is said by the file that `expected` names; take one of the two"
                self.nodes.report.problem((*here, name), message, at_key=True)
        expected = self.nodes.one((*here, "expected"), parse_path, "")
        folder = self.nodes.one((*here, "folder"), parse_path, "")
        return lambda address: ExpectedCheck(
            expected=expected,
            service=service.name,
            kind=service.kind,
            asks=address or service.addresses[0],
            host=urlsplit(service.origin).hostname or "",
            tls=service.tls is not None,
            sites=tuple(site.name for site in self._spec.sites),
            folder=folder,
        )


def _plan(service: Service, label: str, check: Check) -> PlannedCheck:
    address = getattr(check, "address", None)
    health = service.health
    return PlannedCheck(
        name=f"{service.name}/{label}" + (f"@{address}" if address else ""),
        service=service.name,
        check=check,
        interval=health.interval,
        timeout=health.timeout,
        rise=health.rise,
        fall=health.fall,
    )


def _unique(checks: list[PlannedCheck]) -> tuple[PlannedCheck, ...]:
    """Give those that would have the same name a number."""
    seen: dict[str, int] = {}
    found = []
    for check in checks:
        seen[check.name] = seen.get(check.name, 0) + 1
        again = seen[check.name] > 1
        found.append(replace(check, name=f"{check.name}#{seen[check.name]}") if again else check)
    return tuple(found)


def _url_host(address: Address) -> str:
    return str(address) if address.version == 4 else f"[{address}]"
