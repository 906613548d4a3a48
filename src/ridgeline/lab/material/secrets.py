"""The keys that all sites share: read from the spec's folder, written to it, or made for one lab.

Nothing here prints or logs, and no message tells anything of a key but its length.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from ridgeline.errors import InputError, MachineError, Problem
from ridgeline.spec.model import Spec
from ridgeline.spec.secrets import (
    DNS_COOKIE_BYTES,
    TICKET_KEY_BYTES,
    TSIG_BYTES,
    KeyRing,
    SecretKind,
    Secrets,
    parse_keys,
)

_MAX_BYTES = 2**20


def make_secrets() -> Secrets:
    """Make keys from the kernel's randomness."""
    return Secrets(
        dns_cookies=(os.urandom(DNS_COOKIE_BYTES),),
        ticket_keys=(os.urandom(TICKET_KEY_BYTES),),
        tsig=os.urandom(TSIG_BYTES),
    )


def secrets_of(spec: Spec) -> Secrets:
    """Read the keys of the folder that the spec names; without one make fresh keys.

    Raises
    ------
    InputError
        The folder is not there, or with every problem of its files.
    """
    if not spec.secrets:
        return make_secrets()
    folder = secrets_folder(spec)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: there is no such folder; `ridgeline secrets new {spec.file}` makes it"
        )
    rings, problems = read_rings(folder)
    if problems:
        raise InputError(problems)
    return Secrets(
        dns_cookies=rings[SecretKind.COOKIES].accepted(),
        ticket_keys=rings[SecretKind.TICKETS].accepted(),
        tsig=rings[SecretKind.TSIG].accepted()[0],
    )


def secrets_folder(spec: Spec) -> Path:
    """Return where the spec's keys are."""
    return Path(spec.file).parent / spec.secrets


def read_rings(folder: Path) -> tuple[dict[SecretKind, KeyRing], list[Problem]]:
    """Read every file of keys: those that are right, and all problems."""
    rings: dict[SecretKind, KeyRing] = {}
    problems: list[Problem] = []
    for kind in SecretKind:
        ring, found = read_ring(folder, kind)
        problems += found
        if ring is not None:
            rings[kind] = ring
    return rings, problems


def read_ring(folder: Path, kind: SecretKind) -> tuple[KeyRing | None, tuple[Problem, ...]]:
    """Read one file of keys, or say all that is wrong with it; nobody else may read the file."""
    path = folder / kind.value
    problems = [Problem(str(path), 1, 1, "", message) for message in too_open(path)]
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES)
    except FileNotFoundError:
        message = "there is no such file; `ridgeline secrets new` writes those that are missing"
        return None, (Problem(str(path), 1, 1, "", message),)
    except OSError as error:
        return None, (Problem(str(path), 1, 1, "", f"cannot be read: {error.strerror}"),)
    ring, found = parse_keys(data.decode(errors="replace"), kind=kind, file=str(path))
    return (None if problems else ring), (*problems, *found)


def too_open(path: Path) -> list[str]:
    """Say that others may read or change a file or folder that should be its owner's alone."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return []  # whoever reads it will say why it cannot be
    others = [who for who, bits in (("its group", 0o070), ("everyone", 0o007)) if mode & bits]
    if not others:
        return []
    right = "700" if path.is_dir() else "600"
    return [f"is open to {' and '.join(others)} ({mode & 0o777:04o}): chmod {right} {path}"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others from changing the folder meanwhile.

    Raises
    ------
    MachineError
        Somebody else is changing it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        yield
    except BlockingIOError:
        raise MachineError(f"{folder} is being changed by another command") from None
    finally:
        os.close(descriptor)


def write_private(path: Path, data: bytes | str) -> None:
    """Write a file that its owner alone may read, at once: readers see the old one or the new.

    The temporary file is made with its mode (never readable for a moment) and is this process's
    alone (``O_EXCL``).
    """
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # the new name, too, survives a power cut
    finally:
        os.close(folder)
