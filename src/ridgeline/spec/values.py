"""From the text of one scalar to its value; each function says what it found and would take."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from ridgeline.net.address import is_address
from ridgeline.net.airports import codes_of_city, find_place
from ridgeline.net.community import BLACKHOLE, Community, parse_community
from ridgeline.net.place import Place
from ridgeline.spec.model import Address, EdgeEngine, Prefix, ServiceKind, SiteState
from ridgeline.spec.words import did_you_mean, listed, shown

NAME: Final = (
    r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?"  # a DNS label (RFC 1035, section 2.3.1), 32 at most
)
CODE: Final = r"[A-Za-z]{3}"
DURATION: Final = r"[0-9]{1,6}(\.[0-9]{1,6})?(ms|s|m)"
URL_PATH: Final = r"/[A-Za-z0-9._~/-]{0,200}"
MAX_PREPEND: Final = 10
MAX_DURATION: Final = 3600.0
_MAX_COUNT: Final = 10**12
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}
_HOST: Final = re.compile(
    r"(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*\.?"
)


def parse_name(text: str) -> str:
    """Read a name that can become a DNS label, a protocol and a folder."""
    if not re.fullmatch(NAME, text):
        raise ValueError(
            f"{shown(text)} is not a name: a lower-case letter, then letters, digits and hyphens, "
            "at most 32 in all"
        )
    return text


def parse_site_name(text: str) -> str:
    """Read a name as `parse_name`, in capitals too: ``NRT`` is ``nrt``. The text is kept."""
    parse_name(text.lower() if text.isascii() else text)
    return text


def parse_prefix(text: str) -> Prefix:
    """Read a prefix that a network may announce.

    RFC 6890 (special-purpose space) decides what may not; documentation and private space may,
    because examples and labs live there.
    """
    address, slash, length = text.partition("/")
    try:
        first = ip_address(address)
        bits = int(length) if re.fullmatch("[0-9]{1,3}", length) else -1
        network = ip_network((first, bits), strict=False) if slash else None
    except ValueError:
        message = f"{shown(text)} is not a prefix such as 192.0.2.0/24 or 2001:db8::/48"
        raise ValueError(message) from None
    if network is None:
        usual = "24" if isinstance(first, IPv4Address) else "48"
        raise ValueError(f"{shown(text)} has no length: write {text}/{usual}, or what it is")
    if getattr(first, "scope_id", None):
        raise ValueError(f"{shown(text)} has a zone; a prefix has none")
    if network.network_address != first:
        raise ValueError(f"{text} has host bits set; the prefix is {network}")
    _refuse_unannounceable(network)
    return network


def _refuse_unannounceable(network: Prefix) -> None:
    if network.prefixlen == 0:
        raise ValueError(f"{network} is the default route; announce your own prefix (RFC 7454)")
    for is_it, what in (
        (network.is_loopback, "loopback"),
        (network.is_link_local, "link-local"),
        (network.is_multicast, "multicast"),
        (network.is_reserved or network.network_address.packed[0] == 0, "reserved"),
    ):
        if is_it:
            raise ValueError(f"{network} is {what} space and cannot be announced (RFC 6890)")
    least = 8 if network.version == 4 else 16
    if network.prefixlen < least:
        raise ValueError(f"{network} is larger than any network's: /{least} is the least length")


def parse_address(text: str) -> Address:
    """Read one address, without a length or an interface."""
    try:
        address = ip_address(text)
    except (AddressValueError, ValueError):
        bare = text.partition("/")[0]
        hint = f"; an address has no length: {bare}" if is_address(bare) and bare != text else ""
        message = f"{shown(text)} is not an address such as 192.0.2.53 or 2001:db8::53{hint}"
        raise ValueError(message) from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise ValueError(f"{shown(text)} names an interface; an anycast address has none")
    return address


def parse_public_community(text: str) -> Community:
    """Read a community that a spec may attach; never BLACKHOLE, which would drop all traffic."""
    half = re.fullmatch("([0-9]{5,10}):([0-9]{1,5})", text)
    if half and int(half[1]) >= 2**16:
        raise ValueError(
            f"{shown(text)} has an AS number that needs a large community, such as "
            f"{half[1]}:0:{half[2]} (RFC 8092)"
        )
    community = parse_community(text)
    if community == BLACKHOLE:
        raise ValueError(f"{shown(text)} asks for all traffic to be dropped (BLACKHOLE, RFC 7999)")
    return community


def parse_duration(text: str) -> float:
    """Read ``1s``, ``500ms`` or ``2m`` as seconds."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"{shown(text)} has no unit: {text}s, {text}ms or {text}m?")
    if not re.fullmatch(DURATION, text):
        raise ValueError(f"{shown(text)} is not a duration such as 1s, 500ms or 2m")
    unit = "ms" if text.endswith("ms") else text[-1]
    seconds = round(float(text.removesuffix(unit)) * _SECONDS[unit], 9)
    if not 0.001 <= seconds <= MAX_DURATION:
        raise ValueError(f"{text} is out of range: 1ms to 60m")
    return seconds


def parse_count(text: str) -> int:
    """Read a whole number above zero."""
    number = _whole(text)
    if not 0 < number < _MAX_COUNT:
        raise ValueError(f"{text} is out of range: more than 0, less than 10^12")
    return number


def parse_rounds(text: str) -> int:
    """Read a number of health checks in a row."""
    number = _whole(text)
    if not 1 <= number <= 100:
        raise ValueError(f"{text} is out of range: 1 to 100 checks in a row")
    return number


def parse_prepend(text: str) -> int:
    """Read how many extra copies of our ASN go onto the AS path."""
    number = _whole(text)
    if not 0 <= number <= MAX_PREPEND:
        raise ValueError(f"{text} is out of range: 0 to {MAX_PREPEND} extra copies")
    return number


def _whole(text: str) -> int:
    if re.fullmatch("[+-]?[0-9]{1,20}", text):
        return int(text)
    found = re.fullmatch("([0-9]{1,9})([kM])", text)
    bare = re.sub("[_',]", "", text)
    hint = ""
    if found:
        hint = f": write {int(found[1]) * {'k': 1000, 'M': 1000000}[found[2]]}"
    elif bare != text and re.fullmatch("[0-9]{1,12}", bare):
        hint = f": write {bare}"
    raise ValueError(f"{shown(text)} is not a whole number{hint}")


def parse_flag(text: str) -> bool:
    """Read ``true`` or ``false``."""
    match text.lower():
        case "true":
            return True
        case "false":
            return False
        case "yes" | "on":
            raise ValueError(f"{shown(text)} is neither true nor false: write true")
        case "no" | "off":
            raise ValueError(f"{shown(text)} is neither true nor false: write false")
        case _:
            raise ValueError(f"{shown(text)} is neither true nor false")


def parse_lat(text: str) -> float:
    """Read degrees north."""
    return _degrees(text, 90, "north of the equator (south is negative)")


def parse_lon(text: str) -> float:
    """Read degrees east."""
    return _degrees(text, 180, "east of Greenwich (west is negative)")


def _degrees(text: str, limit: int, what: str) -> float:
    if not re.fullmatch(r"[+-]?[0-9]{1,3}(\.[0-9]{1,18})?", text):
        raise ValueError(f"{shown(text)} is not a number of degrees {what}, such as 35.76")
    degrees = float(text)
    if abs(degrees) > limit:
        raise ValueError(f"{text} is out of range: -{limit} to {limit} degrees {what}")
    return degrees


def parse_code(text: str) -> Place:
    """Read an IATA code as the place that it names."""
    place = find_place(text)
    if place is None:
        codes = codes_of_city(text)
        hint = f"; {' '.join(text.split())} is {listed(codes)}" if codes else ""
        message = f"{shown(text)} is not an IATA code; write one, or {{lat: .., lon: ..}}{hint}"
        raise ValueError(message)
    return place


def parse_country(text: str) -> str:
    """Read an ISO 3166-1 alpha-2 code."""
    if not re.fullmatch("[A-Za-z]{2}", text):
        raise ValueError(f"{shown(text)} is not a two-letter country code such as JP")
    return text.upper()


def parse_words(text: str) -> str:
    """Read a line of text, such as a city's name."""
    if not text.strip() or not text.isprintable() or len(text) > 100:
        raise ValueError(f"{shown(text)} is not a name of 1 to 100 printable characters")
    return text


def parse_path(text: str) -> str:
    """Read a path that can be quoted in every server's configuration."""
    if not text.strip() or text.endswith("/"):
        raise ValueError(f"{shown(text)} names no file")
    if not text.isprintable() or set(text) & set("\"'\\$"):
        raise ValueError(
            f"{shown(text)} cannot be written in every server's configuration: "
            "no quotes, backslash, $ or control character"
        )
    return text


def parse_folder(text: str) -> str:
    """Read the path of a folder, with or without a closing slash."""
    folder = text.rstrip("/") if text.strip("/") else text
    if folder.removeprefix("./") in ("", "."):
        raise ValueError(f"{shown(text)} is the folder of the spec; name one inside it, or another")
    return parse_path(folder)


def parse_origin(text: str) -> str:
    """Read where an HTTP cache fetches from: scheme, host and port (RFC 6454, section 4)."""
    example = "such as http://origin.example.test:8080"
    try:
        url = urlsplit(text)
        port, host = url.port, url.hostname or ""
    except ValueError:
        raise ValueError(f"{shown(text)} is not a URL {example}") from None
    if url.scheme not in ("http", "https") or not text.isascii() or not text.isprintable():
        raise ValueError(f"{shown(text)} is not a http or https URL {example}")
    if not (is_address(host) or _HOST.fullmatch(host)) or port == 0 or "@" in url.netloc:
        raise ValueError(f"{shown(text)} names no host and port to fetch from, {example}")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError(f"{shown(text)} has a path; an origin is scheme, host and port, {example}")
    return text


def parse_kind(text: str) -> ServiceKind:
    """Read what answers on a service's addresses."""
    return ServiceKind(_choose(text, [kind.value for kind in ServiceKind], "a kind of service"))


def parse_engine(text: str) -> EdgeEngine:
    """Read what an HTTP cache runs."""
    return EdgeEngine(_choose(text, [engine.value for engine in EdgeEngine], "an engine"))


def parse_clients(text: str) -> Prefix:
    """Read a network of clients, or one client; ``0.0.0.0/0`` and ``::/0`` are everyone."""
    if text in ("any", "all", "everyone", "*", "0/0"):
        raise ValueError(f'{shown(text)} is not a network: write 0.0.0.0/0 and "::/0" for everyone')
    address, slash, length = text.partition("/")
    try:
        first = ip_address(address)
        bits = int(length) if re.fullmatch("[0-9]{1,3}", length) else -1
        network = ip_network((first, bits if slash else first.max_prefixlen), strict=False)
    except ValueError:
        message = f"{shown(text)} is not a network of clients such as 192.0.2.0/24 or 2001:db8::/32"
        raise ValueError(message) from None
    if getattr(first, "scope_id", None):
        raise ValueError(f"{shown(text)} names an interface; a network of clients has none")
    if network.network_address != first:
        raise ValueError(f"{text} has host bits set; the network is {network}")
    return network


def parse_url_path(text: str) -> str:
    """Read the beginning of a URL's path: letters, digits and ``._~/-`` alone (RFC 3986)."""
    if text == "/":
        raise ValueError("'/' is every path: name those of long downloads, such as /download/")
    if not re.fullmatch(URL_PATH, text) or "//" in text or "/." in text:
        raise ValueError(f"{shown(text)} is not the beginning of a URL's path such as /download/")
    return text


def parse_state(text: str) -> SiteState:
    """Read whether a site announces."""
    return SiteState(_choose(text, [state.value for state in SiteState], "a state of a site"))


def _choose(text: str, known: list[str], what: str) -> str:
    if text in known:
        return text
    near = did_you_mean(text, known)
    hint = f"; did you mean {near}?" if near else f": {listed(known)}"
    raise ValueError(f"{shown(text)} is not {what}{hint}")
