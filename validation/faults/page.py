"""The page that a run makes: docs/reference/agent-faults.md."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .fault import Group
from .judge import WITHIN_S, spell
from .routers import ROUTERS, last_word
from .site import ROOT
from .table import FAULTS, Cell

PAGE: Final = ROOT / "docs" / "reference" / "agent-faults.md"

_LEAST_S: Final = 0.0005

_HEAD: Final = """\
# What the neighbour sees when things break

Made by `python validation/agent_faults.py --write`: the real agent, started and watched as its
systemd unit says (`contrib/systemd/ridgeline-agent.service`; the harness plays systemd), the real
router, and a BIRD neighbour, in network namespaces. What the neighbour saw is what stands in its
own log; times count from the deed before the colon. The service has one address, checked every
200 ms with a timeout of 150 ms; two failures in a row count, and two successes.

*Longest wrong* is the longest time in the story during which the service was dead and its route
there, or the service healthy, the router's session up, and the route not there. The run fails, and
this page is not written, if that is ever more than {within:g} s, or if a dead service that was gone
is announced again, however briefly; a story that fails while other programs want the processors is
told again. How long a router needs for its session is its own affair, told but not counted.

{versions}.

"""
_RELIES: Final = """\
Who withdraws when the agent cannot? BIRD's routes are bound to BFD with the agent; FRR's depend on
the agent's tunnel device; ExaBGP has our helper; GoBGP offers nothing of the kind, so that systemd
does it (`WatchdogSec`, `ExecStopPost`), as [the how-to](../how-to/dead-man.md) sets them up.

"""
_LIMITS: Final = """\
## Where two seconds are not promised

- **The lease** (`dead_man: {kind: lease}`) of two seconds, the shortest, ends after two: its cells
  are judged by three. Who can, uses BFD, the device, or the helper.
- **FRR and a stopped agent, GoBGP and any dead agent** rely on systemd's watchdog alone. Without
  systemd, or without the drop-in that `ridgeline agent check` prints, a dead service stays
  announced until somebody starts the agent again.
- **A router that hangs** takes no orders: its neighbours drop it after the session's hold time, or
  by BFD between the routers. The same holds for a machine that dies as a whole.
- **A read-only file system and an operator's `configure` at that very time** (BIRD): the file that
  BIRD then loads is the old one, and what it says holds until the agent has read back, half a
  second. A full disk is no such case: there the new text takes the place of the old.
- **The store unreachable, and the service dead**: the site stays announced by intent, drained, and
  the agent alerts. That is counted as right.
- **The wall clock** jumps in the agent's process (libfaketime), not in the machine's routers, which
  count by the monotonic clock as the agent does.
"""


def render_page(cells: Mapping[tuple[str, str], Cell]) -> str:
    """Render the page of a whole run."""
    versions = ", ".join([*(kind.version() for kind in ROUTERS), _etcd(), _linux()])
    parts = [_HEAD.format(within=WITHIN_S, versions=versions)]
    for group in Group:
        parts.append(f"## {group.value}\n\n")
        if group is Group.AGENT:
            parts.append(_RELIES)
        parts += [_render_group(group, cells), "\n"]
    return "".join(parts) + _LIMITS


def _render_group(group: Group, cells: Mapping[tuple[str, str], Cell]) -> str:
    faults = [fault for fault in FAULTS if fault.group is group]
    relies = any(fault.relies_on(kind) for fault in faults for kind in ROUTERS)
    names = ["fault", "router", "what the neighbour saw", "longest wrong"]
    names += ["relies on"] * relies
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for fault in faults:
        title = fault.title
        for kind in ROUTERS:
            cell = cells[fault.name, kind.name]
            row = [title, kind.name, cell.saw, spell_longest(cell)]
            if relies:
                row.append("" if cell.longest_s is None else fault.relies_on(kind))
            lines.append(f"| {' | '.join(row)} |")
            title = ""
    return "\n".join(lines) + "\n"


def spell_longest(cell: Cell) -> str:
    if cell.longest_s is None:
        return ""
    return spell(cell.longest_s) if cell.longest_s >= _LEAST_S else "never"


def write_page(cells: Mapping[tuple[str, str], Cell], path: Path = PAGE) -> None:
    path.write_text(render_page(cells))


def _etcd() -> str:
    return f"etcd {last_word('sh', '-c', 'etcd --version | head -1')}"


def _linux() -> str:
    return f"Linux {'.'.join(platform.release().split('.')[:2])}"
