"""Out of memory for real: a group of processes with a limit, and the kernel's own killer."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ridgeline.lab.beds.router import wait_until

_ROOT: Final = Path("/sys/fs/cgroup")
_LIMIT: Final = 64 << 20
EATER: Final = """\
import os
open({procs!r}, "w").write(str(os.getpid()))
eaten = []
while True:
    eaten.append(bytearray(1 << 20))
"""


def find_memory_root() -> Path | None:
    """Find where a group with a memory limit can be made (cgroup v1 or v2)."""
    if (_ROOT / "memory" / "memory.limit_in_bytes").exists():
        return _ROOT / "memory"
    controllers = _ROOT / "cgroup.subtree_control"
    with suppress(OSError):
        if "memory" in controllers.read_text().split():
            return _ROOT
    return None


def lacks_memory_group() -> str:
    """Say what this machine lacks for it; empty: nothing."""
    root = find_memory_root()
    if os.getuid() != 0 or root is None or not os.access(root, os.W_OK):
        return "a memory cgroup that we may make"
    return ""


def out_of_memory(pid: int) -> None:
    """Let the kernel's out-of-memory killer end a process; return when it has.

    Beside it, in a group with a limit, another process eats until nothing is left; the agent is made
    the one to be killed for it (`oom_score_adj` 1000), as if that other were more important.
    """
    with _limited() as group:
        (group / "cgroup.procs").write_text(str(pid))
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
        eater = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", EATER.format(procs=str(group / "cgroup.procs"))]
        )
        try:
            wait_until(
                lambda: _kills(group) > 0,
                "the kernel has killed for memory",
                seconds=30,
                pause=0.002,
            )
        finally:
            eater.kill()
            eater.wait()


@contextmanager
def _limited() -> Iterator[Path]:
    root = find_memory_root()
    assert root is not None
    group = root / f"ridgeline-faults-{os.getpid()}"
    group.mkdir()
    try:
        is_old = (group / "memory.limit_in_bytes").exists()
        (group / ("memory.limit_in_bytes" if is_old else "memory.max")).write_text(str(_LIMIT))
        if not is_old:
            with suppress(OSError):  # no swap, or no such controller
                (group / "memory.swap.max").write_text("0")
        yield group
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), "the group is empty")
        group.rmdir()


def _kills(group: Path) -> int:
    """Count what the kernel's killer has ended in the group."""
    old, new = group / "memory.oom_control", group / "memory.events"
    lines = (old if old.exists() else new).read_text().split("\n")
    return next(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
