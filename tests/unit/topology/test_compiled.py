"""A compiled topology comes back as it was, and nothing else is taken for one."""

import io
from dataclasses import fields

import numpy as np
import pytest

from ridgeline.topology.as_rel import read_as_rel
from ridgeline.topology.compiled import SCHEMA, NotCompiledError, read_compiled, write_compiled
from ridgeline.topology.demo import demo
from ridgeline.topology.graph import AsGraph, as_graph
from ridgeline.topology.internet import Internet


def compiled(net: Internet) -> bytes:
    file = io.BytesIO()
    write_compiled(file, net, as_graph(net), origin="a test")
    return file.getvalue()


def assert_equal(left: Internet | AsGraph, right: Internet | AsGraph) -> None:
    assert type(left) is type(right)
    for field in fields(left):
        one, other = getattr(left, field.name), getattr(right, field.name)
        np.testing.assert_array_equal(one, other, err_msg=field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            assert not other.flags.writeable


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    "net",
    [demo(), read_as_rel(b"1|2|-1\n2|3|0\n", file="x"), read_as_rel(b"1|2|0\n", file="é\n")],
    ids=["places", "nowhere", "odd name"],
)
def test_what_is_written_is_read(net: Internet, *, deep: bool) -> None:
    back = read_compiled(io.BytesIO(compiled(net)), deep=deep)
    assert back.origin == "a test"
    assert_equal(net, back.internet)
    assert_equal(as_graph(net), back.graph)


def test_equal_internets_give_equal_bytes() -> None:
    assert compiled(demo()) == compiled(demo())


def test_numpy_reads_it_too() -> None:
    with np.load(io.BytesIO(compiled(demo())), allow_pickle=False) as archive:
        assert archive["schema"].tobytes().decode() == SCHEMA
        np.testing.assert_array_equal(archive["asn"], demo().asn)


def test_what_numpy_packed_again_is_read() -> None:
    with np.load(io.BytesIO(compiled(demo()))) as archive:
        members = dict(archive)
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **members)
        back = read_compiled(file, deep=False)
        assert_equal(demo(), back.internet)
        assert back.internet.pop_lat.flags.aligned


def test_another_version_is_refused() -> None:
    with np.load(io.BytesIO(compiled(demo()))) as archive:
        members = dict(archive)
    members["schema"] = np.frombuffer(b"ridgeline.internet-npz/999", np.uint8)
    file = io.BytesIO()
    np.savez(file, **members)
    with pytest.raises(NotCompiledError, match="internet-npz/999"):
        read_compiled(file, deep=False)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("link_a", np.array([10**6], np.int32)),
        ("pop_as", np.array([-1, 0, 1], np.int32)),
        ("peer_idx", np.array([99, 0], np.int32)),
        ("peer_idx", np.array([0, 1], np.int64)),
        ("peer_ptr", np.array([0, 2, 1, 2], np.int32)),
        ("provider_ptr", np.array([0, 1], np.int32)),
        ("as_name_code", np.array([0, 0, 200], np.uint8)),
        ("asn", np.array([3, 2, 1], np.uint32)),
        ("pop_users", np.array([1, -1, 0], np.float64)),
    ],
)
def test_an_index_that_leads_nowhere_is_refused(member: str, value: np.ndarray) -> None:
    net = read_as_rel(b"1|2|0\n2|3|-1\n", file="x")
    with np.load(io.BytesIO(compiled(net))) as archive:
        members = dict(archive)
    assert member in members
    members[member] = value
    file = io.BytesIO()
    np.savez(file, **members)
    with pytest.raises(NotCompiledError):
        read_compiled(file, deep=False)


def test_deep_reading_compares_links_and_believes_no_adjacency() -> None:
    net = read_as_rel(b"1|2|0\n2|3|-1\n", file="x")
    with np.load(io.BytesIO(compiled(net))) as archive:
        members = dict(archive)
    members["peer_idx"] = members["peer_idx"][::-1].copy()  # in range, and wrong
    file = io.BytesIO()
    np.savez(file, **members)
    assert_equal(as_graph(net), read_compiled(file, deep=True).graph)
    members["link_a"] = members["link_b"]
    file = io.BytesIO()
    np.savez(file, **members)
    with pytest.raises(NotCompiledError, match="with itself"):
        read_compiled(file, deep=True)


def test_objects_are_never_unpickled() -> None:
    with np.load(io.BytesIO(compiled(demo()))) as archive:
        members = dict(archive)
    members["as_name_words"] = np.array([{"a": 1}], object)
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **members)
    with pytest.raises(NotCompiledError):
        read_compiled(file, deep=False)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"hello", b"PK\x05\x06" + bytes(18)])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(NotCompiledError):
        read_compiled(io.BytesIO(data), deep=False)


def test_every_cut_is_refused() -> None:
    data = compiled(read_as_rel(b"1|2|0\n", file="x"))
    for end in range(0, len(data), 97):
        with pytest.raises(NotCompiledError):
            read_compiled(io.BytesIO(data[:end]), deep=False)


def test_a_flipped_bit_changes_nothing_or_is_refused() -> None:
    net = read_as_rel(b"1|2|0\n2|3|-1\n", file="x")
    data = compiled(net)
    refused = 0
    for at in range(0, len(data), 7):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        try:
            back = read_compiled(io.BytesIO(bad), deep=False)
        except NotCompiledError:
            refused += 1
        else:
            assert_equal(net, back.internet)
            assert_equal(as_graph(net), back.graph)
    assert refused > len(data) // 7 // 4
