"""BGP communities: two 16-bit halves (RFC 1997) or three 32-bit parts (RFC 8092)."""

from typing import Final, TypeAlias

Community: TypeAlias = tuple[int, int] | tuple[int, int, int]

GRACEFUL_SHUTDOWN: Final[Community] = (65535, 0)  # RFC 8326
NO_EXPORT: Final[Community] = (65535, 65281)  # RFC 1997
NO_ADVERTISE: Final[Community] = (65535, 65282)  # RFC 1997
BLACKHOLE: Final[Community] = (65535, 666)  # RFC 7999: never accepted from a spec

_NAMES: Final[dict[str, Community]] = {
    "graceful-shutdown": GRACEFUL_SHUTDOWN,
    "no-export": NO_EXPORT,
    "no-advertise": NO_ADVERTISE,
    "blackhole": BLACKHOLE,
}


def parse_community(text: str) -> Community:
    """Read ``65535:0``, ``65550:0:174`` or a well-known name such as ``no-export``.

    Raises
    ------
    ValueError
        The text is neither a community nor a large community.
    """
    named = _NAMES.get(text.strip().lower())
    if named is not None:
        return named
    parts = text.strip().split(":")
    if not all(p.isascii() and p.isdigit() and len(p) <= 10 for p in parts):
        raise ValueError(f"{text!r} is not a community such as 65535:0 or 65550:0:174")
    match [int(p) for p in parts]:
        case [high, low] if max(high, low) < 2**16:
            return (high, low)
        case [first, second, third] if max(first, second, third) < 2**32:
            return (first, second, third)
        case _:
            raise ValueError(
                f"{text!r} is not a community: two numbers below 65536 or three below 4294967296"
            )


def render_community(community: Community) -> str:
    """Write a community as operators do: ``65550:0:174``."""
    return ":".join(map(str, community))
