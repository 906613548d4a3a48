"""What may stand in a configuration file, and how.

Three daemons, three grammars: what one quotes, another expands. So the little that none of them
needs (quotes, backslashes, control characters) is refused, and the rest goes in double quotes.
"""

import re
from collections.abc import Iterable
from typing import Final

from ridgeline.spec.model import Address

_UNQUOTABLE: Final = re.compile(r'["\'\\\x00-\x1f\x7f]')
_NAME: Final = re.compile(r"(?=.{1,253}\.?$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_/-]{0,61}[A-Za-z0-9_])?\.)*"
                          r"[A-Za-z0-9_](?:[A-Za-z0-9_/-]{0,61}[A-Za-z0-9_])?\.?")  # fmt: skip
SOCKET_PATH_BYTES: Final = 107  # sockaddr_un.sun_path holds 108 with its closing NUL


def quote(text: str, what: str, *, refuse: str = "") -> str:
    """Put `text` in double quotes.

    Raises
    ------
    ValueError
        It holds a character that the daemon would not read back as itself; `refuse` adds to them.
    """
    found = _UNQUOTABLE.search(text) or (
        re.search(f"[{re.escape(refuse)}]", text) if refuse else None
    )
    if found:
        raise ValueError(
            f"{what} {text!r} holds {found[0]!r}, which the file's grammar cannot carry"
        )
    return f'"{text}"'


def quote_path(path: str, what: str, *, refuse: str = "") -> str:
    """Put an absolute path in double quotes; see `quote`."""
    if not path.startswith("/"):
        raise ValueError(f"{what} {path!r} is not an absolute path")
    return quote(path, what, refuse=refuse)


def fits_a_socket(path: str, what: str) -> str:
    """Return the path if a Unix socket may be bound to it."""
    if len(path.encode()) > SOCKET_PATH_BYTES:
        raise ValueError(
            f"{what} {path!r} is longer than the {SOCKET_PATH_BYTES} bytes of a socket's name"
        )
    return path


def absolute_name(name: str, what: str) -> str:
    """Return a domain name with its closing dot.

    Raises
    ------
    ValueError
        The name is none: letters, digits, ``-``, ``_`` and, for RFC 2317 delegations, ``/``.
    """
    if name == ".":
        return name
    if not _NAME.fullmatch(name):
        raise ValueError(f"{what} {name!r} is not a domain name")
    return name if name.endswith(".") else f"{name}."


def some(addresses: Iterable[Address], what: str) -> tuple[Address, ...]:
    """Return the addresses, each once and in order; at least one."""
    unique = tuple(dict.fromkeys(addresses))
    if not unique:
        raise ValueError(f"{what} names no address")
    return unique


def port_number(port: int, what: str) -> int:
    """Return the port if TCP and UDP have it."""
    if not 0 < port < 2**16:
        raise ValueError(f"{what} {port} is not a port between 1 and 65535")
    return port
