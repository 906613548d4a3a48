"""Keys that all sites of a network share, so that a client moved by BGP notices nothing.

Pure: texts and bytes go in and out; `ridgeline.lab.material.secrets` reads and writes the folder that the
spec names. A file has one key a line in hex, newest first, each with its part in a rotation and
since when; what follows a ``#`` is a comment:

::

    # Keys of DNS server cookies (RFC 9018), newest first.
    9f0c...e1 next 2026-11-22T10:00:00Z
    4be2...07 used 2026-08-01T10:00:00Z

A rotation has three phases (RFC 9018, section 5), between which every site must have the files:

::

    used ──accept──> next, used ──use──> used, old ──drop──> used
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from ridgeline.errors import Problem

DNS_COOKIE_BYTES: Final = 16
"""SipHash-2-4 key of the server cookie (RFC 9018, section 4.4)."""
TICKET_KEY_BYTES: Final = 80
"""Name, HMAC and AES key of TLS session tickets, as nginx and Unbound read them."""
TSIG_BYTES: Final = 32
"""HMAC-SHA256 key of zone transfers (RFC 8945; as long as the hash, RFC 2104, section 3)."""
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class SecretKind(Enum):
    """What a file of the folder holds keys of; the value is the file's name."""

    COOKIES = "dns-cookies"
    TICKETS = "ticket-keys"
    TSIG = "tsig"

    @property
    def key_bytes(self) -> int:
        """How long each key is."""
        return _SIZES[self]


_SIZES: Final = {
    SecretKind.COOKIES: DNS_COOKIE_BYTES,
    SecretKind.TICKETS: TICKET_KEY_BYTES,
    SecretKind.TSIG: TSIG_BYTES,
}
_HEADS: Final = {
    SecretKind.COOKIES: "Keys of DNS server cookies (RFC 9018)",
    SecretKind.TICKETS: "Keys of TLS session tickets, as nginx and Unbound read them",
    SecretKind.TSIG: "The key of zone transfers (TSIG with HMAC-SHA256, RFC 8945)",
}
WORTH: Final = {
    SecretKind.COOKIES: 3600.0,  # RFC 9018, section 4.3: a cookie older than an hour is refused
    SecretKind.TICKETS: 86400.0,  # how long our servers take a ticket
    SecretKind.TSIG: 0.0,
}
"""For how many seconds clients hold what an old key made: at least this long it must be accepted."""


class Role(Enum):
    """What part a key has in a rotation."""

    NEXT = "next"
    """Accepted, and not used before every site accepts it."""
    USED = "used"
    OLD = "old"
    """Accepted still, for what it made lives on at the clients."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Key:
    """One line of a file. It has no `repr` of its value: a secret must not stand in a log."""

    value: bytes
    role: Role
    since: datetime
    """When it took the role."""

    def __repr__(self) -> str:
        """Tell all but the value."""
        return f"Key({self.role.value} since {self.since:{_TIME}})"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRing:
    """The keys of one file, newest first; exactly one is used."""

    kind: SecretKind
    keys: tuple[Key, ...]

    def accepted(self) -> tuple[bytes, ...]:
        """List every key, the used one first: as servers want them."""
        by_use = sorted(self.keys, key=lambda key: key.role is not Role.USED)
        return tuple(key.value for key in by_use)

    def since(self) -> datetime:
        """Return when the last phase was taken."""
        return max(key.since for key in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """What is shared. In each list the first is used, all are accepted.

    It has no `repr` of its values: a secret must not stand in a log.
    """

    dns_cookies: tuple[bytes, ...]
    """`DNS_COOKIE_BYTES` each."""
    ticket_keys: tuple[bytes, ...]
    """`TICKET_KEY_BYTES` each."""
    tsig: bytes
    """HMAC-SHA256 key of zone transfers (RFC 8945), `TSIG_BYTES` long."""

    def __repr__(self) -> str:
        """Count the keys and show none."""
        return f"Secrets({len(self.dns_cookies)} cookie keys, {len(self.ticket_keys)} ticket keys)"


class Phase(Enum):
    """A step of a rotation; the value says what it does."""

    ACCEPT = "accept the new key"
    USE = "use the new key"
    DROP = "drop the old key"


def phase_after(ring: KeyRing) -> Phase:
    """Say which step comes next."""
    roles = {key.role for key in ring.keys}
    if Role.NEXT in roles:
        return Phase.USE
    return Phase.DROP if Role.OLD in roles else Phase.ACCEPT


def rotate(ring: KeyRing, fresh: bytes, *, at: datetime) -> KeyRing:
    """Take the next step of a rotation; `fresh` is the key that ACCEPT begins to accept."""
    at = at.astimezone(UTC).replace(microsecond=0)
    phase = phase_after(ring)
    if phase is Phase.ACCEPT:
        keys = (Key(value=fresh, role=Role.NEXT, since=at), *ring.keys)
    elif phase is Phase.USE:
        after = {Role.NEXT: Role.USED, Role.USED: Role.OLD, Role.OLD: Role.OLD}
        keys = tuple(
            key if key.role is Role.OLD else replace(key, role=after[key.role], since=at)
            for key in ring.keys
        )
    else:
        keys = tuple(replace(key, since=at) for key in ring.keys if key.role is not Role.OLD)
    return replace(ring, keys=keys)


def new_ring(kind: SecretKind, fresh: bytes, *, at: datetime) -> KeyRing:
    """Begin with one key."""
    at = at.astimezone(UTC).replace(microsecond=0)
    return KeyRing(kind=kind, keys=(Key(value=fresh, role=Role.USED, since=at),))


def render_keys(ring: KeyRing) -> str:
    """Write a file of keys."""
    lines = [
        f"# {_HEADS[ring.kind]}, newest first.",
        "# `ridgeline secrets rotate` changes this file; every site needs the same one.",
        *(f"{key.value.hex()} {key.role.value} {key.since:{_TIME}}" for key in ring.keys),
    ]
    return "\n".join(lines) + "\n"


def parse_keys(
    text: str, *, kind: SecretKind, file: str
) -> tuple[KeyRing | None, tuple[Problem, ...]]:
    """Read a file of keys: the keys, or every problem. No message tells anything of a key.

    A key without a role is used if it is the first, else old; one without a time has its role since
    the beginning of time.
    """
    problems: list[Problem] = []
    keys: list[Key] = []
    lines: dict[bytes, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            key = _parse_line(words, kind, Role.OLD if keys else Role.USED)
            _refuse_repeated(key, lines)
        except ValueError as error:
            column = len(line) - len(line.lstrip()) + 1
            problems.append(Problem(file, number, column, "", str(error)))
            continue
        lines[key.value] = number
        keys.append(key)
    last = max(1, len(text.splitlines()))
    if not problems:
        problems += (Problem(file, last, 1, "", message) for message in _wrong_together(keys, kind))
    if problems:
        return None, tuple(problems)
    return KeyRing(kind=kind, keys=tuple(keys)), ()


def _refuse_repeated(key: Key, lines: dict[bytes, int]) -> None:
    if key.value in lines:
        raise ValueError(f"this key stands on line {lines[key.value]} too")


def _parse_line(words: list[str], kind: SecretKind, role: Role) -> Key:
    value = _parse_key(words[0], kind)
    since = datetime(1970, 1, 1, tzinfo=UTC)
    if len(words) > 1:
        known = [role.value for role in Role]
        if words[1] not in known:
            raise ValueError(f"after the key stands {', '.join(known[:-1])} or {known[-1]}")
        role = Role(words[1])
    if len(words) > 2:
        try:
            since = datetime.strptime(words[2], _TIME).replace(tzinfo=UTC)
        except ValueError:
            raise ValueError("the time must be such as 2026-11-22T10:00:00Z (UTC)") from None
    if len(words) > 3:
        raise ValueError("one key a line: HEX ROLE TIME, and comments after #")
    return Key(value=value, role=role, since=since)


def _parse_key(digits: str, kind: SecretKind) -> bytes:
    wanted = f"{kind.key_bytes} bytes, {2 * kind.key_bytes} hex digits"
    if not re.fullmatch("[0-9A-Fa-f]+", digits):
        raise ValueError(f"a key of {wanted} is needed, and this is not hex")
    if len(digits) != 2 * kind.key_bytes:
        size = f"{len(digits)} hex digits" if len(digits) % 2 else f"{len(digits) // 2} bytes"
        raise ValueError(f"the key has {size}; {_name(kind)} needs {wanted}")
    value = bytes.fromhex(digits)
    if len(set(value)) == 1:
        make = f"`openssl rand -hex {kind.key_bytes}` makes a key"
        raise ValueError(f"the key is one byte over and over, a placeholder; {make}")
    return value


def _name(kind: SecretKind) -> str:
    return {
        SecretKind.COOKIES: "a server cookie (RFC 9018, SipHash-2-4)",
        SecretKind.TICKETS: "a TLS ticket key (name, HMAC, AES-256)",
        SecretKind.TSIG: "HMAC-SHA256",
    }[kind]


def _wrong_together(keys: list[Key], kind: SecretKind) -> list[str]:
    roles = [key.role for key in keys]
    if not keys:
        return [f"holds no key; `openssl rand -hex {kind.key_bytes}` makes one"]
    found = []
    if roles.count(Role.USED) != 1:
        found.append(f"{roles.count(Role.USED)} keys are `used`; exactly one must be")
    if roles.count(Role.NEXT) > 1:
        found.append("more than one key is `next`: one rotation at a time")
    if kind is SecretKind.TSIG and len(keys) > 1:
        found.append("zone transfers have one key at a time")
    return found
