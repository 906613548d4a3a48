"""From whom an AS has a route, and how much it likes routes from there."""

from enum import IntEnum
from typing import Final


class Learned(IntEnum):
    """The neighbour's role; a lower value is preferred (mirrored as plain numbers in kernels)."""

    UNHEARD = 0
    CUSTOMER = 1
    PEER = 2
    PROVIDER = 3


LOCAL_PREF: Final = {Learned.CUSTOMER: 300, Learned.PEER: 200, Learned.PROVIDER: 100}
"""Local preference by role (RFC 4271, section 5.1.5)."""
