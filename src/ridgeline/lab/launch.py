"""Start a lab in namespaces of its own, so that nothing of it can outlive it.

::

    command ──fork──> launcher: setsid, unshare(user? mount, pid, net) ──fork──> init (PID 1)
       ^                                                                            │ fork
       │ progress, by pipe                                                      supervisor
       └────────────────────────────────────────────────────────────────────────────┘

Init does nothing but wait. When it or the supervisor ends, however it ends, the kernel kills every
process of the PID namespace, and with the last descriptor go the network namespaces and the
tmpfs that holds the lab's files. Until the lab is ready it also dies with the command: a pipe
whose other end the command holds tells the supervisor that nobody waits any more.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from ridgeline.errors import MachineError, RidgelineError
from ridgeline.lab.control import (
    Progress,
    describe_error,
    first_process,
    lab_directory,
    rebuild_error,
    try_lock,
)
from ridgeline.lab.kernel.namespaces import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MS_PRIVATE,
    MS_REC,
    mount,
    unshare,
)

Supervise = Callable[[Path, "Reporter"], None]

_NO_USER_NAMESPACES: Final = (
    "run as root, or allow user namespaces: "
    "sudo sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 "
    "kernel.apparmor_restrict_unprivileged_userns=0"
)


class Reporter:
    """The supervisor's line to the command that waits for the lab."""

    def __init__(self, descriptor: int, lifeline: int) -> None:
        self._pipe = os.fdopen(descriptor, "w", buffering=1)
        self.lifeline = lifeline
        """Readable (at end of file) once the command has gone."""

    def progress(self, text: str) -> None:
        """Say what is being done."""
        self._write({"progress": text})

    def ready(self, summary: object) -> None:
        """Say that the lab is up; from now on it lives by itself."""
        self._write({"result": summary})
        self.close()

    def failed(self, error: RidgelineError) -> None:
        """Say why there will be no lab."""
        self._write({"error": describe_error(error)})
        self.close()

    def close(self) -> None:
        """Let the command see the end."""
        with contextlib.suppress(OSError):
            self._pipe.close()

    def _write(self, message: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._pipe.write(json.dumps(message) + "\n")


def launch(name: str, supervise: Supervise, progress: Progress) -> object:
    """Start a lab and wait until it is ready; return its summary.

    Parameters
    ----------
    supervise
        Runs inside, as the lab's second process, with the lab's folder; returns when it ends.

    Raises
    ------
    MachineError
        The name is in use, a privilege is missing, or the lab could not be built.
    """
    directory = lab_directory(name)
    with _locked(directory, name) as lock:
        reading, writing = os.pipe()
        held_by_lab, lifeline = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        launcher = os.fork()
        if launcher == 0:
            os.close(reading)
            os.close(lifeline)
            _become_lab(directory, supervise, Reporter(writing, held_by_lab))
        os.close(writing)
        os.close(held_by_lab)
        os.close(lock)  # the lab's processes hold it from here on
        try:
            os.waitpid(launcher, 0)
            return _follow(reading, progress)
        except BaseException:
            _end_half_built(directory)
            raise
        finally:
            os.close(lifeline)


@contextmanager
def _locked(directory: Path, name: str) -> Iterator[int]:
    base = directory.parent
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    if base.stat().st_uid != os.geteuid():
        raise MachineError(f"{base} belongs to another user", hint=f"rm -r {base}, as its owner")
    directory.mkdir(mode=0o700, exist_ok=True)
    lock = try_lock(directory)
    if lock is None:
        time.sleep(0.1)  # another command may have looked at the lock just then
        lock = try_lock(directory)
    if lock is None:
        raise MachineError(
            f"a lab named {name!r} is already up",
            hint=f"ridgeline lab down --name {name}, or choose another --name",
        )
    for leftover in directory.iterdir():
        if leftover.name != "lock":
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    yield lock


def _follow(reading: int, progress: Progress) -> object:
    with os.fdopen(reading) as pipe:
        for line in pipe:
            message = json.loads(line)
            if "progress" in message:
                progress(message["progress"])
            elif "error" in message:
                raise rebuild_error(message["error"])
            else:
                return message["result"]
    raise MachineError("the lab ended before it was ready and left no message")


def _end_half_built(directory: Path) -> None:
    first = first_process(directory)
    if first is not None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(first, signal.SIGKILL)
        select.select([first], [], [])
        os.close(first)
    shutil.rmtree(directory, ignore_errors=True)


def _become_lab(directory: Path, supervise: Supervise, reporter: Reporter) -> NoReturn:
    """Run in the launcher, which has the command's memory but must never return to its code."""
    try:
        os.setsid()
        _detach_output(directory)
        rootless = _enter_namespaces()
        init = os.fork()
        if init:
            (directory / "pid").write_text(f"{init}\n")
            os._exit(0)
        _be_init(directory, supervise, reporter, rootless=rootless)
    except RidgelineError as error:
        reporter.failed(error)
    except BaseException as error:  # noqa: BLE001 - the top of a process
        traceback.print_exc()
        reporter.failed(MachineError(f"the lab could not start: {error}"))
    os._exit(3)


def _detach_output(directory: Path) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _enter_namespaces() -> bool:
    """Move into namespaces of our own; say whether that took a user namespace."""
    spaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET
    uid, gid = os.geteuid(), os.getegid()
    try:
        if uid == 0:
            unshare(spaces)
            return False
        unshare(CLONE_NEWUSER | spaces)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except (MachineError, OSError) as error:
        raise MachineError(
            f"this machine does not let {'root' if uid == 0 else 'an ordinary user'} make "
            f"namespaces: {str(error).splitlines()[0]}",
            hint="run in a virtual machine or a privileged container"
            if uid == 0
            else _NO_USER_NAMESPACES,
        ) from error
    return True


def _be_init(
    directory: Path, supervise: Supervise, reporter: Reporter, *, rootless: bool
) -> NoReturn:
    files = directory / "files"
    files.mkdir(mode=0o755)
    try:
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        mount("proc", "/proc", "proc")
        mount("tmpfs", str(files), "tmpfs", 0, "mode=755")
    except MachineError as error:
        # Ubuntu lets everybody make a user namespace, and then forbids everything inside it.
        hint = _NO_USER_NAMESPACES if rootless else "run in a privileged container"
        raise MachineError(str(error).splitlines()[0], hint=hint) from error
    supervisor = os.fork()
    if supervisor == 0:
        status = 0
        try:
            supervise(directory, reporter)
        except RidgelineError as error:
            reporter.failed(error)
            status = error.exit_code
        except BaseException as error:  # noqa: BLE001 - the top of a process
            traceback.print_exc()
            reporter.failed(MachineError(f"the lab failed: {type(error).__name__}: {error}"))
            status = 3
        os._exit(status)
    reporter.close()
    os.close(reporter.lifeline)
    while True:  # adopt and bury whoever loses its parent, until the supervisor itself ends
        pid, _ = os.wait()
        if pid == supervisor:
            os._exit(0)
