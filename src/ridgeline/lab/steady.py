"""The file that long downloads fetch: every piece of it shows whether it is the right one."""

from typing import Final

STEADY_FILE_BYTES: Final = 256 << 10


def steady_bytes(start: int, end: int) -> bytes:
    """Make part of what ``/steady`` is: each eight bytes say where in the file they stand."""
    first = start // 8
    words = range(first, (end + 7) // 8)
    return b"".join(b"%07x\n" % word for word in words)[start - 8 * first : end - 8 * first]
