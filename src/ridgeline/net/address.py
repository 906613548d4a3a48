"""IP addresses, as far as the standard library leaves something to say."""

from ipaddress import ip_address


def is_address(text: str) -> bool:
    """Say whether a text is an IPv4 or IPv6 address, and not a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
