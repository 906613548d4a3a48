"""Whatever is thrown at the spec reader: a `Spec` or problems with a place, never anything else."""

import copy
import json
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ridgeline.errors import InputError, Problem
from ridgeline.net.airports import find_place
from ridgeline.net.asn import Asn
from ridgeline.net.community import BLACKHOLE, Community, render_community
from ridgeline.net.place import Place
from ridgeline.spec.model import (
    EdgeEngine,
    Health,
    Prefix,
    Service,
    ServiceKind,
    Site,
    SiteState,
    Spec,
    Tls,
    Upstream,
)
from ridgeline.spec.parse import decode_spec, examine_spec, parse_spec_with_warnings

FILE = "spec.yaml"

VALID: dict[str, Any] = {
    "network": "example-anycast",
    "asn": "64500",
    "prefixes": ["192.0.2.0/24", "2001:db8:53::/48"],
    "services": {
        "dns": {
            "kind": "authoritative-dns",
            "addresses": ["192.0.2.53", "2001:db8:53::53"],
            "zones": ["zones/example.test.zone"],
            "primary": "true",
            "dnssec": "true",
            "rate_limit": "500",
            "health": {"interval": "2s", "timeout": "250ms", "fall": "3", "rise": "1"},
        },
        "resolver": {
            "kind": "recursive-dns",
            "addresses": ["192.0.2.1"],
            "clients": ["198.51.100.0/24", "2001:db8::/32"],
            "dnssec": "false",
            "tls": {"certificate": "tls/dns.pem", "key": "tls/dns.key"},
        },
        "web": {
            "kind": "http-cache",
            "addresses": ["192.0.2.80"],
            "origin": "http://origin.example.test:8080",
            "tls": {"certificate": "tls/site.pem", "key": "tls/site.key"},
            "engine": "varnish",
            "cache_cookies": "false",
            "shield": ["nrt", "lhr"],
            "handoff": ["/download/"],
        },
    },
    "health": {"interval": "1s", "timeout": "500ms", "fall": "2", "rise": "3"},
    "secrets": "secrets",
    "rescue": "true",
    "sites": {
        "nrt": {
            "upstreams": [
                {"asn": "65550", "prepend": "1", "communities": ["65550:0:174", "no-export"]},
                {"asn": "65551", "prefixes": ["192.0.2.0/24"], "bfd": "true"},
            ],
            "capacity": "200000",
        },
        "lhr": {"upstreams": [{"asn": "65540"}], "location": "lcy", "state": "drained"},
        "lab-1": {
            "upstreams": [{"asn": "1.10"}],
            "location": {"lat": "35.7", "lon": "-139.7", "city": "Tokyo", "country": "JP"},
        },
    },
}

ODD_TEXTS = [
    *["", "~", "null", "true", "no", "0", "-1", "1.10", "1e9", "nan", "inf", "0x10", "9" * 40],
    *["1s", "5", "0s", "1h", "999999m", "0.0001ms", "nrt", "NRT", "tokyo", "[key]", "<<", "a b"],
    *["192.0.2.0/24", "192.0.2.1/24", "0.0.0.0/0", "::/0", "::1", "fe80::1%eth0", "1.2.3.4/5/6"],
    *["::ffff:192.0.2.1", "::ffff:0:0/96", "65535:666", "1:2", "1:2:3", "::", "http://[", "//"],
    *[
        "http://\u2100.test",
        "http://[::1%25x]:1",
        "\u0665",
        "\u0130",
        "\ufb01x",
        "e\u0301",
        "'",
        '"',
    ],
    *[
        "\\",
        "\t",
        "\x85",
        "\u2028",
        "x" * 300,
        "\U0001f4a9",
        "@",
        "`",
        "%",
        "*",
        "&",
        "!",
        "|",
        ">",
    ],
]
ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.text(max_size=12),
    st.just([]),
    st.just({}),
    st.lists(st.sampled_from(ODD_TEXTS), max_size=3),
    st.dictionaries(st.sampled_from([*ODD_TEXTS, "asn", "kind"]), st.sampled_from(ODD_TEXTS)),
)


def check_answer(text: str) -> Spec | None:
    """Examine the text; whatever the answer is, it must be a usable one."""
    found = examine_spec(text, file=FILE)
    n_lines = len(text.splitlines()) + 1
    for problem in (*found.problems, *found.warnings):
        assert isinstance(problem, Problem)
        assert problem.file == FILE
        assert 1 <= problem.line <= n_lines
        assert problem.column >= 1
        assert problem.message
        assert str(problem).isprintable(), problem
        assert "Traceback" not in problem.message
    assert (found.spec is None) == bool(found.problems)
    assert list(found.problems) == sorted(set(found.problems))
    if found.spec is not None:
        assert found.spec.sites
        assert found.spec.prefixes
    return found.spec


@given(st.binary(max_size=200))
@example(b"\xff\xfen\x00e\x00t\x00")
@example(b"network: caf\xe9")
@example(b"\xef\xbb\xbf\xff")
def test_any_bytes_are_text_or_a_problem(data: bytes) -> None:
    try:
        text = decode_spec(data, file=FILE)
    except InputError as error:
        (problem,) = error.problems
        assert problem.line >= 1
        assert problem.column >= 1
        assert "UTF-8" in problem.message
    else:
        check_answer(text)


@given(st.text(max_size=200))
@example("\ufeff\ufeff")
@example("a: 1\u2028b: 2")
def test_any_text_gets_an_answer(text: str) -> None:
    check_answer(text)


YAML_PIECES = st.sampled_from(
    [
        *"{}[],:-?&*!|>'\"%@`#~ \n\t\r",
        *["\n  ", ": ", "- ", "---\n", "...", "<<: ", "&a ", "*a", "!!str ", "%YAML 1.99"],
        *['"\\U', "FFFFFFFF", "\\ud83d", "\\udca9", "sites", "nrt", "asn", "1"],
    ]
)


@given(st.lists(YAML_PIECES, max_size=40))
@example(["[", ":", "{", "?", "\n", "- "])
def test_any_heap_of_yaml_signs_gets_an_answer(pieces: list[str]) -> None:
    check_answer("".join(pieces))


def places_in(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of every key and item."""
    steps = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [
        found
        for step, inner in steps
        for found in ((*path, step), *places_in(inner, (*path, step)))
    ]


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Take the valid spec and delete, replace, rename, copy or add somewhere, up to four times."""
    spec = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 4))):
        places = places_in(spec)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        parent: Any = spec
        for step in way:
            parent = parent[step]
        match draw(st.sampled_from(["delete", "replace", "rename", "copy", "add"])):
            case "delete":
                del parent[last]
            case "replace":
                parent[last] = draw(ODD)
            case "rename" if isinstance(parent, dict):
                parent[draw(st.sampled_from([*ODD_TEXTS, "asnn", "Sites", "prepend"]))] = (
                    parent.pop(last)
                )
            case "copy" if isinstance(parent, list):
                parent.insert(last, copy.deepcopy(parent[last]))
            case "copy":
                parent[f"{last}2"] = copy.deepcopy(parent[last])
            case _ if isinstance(parent, list):
                parent.append(draw(ODD))
            case _:
                parent[draw(st.sampled_from(ODD_TEXTS))] = draw(ODD)
    return spec


@given(mutated())
def test_a_mutated_spec_gets_an_answer_as_json(spec: Any) -> None:
    check_answer(json.dumps(spec))  # JSON is YAML, and keeps every odd text as it is


@given(spec=mutated(), repeat_a_line=st.booleans())
def test_a_mutated_spec_gets_an_answer_as_block_yaml(spec: Any, *, repeat_a_line: bool) -> None:
    lines = block_yaml(spec)
    if repeat_a_line and lines:
        lines.insert(len(lines) // 2, lines[len(lines) // 2])
    check_answer("\n".join(lines))


def block_yaml(node: Any, indent: int = 0) -> list[str]:
    """Write a node as a careless author would: nothing is quoted."""
    pad = " " * indent
    lines: list[str] = []
    steps = node.items() if isinstance(node, dict) else [(None, item) for item in node]
    for key, value in steps:
        head = f"{pad}-" if key is None else f"{pad}{key}:"
        if isinstance(value, str):
            lines.append(f"{head} {value}")
        else:
            lines += [head, *block_yaml(value, indent + 2)]
    return lines


@given(st.data())
def test_a_cut_spec_gets_an_answer(data: st.DataObject) -> None:
    text = "\n".join(block_yaml(VALID))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    check_answer(text[start:end])
    check_answer(text[:start] + text[end:])


def test_the_valid_spec_is_valid() -> None:
    assert check_answer(json.dumps(VALID)) is not None
    assert check_answer("\n".join(block_yaml(VALID))) is not None


# --- round trip ---

PREFIXES: tuple[Prefix, ...] = (
    IPv4Network("192.0.2.0/24"),
    IPv4Network("198.51.100.0/24"),
    IPv6Network("2001:db8:53::/48"),
    IPv6Network("2001:db8:1::/48"),
)
names = st.from_regex(r"\A[a-z]([a-z0-9-]{0,8}[a-z0-9])?\Z")
asns = st.integers(1, 2**32 - 2).filter(lambda n: n not in {23456, 65535, 64500}).map(Asn)
communities: st.SearchStrategy[Community] = st.one_of(
    st.tuples(st.integers(0, 65535), st.integers(0, 65535)).filter(lambda c: c != BLACKHOLE),
    st.tuples(*[st.integers(0, 2**32 - 1)] * 3),
)
degrees = st.integers(-90_000_000, 90_000_000).map(lambda n: n / 1e6)
paths = st.from_regex(r"\A[A-Za-z0-9._ -]{0,9}[A-Za-z0-9]\Z")


@st.composite
def healths(draw: st.DrawFn) -> Health:
    timeout, more = draw(st.integers(1, 60_000)), draw(st.integers(0, 60_000))
    return Health(
        interval=(timeout + more) / 1000,
        timeout=timeout / 1000,
        fall=draw(st.integers(1, 100)),
        rise=draw(st.integers(1, 100)),
    )


networks: st.SearchStrategy[Prefix] = st.one_of(
    st.sampled_from([IPv4Network("0.0.0.0/0"), IPv6Network("::/0"), *PREFIXES]),
    st.builds(IPv4Network, st.tuples(st.integers(0, 2**32 - 1), st.just(32))),
)
url_paths = st.from_regex(r"\A(/[A-Za-z0-9_~-]{1,9}){1,3}/?\Z")


@st.composite
def services(
    draw: st.DrawFn, name: str, number: int, prefix: Prefix, site_names: list[str]
) -> Service:
    kind = draw(st.sampled_from(ServiceKind))
    is_cache, is_dns, is_resolver = (
        kind is one
        for one in (
            ServiceKind.HTTP_CACHE,
            ServiceKind.AUTHORITATIVE_DNS,
            ServiceKind.RECURSIVE_DNS,
        )
    )
    tls = st.just(Tls(certificate="", key="")) | st.builds(Tls, certificate=paths, key=paths)
    primary = is_dns and draw(st.booleans())
    address: IPv4Address | IPv6Address = prefix.network_address + 1 + number

    def some(of: st.SearchStrategy[Any], *, only: bool, least: int = 0) -> tuple[Any, ...]:
        return tuple(draw(st.lists(of, min_size=least, max_size=3, unique=True))) if only else ()

    return Service(
        name=name,
        kind=kind,
        addresses=(address,),
        zones=some(paths, only=is_dns, least=1),
        origin="https://origin.example.test" if is_cache else "",
        tls=draw(st.none() | tls) if is_cache or is_resolver else None,
        health=draw(healths()),
        primary=primary,
        dnssec=(primary or is_resolver) and draw(st.booleans()),
        clients=some(networks, only=is_resolver),
        rate_limit=None if kind is ServiceKind.CUSTOM else draw(st.none() | st.integers(1, 10**9)),
        engine=draw(st.sampled_from(EdgeEngine)) if is_cache else EdgeEngine.NGINX,
        cache_cookies=is_cache and draw(st.booleans()),
        shield=some(st.sampled_from(site_names), only=is_cache and bool(site_names)),
        handoff=some(url_paths, only=is_cache),
    )


@st.composite
def sites(draw: st.DrawFn, name: str, prefixes: tuple[Prefix, ...]) -> Site:
    upstreams = [
        Upstream(
            asn=asn,
            prefixes=tuple(draw(st.lists(st.sampled_from(prefixes), min_size=1, unique=True))),
            prepend=draw(st.integers(0, 10)),
            communities=tuple(draw(st.lists(communities, max_size=3, unique=True))),
            bfd=draw(st.booleans()),
        )
        for asn in draw(st.lists(asns, min_size=1, max_size=3, unique=True))
    ]
    by_name = find_place(name)
    exact = Place(
        code=name,
        city=draw(st.sampled_from(["Tokyo", "São Paulo", "no", "1.10", "a: b", "#", "{x}"])),
        country=draw(st.sampled_from(["", "NO", "JP"])),
        lat=draw(degrees),
        lon=draw(degrees) * 2,
    )
    return Site(
        name=name,
        place=by_name if by_name is not None and draw(st.booleans()) else exact,
        upstreams=tuple(upstreams),
        capacity=draw(st.none() | st.integers(1, 10**9)),
        state=draw(st.sampled_from(SiteState)),
        line=1,
    )


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    prefixes = tuple(draw(st.lists(st.sampled_from(PREFIXES), min_size=1, unique=True)))
    some_names = st.lists(names, max_size=3, unique=True)
    site_names = st.lists(
        names | st.sampled_from(["nrt", "lhr", "no"]), min_size=1, max_size=4, unique=True
    )
    places = tuple(draw(sites(name, prefixes)) for name in draw(site_names))
    there = [site.name for site in places if site.state is not SiteState.PLANNED]
    return Spec(
        file=FILE,
        network=draw(names),
        asn=Asn(64500),
        prefixes=prefixes,
        services=tuple(
            draw(services(name, number, draw(st.sampled_from(prefixes)), there))
            for number, name in enumerate(draw(some_names))
        ),
        sites=places,
        secrets=draw(st.just("") | paths),
        rescue=draw(st.booleans()),
    )


def written_out(spec: Spec) -> str:
    """Write every field of a spec, defaults included, one site or service a line."""
    return json.dumps(
        {
            "network": spec.network,
            "asn": str(spec.asn),
            "prefixes": list(map(str, spec.prefixes)),
            **({"secrets": f"{spec.secrets}/"} if spec.secrets else {}),
            "rescue": str(spec.rescue),
            "services": {service.name: service_fields(service) for service in spec.services},
            "sites": {site.name: site_fields(site) for site in spec.sites},
        },
        ensure_ascii=False,
    )


def service_fields(service: Service) -> dict[str, Any]:
    health = service.health
    fields: dict[str, Any] = {
        "kind": service.kind.value,
        "addresses": list(map(str, service.addresses)),
        "zones": list(service.zones),
        "health": {
            "interval": f"{health.interval:.6f}s",
            "timeout": f"{health.timeout * 1000:.3f}ms",
            "fall": str(health.fall),
            "rise": str(health.rise),
        },
    }
    if service.origin:
        fields["origin"] = service.origin
    if service.tls:
        both = {"certificate": service.tls.certificate, "key": service.tls.key}
        fields["tls"] = both if service.tls.key else {}
    if service.kind is ServiceKind.HTTP_CACHE:
        fields |= {"engine": service.engine.value, "cache_cookies": str(service.cache_cookies)}
    if service.kind in {ServiceKind.AUTHORITATIVE_DNS, ServiceKind.RECURSIVE_DNS}:
        fields["dnssec"] = str(service.dnssec)
    if service.kind is ServiceKind.AUTHORITATIVE_DNS:
        fields["primary"] = str(service.primary)
    if service.rate_limit is not None:
        fields["rate_limit"] = str(service.rate_limit)
    lists = {"clients": service.clients, "shield": service.shield, "handoff": service.handoff}
    return fields | {key: list(map(str, items)) for key, items in lists.items() if items}


def site_fields(site: Site) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "state": site.state.value,
        "upstreams": [
            {
                "asn": f"{upstream.asn >> 16}.{upstream.asn & 65535}",
                "prefixes": list(map(str, upstream.prefixes)),
                "prepend": str(upstream.prepend),
                "communities": list(map(render_community, upstream.communities)),
                "bfd": str(upstream.bfd),
            }
            for upstream in site.upstreams
        ],
    }
    if site.capacity is not None:
        fields["capacity"] = str(site.capacity)
    if site.place != find_place(site.name):
        place = site.place
        fields["location"] = {
            "lat": f"{place.lat:.6f}",
            "lon": f"{place.lon:.6f}",
            "city": place.city,
        }
        if place.country:
            fields["location"]["country"] = place.country
    return fields


@given(specs())
def test_a_spec_written_out_in_full_reads_back_as_itself(spec: Spec) -> None:
    back, _ = parse_spec_with_warnings(written_out(spec), file=FILE)
    assert back == spec
