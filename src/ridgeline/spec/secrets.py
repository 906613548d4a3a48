"""Keys that all sites of a network share, so that a client moved by BGP notices nothing.

Pure: texts and bytes go in and out; `ridgeline.lab.secrets` and `ridgeline.app.secrets` read and
write the folder that the spec names.
"""

from dataclasses import dataclass
from typing import Final

DNS_COOKIE_BYTES: Final = 16
"""SipHash-2-4 key of the server cookie (RFC 9018, section 4.4)."""
TICKET_KEY_BYTES: Final = 80
"""Name, HMAC and AES key of TLS session tickets, as nginx reads them."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """What is shared. Each list is newest first: the first is used, all are accepted.

    It has no `repr` of its values: a secret must not stand in a log.
    """

    dns_cookies: tuple[bytes, ...]
    """`DNS_COOKIE_BYTES` each."""
    ticket_keys: tuple[bytes, ...]
    """`TICKET_KEY_BYTES` each."""
    tsig: bytes
    """HMAC-SHA256 key of zone transfers (RFC 8945), 32 bytes."""

    def __repr__(self) -> str:
        """Count the keys and show none."""
        return f"Secrets({len(self.dns_cookies)} cookie keys, {len(self.ticket_keys)} ticket keys)"
