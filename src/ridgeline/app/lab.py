"""Bring a lab up: spec, Internet, plan, preflight, launch."""

from collections.abc import Callable
from typing import Any

from ridgeline.app.check import read_spec
from ridgeline.app.internet import load_internet
from ridgeline.lab.control import DEFAULT_NAME
from ridgeline.lab.launch import launch
from ridgeline.lab.layout import MAX_CLIENTS, plan_lab
from ridgeline.lab.material.zonefiles import read_zones
from ridgeline.lab.preflight import add_system_paths, check_programs
from ridgeline.lab.supervisor import supervise


def bring_up(
    spec_path: str,
    *,
    internet: str = "builtin:demo",
    name: str = DEFAULT_NAME,
    max_clients: int = MAX_CLIENTS,
    shuffle: int | None = None,
    agents: bool = False,
    progress: Callable[[str], None],
) -> Any:
    """Start a lab and return its summary once its routing is quiet.

    Parameters
    ----------
    shuffle
        Seed of another start order of the routers; their choice must not depend on it.
    agents
        Run the agent at every site: services that fail are withdrawn.

    Raises
    ------
    InputError
        The spec, a zone or the Internet is wrong.
    MachineError
        A program or privilege is missing, the name is taken, or a daemon refused its work.
    """
    spec = read_spec(spec_path)
    read_zones(spec)
    plan = plan_lab(spec, load_internet(internet), max_clients=max_clients)
    check_programs(spec)
    add_system_paths()
    return launch(name, supervise(plan, shuffle=shuffle, agents=agents), progress)
