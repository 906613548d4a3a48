"""Network namespaces held by file descriptor: nothing in ``/run/netns``, nothing left behind.

A namespace belongs to a *thread*, not to the process: everything here acts on the calling thread
alone, and `entered` brings it back whatever happens. Works for root, and for root inside a user
namespace (namespaces(7), user_namespaces(7)).
"""

import ctypes
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ridgeline.errors import MachineError

# <linux/sched.h>
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

# <linux/mount.h>
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 0x40000

_PR_SET_PDEATHSIG: Final = 1
_OWN_NAMESPACE: Final = "/proc/thread-self/ns/net"
_PRIVILEGE_HINT: Final = (
    "run as root, or inside: unshare --user --map-root-user --net --mount --pid --fork --mount-proc"
)

# Python has os.setns and os.unshare from 3.12; mount and prctl never.
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class NetworkNamespace:
    """An anonymous network namespace; it lives while `fd`, a process or a socket holds it."""

    fd: int

    @classmethod
    def create(cls, sysctls: Mapping[str, object] | None = None) -> Self:
        """Make a new, empty namespace with `sysctls` set in it; the calling thread stays outside."""
        with _at_home():
            unshare(CLONE_NEWNET)
            namespace = cls.current()
            try:
                _write_sysctls(sysctls or {})
            except BaseException:
                namespace.close()
                raise
        return namespace

    @classmethod
    def current(cls) -> Self:
        """Hold the namespace in which the calling thread is now."""
        return cls(os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC))

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        os.close(self.fd)


@contextmanager
def entered(namespace: int | NetworkNamespace) -> Iterator[None]:
    """Run the body with the calling thread inside `namespace`; always come back.

    Processes started in the body stay in the namespace, and so do sockets opened there.
    """
    with _at_home():
        setns(_fd(namespace))
        yield


def set_sysctls(namespace: int | NetworkNamespace, values: Mapping[str, object]) -> None:
    """Set kernel parameters such as ``net.ipv4.ip_forward`` inside `namespace`.

    A name with a slash is taken as it stands, for interfaces whose names hold a dot:
    ``net/ipv4/conf/eth0.7/rp_filter``. ``True`` and ``False`` are written as 1 and 0.
    """
    with entered(namespace):
        _write_sysctls(values)


def setns(fd: int, kind: int = CLONE_NEWNET) -> None:
    """Move the calling thread into the namespace that `fd` refers to (setns(2))."""
    if _libc.setns(fd, kind):
        raise _failed("enter a namespace (setns)")


def unshare(flags: int) -> None:
    """Give the calling thread new namespaces (unshare(2))."""
    if _libc.unshare(flags):
        raise _failed(f"make a namespace (unshare {flags:#x})")


def mount(
    source: str | None,
    target: str | Path,
    kind: str | None = None,
    flags: int = 0,
    data: str | None = None,
) -> None:
    """Mount as mount(2) does; for a bind mount, `flags` is ``MS_BIND``."""
    texts = [None if t is None else os.fsencode(t) for t in (source, target, kind, data)]
    if _libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]):
        raise _failed(f"mount {source or kind or ''} on {target}".replace("  ", " "))


def die_with_parent(kill_signal: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel to end the calling process when the *thread* that started it ends.

    For ``preexec_fn``, after any change of credentials (prctl(2), PR_SET_PDEATHSIG).
    """
    _libc.prctl(_PR_SET_PDEATHSIG, int(kill_signal), 0, 0, 0)


@contextmanager
def _at_home() -> Iterator[None]:
    home = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            setns(home)
        finally:
            os.close(home)


def _fd(namespace: int | NetworkNamespace) -> int:
    return namespace if isinstance(namespace, int) else namespace.fd


def _write_sysctls(values: Mapping[str, object]) -> None:
    for name, value in values.items():
        path = "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))
        text = str(int(value)) if isinstance(value, bool) else str(value)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
        except OSError as error:
            hint = _PRIVILEGE_HINT if isinstance(error, PermissionError) else ""
            raise MachineError(f"cannot set {name} = {text}: {error.strerror}", hint=hint) from None


def _failed(what: str) -> MachineError:
    number = ctypes.get_errno()
    denied = number in (1, 13)  # EPERM, EACCES
    return MachineError(
        f"the kernel refused to {what}: {os.strerror(number)}",
        hint=_PRIVILEGE_HINT if denied else "",
    )
