"""Protocol buffers, the little of them that GoBGP's API needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.agent.routers.gobgp_grpc import decode, encode, number_of, text_of


def test_the_example_of_the_protocol_buffers_documentation() -> None:
    assert encode((1, 150)).hex() == "089601"
    assert encode((2, "testing")).hex() == "120774657374696e67"


def test_zero_and_empty_are_left_out() -> None:
    assert encode((1, 0), (2, ""), (3, b"")) == b""
    assert (number_of({}, 1), text_of({}, 2)) == (0, "")


@given(
    st.lists(
        st.tuples(
            st.integers(1, 5000), st.integers(1, 2**64 - 1) | st.binary(min_size=1, max_size=300)
        )
    )
)
def test_what_is_written_is_read_back(fields: list[tuple[int, int | bytes]]) -> None:
    expected: dict[int, list[int | bytes]] = {}
    for number, value in fields:
        expected.setdefault(number, []).append(value)
    assert decode(encode(*fields)) == expected


@pytest.mark.parametrize("data", [b"\x08", b"\x12\x05ab", b"\x0b", b"\xff" * 12])
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"end|longer|wire type"):
        decode(data)


def test_fields_of_fixed_size_are_skipped() -> None:
    assert decode(b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x18\x07") == {3: [7]}
