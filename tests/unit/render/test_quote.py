from ipaddress import ip_address

import pytest

from ridgeline.render.quote import (
    absolute_name,
    fits_a_socket,
    port_number,
    quote,
    quote_path,
    some,
)


@pytest.mark.parametrize("text", ["", "nrt", "a b", "50%", "a;b{c}", "#", "東京", "a\u00a0b"])
def test_what_every_grammar_carries_is_quoted(text: str) -> None:
    assert quote(text, "text") == f'"{text}"'


@pytest.mark.parametrize("text", ['a"b', "a'b", "a\\b", "a\nb", "a\0b", "a\x7f"])
def test_what_would_end_the_quotes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"directory .* holds"):
        quote_path(f"/{text}", "directory")


def test_a_daemons_own_character_is_refused_where_it_is_named() -> None:
    assert quote("a$b", "user") == '"a$b"'
    with pytest.raises(ValueError, match=r"user 'a\$b' holds '\$'"):
        quote("a$b", "user", refuse="$")


@pytest.mark.parametrize("path", ["", "a/b", "./a", "~/a"])
def test_a_path_is_absolute(path: str) -> None:
    with pytest.raises(ValueError, match="is not an absolute path"):
        quote_path(path, "directory")


def test_a_socket_has_107_bytes() -> None:
    assert fits_a_socket("/" + "é" * 53, "socket") == "/" + "é" * 53
    with pytest.raises(ValueError, match="longer than the 107 bytes"):
        fits_a_socket("/a" + "é" * 53, "socket")


@pytest.mark.parametrize(
    ("name", "absolute"),
    [
        (".", "."),
        ("example.test", "example.test."),
        ("example.test.", "example.test."),
        ("0-63.2.0.192.in-addr.arpa", "0-63.2.0.192.in-addr.arpa."),
        ("0/26.2.0.192.in-addr.arpa", "0/26.2.0.192.in-addr.arpa."),
        ("_dns.Example.test", "_dns.Example.test."),
        ("a" * 63, "a" * 63 + "."),
    ],
)
def test_a_domain_name_gets_its_dot(name: str, absolute: str) -> None:
    assert absolute_name(name, "zone") == absolute


@pytest.mark.parametrize(
    "name",
    ["", "..", "a..b", ".a", "-a", "a-", "a b", "a;b", "a\n", 'a"', "a" * 64, "a." * 127 + "ab"],
)
def test_no_domain_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"zone .* is not a domain name"):
        absolute_name(name, "zone")


def test_addresses_stand_once_and_in_order() -> None:
    first, second = ip_address("192.0.2.1"), ip_address("2001:db8::1")
    assert some([second, first, second], "listen") == (second, first)
    with pytest.raises(ValueError, match="listen names no address"):
        some([], "listen")


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_port_is_one(port: int) -> None:
    assert port_number(65535, "port") == 65535
    with pytest.raises(ValueError, match=f"port {port} is not a port"):
        port_number(port, "port")
