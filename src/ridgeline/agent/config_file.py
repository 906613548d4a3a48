"""Read `agent.yaml`: every mistake at once, as ``file:line:column: where: what is wrong``."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Final, TypeVar

from ridgeline.agent.checks.plan import (
    FLAGS,
    RCODES,
    AddressCheck,
    Check,
    ConsistencyCheck,
    DnsCheck,
    ExecCheck,
    HttpCheck,
    IcmpCheck,
    PlannedCheck,
    ProcessCheck,
    TcpCheck,
    UnitCheck,
    ZonesCheck,
)
from ridgeline.agent.config import (
    CONTROL,
    STATE,
    AgentConfig,
    DeadManSettings,
    FleetSettings,
    ServicePlan,
    prefix_rules,
    site_prefixes,
)
from ridgeline.agent.core import Policy
from ridgeline.agent.health import Part, Rule
from ridgeline.agent.router import RouterKind, RouterSettings
from ridgeline.errors import InputError
from ridgeline.render.identity import HEALTH_PATH
from ridgeline.spec.document import (
    Entries,
    Items,
    Location,
    Position,
    Scalar,
    find,
    read_document,
)
from ridgeline.spec.model import Address, Prefix, Service, ServiceKind, SiteState, Spec
from ridgeline.spec.report import Report
from ridgeline.spec.values import (
    parse_address,
    parse_duration,
    parse_flag,
    parse_path,
    parse_prefix,
    parse_prepend,
    parse_rounds,
)
from ridgeline.spec.words import did_you_mean, listed, shown

T = TypeVar("T")

_TOP: Final = (
    "router",
    "state",
    "control",
    "metrics",
    "on_stop",
    "damping",
    "drain",
    "require",
    "prefixes",
    "dead_man",
    "fleet",
    "services",
)
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
    "consistency": ("file", "expect", "own"),
}
_COMMON: Final = ("address", "interval", "timeout", "rise", "fall", "shared")


def parse_config(
    text: str, *, file: str, spec: Spec, site: str, zones: Mapping[str, tuple[str, ...]]
) -> AgentConfig:
    """Make the configuration of a site's agent.

    Parameters
    ----------
    text
        `agent.yaml`; empty where there is none.
    zones
        Service -> names of its zones, since the spec names their files only.

    Raises
    ------
    InputError
        With every problem of the file; or the spec has no such site.
    """
    prefixes = site_prefixes(spec, site)
    root: Entries | None = Entries(at=Position(1, 1))
    if any(line.strip() and not line.strip().startswith("#") for line in text.splitlines()):
        root, problems = read_document(text, file=file)
        if problems:
            raise InputError(problems)
    if root is None:
        raise InputError(f"{file}: holds no mapping")
    reader = _Reader(Report(file, root), spec, site, prefixes, zones)
    config = reader.read()
    if reader.report.problems:
        raise InputError(set(reader.report.problems))
    return config


class _Reader:
    """Reads one document, and goes on after a problem wherever it can."""

    def __init__(
        self,
        report: Report,
        spec: Spec,
        site: str,
        prefixes: tuple[Prefix, ...],
        zones: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.report = report
        self._spec = spec
        self._site = site
        self._prefixes = prefixes
        self._zones = zones

    def read(self) -> AgentConfig:
        self._keys((), _TOP)
        guarded = self._has("fleet")
        plans = tuple(self._service(service) for service in self._spec.services)
        self._known_names("services", [s.name for s in self._spec.services], "service of the spec")
        policy = Policy(
            drain_hold=self._value(("drain", "hold"), _parse_hold, 30.0),
            drain_prepend=self._value(("drain", "prepend"), parse_prepend, 0),
            damping=self._value(("damping",), _parse_hold, 60.0),
            guarded=guarded,
            shut_sessions=self._value(("drain", "shut_sessions"), parse_flag, default=False),
        )
        self._keys(("drain",), ("hold", "prepend", "shut_sessions"))
        rules = prefix_rules(self._prefixes, plans, self._least())
        self._check_reachable(rules)
        return AgentConfig(
            site=self._site,
            network=self._spec.network,
            prefixes=self._prefixes,
            checks=tuple(check for plan in plans for check in plan.checks),
            rules=rules,
            policy=policy,
            router=self._router(),
            state=self._value(("state",), parse_path, STATE),
            control=self._value(("control",), parse_path, CONTROL),
            metrics=self._value(("metrics",), _parse_metrics, ""),
            on_stop=self._value(("on_stop",), _one_of("leave", "drain"), "leave"),
            dead_man=self._dead_man(),
            fleet=self._fleet() if guarded else None,
            spec_drained=self._spec.site(self._site).state is SiteState.DRAINED,
            unchecked=tuple(
                p.name for p in plans if all(isinstance(c.check, AddressCheck) for c in p.checks)
            ),
        )

    # The parts.

    def _router(self) -> RouterSettings:
        here: Location = ("router",)
        self._keys(here, ("kind", "socket", "include", "neighbours", "bfd", "options"))
        kind = self._value((*here, "kind"), _one_of(*(k.value for k in RouterKind)), "bird")
        options = {
            name: self._value((*here, "options", name), str, "")
            for name in self._entries((*here, "options"))
        }
        return RouterSettings(
            kind=RouterKind(kind),
            asn=self._spec.asn,
            socket=self._value((*here, "socket"), str, ""),
            include=self._value((*here, "include"), parse_path, ""),
            neighbours=self._list((*here, "neighbours"), str),
            bfd=self._value((*here, "bfd"), str, ""),
            options=options,
        )

    def _dead_man(self) -> DeadManSettings:
        here: Location = ("dead_man",)
        self._keys(here, ("kind", "lease", "addresses", "interface"))
        kind = self._value((*here, "kind"), _one_of("none", "bfd", "lease"), "none")
        addresses = self._list((*here, "addresses"), str)
        if kind != "none" and not addresses:
            needed = (
                "an address for the lease, such as [198.18.255.1/32]"
                if kind == "lease"
                else "the two ends of each session, such as ['198.18.255.2,198.18.255.1']"
            )
            self.report.problem(here, f"`addresses` is missing: {needed}")
        lease = self._value((*here, "lease"), parse_duration, 5.0)
        if lease < 2:
            self.report.problem(
                (*here, "lease"), "the kernel counts leases in seconds: 2s at least"
            )
        return DeadManSettings(
            kind=kind,
            lease=lease,
            addresses=addresses,
            interface=self._value((*here, "interface"), str, "lo"),
        )

    def _fleet(self) -> FleetSettings:
        here: Location = ("fleet",)
        self._keys(here, ("endpoints", "budget", "options"))
        endpoints = self._list((*here, "endpoints"), str)
        if not endpoints:
            self.report.problem(here, "`endpoints` is missing, such as [http://127.0.0.1:2379]")
        options = {
            name: self._value((*here, "options", name), str, "")
            for name in self._entries((*here, "options"))
        }
        budget = self._value((*here, "budget"), parse_rounds, 1)
        return FleetSettings(endpoints=endpoints, budget=budget, options=options)

    def _least(self) -> dict[Prefix, int | None]:
        """Read how many services each prefix needs; None: all."""
        common = self._value(("require",), _parse_least, None)
        least: dict[Prefix, int | None] = dict.fromkeys(self._prefixes, common)
        for text in self._entries(("prefixes",)):
            where: Location = ("prefixes", text)
            try:
                prefix = parse_prefix(text)
            except ValueError as error:
                self.report.problem(where, str(error), at_key=True)
                continue
            if prefix not in least:
                known = listed([str(p) for p in self._prefixes])
                message = f"is not announced by site {self._site}: {known}"
                self.report.problem(where, message, at_key=True)
                continue
            self._keys(where, ("require",))
            least[prefix] = self._value((*where, "require"), _parse_least, common)
        return least

    def _check_reachable(self, rules: Mapping[Prefix, Part]) -> None:
        for prefix, rule in rules.items():
            if isinstance(rule, Rule) and rule.least > len(rule.parts):
                own = ("prefixes", str(prefix), "require")
                where = own if find(self.report.root, own).node is not None else ("require",)
                message = (
                    f"{rule.least} services are required in {prefix}, which has {len(rule.parts)}"
                )
                self.report.problem(where, message)

    def _service(self, service: Service) -> ServicePlan:
        where: Location = ("services", service.name)
        self._keys(where, ("require", "checks"))
        least = self._value((*where, "require"), _parse_least, None)
        listed_checks = find(self.report.root, (*where, "checks")).node
        if listed_checks is None:
            return ServicePlan(
                name=service.name,
                addresses=service.addresses,
                checks=self._default_checks(service),
                least=least,
            )
        planned: list[PlannedCheck] = []
        if not isinstance(listed_checks, Items):
            self.report.problem((*where, "checks"), "a list is needed, such as [{icmp: {}}]")
            return ServicePlan(
                name=service.name, addresses=service.addresses, checks=(), least=least
            )
        for index in range(len(listed_checks.nodes)):
            planned += self._checks(service, (*where, "checks", index))
        if planned and all(isinstance(one.check, ConsistencyCheck) for one in planned):
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
        kinds = self._entries(where)
        if len(kinds) != 1 or kinds[0] not in _CHECKS:
            names = listed(list(_CHECKS))
            got = f"{listed(kinds, 'and')} is not one" if kinds else "is empty"
            near = did_you_mean(kinds[0], list(_CHECKS)) if kinds else ""
            hint = f"; did you mean {near}?" if near else ""
            message = f"{got}: one check has one name of {names}{hint}"
            self.report.problem(where, message)
            return []
        kind = kinds[0]
        here = (*where, kind)
        self._keys(here, (*_CHECKS[kind], *_COMMON))
        health = service.health
        interval = self._value((*here, "interval"), parse_duration, health.interval)
        timeout = self._value((*here, "timeout"), parse_duration, health.timeout)
        if timeout > interval:
            message = f"the timeout ({timeout:g}s) is longer than the interval ({interval:g}s)"
            self.report.problem(here, message)
        make = self._zones_maker(service, here) if kind == "zones" else self._maker(kind, here)
        addresses: tuple[Address | None, ...] = service.addresses
        one = self._value((*here, "address"), parse_address, None)
        if one is not None:
            addresses = (one,)
            if one not in service.addresses:
                known = listed([str(a) for a in service.addresses])
                message = f"{one} is no address of service {service.name}: {known}"
                self.report.problem((*here, "address"), message)
        if kind in {"exec", "process", "unit", "consistency"}:
            addresses = (one,)
        label = kind
        if kind == "dns":
            label = f"dns/{self._value((*here, 'name'), _parse_domain, '.').rstrip('.')}"
        if kind == "http" and self._value((*here, "tls"), parse_flag, default=False):
            label = "https"
        return [
            replace(
                _plan(service, label, made),
                interval=interval,
                timeout=timeout,
                rise=self._value((*here, "rise"), parse_rounds, health.rise),
                fall=self._value((*here, "fall"), parse_rounds, health.fall),
                shared=self._value((*here, "shared"), parse_flag, default=False),
            )
            for address in addresses
            if (made := make(address)) is not None
        ]

    def _maker(self, kind: str, here: Location) -> Callable[[Address | None], Check | None]:
        make: Callable[[Address], Check]
        match kind:
            case "dns":
                make = self._dns(here)
            case "http":
                make = self._http(here)
            case "tcp":
                port = self._required((*here, "port"), _parse_port, 0)
                make = lambda address: TcpCheck(address=address, port=port)  # noqa: E731
            case "icmp":
                make = lambda address: IcmpCheck(address=address)  # noqa: E731
            case "address":
                make = lambda address: AddressCheck(address=address)  # noqa: E731
            case "exec":
                command = self._list((*here, "command"), str)
                if not command:
                    message = "`command` is missing, such as [/usr/local/bin/check-it, --fast]"
                    self.report.problem(here, message)
                return lambda _: ExecCheck(command=command)
            case "consistency":
                return self._consistency(here)
            case "process":
                pidfile = self._required((*here, "pidfile"), parse_path, "")
                return lambda _: ProcessCheck(pidfile=pidfile)
            case _:
                unit = self._required((*here, "name"), _parse_unit, "")
                return lambda _: UnitCheck(unit=unit)
        return lambda address: None if address is None else make(address)

    def _zones_maker(
        self, service: Service, here: Location
    ) -> Callable[[Address | None], Check | None]:
        zones = self._list((*here, "zones"), _parse_domain) or self._zones.get(service.name, ())
        if not zones:
            self.report.problem(here, f"service {service.name} has no zones; name them: `zones`")
        peers = self._list((*here, "peers"), parse_address)
        if not peers:
            self.report.problem(
                here, "`peers` is missing: unicast addresses of the primary, or of other sites"
            )
        for index, peer in enumerate(peers):
            if any(peer in prefix for prefix in self._spec.prefixes):
                message = (
                    f"{peer} is anycast: this site itself would answer; name a unicast address"
                )
                self.report.problem((*here, "peers", index), message)
        grace = self._value((*here, "grace"), _parse_hold, 30.0)
        port = self._value((*here, "port"), _parse_port, 53)
        return lambda address: (
            None
            if address is None
            else ZonesCheck(address=address, zones=zones, peers=peers, grace=grace, port=port)
        )

    def _dns(self, here: Location) -> Callable[[Address], Check]:
        name = self._required((*here, "name"), _parse_domain, ".")
        transport = self._value((*here, "transport"), _one_of("udp", "tcp", "tls"), "udp")
        port = self._value((*here, "port"), _parse_port, 853 if transport == "tls" else 53)
        kind = self._value((*here, "type"), _parse_type, "SOA")
        rcodes = self._list((*here, "rcode"), _one_of(*RCODES, fold=str.upper)) or ("NOERROR",)
        flags = self._list((*here, "flags"), _one_of(*FLAGS, fold=str.lower))
        answer = self._value((*here, "answer"), _parse_pattern, "")
        recursion = self._value((*here, "recursion"), parse_flag, default=False)
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
        tls = self._value((*here, "tls"), parse_flag, default=False)
        port = self._value((*here, "port"), _parse_port, 443 if tls else 80)
        path = self._value((*here, "path"), _parse_url_path, HEALTH_PATH)
        host = self._value((*here, "host"), _parse_host, "")
        status = self._list((*here, "status"), _parse_status) or (200,)
        body = self._value((*here, "body"), str, "")
        expiry = self._value((*here, "expiry"), _parse_days, 0.0)
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
        file = self._required((*here, "file"), parse_path, "")
        expect = self._list((*here, "expect"), _parse_fingerprint)
        if not expect and find(self.report.root, (*here, "expect")).node is None:
            message = "`expect` is missing: the fingerprint that the fleet tells, such as 8c1f0e2a9b3d4c5f"
            self.report.problem(here, message)
        own = self._list((*here, "own"), _parse_own)
        sites = tuple(site.name for site in self._spec.sites)
        return lambda _: ConsistencyCheck(file=file, expect=expect, sites=sites, own=own)

    # Reading nodes.

    def _has(self, name: str) -> bool:
        return name in self.report.root.nodes

    def _entries(self, where: Location) -> list[str]:
        """Name the keys of a mapping; none where there is no mapping."""
        match find(self.report.root, where).node:
            case None:
                return []
            case Entries(nodes=nodes):
                return list(nodes)
            case _:
                self.report.problem(where, "a mapping is needed here")
                return []

    def _keys(self, where: Location, known: tuple[str, ...]) -> None:
        for name in self._entries(where):
            if name not in known:
                near = did_you_mean(name, known)
                hint = f"did you mean `{near}`?" if near else f"known are {listed(known, 'and')}"
                self.report.problem((*where, name), f"is not known here; {hint}", at_key=True)

    def _known_names(self, group: str, known: list[str], what: str) -> None:
        for name in self._entries((group,)):
            if name not in known:
                near = did_you_mean(name, known)
                hint = (
                    f"did you mean {near}?"
                    if near
                    else f"there are {listed(known or ['none'], 'and')}"
                )
                message = f"{shown(name)} is no {what}; {hint}"
                self.report.problem((group, name), message, at_key=True)

    def _required(self, where: Location, parse: Callable[[str], T], default: T) -> T:
        if find(self.report.root, where).node is None:
            self.report.problem(where, f"is missing: `{where[-1]}` is needed here")
        return self._value(where, parse, default)

    def _value(self, where: Location, parse: Callable[[str], T], default: T) -> T:
        node = find(self.report.root, where).node
        if node is None:
            return default
        if not isinstance(node, Scalar):
            self.report.problem(where, "one value is needed here")
            return default
        try:
            return parse(node.text)
        except ValueError as error:
            self.report.problem(where, str(error))
            return default

    def _list(self, where: Location, parse: Callable[[str], T]) -> tuple[T, ...]:
        """Read a list; one value stands for a list of one."""
        match find(self.report.root, where).node:
            case None:
                return ()
            case Items(nodes=nodes):
                found = []
                for index, node in enumerate(nodes):
                    if not isinstance(node, Scalar):
                        self.report.problem((*where, index), "one value is needed here")
                        continue
                    try:
                        found.append(parse(node.text))
                    except ValueError as error:
                        self.report.problem((*where, index), str(error))
                return tuple(found)
            case Scalar(text=text):
                try:
                    return (parse(text),)
                except ValueError as error:
                    self.report.problem(where, str(error))
            case _:
                self.report.problem(where, "a list is needed here")
        return ()


def _parse_fingerprint(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise ValueError(f"{shown(text)} is no fingerprint: 16 hex digits")
    return text


def _parse_own(text: str) -> str:
    return parse_path(text) if text.startswith("/") else str(parse_address(text))


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


def _one_of(*known: str, fold: Callable[[str], str] = str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if fold(text) in known:
            return fold(text)
        near = did_you_mean(text, known)
        hint = f"did you mean {near}?" if near else listed(list(known))
        raise ValueError(f"{shown(text)} is none of the known values; {hint}")

    return parse


def _parse_hold(text: str) -> float:
    return 0.0 if text in {"0", "0s"} else parse_duration(text)


def _parse_days(text: str) -> float:
    found = re.fullmatch("([0-9]{1,4})d", text)
    return int(found[1]) * 86400.0 if found else parse_duration(text)


def _parse_least(text: str) -> int | None:
    match text:
        case "all":
            return None
        case "any":
            return 1
    if re.fullmatch("[1-9][0-9]{0,3}", text):
        return int(text)
    raise ValueError(f"{shown(text)} is neither all, any nor a number above 0")


def _parse_port(text: str) -> int:
    if re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) < 65536:
        return int(text)
    raise ValueError(f"{shown(text)} is not a port: 1 to 65535")


def _parse_status(text: str) -> int:
    if re.fullmatch("[1-5][0-9][0-9]", text):
        return int(text)
    raise ValueError(f"{shown(text)} is not a status code such as 200 (RFC 9110, section 15)")


def _parse_domain(text: str) -> str:
    import dns.exception
    import dns.name

    try:
        return dns.name.from_text(text).to_text()
    except (dns.exception.DNSException, UnicodeError):
        raise ValueError(f"{shown(text)} is not a domain name") from None


def _parse_type(text: str) -> str:
    import dns.exception
    import dns.rdatatype

    try:
        return dns.rdatatype.to_text(dns.rdatatype.from_text(text))
    except (dns.exception.DNSException, ValueError):
        raise ValueError(f"{shown(text)} is not a record type such as SOA") from None


def _parse_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{shown(text)} is not a regular expression: {error}") from None
    return text


def _parse_url_path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text):
        raise ValueError(f"{shown(text)} is not a path: it starts with / and has no blanks")
    return text


def _parse_host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]{1,255}", text):
        raise ValueError(f"{shown(text)} is not a host name")
    return text


def _parse_unit(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]{1,255}", text):
        raise ValueError(f"{shown(text)} is not a unit such as knot.service")
    return text if "." in text else f"{text}.service"


def _parse_metrics(text: str) -> str:
    if text.startswith("/"):
        return parse_path(text)
    host, _, port = text.rpartition(":")
    try:
        loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdigit():
        raise ValueError(
            f"{shown(text)} is neither the path of a unix socket nor a port of the loopback, "
            "such as 127.0.0.1:9153"
        )
    return text
