"""`builtin:demo`: an invented Internet of 40 ASes, small enough to run as real routers.

Why each of its clients lands where it does is told in docs/explanation/builtin-demo.md; a change
here that moves a client must change that page. All names and numbers are made up: AS65536-65551
are for documentation (RFC 5398), AS64512 and above for private use (RFC 6996).
"""

from typing import Final

from ridgeline.net.place import Place
from ridgeline.topology.build import InternetBuilder
from ridgeline.topology.internet import Internet

_MILLION: Final = 1e6

# Each city is named and placed by its main airport.
_PLACES: Final = {
    code: Place(code=code, city=city, country=country, lat=lat, lon=lon)
    for code, city, country, lat, lon in (
        ("akl", "Auckland", "NZ", -37.0081, 174.7920),
        ("ams", "Amsterdam", "NL", 52.3086, 4.7639),
        ("bom", "Mumbai", "IN", 19.0887, 72.8679),
        ("cai", "Cairo", "EG", 30.1219, 31.4056),
        ("cdg", "Paris", "FR", 49.0128, 2.5500),
        ("dxb", "Dubai", "AE", 25.2528, 55.3644),
        ("eze", "Buenos Aires", "AR", -34.8222, -58.5358),
        ("fra", "Frankfurt", "DE", 50.0264, 8.5431),
        ("gru", "São Paulo", "BR", -23.4356, -46.4731),
        ("hkg", "Hong Kong", "HK", 22.3089, 113.9150),
        ("iad", "Washington", "US", 38.9475, -77.4599),
        ("jnb", "Johannesburg", "ZA", -26.1337, 28.2423),
        ("lax", "Los Angeles", "US", 33.9425, -118.4080),
        ("lhr", "London", "GB", 51.4706, -0.4619),
        ("los", "Lagos", "NG", 6.5774, 3.3212),
        ("mad", "Madrid", "ES", 40.4936, -3.5668),
        ("nbo", "Nairobi", "KE", -1.3192, 36.9278),
        ("nrt", "Tokyo", "JP", 35.7647, 140.3860),
        ("ord", "Chicago", "US", 41.9769, -87.9082),
        ("sin", "Singapore", "SG", 1.3502, 103.9940),
        ("syd", "Sydney", "AU", -33.9461, 151.1770),
        ("waw", "Warsaw", "PL", 52.1657, 20.9671),
    )
}

# Tier-1s: buy from nobody, peer with each other.
NORRSKEN, TANUKI, CONDOR = 65536, 65537, 65538

# Regional transits.
PUFFIN, DACHS, LINCE, BOBCAT, TAPIR = 65540, 65541, 65542, 65543, 65544
MEERKAT, FENNEC, MONGOOSE, KOOKABURRA = 65546, 65547, 65548, 65549
TANCHO, BINTURONG = 65550, 65551

_TRANSITS: Final = (
    (NORRSKEN, "norrsken", "lhr fra iad sin jnb"),
    (TANUKI, "tanuki", "nrt sin syd lax iad fra"),
    (CONDOR, "condor", "iad lax gru lhr mad"),
    (PUFFIN, "puffin", "lhr ams"),
    (DACHS, "dachs", "fra waw"),
    (LINCE, "lince", "mad cdg eze"),
    (BOBCAT, "bobcat", "iad ord"),
    (TAPIR, "tapir", "gru eze"),
    (MEERKAT, "meerkat", "jnb nbo"),
    (FENNEC, "fennec", "cai dxb fra"),
    (MONGOOSE, "mongoose", "bom sin"),
    (KOOKABURRA, "kookaburra", "syd akl sin"),
    (TANCHO, "tancho", "nrt hkg"),
    (BINTURONG, "binturong", "sin nrt"),
)

_TIER1_PEERINGS: Final = (
    (NORRSKEN, TANUKI, "fra iad sin"),
    (NORRSKEN, CONDOR, "lhr iad"),
    (TANUKI, CONDOR, "lax iad"),
)

# Customer, provider, city.
_TRANSIT_PURCHASES: Final = (
    (PUFFIN, NORRSKEN, "lhr"),
    (PUFFIN, CONDOR, "lhr"),
    (DACHS, NORRSKEN, "fra"),
    (DACHS, TANUKI, "fra"),
    (LINCE, CONDOR, "mad"),
    (BOBCAT, NORRSKEN, "iad"),
    (BOBCAT, CONDOR, "iad"),
    (TAPIR, CONDOR, "gru"),
    (MEERKAT, NORRSKEN, "jnb"),
    (FENNEC, NORRSKEN, "fra"),
    (MONGOOSE, NORRSKEN, "sin"),
    (MONGOOSE, TANUKI, "sin"),
    (KOOKABURRA, TANUKI, "syd"),
    (TANCHO, TANUKI, "nrt"),
    (BINTURONG, TANUKI, "sin"),
    (BINTURONG, NORRSKEN, "sin"),
)

# Eyeball networks: number, name, millions of users by city, providers ("number@city").
_EYEBALLS: Final = (
    (64512, "bramble", {"lhr": 38}, ((PUFFIN, "lhr"),)),
    (64513, "heather", {"lhr": 24}, ((CONDOR, "lhr"),)),
    (64514, "linden", {"fra": 52, "waw": 27}, ((DACHS, "fra"), (DACHS, "waw"))),
    (64515, "lavande", {"cdg": 48}, ((LINCE, "cdg"),)),
    (64516, "romero", {"mad": 41}, ((LINCE, "mad"),)),
    (64520, "protea", {"jnb": 24}, ((MEERKAT, "jnb"),)),
    (64521, "fynbos", {"jnb": 15}, ((NORRSKEN, "jnb"),)),
    (64522, "papyrus", {"nbo": 31}, ((MEERKAT, "nbo"),)),
    (64523, "harmattan", {"los": 78, "lhr": 0}, ((NORRSKEN, "lhr"),)),
    (64524, "nilufar", {"cai": 62}, ((FENNEC, "cai"),)),
    (64525, "ghaf", {"dxb": 34}, ((FENNEC, "dxb"),)),
    (64530, "banyan", {"bom": 260}, ((MONGOOSE, "bom"),)),
    (64531, "pandan", {"sin": 120}, ((BINTURONG, "sin"),)),
    (64532, "bauhinia", {"hkg": 70}, ((TANCHO, "hkg"),)),
    (64533, "yuzu", {"nrt": 66}, ((TANCHO, "nrt"), (TANUKI, "nrt"))),
    (64534, "momiji", {"nrt": 36}, ((TANUKI, "nrt"),)),
    (64540, "wattle", {"syd": 19}, ((KOOKABURRA, "syd"), (TANUKI, "syd"))),
    (64541, "kowhai", {"akl": 4}, ((KOOKABURRA, "akl"),)),
    (64550, "dogwood", {"iad": 84, "ord": 66}, ((BOBCAT, "iad"), (BOBCAT, "ord"))),
    (64551, "redwood", {"lax": 58}, ((TANUKI, "lax"),)),
    (64560, "ipe", {"gru": 96}, ((TAPIR, "gru"), (CONDOR, "gru"))),
    (64561, "ombu", {"eze": 28}, ((TAPIR, "eze"),)),
    (64562, "ceibo", {"eze": 17}, ((LINCE, "eze"),)),
)

# Content and hosting: no users of their own.
LANTERN, SHOPHOUSE, LARDER = 64600, 64601, 64602
_CONTENT: Final = (
    (LANTERN, "lantern", "ams", ((PUFFIN, "ams"),)),
    (SHOPHOUSE, "shophouse", "sin", ((NORRSKEN, "sin"),)),
    (LARDER, "larder", "iad", ((CONDOR, "iad"), (BOBCAT, "iad"))),
)

# Exchanges: thames-ix in London (lince is a remote member, from Paris) and marina-ix in Singapore.
_EXCHANGES: Final = (
    ("lhr", (PUFFIN, LINCE, 64513, 64523)),
    ("sin", (BINTURONG, MONGOOSE, KOOKABURRA, SHOPHOUSE)),
)


def demo() -> Internet:
    """Build the Internet of ``builtin:demo``."""
    net = InternetBuilder("builtin:demo")
    for asn, name, cities in _TRANSITS:
        net.add_as(asn, name, at=[_PLACES[code] for code in cities.split()])
    for asn, name, millions, _ in _EYEBALLS:
        users = {code: _MILLION * n for code, n in millions.items()}
        net.add_as(asn, name, at=[_PLACES[code] for code in millions], users=users)
    for asn, name, city, _ in _CONTENT:
        net.add_as(asn, name, at=[_PLACES[city]])

    for left, right, cities in _TIER1_PEERINGS:
        net.peers(left, right, at=cities.split())
    for customer, provider, city in _TRANSIT_PURCHASES:
        net.buys(customer, provider, at=city)
    for asn, _, _, providers in (*_EYEBALLS, *_CONTENT):
        for provider, city in providers:
            net.buys(asn, provider, at=city)
    net.peers(TANCHO, BINTURONG, at="nrt")
    for city, members in _EXCHANGES:
        net.exchange(members, at=city)
    return net.build()
