import pytest

from ridgeline.render.identity import SiteIdentity


def test_a_site_has_a_host_name() -> None:
    identity = SiteIdentity(site="nrt", network="example-anycast", domain="example.test.")
    assert identity.host == "nrt.example.test"


@pytest.mark.parametrize(
    "name", ["", "a b", 'n"rt', "n\nrt", "nrt;", "nrt.", "-nrt", "nrt-", "n$rt", "東京", "a" * 64]
)
def test_a_name_that_cannot_travel_everywhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"site name .* is not letters, digits and inner hyphens"):
        SiteIdentity(site=name, network="example-anycast", domain="example.test")
    with pytest.raises(ValueError, match=r"network name .* is not letters"):
        SiteIdentity(site="nrt", network=name, domain="example.test")


def test_the_domain_is_one() -> None:
    with pytest.raises(ValueError, match="domain 'a b' is not a domain name"):
        SiteIdentity(site="nrt", network="example-anycast", domain="a b")
