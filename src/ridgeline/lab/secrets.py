"""The keys of a lab: those of the spec's folder, or fresh ones that end with the lab."""

import os
from pathlib import Path

from ridgeline.spec.secrets import DNS_COOKIE_BYTES, TICKET_KEY_BYTES, Secrets


def make_secrets() -> Secrets:
    """Make keys from the kernel's randomness."""
    return Secrets(
        dns_cookies=(os.urandom(DNS_COOKIE_BYTES),),
        ticket_keys=(os.urandom(TICKET_KEY_BYTES),),
        tsig=os.urandom(32),
    )


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
