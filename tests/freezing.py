"""Stopping a process so that it has stopped: its threads do so one by one, and answer until then."""

import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any


def freeze(process: "subprocess.Popen[Any]", within: float = 30) -> None:
    """Stop a process; return when all its threads have stopped."""
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + within
    while not all(state == "T" for state in _thread_states(process.pid)):
        assert time.monotonic() < deadline, f"{process.args!r} does not stop"
        time.sleep(0.001)


def _thread_states(pid: int) -> list[str]:
    """Return the state of each thread of a process (proc(5), /proc/PID/stat)."""
    states = []
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            states.append(path.read_text().rpartition(")")[2].split()[0])
    return states
