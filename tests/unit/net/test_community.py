import pytest

from ridgeline.net.community import (
    GRACEFUL_SHUTDOWN,
    Community,
    parse_community,
    render_community,
)


@pytest.mark.parametrize(
    ("text", "community"),
    [
        ("65535:0", GRACEFUL_SHUTDOWN),
        ("graceful-shutdown", GRACEFUL_SHUTDOWN),
        ("No-Export", (65535, 65281)),
        ("65550:0:174", (65550, 0, 174)),
        ("0:0", (0, 0)),
    ],
)
def test_a_community_is_read(text: str, community: Community) -> None:
    assert parse_community(text) == community


@pytest.mark.parametrize(
    "text", ["", "1", "65536:1", "1:65536", "1:2:3:4", "a:b", "1:-2", "1:2:4294967296"]
)
def test_what_is_no_community_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a community"):
        parse_community(text)


@pytest.mark.parametrize("text", ["65535:0", "65550:0:174"])
def test_a_community_is_written_as_it_was_read(text: str) -> None:
    assert render_community(parse_community(text)) == text
