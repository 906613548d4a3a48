"""Step into a node of a lab and run a command there, with the terminal and all."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

from ridgeline.errors import MachineError
from ridgeline.lab.control import LabClient
from ridgeline.lab.kernel.namespaces import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    setns,
)

_KINDS: Final = {
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "net": CLONE_NEWNET,
    "mnt": CLONE_NEWNS,
}


def run_on_node(lab: str, node: str, argv: list[str]) -> int:
    """Run a command on a node and return its exit status.

    Raises
    ------
    MachineError
        The command is not there, or the namespaces cannot be entered.
    """
    folder = Path.cwd()
    answer, descriptors = LabClient(lab).enter(node)
    for kind, descriptor in zip(answer["kinds"], descriptors, strict=True):
        same = Path(f"/proc/self/ns/{kind}").stat().st_ino == os.fstat(descriptor).st_ino
        if not same:
            setns(descriptor, _KINDS[kind])
        os.close(descriptor)
    with contextlib.suppress(OSError):  # entering a mount namespace led us to its root
        os.chdir(folder)
    reading, writing = os.pipe()  # closed by exec: what comes through is why there was none
    # A PID namespace takes effect for children: this process waits outside.
    child = os.fork()
    if child == 0:
        os.environ["RIDGELINE_NODE"] = answer["node"]
        os.environ.update(answer["environment"])
        os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"
        try:
            os.execvp(argv[0], argv)  # noqa: S606 - no shell on purpose
        except OSError as error:
            os.write(writing, str(error.strerror).encode())
            os._exit(127)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        refusal = pipe.read()
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal asks the child
    try:
        _, status = os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGINT, previous)
    if refusal:
        raise MachineError(f"cannot run {argv[0]!r} on {answer['node']}: {refusal}")
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
