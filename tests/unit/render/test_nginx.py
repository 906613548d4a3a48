import re
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ridgeline.render.edge import EdgeSite, Origin, TlsFiles
from ridgeline.render.identity import SiteIdentity
from ridgeline.render.nginx import render_nginx

SITE = EdgeSite(
    identity=SiteIdentity(site="nrt", network="example-anycast", domain="example.test"),
    directory="/run/nrt",
    listen=(ip_address("192.0.2.80"), ip_address("2001:db8:53::80")),
    origin=Origin(host="origin.example.test", port=8080, address=ip_address("198.18.0.9")),
    unicast=(ip_address("2001:2::1"), ip_address("198.18.0.1")),
)
TLS = TlsFiles(certificate="/tls/site.pem", key="/tls/site.key", ticket_keys=("/tls/a", "/tls/b"))


def values(text: str, directive: str) -> list[str]:
    """Return the arguments of a directive, wherever it stands."""
    found = re.findall(rf"^\s*{directive} ([^;]*);", text, re.MULTILINE)
    return [" ".join(value.replace('"', "").split()) for value in found]


def test_it_listens_where_it_is_told() -> None:
    assert values(render_nginx(SITE), "listen") == ["192.0.2.80:80", "[2001:db8:53::80]:80"]
    secured = render_nginx(replace(SITE, tls=TLS, port=8080, tls_port=8443))
    assert values(secured, "listen") == [
        "192.0.2.80:8080",
        "[2001:db8:53::80]:8080",
        "192.0.2.80:8443 ssl http2",
        "[2001:db8:53::80]:8443 ssl http2",
    ]
    assert values(secured, "ssl_session_ticket_key") == ["/tls/a", "/tls/b"]


def test_it_asks_the_origin_from_a_unicast_address_of_the_same_family() -> None:
    six = replace(SITE.origin, address=ip_address("2001:2::9"))
    assert values(render_nginx(SITE), "proxy_bind") == ["198.18.0.1"]
    assert values(render_nginx(replace(SITE, origin=six)), "proxy_bind") == ["2001:2::1"]
    assert "server [2001:2::9]:8080;" in render_nginx(replace(SITE, origin=six))
    only_six = replace(SITE, unicast=(ip_address("2001:2::1"),))
    assert values(render_nginx(only_six), "proxy_bind") == []


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("origin.example.test.", "origin.example.test"),
        ("198.51.100.9", "198.51.100.9"),
        ("2001:db8::9", "[2001:db8::9]"),
        ("[2001:db8::9]", "[2001:db8::9]"),
    ],
)
def test_the_origins_host_may_be_a_name_or_an_address(host: str, written: str) -> None:
    site = replace(SITE, origin=replace(SITE.origin, host=host))
    assert values(render_nginx(site), "server_name") == [written]


def test_an_https_origin_is_verified_where_its_authority_is_named() -> None:
    unverified = replace(SITE, origin=replace(SITE.origin, scheme="https"))
    verified = replace(SITE, origin=replace(SITE.origin, scheme="https", trusted="/tls/ca.pem"))
    assert values(render_nginx(SITE), "proxy_pass") == ["http://origin"]
    for site, checks in ((unverified, []), (verified, ["on"])):
        text = render_nginx(site)
        assert values(text, "proxy_pass") == ["https://origin"]
        assert values(text, "proxy_ssl_name") == ["origin.example.test"]
        assert values(text, "proxy_ssl_verify") == checks


def test_it_never_leaves_a_file_outside_its_directory() -> None:
    text = render_nginx(SITE)
    paths = [
        *values(text, "pid"),
        *values(text, r"\w+_temp_path"),
        *(value.split()[0] for value in values(text, "proxy_cache_path")),
    ]
    assert len(paths) == 7
    assert all(path.startswith("/run/nrt/") for path in paths)


def test_who_runs_it_and_how_is_the_callers_choice() -> None:
    assert values(render_nginx(SITE), "user") == ["root"]
    assert values(render_nginx(SITE), "master_process") == ["off"]
    other = render_nginx(replace(SITE, user=None, single_process=False))
    assert values(other, "user") == []
    assert values(other, "master_process") == ["on"]


def test_no_placeholder_is_left() -> None:
    assert re.findall(r"@[A-Z]+@", render_nginx(replace(SITE, tls=TLS))) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"directory": "/run/$nrt"}, r"directory .* holds '\$'"),
        ({"directory": "run"}, "is not an absolute path"),
        ({"tls": replace(TLS, key="/a$b")}, "key .* holds"),
        ({"tls": replace(TLS, ticket_keys=("a",))}, "ticket key 'a' is not an absolute path"),
        ({"listen": ()}, "listen names no address"),
        ({"port": 0}, "port 0"),
        ({"tls": TLS, "tls_port": 0}, "port 0"),
        ({"cache_mb": 0}, "a cache of 0 MB"),
        ({"user": "a;b\n"}, "user .* holds"),
        ({"origin": replace(SITE.origin, scheme="ftp")}, "neither http nor https"),
        ({"origin": replace(SITE.origin, host="a;b")}, "origin 'a;b' is not a domain name"),
        ({"origin": replace(SITE.origin, port=0)}, "port of the origin 0"),
    ],
)
def test_what_cannot_stand_in_the_file_is_refused(
    change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        render_nginx(replace(SITE, **change))  # type: ignore[arg-type]  # wrong on purpose, by name
