"""Orders to forget pages are read as people write them, and refused with a reason."""

from dataclasses import replace

import pytest

from ridgeline.errors import InputError
from ridgeline.lab.change.purge import Order, parse_order
from ridgeline.spec.model import Health, Service, ServiceKind

WEB = Service(
    name="web",
    kind=ServiceKind.HTTP_CACHE,
    addresses=(),
    zones=(),
    origin="http://origin.example.test:8080",
    tls=None,
    health=Health(interval=1, timeout=1, fall=1, rise=1),
)


def test_keys_and_urls_may_stand_together() -> None:
    said = ["author:17", "http://WWW.example.test:8080/a?b=c", "/page", "https://[2001:db8::1]/"]
    assert parse_order(said, WEB) == Order(
        keys=("author:17",),
        urls=(
            ("www.example.test", "/a?b=c"),
            ("origin.example.test", "/page"),
            ("[2001:db8::1]", "/"),
        ),
    )


@pytest.mark.parametrize(
    ("item", "why"),
    [
        ("a b", "neither a surrogate key nor a URL"),
        ("(a|b)", "neither a surrogate key nor a URL"),
        ("a" * 129, "neither a surrogate key nor a URL"),
        ("ftp://host/x", "no URL that a cache could hold"),
        ("http:///x", "no URL that a cache could hold"),
        ("http://[::1/x", "no URL that a cache could hold"),
        ("/a b", "percent-encodes"),
        ('/a"b', "percent-encodes"),
    ],
)
def test_what_is_neither_is_refused(item: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        parse_order(["fine", item], replace(WEB))


def test_to_name_nothing_is_no_order() -> None:
    with pytest.raises(InputError, match="--everything"):
        parse_order([], WEB)
