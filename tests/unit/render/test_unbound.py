import re
from dataclasses import replace
from ipaddress import ip_address, ip_network

import dns.name
import dns.zone
import pytest

from ridgeline.render.identity import WHOAMI_ZONE, SiteIdentity
from ridgeline.render.unbound import (
    OPEN_RATE_LIMIT,
    DnsTls,
    RootServer,
    StubZone,
    UnboundSite,
    render_root_hints,
    render_root_zone,
    render_unbound,
)
from ridgeline.render.unbound_client import ClientResolver, render_client_resolver

AUTHORITY = (ip_address("192.0.2.53"), ip_address("2001:db8:53::53"))
STUB = StubZone(domain="example.test", addresses=AUTHORITY)
SITE = UnboundSite(
    identity=SiteIdentity(site="nrt", network="example-anycast", domain="example.test"),
    directory="/run/nrt",
    listen=(ip_address("192.0.2.1"), ip_address("2001:db8:53::1")),
    outgoing=(ip_address("198.18.0.1"), ip_address("2001:2::1")),
    stubs=(STUB,),
)
CLIENT = ClientResolver(directory="/run/client", ptr_records=())


def values(text: str, key: str) -> list[str]:
    """Return the values of a key, without comments."""
    return re.findall(rf"^\s*{key}: (.*?)(?:\s+#.*)?$", text, re.MULTILINE)


def test_it_listens_on_anycast_and_asks_from_unicast() -> None:
    text = render_unbound(SITE)
    assert values(text, "interface") == ["192.0.2.1@53", "2001:db8:53::1@53"]
    assert values(text, "outgoing-interface") == ["198.18.0.1", "2001:2::1"]
    assert values(text, "ip-freebind") == ["yes"]


def test_without_a_forwarder_the_root_is_local_and_with_one_it_is_not_there() -> None:
    alone = render_unbound(SITE)
    assert values(alone, "zonefile") == ['"/run/nrt/root.zone"']
    assert values(alone, "forward-addr") == []
    forwarded = render_unbound(replace(SITE, forward=AUTHORITY, forward_port=5353))
    assert values(forwarded, "zonefile") == []
    assert values(forwarded, "forward-addr") == ["192.0.2.53@5353", "2001:db8:53::53@5353"]


def test_subnetcache_is_not_loaded_and_validation_is_asked_for() -> None:
    anchor = "example.test. IN DS 1 13 2 " + "ab" * 32
    checked = render_unbound(replace(SITE, validate=True, trust_anchors=(anchor,)))
    assert values(render_unbound(SITE), "module-config") == ['"iterator"']
    assert values(checked, "module-config") == ['"validator iterator"']
    assert values(checked, "trust-anchor") == [f"'{anchor}'"]
    with pytest.raises(ValueError, match="validation without a trust anchor"):
        render_unbound(replace(SITE, validate=True))


def test_the_record_cache_is_twice_the_message_cache() -> None:
    text = render_unbound(replace(SITE, cache_mb=8))
    assert [values(text, f"{what}-cache-size") for what in ("msg", "rrset")] == [["8m"], ["16m"]]


def test_only_clients_may_ask_and_the_sites_own_health_checks() -> None:
    site = replace(SITE, clients=(ip_network("198.18.0.0/15"), ip_network("2001:db8:53::/64")))
    assert values(render_unbound(site), "access-control") == [
        "198.18.0.0/15 allow",
        "2001:db8:53::/64 allow",
        "192.0.2.1/32 allow",
    ]
    assert values(render_client_resolver(CLIENT), "access-control") == [
        "127.0.0.0/8 allow",
        "::1/128 allow",
    ]


def test_where_nobody_is_named_everybody_may_ask_a_little() -> None:
    limits = {
        clients: values(render_unbound(replace(SITE, clients=clients)), "ip-ratelimit")
        for clients in ((), (ip_network("0.0.0.0/0"),))
    }
    assert list(limits.values()) == [[str(OPEN_RATE_LIMIT)], []]
    asked = render_unbound(replace(SITE, rate_limit=7))
    assert values(asked, "ip-ratelimit") == ["7"]
    assert values(asked, "ip-ratelimit-factor") == ["0"]
    assert values(asked, "access-control") == ["0.0.0.0/0 allow", "::/0 allow"]


def test_recursion_begins_at_the_root_servers_and_nowhere_else() -> None:
    roots = (RootServer(name="a.names.test", addresses=AUTHORITY),)
    text = render_unbound(replace(SITE, roots=roots))
    assert values(text, "root-hints") == ['"/run/nrt/root.hints"']
    assert "auth-zone:" not in text
    assert render_root_hints(roots).splitlines() == [
        ". 3600000 IN NS a.names.test.",
        "a.names.test. 3600000 IN A 192.0.2.53",
        "a.names.test. 3600000 IN AAAA 2001:db8:53::53",
    ]


def test_tls_and_https_stand_on_every_address_with_one_certificate() -> None:
    tls = DnsTls(certificate="/tls/a.pem", key="/tls/a.key", ticket_keys=("/t/new", "/t/old"))
    text = render_unbound(replace(SITE, tls=tls))
    assert values(text, "interface") == [
        f"{address}@{port}"
        for port in (53, 853, 443)
        for address in ("192.0.2.1", "2001:db8:53::1")
    ]
    assert values(text, "tls-session-ticket-keys") == ['"/t/new"', '"/t/old"']
    assert values(text, "tls-service-pem") == ['"/tls/a.pem"']
    assert values(text, "tls-service-key") == ['"/tls/a.key"']


def test_stale_answers_come_as_rfc_8767_says() -> None:
    text = render_unbound(SITE)
    assert [values(text, f"serve-expired{of}") for of in ("", "-client-timeout", "-reply-ttl")] == [
        ["yes"],
        ["1800"],
        ["30"],
    ]


def test_hops_have_names_in_both_families() -> None:
    hops = ((ip_address("198.18.0.1"), "ae1.nrt.example"), (ip_address("2001:2::1"), "b.example."))
    text = render_client_resolver(replace(CLIENT, ptr_records=hops))
    assert values(text, "local-data-ptr") == [
        '"198.18.0.1 60 ae1.nrt.example"',
        '"2001:2::1 60 b.example"',
    ]


def test_a_client_keeps_nothing_it_has_from_elsewhere() -> None:
    forwarded = render_client_resolver(replace(CLIENT, forward=AUTHORITY))
    direct = render_client_resolver(replace(CLIENT, stubs=(STUB,)))
    assert values(forwarded, "forward-no-cache") == ["yes"]
    assert values(direct, "stub-no-cache") == ["yes", "yes"]
    assert values(render_unbound(SITE), "stub-no-cache") == []


def test_a_client_of_authorities_can_ask_who_they_are() -> None:
    other = StubZone(domain="other.test", addresses=(ip_address("192.0.2.54"), AUTHORITY[0]))
    text = render_client_resolver(replace(CLIENT, stubs=(STUB, other)))
    *_, whoami = text.split("stub-zone:")
    assert values(whoami, "name")[0] == WHOAMI_ZONE
    assert values(whoami, "stub-addr") == ["192.0.2.53@53", "2001:db8:53::53@53", "192.0.2.54@53"]
    own = StubZone(domain="whoami.Anycast.test", addresses=AUTHORITY)
    assert render_client_resolver(replace(CLIENT, stubs=(own,))).count("stub-zone:") == 1


def test_a_txt_record_keeps_its_quotes() -> None:
    site = replace(SITE, local_data=('a.test. 60 IN TXT "a b"',))
    assert values(render_unbound(site), "local-data")[-1] == "'a.test. 60 IN TXT \"a b\"'"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"directory": "/" + "x" * 100}, "control socket .* is longer than"),
        ({"directory": "/a\nb"}, "directory .* holds"),
        ({"listen": ()}, "listen names no address"),
        ({"port": 65536}, "DNS port 65536"),
        ({"forward": AUTHORITY, "forward_port": 0}, "port of the forwarder 0"),
        ({"stubs": (replace(STUB, addresses=()),)}, r"stub zone example\.test\. names no address"),
        ({"stubs": (replace(STUB, domain="a b"),)}, "stub zone 'a b' is not"),
        ({"stubs": (STUB, replace(STUB, domain="Example.test."))}, r"Example\.test\. stands twice"),
        ({"stubs": (replace(STUB, port=0),)}, r"port of stub zone example\.test\. 0"),
        ({"local_data": (" ",)}, "a record is empty"),
        ({"local_data": ("a IN TXT 'x'",)}, "record .* holds an apostrophe"),
        ({"local_data": ("a IN A 192.0.2.1\nserver:",)}, "control character"),
        ({"ptr_records": ((AUTHORITY[0], 'a"'),)}, r"host name of 192\.0\.2\.53"),
        ({"cache_mb": 0}, "a cache of 0 MB"),
        ({"tcp_clients": 0}, "0 connections"),
        ({"rate_limit": 0}, "a rate limit of 0"),
        ({"tls": DnsTls(certificate="a.pem", key="/k")}, "certificate 'a.pem' is not an absolute"),
        ({"tls": DnsTls(certificate="/c", key="/k", ticket_keys=('/"',))}, "ticket key .* holds"),
        ({"tls": DnsTls(certificate="/c", key="/k", https_port=853)}, "both have port 853"),
    ],
)
def test_what_cannot_stand_in_the_file_is_refused(
    change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        render_unbound(replace(SITE, **change))  # type: ignore[arg-type]  # wrong on purpose, by name


def test_the_root_delegates_nothing() -> None:
    zone = dns.zone.from_text(render_root_zone(), origin=dns.name.root, relativize=False)
    assert set(zone.nodes) == {dns.name.root}
