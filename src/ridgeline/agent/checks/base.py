"""What every check is to the engine: something that begins a round and ends it once."""

import errno
import os
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from ridgeline.agent.health import Round
from ridgeline.spec.model import Address

Done: TypeAlias = Callable[[Round], None]

_SAID: Final = {
    errno.EADDRNOTAVAIL: "the address is not on this machine",
    errno.ECONNREFUSED: "refused: nothing listens there",
    errno.ECONNRESET: "the connection was reset",
    errno.ENETUNREACH: "the address is not on this machine",
    errno.EINVAL: "the address is not on this machine",
    errno.EMFILE: "this process may open no more files",
}


class Checker(Protocol):
    """One check at work.

    `begin` returns at once and calls `done` exactly once, unless `abandon` comes first: then never.
    """

    def begin(self, done: Done) -> None: ...

    def abandon(self, reason: str) -> Round:
        """End the round, since its time is up, and return what to say of it."""
        ...

    def close(self) -> None:
        """Give back what is held between rounds."""
        ...


def failed(error: OSError, *, final: bool = False) -> Round:
    """Say what the kernel refused."""
    number = error.errno or 0
    return Round(ok=False, reason=_SAID.get(number, os.strerror(number)), final=final)


def local_socket(address: Address, kind: socket.SocketKind, protocol: int = 0) -> socket.socket:
    """Open a socket that sends from `address` itself, so that nothing leaves the machine.

    Raises
    ------
    OSError
        EADDRNOTAVAIL: the address is not on this machine.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        opened.bind((str(address), 0))
    except OSError:
        opened.close()
        raise
    return opened
