from ipaddress import ip_address

import pytest

from ridgeline.lab.material.cookies import server_cookie

SECRET = bytes.fromhex("e5e973e5a6b2a43f48e7dc849e37bfcf")


@pytest.mark.parametrize(
    ("client", "client_cookie", "secret", "now", "cookie"),
    [
        # RFC 9018, appendix A.1 and A.4.
        (
            "198.51.100.100",
            "2464c4abcf10c957",
            SECRET,
            1559731985,
            "010000005cf79f111f8130c3eee29480",
        ),
        (
            "2001:db8:220:1:59de:d0f4:8769:82b8",
            "22681ab97d52c298",
            bytes.fromhex("dd3bdf9344b678b185a6f5cb60fca715"),
            1559741817,
            "010000005cf7c57926556bd0934c72f8",
        ),
    ],
)
def test_the_cookie_is_that_of_the_standard(
    client: str, client_cookie: str, secret: bytes, now: int, cookie: str
) -> None:
    made = server_cookie(secret, bytes.fromhex(client_cookie), ip_address(client), now=now)
    assert made.hex() == cookie


def test_a_client_cookie_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        server_cookie(SECRET, b"short", ip_address("192.0.2.1"), now=0)
