"""The keys of a lab: those of the spec's folder, or fresh ones that end with the lab."""

import os

from ridgeline.spec.secrets import DNS_COOKIE_BYTES, TICKET_KEY_BYTES, Secrets


def make_secrets() -> Secrets:
    """Make keys from the kernel's randomness."""
    return Secrets(
        dns_cookies=(os.urandom(DNS_COOKIE_BYTES),),
        ticket_keys=(os.urandom(TICKET_KEY_BYTES),),
        tsig=os.urandom(32),
    )
