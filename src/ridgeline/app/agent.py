"""Use cases of the agent: read its two files, run it, ask a running one, check the router."""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ridgeline.agent.checks.plan import ExpectedCheck
from ridgeline.agent.config import CONTROL, FILE_NAME, AgentConfig
from ridgeline.agent.config_file import parse_config
from ridgeline.agent.health import Rule
from ridgeline.agent.router import Finding, Severity
from ridgeline.app.check import read_spec
from ridgeline.errors import InputError, MachineError
from ridgeline.spec.model import ServiceKind, Spec

if TYPE_CHECKING:
    from ridgeline.agent.core import GuardAnswered
    from ridgeline.agent.slots import Guard
    from ridgeline.agent.vouching import Switch


def read_config(spec_path: str, site: str, config_path: str | None = None) -> AgentConfig:
    """Read the spec and `agent.yaml` (beside it unless named; none is fine then).

    Raises
    ------
    InputError
        A file cannot be read, or with every problem in it.
    """
    spec = read_spec(spec_path)
    path = Path(config_path) if config_path else Path(spec_path).parent / FILE_NAME
    try:
        text = path.read_text()
    except FileNotFoundError:
        if config_path:
            raise InputError(f"{path}: there is no such file") from None
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    return parse_config(text, file=str(path), spec=spec, site=site.lower(), zones=_zones(spec))


def run_agent(spec_path: str, site: str, config_path: str | None = None) -> None:
    """Run the agent until it is told to end.

    Raises
    ------
    InputError
        A file is wrong.
    MachineError
        What it needs of the machine is not there.
    """
    from ridgeline.agent.journal import make_log
    from ridgeline.agent.routers import make_router
    from ridgeline.agent.run import Agent
    from ridgeline.agent.systemd import Notifier

    config = read_config(spec_path, site, config_path)

    async def run() -> None:
        agent = Agent(
            config,
            make_router=lambda c: make_router(c.router, c.prefixes),
            log=make_log(config.site),
            reload=lambda: read_config(spec_path, site, config_path),
            notifier=Notifier(os.environ),
            make_guard=_make_guard if config.fleet else None,
            switch=_make_switch(config),
        )
        await agent.run()

    asyncio.run(run())


def check_agent(spec_path: str, site: str, config_path: str | None = None) -> tuple[Finding, ...]:
    """Say whether the router and this machine are set up right; change nothing."""
    from ridgeline.agent.machine import machine_findings, prepend_findings
    from ridgeline.agent.routers import make_router

    config = read_config(spec_path, site, config_path)

    async def look() -> tuple[Finding, ...]:
        router = make_router(config.router, config.prefixes)
        try:
            found = list(await router.inspect())
            with suppress(MachineError):  # said already
                found += prepend_findings(config, (await router.read_back()).neighbours)
        finally:
            await router.close()
        return tuple(found)

    machine = machine_findings(config, wall=time.time())
    return (*checks_findings(config), *machine, *asyncio.run(look()))


def ask_running(
    request: dict[str, Any], *, control: str | None, config_path: str | None = None
) -> dict[str, Any]:
    """Ask the agent that runs on this machine.

    Raises
    ------
    MachineError
        None does, or it says no.
    """
    from ridgeline.agent.control import ask_agent

    return ask_agent(control or _control_of(config_path), request)


def _control_of(config_path: str | None) -> str:
    """Find the control socket that an `agent.yaml` names, without its spec."""
    path = Path(config_path or FILE_NAME)
    try:
        lines = path.read_text().splitlines()
    except OSError:
        if config_path:
            raise MachineError(f"{path}: cannot be read") from None
        return CONTROL
    for line in lines:
        if line.startswith("control:"):
            return line.partition(":")[2].partition(" #")[0].strip().strip("\"'") or CONTROL
    return CONTROL


def _zones(spec: Spec) -> dict[str, tuple[str, ...]]:
    """Name the zones of each service by its files; by a file's name where it is not here."""
    from ridgeline.lab.material.zonefiles import zone_domain

    names: dict[str, tuple[str, ...]] = {}
    for service in spec.services:
        if service.kind is not ServiceKind.AUTHORITATIVE_DNS:
            continue
        found = []
        for name in service.zones:
            try:
                text = (Path(spec.file).parent / name).read_text(errors="replace")
            except OSError:
                text = ""
            found.append(zone_domain(text, name))
        names[service.name] = tuple(found)
    return names


def checks_findings(config: AgentConfig) -> tuple[Finding, ...]:
    """Say what is checked, and what is not though it could be."""
    found = [
        Finding(
            severity=Severity.OK,
            what=f"{len(config.checks)} checks for {len(config.prefixes)} prefixes of site "
            f"{config.site}",
        )
    ]
    found += [
        Finding(
            severity=Severity.WARNING,
            what=f"service {name}: only the presence of its addresses is checked",
            why="if the service dies, its route stays",
            lines=("services:", f"  {name}:", "    checks: [{tcp: {port: PORT}}]"),
            where=FILE_NAME,
        )
        for name in config.unchecked
    ]
    found += [
        Finding(
            severity=Severity.WARNING,
            what=f"{prefix}: no check of any service belongs to it",
            why="it is announced whatever happens",
            lines=("addresses: [...]   # of a service, inside the prefix",),
            where="ridgeline.yaml, services",
        )
        for prefix, rule in config.rules.items()
        if isinstance(rule, Rule) and not any(rule.checks())
    ]
    missing = {
        plan.check.expected
        for plan in config.checks
        if isinstance(plan.check, ExpectedCheck) and not os.access(plan.check.expected, os.R_OK)
    }
    found += [
        Finding(
            severity=Severity.WARNING,
            what=f"{path} is not there, or may not be read: it says what every site shall be",
            why="until it is, nothing is judged by it, and a site that differs is announced",
            lines=(f"ls -l {path}",),
            where="a shell",
        )
        for path in sorted(missing)
    ]
    return tuple(found)


def _make_guard(config: AgentConfig, on_lost: "Callable[[GuardAnswered], None]") -> "Guard":
    from ridgeline.agent import fleet
    from ridgeline.agent.fleet_guard import FleetGuard

    if config.fleet is None:
        raise ValueError("no fleet guard is configured")
    options: dict[str, Any] = dict(config.fleet.options)
    for name in ("lease_s", "timeout_s"):
        if name in options:
            options[name] = float(options[name])
    settings = fleet.FleetSettings(
        network=config.network,
        site=config.site,
        endpoints=config.fleet.endpoints,
        budget=config.fleet.budget,
        **options,
    )
    return FleetGuard(settings, on_lost=on_lost)


def _make_switch(config: AgentConfig) -> "Switch | None":
    if config.dead_man.kind == "none":
        return None
    from ridgeline.agent.switch import make_switch

    return make_switch(config.dead_man, config.state)
