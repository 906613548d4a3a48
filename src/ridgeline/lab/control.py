"""How a command talks to a running lab: lines of JSON over a unix socket.

A request is one line, ``{"verb": "fail", ...}``. The answer is any number of
``{"progress": "..."}`` lines and then either ``{"result": ...}`` or ``{"error": {...}}``. The verb
``enter`` also passes the descriptors of a node's namespaces, so that the caller can step inside.
"""

import contextlib
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import AnswerIsNoError, InputError, MachineError, RidgelineError

DEFAULT_NAME: Final = "lab"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_ERRORS: Final[dict[int, type[RidgelineError]]] = {1: AnswerIsNoError, 2: InputError}

Progress = Callable[[str], None]


def run_directory() -> Path:
    """Return the folder in which this user's labs keep their sockets."""
    if os.geteuid() == 0:
        return Path("/run/ridgeline")
    private = os.environ.get("XDG_RUNTIME_DIR")
    if private and os.access(private, os.W_OK):
        return Path(private) / "ridgeline"
    return Path(f"/tmp/ridgeline-{os.geteuid()}")  # noqa: S108 - made with mode 0700 and checked


def lab_directory(name: str) -> Path:
    """Return the folder of one lab.

    Raises
    ------
    InputError
        The name would not make a folder name.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a lab: use lower-case letters, digits and hyphens, at most 32"
        )
    return run_directory() / name


def running_labs() -> list[str]:
    """List the labs of this user that are up, clearing what dead ones left."""
    base = run_directory()
    names = []
    for path in sorted(base.iterdir()) if base.is_dir() else []:
        if is_running(path):
            names.append(path.name)
        else:
            shutil.rmtree(path, ignore_errors=True)
    return names


def is_running(directory: Path) -> bool:
    """Say whether the lab's processes still hold its lock."""
    lock = try_lock(directory)
    if lock is None:
        return True
    os.close(lock)
    return False


def try_lock(directory: Path) -> int | None:
    """Take the lock of a lab's folder: a descriptor, or None while a lab holds it."""
    try:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return os.open(os.devnull, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


class LabClient:
    """A command's side of the conversation with one lab."""

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        self.name = name
        self._directory = lab_directory(name)

    def ask(self, verb: str, progress: Progress | None = None, /, **arguments: object) -> Any:
        """Ask the lab to do something and wait for its answer.

        Raises
        ------
        MachineError
            No such lab is up, or it died while it worked.
        RidgelineError
            What the lab itself raised.
        """
        answer, descriptors = self._converse({"verb": verb, **arguments}, progress)
        for descriptor in descriptors:
            os.close(descriptor)
        return answer

    def enter(self, node: str) -> tuple[Mapping[str, Any], list[int]]:
        """Ask for a node's namespaces: (what it is, descriptors in the order of its `kinds`)."""
        answer, descriptors = self._converse({"verb": "enter", "node": node}, None)
        return answer, descriptors

    def _converse(
        self, request: Mapping[str, object], progress: Progress | None
    ) -> tuple[Any, list[int]]:
        with self._connect() as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            buffer = b""
            received: list[int] = []
            while True:
                data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 8)
                received += descriptors
                if not data:
                    raise MachineError(
                        f"lab {self.name} ended while it worked on `{request['verb']}`",
                        hint=f"ridgeline lab up SPEC --name {self.name}",
                    )
                buffer += data
                while b"\n" in buffer:
                    line, buffer = buffer.split(b"\n", 1)
                    message = json.loads(line)
                    if "progress" in message:
                        if progress is not None:
                            progress(message["progress"])
                    elif "error" in message:
                        raise rebuild_error(message["error"])
                    else:
                        return message["result"], received

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._directory / "control.sock"))
        except OSError as error:
            connection.close()
            others = running_labs()
            known = f"; running: {', '.join(others)} (choose with --name)" if others else ""
            raise MachineError(
                f"no lab named {self.name!r} is up{known}",
                hint=f"ridgeline lab up SPEC --name {self.name}"
                if self.name != DEFAULT_NAME
                else "ridgeline lab up SPEC",
            ) from error
        return connection


def describe_error(error: RidgelineError) -> dict[str, object]:
    """Turn an error into what travels over the socket."""
    hint = getattr(error, "hint", "")
    message = str(error)
    if hint:
        message = message.removesuffix(f"\n  fix: {hint}")
    return {"message": message, "hint": hint, "exit_code": error.exit_code}


def rebuild_error(data: Mapping[str, Any]) -> RidgelineError:
    """Turn it back into the error that the lab raised."""
    kind = _ERRORS.get(int(data["exit_code"]))
    if kind is None:
        return MachineError(str(data["message"]), hint=str(data["hint"]))
    return kind(str(data["message"]))


def take_down(name: str, *, patience_s: float = 10.0) -> None:
    """End a lab: ask it, and if it does not answer end its first process; then clear its folder.

    Raises
    ------
    MachineError
        No such lab is up, or its processes do not end.
    """
    directory = lab_directory(name)
    if not directory.is_dir() or not is_running(directory):
        shutil.rmtree(directory, ignore_errors=True)
        raise MachineError(
            f"no lab named {name!r} is up; nothing to take down",
            hint="ridgeline lab list shows what runs",
        )
    first = first_process(directory)
    if first is None:
        raise MachineError(f"lab {name!r} runs, but {directory / 'pid'} does not say as what")
    try:
        with contextlib.suppress(MachineError):  # the signal below does not ask
            LabClient(name).ask("down")
        if not _ends_within(first, patience_s / 2):
            signal.pidfd_send_signal(first, signal.SIGKILL)
            if not _ends_within(first, patience_s / 2):
                raise MachineError(f"the processes of lab {name!r} do not end")
    finally:
        os.close(first)
    shutil.rmtree(directory, ignore_errors=True)


def first_process(directory: Path) -> int | None:
    """Open a pidfd of a lab's first process; None where there is none.

    It is the last of the lab's processes to go: the kernel ends all others of its PID namespace
    before (pid_namespaces(7)).
    """
    try:
        return os.pidfd_open(int((directory / "pid").read_text()))
    except (OSError, ValueError):
        return None


def _ends_within(pidfd: int, patience_s: float) -> bool:
    readable, _, _ = select.select([pidfd], [], [], patience_s)
    return bool(readable)
