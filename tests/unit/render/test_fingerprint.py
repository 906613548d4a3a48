"""Fingerprints are equal where configurations mean the same, and differ where they do not."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.render.edge import EdgeSite, Origin, Shield, ShieldSite, TlsFiles
from ridgeline.render.fingerprint import Fleet, fingerprint, normalise, policy_fingerprint
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.nginx import render_nginx
from ridgeline.render.nginx_front import render_front

SITES = ("nrt", "lhr", "log")
ADDRESSES = ("198.51.100.1", "198.51.100.11", "2001:db8::1", "2001:db8::11")


def fleet(site: str = "nrt") -> Fleet:
    return Fleet(sites=SITES, addresses=ADDRESSES, folders=(f"/srv/{site}", f"/srv/{site}/knot"))


def knot(site: str, number: int) -> str:
    return (
        f"# Knot at site {site}\nserver:\n  identity: {site}\n  nsid: 0x{site.encode().hex()}\n"
        f'  rundir: "/srv/{site}/knot"\n  listen: 198.51.100.{number}@53\n'
        f"  listen: 2001:db8::{number}@53\n  whitelist: [198.51.100.1, 198.51.100.11/32]\n"
        f"  secret: 0xaa\nlog:\n  - target: stderr\n"
    )


def test_the_same_configuration_at_two_sites_has_one_fingerprint() -> None:
    one = fingerprint(knot("nrt", 1), fleet("nrt"))
    assert re.fullmatch("[0-9a-f]{16}", one)
    assert fingerprint(knot("lhr", 11), fleet("lhr")) == one


def test_a_site_named_like_a_word_of_the_file_is_no_exception() -> None:
    assert fingerprint(knot("log", 11), fleet("log")) == fingerprint(knot("nrt", 1), fleet("nrt"))


@pytest.mark.parametrize(
    "edit",
    [
        ("0xaa", "0xab"),
        ("stderr", "stdout"),
        ("@53", "@54"),
        ("198.51.100.1@", "198.51.100.2@"),
        ("198.51.100.11/32", "198.51.100.111/32"),
        ("  - target", "- target"),
    ],
)
def test_any_other_edit_makes_another_fingerprint(edit: tuple[str, str]) -> None:
    text = knot("nrt", 1)
    assert text.replace(*edit) != text
    assert fingerprint(text.replace(*edit), fleet()) != fingerprint(text, fleet())


def test_parts_of_addresses_and_names_are_left_alone() -> None:
    text = "1198.51.100.1 198.51.100.112 2001:db8::1:5 xnrt nrt-2 198.51.100.1:80 [2001:db8::1]:80"
    assert normalise(text, fleet()) == (
        "1198.51.100.1 198.51.100.112 2001:db8::1:5 xnrt nrt-2 @OWN@:80 [@OWN@]:80"
    )


def test_a_file_that_carries_its_fingerprint_has_the_same_as_without() -> None:
    plain = 'return 200 "site=nrt\\n";\nserver:\n'
    found = fingerprint(plain, fleet())
    carrying = plain.replace('\\n"', f'\\nconfig={found}\\npolicy={found}\\n"')
    record = f'local-data: "config.whoami.anycast.test. 0 IN TXT configuration={found}"\n'
    assert fingerprint(carrying, fleet()) == found
    assert fingerprint(plain + record, fleet()) == found


def test_who_asks_which_site_of_a_shield_is_each_sites_own_matter() -> None:
    plain = "http {\n}\n"
    shielded = (
        "http {\n    upstream shield_nrt_lhr { server 198.51.100.1; }\n"
        '    split_clients "$host$uri" $way {\n        1% http://origin;\n    }\n}\n'
    )
    assert fingerprint(shielded, fleet()) == fingerprint(plain, fleet())


NGINX = (
    "worker_processes 1;\nhttp {\n"
    '    map $http_via $via { "" "nrt"; default "x, nrt"; }\n'
    "    map $kind $keep {\n        a 1;\n        default 0;\n    }\n"
    "    server {\n        location / {\n            proxy_cache edge;\n        }\n    }\n}\n"
)


def test_the_policy_is_what_says_what_is_cached_and_nothing_else() -> None:
    policy = policy_fingerprint([NGINX], fleet())
    assert (
        policy_fingerprint([NGINX.replace("worker_processes 1", "daemon off")], fleet()) == policy
    )
    for edit in (("a 1", "a 0"), ("proxy_cache edge", "proxy_cache off"), ("x, nrt", "y, nrt")):
        assert policy_fingerprint([NGINX.replace(*edit)], fleet()) != policy


def test_the_policy_of_varnish_is_in_its_subroutines() -> None:
    vcl = 'vcl 4.1;\nbackend origin { .host = "a"; }\nsub vcl_recv {\n    return (hash);\n}\n'
    policy = policy_fingerprint([vcl], fleet())
    assert policy_fingerprint([vcl.replace('"a"', '"b"')], fleet()) == policy
    assert policy_fingerprint([vcl.replace("hash", "pass")], fleet()) != policy


@given(st.text(max_size=200), st.lists(st.from_regex(r"\A[a-z]{1,4}\Z"), max_size=3))
def test_normalising_twice_is_normalising_once(text: str, names: list[str]) -> None:
    own = Fleet(sites=tuple(names), addresses=ADDRESSES[:1], folders=("/srv",))
    once = normalise(text, own)
    assert normalise(once, own) == once or {"own", "site", "folder"} & set(names)


@pytest.mark.parametrize("render", [render_nginx, render_front])
def test_a_site_of_the_shield_has_the_fingerprint_of_one_that_only_asks_it(
    render: Callable[[EdgeSite], str],
) -> None:
    addresses = {"nrt": "198.51.100.1", "lhr": "198.51.100.11"}
    shield = Shield(
        sites=(ShieldSite(name="nrt", address=IPv4Address(addresses["nrt"])),),
        clients=tuple(map(IPv4Address, addresses.values())),
    )
    prints = []
    for name, address in addresses.items():
        site = EdgeSite(
            identity=SiteIdentity(site=name, network="net", domain="net.example"),
            directory=f"/srv/{name}",
            listen=(IPv4Address("192.0.2.80"),),
            origin=Origin(host="origin.test", port=80, address=IPv4Address("203.0.113.9")),
            unicast=(IPv4Address(address),),
            tls=TlsFiles(certificate=f"/srv/{name}/c.pem", key=f"/srv/{name}/c.key"),
            shield=shield,
        )
        text = render(site)
        prints.append(fingerprint(text, fleet(name)))
        shielding = "for the other sites" in text
        assert shielding is (name == "nrt")
        assert fingerprint(text.replace("X-Served-By", "X-Served"), fleet(name)) != prints[-1]
    assert prints[0] == prints[1]
