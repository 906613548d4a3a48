"""Start a network: a commented spec, a zone and a page, which check, predict and lab take as they are.

The upstreams are networks of `builtin:demo`: for each site the nearest tier-1, and the nearest
regional transit if there is one in the region.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from ridgeline.errors import InputError, MachineError
from ridgeline.net.airports import codes_of_city, find_place
from ridgeline.net.place import Place, great_circle_km
from ridgeline.spec.values import NAME

DEFAULT_SITES: Final = ("nrt", "lhr", "iad")
MAX_SITES: Final = 100
_INTERNET: Final = "builtin:demo"
_TRANSITS: Final = range(
    65536, 65552
)  # the documentation ASNs of RFC 5398, which sell transit there
_REGION_KM: Final = 1500.0
_DATA: Final = Path(__file__).parent / "data"
_OPTIONS: Final = """\
    # location: {lat: $lat, lon: $lon}   # or another code; by default the code that is the name
    # capacity: 200000                      # queries or requests per second that the site can carry
    # state: active                         # active, drained, or planned: predicted, not announced
"""


@dataclass(frozen=True, slots=True)
class _Transit:
    asn: int
    name: str
    is_tier1: bool
    km: float


def new_network(directory: Path, sites: Sequence[str] = DEFAULT_SITES) -> tuple[Path, ...]:
    """Write the files of a new network and return their paths, the spec first.

    Raises
    ------
    InputError
        A site is no IATA code, or one of the files exists already. Nothing has been written.
    MachineError
        A file cannot be written.
    """
    places = _places(sites)
    texts = {
        directory / "ridgeline.yaml": render_new_spec(directory.resolve().name, places),
        directory / "zones" / "example.test.zone": _template("new-zone.zone"),
        directory / "www" / "index.html": _template("new-page.html"),
    }
    existing = [str(path) for path in texts if path.exists() or path.is_symlink()]
    if existing:
        raise InputError(
            "\n".join(f"{path}: exists already, and no file is overwritten" for path in existing)
        )
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise MachineError(f"{path} cannot be written: {error.strerror}") from None
    return tuple(texts)


def render_new_spec(name: str, places: Sequence[Place]) -> str:
    """Write the commented spec; a name that cannot be a network's becomes `example-anycast`."""
    network = name.lower() if re.fullmatch(NAME, name.lower()) else "example-anycast"
    sites = "\n".join(_render_site(place, first=i == 0) for i, place in enumerate(places))
    return Template(_template("new-spec.yaml")).substitute(
        network=network, shield=places[0].code, sites=sites.rstrip()
    )


def _places(sites: Sequence[str]) -> tuple[Place, ...]:
    if not 1 <= len(sites) <= MAX_SITES:
        raise InputError(f"{len(sites)} sites; a new network has 1 to {MAX_SITES}")
    wrong = [_not_a_code(site) for site in sites if find_place(site) is None]
    codes = [site.lower() for site in sites]
    wrong += [f"site {code} stands twice" for code in dict.fromkeys(codes) if codes.count(code) > 1]
    if wrong:
        raise InputError("\n".join(wrong))
    return tuple(place for code in codes if (place := find_place(code)) is not None)


def _not_a_code(site: str) -> str:
    codes = codes_of_city(site)
    hint = f"; for {site} write {' or '.join(codes)}" if codes else ", such as nrt"
    return f"site {site!r} is not an IATA code{hint}"


def _render_site(place: Place, *, first: bool) -> str:
    lines = [f"  {place.code}:".ljust(44) + f"# {place.city}, {place.country}", "    upstreams:"]
    for index, transit in enumerate(_upstreams(place)):
        if first and index == 0:
            lines.append(f"      - asn: {transit.asn}".ljust(44) + f"# {_describe(transit)}")
            lines += _upstream_options(transit)
        else:
            lines.append(f"      - {{asn: {transit.asn}}}".ljust(44) + f"# {_describe(transit)}")
    if first:
        options = Template(_OPTIONS).substitute(lat=f"{place.lat:.2f}", lon=f"{place.lon:.2f}")
        lines.append(options)
    return "\n".join(lines)


def _upstream_options(transit: _Transit) -> Iterator[str]:
    for option, meaning in (
        ("prepend: 0", "extra copies of our ASN on the AS path, 0 to 10"),
        (
            "communities: []",
            f'such as ["{transit.asn}:0:65536"]: {transit.name}, do not tell AS65536',
        ),
        ("bfd: false", "true: a dead link is noticed in 0.3 s, not in minutes"),
        ("prefixes: [192.0.2.0/24]", "what is announced here; by default all"),
    ):
        yield f"        # {option}".ljust(44) + f"# {meaning}"


def _describe(transit: _Transit) -> str:
    return f"{transit.name}, a tier-1" if transit.is_tier1 else transit.name


def _upstreams(place: Place) -> Iterator[_Transit]:
    """Yield the nearest regional transit of the region, if any, then the nearest tier-1."""
    by_distance = sorted(_transits(place), key=lambda t: (t.km, t.asn))
    regional = next((t for t in by_distance if not t.is_tier1 and t.km < _REGION_KM), None)
    if regional is not None:
        yield regional
    yield next(t for t in by_distance if t.is_tier1)


def _transits(place: Place) -> Iterator[_Transit]:
    from ridgeline.app.internet import load_internet
    from ridgeline.topology.attach import nearest_pop
    from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER

    net = load_internet(_INTERNET)
    buyers = {
        int(net.pop_as[a])
        for a, rel in zip(net.link_a, net.link_rel, strict=True)
        if rel == CUSTOMER_TO_PROVIDER
    }
    for index, asn in enumerate(map(int, net.asn)):
        pop = nearest_pop(net, asn, place.lat, place.lon) if asn in _TRANSITS else None
        if pop is None:
            continue
        km = great_circle_km(place.lat, place.lon, float(net.pop_lat[pop]), float(net.pop_lon[pop]))
        yield _Transit(asn, net.as_name[index], index not in buyers, round(km))


def _template(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")
