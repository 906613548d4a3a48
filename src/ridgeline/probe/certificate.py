"""The names in a TLS certificate that nobody vouches for: just enough DER to read them.

RFC 5280 (subject, section 4.1.2.6; subjectAltName, 4.2.1.6), X.690 (DER). The standard library reads
only certificates that it has verified, and a probe asks addresses, not names that it trusts.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_OCTETS: Final = 0x04
_OID: Final = 0x06
_UTC_TIME: Final = 0x17
_TEXT: Final = frozenset({0x0C, 0x13, 0x14, 0x16})  # UTF8String, Printable, Teletex, IA5
_EXTENSIONS: Final = 0xA3
_DNS_NAME: Final = 0x82
_COMMON_NAME: Final = bytes((0x55, 0x04, 0x03))
_SUBJECT_ALT_NAME: Final = bytes((0x55, 0x1D, 0x11))
_MAX_NAMES: Final = 20


def certificate_names(der: bytes) -> tuple[str, ...]:
    """Return the subject's common name and the DNS names, each once.

    Raises
    ------
    ValueError
        It is no certificate.
    """
    parts = list(_items(_only(_only(der, _SEQUENCE), _SEQUENCE)))
    names: list[str] = []
    sequences = [body for tag, body in parts if tag == _SEQUENCE]
    if len(sequences) < 4:  # signature, issuer, validity, subject
        raise ValueError("the certificate names no subject")
    for tag, relative in _items(sequences[3]):
        for inner, attribute in _items(relative) if tag == _SET else ():
            pair = list(_items(attribute)) if inner == _SEQUENCE else []
            if len(pair) == 2 and pair[0] == (_OID, _COMMON_NAME) and pair[1][0] in _TEXT:
                names.append(_text(pair[1][1]))
    for tag, body in parts:
        if tag == _EXTENSIONS:
            for _, extension in _items(_only(body, _SEQUENCE)):
                names += _alternative_names(extension)
    return tuple(dict.fromkeys(filter(None, names)))[:_MAX_NAMES]


def certificate_end(der: bytes) -> datetime | None:
    """Return when a certificate ends (RFC 5280, section 4.1.2.5); None if that cannot be read."""
    try:
        parts = list(_items(_only(_only(der, _SEQUENCE), _SEQUENCE)))
        validity = [body for tag, body in parts if tag == _SEQUENCE][2]  # after signature, issuer
        _, (tag, text) = _items(validity)
        pattern = "%y%m%d%H%M%SZ" if tag == _UTC_TIME else "%Y%m%d%H%M%SZ"
        return datetime.strptime(text.decode("ascii"), pattern).replace(tzinfo=UTC)
    except (ValueError, IndexError):
        return None


def _alternative_names(extension: bytes) -> list[str]:
    fields = list(_items(extension))
    if not fields or fields[0] != (_OID, _SUBJECT_ALT_NAME) or fields[-1][0] != _OCTETS:
        return []
    names = _items(_only(fields[-1][1], _SEQUENCE))
    return [_text(value) for tag, value in names if tag == _DNS_NAME]


def _text(value: bytes) -> str:
    return "".join(c for c in value[:255].decode("utf-8", errors="replace") if c.isprintable())


def _only(data: bytes, wanted: int) -> bytes:
    """Open the first item, which must be of that kind."""
    for tag, body in _items(data):
        if tag == wanted:
            return body
        break
    raise ValueError("no certificate")


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split DER into (tag, contents)."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("the certificate is cut off")
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            n_bytes = length & 0x7F
            if not 1 <= n_bytes <= 4 or at + n_bytes > len(data):
                raise ValueError("a length in the certificate is garbled")
            length = int.from_bytes(data[at : at + n_bytes], "big")
            at += n_bytes
        if at + length > len(data):
            raise ValueError("the certificate is cut off")
        yield tag, data[at : at + length]
        at += length
