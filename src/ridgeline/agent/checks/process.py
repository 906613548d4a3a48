"""Checks of processes: a program's exit status, and the end of a daemon, noticed by pidfd.

pidfd_open(2) needs no privilege, and the descriptor becomes readable the moment the process ends:
nothing is polled, and a pid that is used again cannot deceive.
"""

import asyncio
import os
import re
import select
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from ridgeline.agent.checks.base import Done, failed
from ridgeline.agent.checks.plan import ExecCheck, ProcessCheck, UnitCheck
from ridgeline.agent.health import Round

MAX_OUTPUT: Final = 64 << 10
_ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class ExecChecker:
    """Runs a program in a process group of its own, which does not outlive the round.

    What the program leaves behind in its group is killed with it. Only a child that makes a session
    of its own escapes; the unit's cgroup ends that one with the agent.
    """

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._pipe = -1
        self._done: Done | None = None
        self.output = b""

    def begin(self, done: Done) -> None:
        self._done, self.output = done, b""
        loop = asyncio.get_running_loop()
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=_ENVIRONMENT,
                cwd="/",
            )
        except OSError as error:
            reason = f"{self._command[0]} cannot be run: {error.strerror}"
            self._end(Round(ok=False, reason=reason))
            return
        self._process = process
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        self._pipe = process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        loop.add_reader(self._pipe, self._read)
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._ended)

    def abandon(self, reason: str) -> Round:
        self._done = None
        self.close()
        return Round(ok=False, reason=f"{reason}: its process group was killed")

    def close(self) -> None:
        self._reap()

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, MAX_OUTPUT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._pipe)
            return
        self.output += data
        if len(self.output) > MAX_OUTPUT:
            self._reap()
            reason = f"printed more than {MAX_OUTPUT >> 10} kB: its process group was killed"
            self._end(Round(ok=False, reason=reason))

    def _ended(self) -> None:
        self._read()
        status = self._reap()
        if status == 0:
            self._end(Round(ok=True, reason="ends with status 0"))
        elif status is not None:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            words = last_line(self.output)
            self._end(Round(ok=False, reason=f"ends with {how}" + (f": {words}" if words else "")))

    def _reap(self) -> int | None:
        """Kill the whole group, then collect the leader; None if that was done before.

        In this order: until the leader is collected its number cannot belong to anybody else.
        """
        process, self._process = self._process, None
        if process is None:
            return None
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._pipe)
        loop.remove_reader(self._pidfd)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        os.close(self._pidfd)
        return status

    def _end(self, outcome: Round) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(outcome)


def exec_checker(check: ExecCheck) -> ExecChecker:
    """Make the check of a program."""
    return ExecChecker(check.command)


class DeathWatch:
    """Holds one process and tells of its end; all who watch the same process share a pidfd."""

    _shared: ClassVar[dict[int, tuple[int, "dict[DeathWatch, None]"]]] = {}
    """Process -> its pidfd and who watches."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self.pid = 0

    def watch(self, pid: int) -> None:
        """Hold this process instead of the one before.

        Raises
        ------
        OSError
            There is no such process.
        """
        if pid == self.pid:
            return
        self.close()
        if pid not in self._shared:
            descriptor = os.pidfd_open(pid)
            if _is_readable(descriptor):  # dead, and nobody has collected it yet
                os.close(descriptor)
                raise ProcessLookupError(pid)
            self._shared[pid] = descriptor, {}
            asyncio.get_running_loop().add_reader(descriptor, self._died, pid)
        self._shared[pid][1][self] = None
        self.pid = pid

    def close(self) -> None:
        pid, self.pid = self.pid, 0
        if not pid or pid not in self._shared:
            return
        self._shared[pid][1].pop(self, None)
        if not self._shared[pid][1]:
            self._let_go(pid)

    @classmethod
    def _let_go(cls, pid: int) -> None:
        descriptor, _ = cls._shared.pop(pid)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)

    @classmethod
    def _died(cls, pid: int) -> None:
        watchers = cls._shared[pid][1]
        cls._let_go(pid)
        for watcher in watchers:
            watcher.pid = 0
            watcher._ended()  # noqa: SLF001 - our own


class ProcessChecker:
    """The process of a pid file."""

    def __init__(self, check: ProcessCheck, report: Done) -> None:
        self._path = Path(check.pidfile)
        self._report = report
        self._watch = DeathWatch(self._died)

    def begin(self, done: Done) -> None:
        try:
            pid = int(self._path.read_text().split()[0])
            self._watch.watch(pid)
        except ProcessLookupError:
            done(Round(ok=False, reason=f"the process of {self._path} has ended", final=True))
        except FileNotFoundError:
            done(Round(ok=False, reason=f"there is no {self._path}"))
        except OSError as error:
            done(failed(error))
        except (ValueError, IndexError):
            done(Round(ok=False, reason=f"{self._path} holds no process number"))
        else:
            done(Round(ok=True, reason=f"process {pid} runs"))

    def abandon(self, reason: str) -> Round:
        return Round(ok=False, reason=reason)

    def close(self) -> None:
        self._watch.close()

    def _died(self) -> None:
        self._report(Round(ok=False, reason=f"the process of {self._path} has ended", final=True))


class UnitChecker:
    """The state of a systemd unit, asked of systemctl, and its main process by pidfd."""

    def __init__(self, check: UnitCheck, report: Done) -> None:
        self._unit = check.unit
        self._report = report
        self._watch = DeathWatch(self._died)
        self._done: Done | None = None
        command = ("systemctl", "show", "-p", "ActiveState,SubState,MainPID", "--", check.unit)
        self._ask = ExecChecker(command)

    def begin(self, done: Done) -> None:
        self._done = done
        self._ask.begin(self._answered)

    def abandon(self, reason: str) -> Round:
        self._done = None
        return self._ask.abandon(reason)

    def close(self) -> None:
        self._ask.close()
        self._watch.close()

    def _answered(self, outcome: Round) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        if not outcome.ok:
            done(outcome)
            return
        found = dict(re.findall(r"(?m)^(\w+)=(.*)$", self._ask.output.decode(errors="replace")))
        state = found.get("ActiveState", "unknown")
        pid = int(found.get("MainPID") or 0)
        if pid:
            with suppress(OSError):
                self._watch.watch(pid)
        if state == "active":
            done(Round(ok=True, reason=f"{self._unit} is active"))
        else:
            done(Round(ok=False, reason=f"{self._unit} is {state} ({found.get('SubState', '?')})"))

    def _died(self) -> None:
        reason = f"the main process of {self._unit} has ended"
        self._report(Round(ok=False, reason=reason, final=True))


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def last_line(output: bytes) -> str:
    """Return the last line that says something, made fit for a log."""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    text = lines[-1].strip()[:120] if lines else ""
    return "".join(c if c.isprintable() else "?" for c in text)
