"""What may stand as a value in `agent.yaml`; each parser raises `ValueError` in the author's words."""

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_interface

from ridgeline.spec.values import parse_address, parse_duration, parse_path
from ridgeline.spec.words import did_you_mean, listed, shown


def parse_fingerprint(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{16}", text):
        raise ValueError(f"{shown(text)} is no fingerprint: 16 hex digits")
    return text


def parse_own(text: str) -> str:
    return parse_path(text) if text.startswith("/") else str(parse_address(text))


def one_of(*known: str, fold: Callable[[str], str] = str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if fold(text) in known:
            return fold(text)
        near = did_you_mean(text, known)
        hint = f"did you mean {near}?" if near else listed(list(known))
        raise ValueError(f"{shown(text)} is none of the known values; {hint}")

    return parse


def parse_hold(text: str) -> float:
    return 0.0 if text in {"0", "0s"} else parse_duration(text)


def parse_days(text: str) -> float:
    found = re.fullmatch("([0-9]{1,4})d", text)
    return int(found[1]) * 86400.0 if found else parse_duration(text)


def parse_least(text: str) -> int | None:
    match text:
        case "all":
            return None
        case "any":
            return 1
    if re.fullmatch("[1-9][0-9]{0,3}", text):
        return int(text)
    raise ValueError(f"{shown(text)} is neither all, any nor a number above 0")


def parse_port(text: str) -> int:
    if re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) < 65536:
        return int(text)
    raise ValueError(f"{shown(text)} is not a port: 1 to 65535")


def parse_status(text: str) -> int:
    if re.fullmatch("[1-5][0-9][0-9]", text):
        return int(text)
    raise ValueError(f"{shown(text)} is not a status code such as 200 (RFC 9110, section 15)")


def parse_domain(text: str) -> str:
    import dns.exception
    import dns.name

    try:
        return dns.name.from_text(text).to_text()
    except (dns.exception.DNSException, UnicodeError):
        raise ValueError(f"{shown(text)} is not a domain name") from None


def parse_type(text: str) -> str:
    import dns.exception
    import dns.rdatatype

    try:
        return dns.rdatatype.to_text(dns.rdatatype.from_text(text))
    except (dns.exception.DNSException, ValueError):
        raise ValueError(f"{shown(text)} is not a record type such as SOA") from None


def parse_pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{shown(text)} is not a regular expression: {error}") from None
    return text


def parse_url_path(text: str) -> str:
    if not re.fullmatch(r"/[!-~]*", text):
        raise ValueError(f"{shown(text)} is not a path: it starts with / and has no blanks")
    return text


def parse_host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:\[\]-]{1,255}", text):
        raise ValueError(f"{shown(text)} is not a host name")
    return text


def parse_unit(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]{1,255}", text):
        raise ValueError(f"{shown(text)} is not a unit such as knot.service")
    return text if "." in text else f"{text}.service"


def parse_metrics(text: str) -> str:
    if text.startswith("/"):
        return parse_path(text)
    host, _, port = text.rpartition(":")
    try:
        loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdigit():
        raise ValueError(
            f"{shown(text)} is neither the path of a unix socket nor a port of the loopback, "
            "such as 127.0.0.1:9153"
        )
    return text


def parse_pair(text: str) -> str:
    """Read the two ends of a BFD session: ``LOCAL,PEER``, of one family."""
    local, comma, peer = (part.strip() for part in text.partition(","))
    if not comma:
        raise ValueError(f"{shown(text)} is not LOCAL,PEER, such as 10.255.53.2,10.255.53.1")
    ends = parse_address(local), parse_address(peer)
    if ends[0].version != ends[1].version or ends[0] == ends[1]:
        raise ValueError(f"{shown(text)} needs two addresses of one family")
    return f"{ends[0]},{ends[1]}"


def parse_gateways(text: str) -> str:
    """Read the next hops that BFD keeps alive: one address for each family."""
    found = [parse_address(part.strip()) for part in text.split(",")]
    if len({address.version for address in found}) != len(found):
        raise ValueError(f"{shown(text)} has two addresses of one family")
    return ",".join(map(str, found))


def parse_leased(text: str) -> str:
    """Read an address with its length, for the kernel to end."""
    try:
        if "/" in text:
            return str(ip_interface(text))
    except ValueError:
        pass
    raise ValueError(f"{shown(text)} is no address with its length, such as 198.18.255.1/32")


def parse_endpoint(text: str) -> str:
    if not re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?", text):
        raise ValueError(f"{shown(text)} is not a member such as https://etcd1.example:2379")
    return text


def parse_number(text: str) -> str:
    """Read a number of seconds, as text."""
    if not re.fullmatch(r"[0-9]{1,5}([.][0-9]{1,3})?", text):
        raise ValueError(f"{shown(text)} is no number of seconds")
    return text
