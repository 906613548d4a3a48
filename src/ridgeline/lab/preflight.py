"""What a lab needs of the machine, asked before anything is built."""

import os
import shutil
from collections.abc import Iterator
from typing import Final

from ridgeline.errors import MachineError
from ridgeline.spec.model import EdgeEngine, ServiceKind, Spec

_SYSTEM_PATHS: Final = "/usr/local/sbin:/usr/sbin:/sbin"

# Program -> Debian package.
_ALWAYS: Final = {"bird": "bird2", "traceroute": "traceroute"}
_BY_KIND: Final = {
    ServiceKind.AUTHORITATIVE_DNS: {"knotd": "knot", "dig": "bind9-dnsutils"},
    ServiceKind.RECURSIVE_DNS: {
        "unbound": "unbound",
        "knotd": "knot",  # the root of the DNS above it
        "dig": "bind9-dnsutils",
    },
    ServiceKind.HTTP_CACHE: {"nginx": "nginx", "curl": "curl"},
    ServiceKind.CUSTOM: {},
}

_VARNISH: Final = {"varnishd": "varnish", "gcc": "gcc"}  # its policy is compiled


def add_system_paths() -> None:
    """Let an ordinary user find the daemons, which Debian keeps off their PATH."""
    path = os.environ.get("PATH", "/usr/bin:/bin")
    os.environ["PATH"] = f"{path}:{_SYSTEM_PATHS}"


def check_programs(spec: Spec) -> None:
    """See that every program of the lab is installed.

    Raises
    ------
    MachineError
        Names all that are missing and the command that installs them.
    """
    missing = {
        program: package
        for program, package in _needed(spec)
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATHS}") is None
    }
    if missing:
        sudo = "" if os.geteuid() == 0 else "sudo "
        raise MachineError(
            f"the lab needs programs that are not installed: {', '.join(missing)}",
            hint=f"{sudo}apt-get install {' '.join(dict.fromkeys(missing.values()))}",
        )


def _needed(spec: Spec) -> Iterator[tuple[str, str]]:
    yield from _ALWAYS.items()
    for service in spec.services:
        yield from _BY_KIND[service.kind].items()
        if service.engine is EdgeEngine.VARNISH:
            yield from _VARNISH.items()
    if any(service.kind is not ServiceKind.CUSTOM for service in spec.services):
        yield "unbound", "unbound"  # the clients' stub resolver
