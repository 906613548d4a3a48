"""AS numbers (RFC 6793), in asplain and asdot notation (RFC 5396)."""

from typing import Final, NewType

Asn = NewType("Asn", int)

AS_TRANS: Final = 23456  # RFC 6793: stands for a 4-byte AS, never a real neighbour
MAX_ASN: Final = 2**32 - 1
_RESERVED: Final = frozenset({0, AS_TRANS, 2**16 - 1, MAX_ASN})


def parse_asn(text: str) -> Asn:
    """Read an AS number: ``64500``, ``AS64500`` or ``1.10`` (asdot).

    Raises
    ------
    ValueError
        The text is no AS number, or names one that no network can hold
        (0, RFC 7607; 65535 and 4294967295, RFC 7300; AS_TRANS, RFC 6793).
    """
    digits = text.strip().upper().removeprefix("AS")
    match digits.split("."):
        case [low] if low.isascii() and low.isdigit() and len(low) <= 10:
            number = int(low)
        case [high, low] if all(
            p.isascii() and p.isdigit() and len(p) <= 5 and int(p) < 65536 for p in (high, low)
        ):
            number = int(high) * 65536 + int(low)
        case _:
            raise ValueError(f"{text!r} is not an AS number")
    if number > MAX_ASN:
        raise ValueError(f"{text!r} is not an AS number: the largest is {MAX_ASN}")
    if number in _RESERVED:
        raise ValueError(f"AS{number} is reserved and cannot announce a prefix")
    return Asn(number)
