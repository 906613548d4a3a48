import pytest

from ridgeline.net.asn import parse_asn


@pytest.mark.parametrize(
    ("text", "number"),
    [("64500", 64500), ("AS64500", 64500), ("as1", 1), ("1.10", 65546), ("65535.65534", 2**32 - 2)],
)
def test_an_as_number_is_read(text: str, number: int) -> None:
    assert parse_asn(text) == number


@pytest.mark.parametrize(
    "text", ["", "AS", "zero", "-1", "1.2.3", "1.65536", "65536.1", "\u0661", "1e3"]
)
def test_what_is_no_as_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an AS number"):
        parse_asn(text)


@pytest.mark.parametrize("text", ["0", "23456", "65535", "4294967295", "0.0"])
def test_a_number_that_no_network_holds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is reserved"):
        parse_asn(text)


def test_a_number_beyond_32_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="the largest is 4294967295"):
        parse_asn("4294967296")
