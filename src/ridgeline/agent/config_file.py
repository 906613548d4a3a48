"""Read `agent.yaml`: every mistake at once, as ``file:line:column: where: what is wrong``."""

from collections.abc import Callable, Mapping
from typing import Final

from ridgeline.agent.checks.plan import AddressCheck
from ridgeline.agent.config import (
    CONTROL,
    STATE,
    AgentConfig,
    DeadManSettings,
    FleetSettings,
    prefix_rules,
    site_prefixes,
)
from ridgeline.agent.config_checks import CheckReader
from ridgeline.agent.config_nodes import Nodes
from ridgeline.agent.config_values import (
    one_of,
    parse_endpoint,
    parse_gateways,
    parse_hold,
    parse_leased,
    parse_least,
    parse_metrics,
    parse_number,
    parse_pair,
)
from ridgeline.agent.fleet import LEAST_LEASE_S
from ridgeline.agent.health import Part, Rule
from ridgeline.agent.prefix import Policy
from ridgeline.agent.router import RouterKind, RouterSettings
from ridgeline.errors import InputError
from ridgeline.spec.document import Entries, Location, Position, find, read_document
from ridgeline.spec.model import Prefix, SiteState, Spec
from ridgeline.spec.report import Report
from ridgeline.spec.values import (
    parse_duration,
    parse_flag,
    parse_path,
    parse_prefix,
    parse_prepend,
    parse_rounds,
)
from ridgeline.spec.words import listed

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
_FLEET_OPTIONS: Final[dict[str, Callable[[str], str]]] = {
    "lease_s": parse_number,
    "timeout_s": parse_number,
    "user": str,
    "password": str,
    "ca": parse_path,
    "certificate": parse_path,
    "key": parse_path,
}


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
        self.nodes = Nodes(report)
        self._checks = CheckReader(self.nodes, spec, zones)
        self._spec = spec
        self._site = site
        self._prefixes = prefixes

    def read(self) -> AgentConfig:
        self.nodes.keys((), _TOP)
        guarded = self.nodes.has("fleet")
        plans = tuple(self._checks.service(service) for service in self._spec.services)
        self.nodes.known_names(
            "services", [s.name for s in self._spec.services], "service of the spec"
        )
        policy = Policy(
            drain_hold=self.nodes.one(("drain", "hold"), parse_hold, 30.0),
            drain_prepend=self.nodes.one(("drain", "prepend"), parse_prepend, 0),
            damping=self.nodes.one(("damping",), parse_hold, 60.0),
            guarded=guarded,
            shut_sessions=self.nodes.one(("drain", "shut_sessions"), parse_flag, default=False),
        )
        self.nodes.keys(("drain",), ("hold", "prepend", "shut_sessions"))
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
            state=self.nodes.one(("state",), parse_path, STATE),
            control=self.nodes.one(("control",), parse_path, CONTROL),
            metrics=self.nodes.one(("metrics",), parse_metrics, ""),
            on_stop=self.nodes.one(("on_stop",), one_of("leave", "drain"), "leave"),
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
        self.nodes.keys(here, ("kind", "socket", "include", "neighbours", "bfd", "options"))
        kind = self.nodes.one((*here, "kind"), one_of(*(k.value for k in RouterKind)), "bird")
        options = {
            name: self.nodes.one((*here, "options", name), str, "")
            for name in self.nodes.entries((*here, "options"))
        }
        return RouterSettings(
            kind=RouterKind(kind),
            asn=self._spec.asn,
            socket=self.nodes.one((*here, "socket"), str, ""),
            include=self.nodes.one((*here, "include"), parse_path, ""),
            neighbours=self.nodes.many((*here, "neighbours"), str),
            bfd=self.nodes.one((*here, "bfd"), parse_gateways, ""),
            options=options,
        )

    def _dead_man(self) -> DeadManSettings:
        here: Location = ("dead_man",)
        self.nodes.keys(here, ("kind", "lease", "addresses", "interface"))
        kind = self.nodes.one((*here, "kind"), one_of("none", "bfd", "lease"), "none")
        parse = {"bfd": parse_pair, "lease": parse_leased}.get(kind, str)
        addresses = self.nodes.many((*here, "addresses"), parse)
        if kind != "none" and find(self.report.root, (*here, "addresses")).node is None:
            needed = (
                "an address for the lease, such as [198.18.255.1/32]"
                if kind == "lease"
                else "the two ends of each session, such as ['198.18.255.2,198.18.255.1']"
            )
            self.report.problem(here, f"`addresses` is missing: {needed}")
        lease = self.nodes.one((*here, "lease"), parse_duration, 5.0)
        if lease < 2:
            self.report.problem(
                (*here, "lease"), "the kernel counts leases in seconds: 2s at least"
            )
        return DeadManSettings(
            kind=kind,
            lease=lease,
            addresses=addresses,
            interface=self.nodes.one((*here, "interface"), str, "lo"),
        )

    def _fleet(self) -> FleetSettings:
        here: Location = ("fleet",)
        self.nodes.keys(here, ("endpoints", "budget", "options"))
        endpoints = self.nodes.many((*here, "endpoints"), parse_endpoint)
        if find(self.report.root, (*here, "endpoints")).node is None:
            self.report.problem(here, "`endpoints` is missing, such as [http://127.0.0.1:2379]")
        self.nodes.keys((*here, "options"), tuple(_FLEET_OPTIONS))
        options = {
            name: self.nodes.one((*here, "options", name), parse, "")
            for name, parse in _FLEET_OPTIONS.items()
            if name in self.nodes.entries((*here, "options"))
        }
        lease = options.get("lease_s")
        if lease and float(lease) < LEAST_LEASE_S:
            message = f"a lease of {lease} s is too short: at least {LEAST_LEASE_S:g} s"
            self.report.problem((*here, "options", "lease_s"), message)
        budget = self.nodes.one((*here, "budget"), parse_rounds, 1)
        return FleetSettings(endpoints=endpoints, budget=budget, options=options)

    def _least(self) -> dict[Prefix, int | None]:
        """Read how many services each prefix needs; None: all."""
        common = self.nodes.one(("require",), parse_least, None)
        least: dict[Prefix, int | None] = dict.fromkeys(self._prefixes, common)
        for text in self.nodes.entries(("prefixes",)):
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
            self.nodes.keys(where, ("require",))
            least[prefix] = self.nodes.one((*where, "require"), parse_least, common)
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
