from typing import Any

import pytest

from ridgeline.spec import values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("500ms", 0.5), ("2m", 120.0), ("1ms", 0.001), ("0.25s", 0.25), ("60m", 3600.0)],
)
def test_a_duration_is_in_seconds(text: str, seconds: float) -> None:
    assert values.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "1", "1 s", "-1s", "0s", "61m", "1h", "1e3s", "٣s", "1S"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|has no unit|is out of range"):
        values.parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.0/24",
        "2001:db8::/32",
        "10.0.0.0/8",
        "192.0.2.1/32",
        "2001:DB8:0:0::/64",
        "fd00::/16",
    ],
)
def test_a_prefix_is_read(text: str) -> None:
    assert str(values.parse_prefix(text)) == text.lower().replace(":0:0::", "::")


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "/",
            "/24",
            "192.0.2.0",
            "192.0.2.0/",
            "192.0.2.0/ 24",
            "192.0.2.0/+24",
            "192.0.2.0/2_4",
        ],
        *["192.0.2.0/٢٤", "192.0.2.0/24/24", "192.0.2.0/-1", "192.0.2.0/33", "2001:db8::/129"],
        *[
            "192.0.2.1/24",
            "2001:db8::1/48",
            "192.0.02.0/24",
            "0.0.0.0/0",
            "::/0",
            "::/8",
            "::1/128",
        ],
        *[
            "127.0.0.0/8",
            "224.0.0.0/24",
            "255.255.255.255/32",
            "fe80::/64",
            "ff00::/16",
            "4000::/16",
        ],
        *["8.0.0.0/7", "2000::/3", "::ffff:c000:200/120"],
    ],
)
def test_what_cannot_be_announced_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        values.parse_prefix(text)
    assert (text or "''") in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *["http://origin.example.test", "https://origin.example.test/", "http://192.0.2.1:8080"],
        *["http://[2001:db8::1]:80", "HTTP://Origin.Example.Test.", "http://_srv.example.test"],
    ],
)
def test_an_origin_is_kept_as_written(text: str) -> None:
    assert values.parse_origin(text) == text


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.parse_flag, "True", True),
        (values.parse_flag, "false", False),
        (values.parse_count, "1", 1),
        (values.parse_count, "+5", 5),
        (values.parse_prepend, "10", 10),
        (values.parse_lat, "-90", -90.0),
        (values.parse_lon, "+139.6917", 139.6917),
        (values.parse_country, "no", "NO"),
        (values.parse_name, "a", "a"),
        (values.parse_name, "a" * 32, "a" * 32),
    ],
)
def test_a_value_is_read(parse: Any, text: str, value: Any) -> None:
    assert parse(text) == value
    assert type(parse(text)) is type(value)
