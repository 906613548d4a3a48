"""The least of DNS that the prober needs: one query that asks who answers, and who did.

Made for being called thousands of times a second; everything else in Ridgeline uses dnspython,
against which the tests hold this. RFC 1035 (messages), RFC 6891 (EDNS), RFC 5001 (NSID).
"""

import struct
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct("!HHHHHH")  # id, flags, and the counts of the four sections
_FIXED: Final = struct.Struct("!HHIH")  # type, class, TTL, length: what follows a record's name
_RECURSION_DESIRED: Final = 0x0100
_IS_ANSWER: Final = 0x8000
_AUTHORITATIVE: Final = 0x0400
_CLASS_IN: Final = 1
_TYPE_OPT: Final = 41
_OPTION_NSID: Final = 3
_OPTION_COOKIE: Final = 10
_UDP_BYTES: Final = 1232  # what passes every path unfragmented (DNS flag day 2020)
_TYPES: Final = {"A": 1, "NS": 2, "SOA": 6, "TXT": 16, "AAAA": 28}
_RCODES: Final = {
    0: "NOERROR",
    1: "FORMERR",
    2: "SERVFAIL",
    3: "NXDOMAIN",
    4: "NOTIMP",
    5: "REFUSED",
    9: "NOTAUTH",
    16: "BADVERS",
    23: "BADCOOKIE",
}


class Identity(NamedTuple):
    """Who answered, and how well."""

    rcode: str
    """``NOERROR``, ``SERVFAIL``... (RFC 1035, section 4.1.1; RFC 6895)."""
    nsid: str | None
    """As text where it is text, else in hexadecimal; None if the server sent none."""


def identity_query(name: str, kind: str, *, recursion: bool, cookie: bytes = b"") -> bytes:
    """Make a query with an empty NSID option and the ID 0; its first two bytes are the ID.

    Parameters
    ----------
    cookie
        Client and server cookie (RFC 7873), if there are any.
    """
    if kind not in _TYPES:
        raise ValueError(f"record type {kind!r} is none of {', '.join(_TYPES)}")
    flags = _RECURSION_DESIRED if recursion else 0
    question = _wire_name(name) + struct.pack("!HH", _TYPES[kind], _CLASS_IN)
    option = struct.pack("!HH", _OPTION_NSID, 0)
    if cookie:
        option += struct.pack("!HH", _OPTION_COOKIE, len(cookie)) + cookie
    opt = b"\0" + _FIXED.pack(_TYPE_OPT, _UDP_BYTES, 0, len(option)) + option
    return _HEADER.pack(0, flags, 1, 0, 0, 1) + question + opt


def read_identity(wire: bytes) -> Identity:
    """Read an answer.

    Raises
    ------
    ValueError
        It is no DNS answer.
    """
    try:
        _, flags, questions, *records = _HEADER.unpack_from(wire)
        if not flags & _IS_ANSWER:
            raise ValueError("a query came back instead of an answer")
        rcode, nsid = flags & 0xF, None
        at = _HEADER.size
        for _ in range(questions):
            at = _after_name(wire, at) + 4
        for _ in range(sum(records)):
            at = _after_name(wire, at)
            kind, _, ttl, length = _FIXED.unpack_from(wire, at)
            at += _FIXED.size
            if at + length > len(wire):
                raise ValueError("a record ends outside the message")
            if kind == _TYPE_OPT:
                rcode |= ttl >> 24 << 4  # RFC 6891, section 6.1.3
                nsid = _find_nsid(wire[at : at + length])
            at += length
    except (struct.error, IndexError):
        raise ValueError("the message ends too early") from None
    return Identity(_RCODES.get(rcode, f"RCODE{rcode}"), nsid)


class SoaAnswer(NamedTuple):
    """What a server says of a zone."""

    authoritative: bool
    serial: int | None
    """Of the SOA record in the answer; None if there is none."""


def soa_query(domain: str) -> bytes:
    """Make a query for a zone's SOA record with the ID 0."""
    question = _wire_name(domain) + struct.pack("!HH", _TYPES["SOA"], _CLASS_IN)
    return _HEADER.pack(0, 0, 1, 0, 0, 0) + question


def read_soa(wire: bytes) -> SoaAnswer:
    """Read the answer to it.

    Raises
    ------
    ValueError
        It is no DNS answer.
    """
    try:
        _, flags, questions, answers, _, _ = _HEADER.unpack_from(wire)
        if not flags & _IS_ANSWER:
            raise ValueError("a query came back instead of an answer")
        authoritative = bool(flags & _AUTHORITATIVE) and not flags & 0xF
        at = _HEADER.size
        for _ in range(questions):
            at = _after_name(wire, at) + 4
        for _ in range(answers):
            at = _after_name(wire, at)
            kind, _, _, length = _FIXED.unpack_from(wire, at)
            at += _FIXED.size
            if kind == _TYPES["SOA"]:
                (serial,) = struct.unpack_from("!I", wire, at + length - 20)  # before four timers
                return SoaAnswer(authoritative, serial)
            at += length
    except (struct.error, IndexError):
        raise ValueError("the message ends too early") from None
    return SoaAnswer(authoritative, None)


def _wire_name(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".") if label]
    if any(len(label) > 63 for label in labels) or sum(len(label) + 1 for label in labels) > 254:
        raise ValueError(f"{name!r} is too long for a domain name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _after_name(wire: bytes, at: int) -> int:
    while length := wire[at]:
        if length >= 0xC0:  # a pointer ends the name (RFC 1035, section 4.1.4)
            return at + 2
        at += length + 1
    return at + 1


def _find_nsid(options: bytes) -> str | None:
    at = 0
    while at < len(options):
        code, length = struct.unpack_from("!HH", options, at)
        if code == _OPTION_NSID:
            value = options[at + 4 : at + 4 + length]
            is_text = value.isascii() and value.decode("ascii").isprintable()
            return value.decode("ascii") if is_text else value.hex()
        at += 4 + length
    return None
