"""Finding the Internet that was named, and when the cache may answer."""

import bz2
import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from ridgeline.app import cache
from ridgeline.app.internet import (
    describe_as,
    load_internet,
    load_internet_and_graph,
    place_internet,
    write_internet,
)
from ridgeline.errors import InputError, MachineError

TEXT = b"65536|64512|-1\n65536|65537|0\n"


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ridgeline" / "internet"


@pytest.fixture
def as_rel(tmp_path: Path) -> Path:
    file = tmp_path / "as-rel.txt"
    file.write_bytes(TEXT)
    return file


def entry(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def plant(file: Path, cached: Path, text: bytes) -> None:
    """Fill the cache entry of a file with what another text would give."""
    before = file.stat()
    content = file.read_bytes()
    file.write_bytes(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    load_internet(str(file))
    assert entry(cached).exists()
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_file_is_read_and_kept_compiled(as_rel: Path, cached: Path) -> None:
    net, graph = load_internet_and_graph(str(as_rel))
    assert net.asn.tolist() == [64512, 65536, 65537]
    assert net.name == str(as_rel)
    kept = entry(cached).read_bytes()
    again, graph_again = load_internet_and_graph(str(as_rel))
    np.testing.assert_array_equal(net.link_a, again.link_a)
    np.testing.assert_array_equal(graph.peer_idx, graph_again.peer_idx)
    assert entry(cached).read_bytes() == kept


def test_the_cache_does_answer(as_rel: Path, cached: Path) -> None:
    # Same size, same time, other content: only a cache that is used can tell the old story.
    plant(as_rel, cached, TEXT.replace(b"65537", b"65538"))
    assert load_internet(str(as_rel)).asn.tolist() == [64512, 65536, 65538]


def test_a_newer_file_is_read_anew(as_rel: Path, cached: Path) -> None:
    plant(as_rel, cached, TEXT.replace(b"65537", b"65538"))
    os.utime(as_rel, ns=(1, 1))
    assert load_internet(str(as_rel)).asn.tolist() == [64512, 65536, 65537]


def test_a_file_of_another_size_is_read_anew(as_rel: Path, cached: Path) -> None:
    load_internet(str(as_rel))
    status = as_rel.stat()
    as_rel.write_bytes(TEXT + b"65536|65538|0\n")
    os.utime(as_rel, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load_internet(str(as_rel)).asn.tolist() == [64512, 65536, 65537, 65538]


def test_a_touched_file_of_equal_content_needs_no_reading(as_rel: Path, cached: Path) -> None:
    load_internet(str(as_rel))
    before = entry(cached).stat().st_mtime_ns
    os.utime(as_rel, ns=(1, 1))
    assert load_internet(str(as_rel)).n_as == 3
    assert entry(cached).stat().st_mtime_ns == before


@pytest.mark.parametrize("n_bytes_left", [0, 2, 500])
def test_a_spoilt_entry_is_made_again(as_rel: Path, cached: Path, n_bytes_left: int) -> None:
    load_internet(str(as_rel))
    good = entry(cached).read_bytes()
    entry(cached).write_bytes(good[:n_bytes_left])
    assert load_internet(str(as_rel)).n_as == 3
    assert entry(cached).read_bytes() == good


def test_an_entry_of_another_version_is_made_again(
    as_rel: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ridgeline.topology.compiled.SCHEMA", "ridgeline.internet-npz/0")
    plant(as_rel, cached, TEXT.replace(b"65537", b"65538"))
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cached.parent.parent))
    assert load_internet(str(as_rel)).asn.tolist() == [64512, 65536, 65537]


def test_a_cache_that_cannot_be_written_is_no_error(
    as_rel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_internet(str(as_rel)).n_as == 3


def test_a_relative_cache_home_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache.cache_folder() == Path("/home/somebody/.cache/ridgeline/internet")


def test_bz2_and_a_name_that_says_otherwise(tmp_path: Path, cached: Path) -> None:
    file = tmp_path / "as-rel.npz"
    file.write_bytes(bz2.compress(TEXT))
    assert load_internet(str(file)).n_as == 3


def test_a_compiled_file_is_a_source_too(as_rel: Path, cached: Path, tmp_path: Path) -> None:
    net, graph = load_internet_and_graph(str(as_rel))
    out = tmp_path / "out"
    cache.write_atomically(out, net, graph, origin="")
    again = load_internet(str(out))
    assert again.name == str(out)
    np.testing.assert_array_equal(net.asn, again.asn)
    assert out.stat().st_mode & 0o777 == as_rel.stat().st_mode & 0o777


def test_a_damaged_compiled_file_is_refused_with_a_way_out(tmp_path: Path, cached: Path) -> None:
    file = tmp_path / "x.npz"
    file.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(InputError, match="make it again with `ridgeline internet"):
        load_internet(str(file))


@pytest.mark.parametrize("source", ["nowhere.txt", "."])
def test_a_source_that_cannot_be_read_names_what_can(source: str, cached: Path) -> None:
    with pytest.raises(InputError, match=r"builtin:demo or builtin:world, or a file"):
        load_internet(source)


def test_an_unknown_builtin_names_the_nearest(cached: Path) -> None:
    with pytest.raises(InputError, match=r"'builtin:dmeo' is no built-in.*there is builtin:demo$"):
        load_internet("builtin:dmeo")


def test_a_generated_internet_is_a_source_and_is_kept(cached: Path) -> None:
    net = load_internet("builtin:world:size=50,seed=3")
    assert (net.n_as, net.name) == (50, "builtin:world:size=50,seed=3")
    assert entry(cached).exists()
    again = load_internet("builtin:world:seed=3,size=50")
    assert again.name == net.name
    np.testing.assert_array_equal(net.pop_lat, again.pop_lat)
    assert len(list(cached.iterdir())) == 1


def test_the_world_has_a_size_and_a_seed_of_its_own(cached: Path) -> None:
    assert load_internet("builtin:world").name == "builtin:world:size=5000,seed=1"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("builtin:world:sise=5", "'sise=5' is not size=N or seed=N"),
        ("builtin:world:size=", "'size=' is not size=N"),
        ("builtin:world:size=-5", "'size=-5' is not size=N"),
        ("builtin:world:size=3", "the size must be 4 to 500000"),
        ("builtin:world:seed=9999999999999999999", "the seed must be 0 or more"),
    ],
)
def test_what_a_generated_internet_cannot_be_is_told(source: str, told: str, cached: Path) -> None:
    with pytest.raises(InputError, match=told):
        load_internet(source)


GEO_ASN = "0.0.0.0,0.0.0.99,65536,a\n0.0.0.100,0.0.0.109,64512,b\n"
GEO_PLACE = "0.0.0.0,0.0.0.9,JP\n0.0.0.10,0.0.0.255,BR\n"


def test_ases_are_placed_by_tables_plain_or_packed(
    as_rel: Path, tmp_path: Path, cached: Path
) -> None:
    (tmp_path / "asn.csv").write_text(GEO_ASN)
    (tmp_path / "place.csv.gz").write_bytes(gzip.compress(GEO_PLACE.encode()))
    tables = [str(tmp_path / "asn.csv")], [str(tmp_path / "place.csv.gz")]
    placed = place_internet(str(as_rel), *tables)
    assert placed.pop_code == ("gru", "gru", "nrt", "")
    out = tmp_path / "placed.npz"
    write_internet(str(out), placed)
    assert load_internet(str(out)).pop_code == placed.pop_code
    with pytest.raises(InputError, match="have places already"):
        place_internet(str(out), *tables)


def test_tables_that_place_nobody_are_refused(as_rel: Path, tmp_path: Path, cached: Path) -> None:
    (tmp_path / "asn.csv").write_text(GEO_ASN)
    (tmp_path / "place.csv").write_text("9.0.0.0,9.0.0.9,JP\n")
    with pytest.raises(InputError, match="place none of the ASes"):
        place_internet(str(as_rel), [str(tmp_path / "asn.csv")], [str(tmp_path / "place.csv")])


def test_a_table_that_is_not_there_is_named(as_rel: Path, cached: Path) -> None:
    with pytest.raises(InputError, match=r"^no\.csv: No such file"):
        place_internet(str(as_rel), ["no.csv"], ["no.csv"])


def test_a_file_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot be written: No such file"):
        write_internet(str(tmp_path / "no" / "x.npz"), load_internet("builtin:demo"))
    assert list(tmp_path.iterdir()) == []


def test_an_as_that_is_not_there_is_told_with_its_neighbours_in_number() -> None:
    with pytest.raises(
        InputError, match="there is no AS64517; the nearest numbers are AS64514, AS64515"
    ):
        describe_as("builtin:demo", 64517)
    assert describe_as("builtin:demo", 65546).name == "meerkat"
