"""Daemons of the lab: started inside a namespace, watched by pidfd, ended by pid alone."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered

_FOR_ALL: Final = frozenset({signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL})


@dataclass(slots=True, kw_only=True, eq=False)
class Daemon:
    """A running program of a node."""

    node: str
    name: str
    """What it is: ``bird``, ``knot``, ``unbound``, ``nginx``, ``varnish``, ``resolver``."""
    argv: tuple[str, ...]
    configuration: Path
    output: Path
    """Where its standard output and error go."""
    pid: int
    pidfd: int
    stopped_by_us: bool = False
    status: int | None = None
    """Exit status as `os.waitstatus_to_exitcode` says; None while it runs."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_running(self) -> bool:
        return self.status is None

    def last_words(self) -> str:
        """Return the end of what it printed."""
        try:
            text = self.output.read_text(errors="replace").strip()
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-5:])

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing if it has ended.

        What stops, resumes or kills a daemon does so to the workers of its process group too.
        """
        if self.is_running and number in _FOR_ALL:
            os.killpg(self.pid, number)
        elif self.is_running:
            signal.pidfd_send_signal(self.pidfd, number)


def start_daemon(
    namespace: NetworkNamespace,
    *,
    node: str,
    name: str,
    program: Path,
    argv: Sequence[str],
    configuration: Path,
    output: Path,
    on_end: Callable[[Daemon], None],
) -> Daemon:
    """Start a program in a namespace; `on_end` hears of its end, whoever caused it."""
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    with entered(namespace):
        # Own session: a signal to the program's group never reaches the supervisor.
        pid = os.posix_spawn(program, list(argv), os.environ, file_actions=files, setsid=True)
    daemon = Daemon(
        node=node,
        name=name,
        argv=tuple(argv),
        configuration=configuration,
        output=output,
        pid=pid,
        pidfd=os.pidfd_open(pid),
    )
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(daemon.pidfd)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(daemon.pid, signal.SIGKILL)  # a master that was killed leaves workers behind
        _, status = os.waitpid(daemon.pid, 0)
        os.close(daemon.pidfd)
        daemon.status = os.waitstatus_to_exitcode(status)
        daemon.ended.set()
        on_end(daemon)

    loop.add_reader(daemon.pidfd, ended)
    return daemon


async def end_daemon(daemon: Daemon, number: signal.Signals = signal.SIGKILL) -> None:
    """End a program and wait until it is gone."""
    daemon.stopped_by_us = True
    daemon.send(number)
    await daemon.ended.wait()
