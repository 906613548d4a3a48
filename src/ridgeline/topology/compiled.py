"""The compiled form of an Internet and its adjacency: one ``.npz`` that loads in milliseconds.

Nothing in it is executed (no pickles). Whoever reads it has the arrays' checksums verified and every
index checked, since compiled loops follow these indices without looking.

`numpy.load` reads the format too, but copies each array twice, into memory that the kernel must
clear first. Here the file is read once and the arrays are views of it, which halves the time; the
writer therefore aligns them.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.topology.checks import complaints
from ridgeline.topology.graph import AsGraph, as_graph
from ridgeline.topology.internet import Internet

SCHEMA: Final = "ridgeline.internet-npz/1"

_INTERNET_ARRAYS: Final = (
    "asn", "pop_as", "pop_lat", "pop_lon", "pop_users", "link_a", "link_b", "link_rel",
)  # fmt: skip
_INTERNET_TEXTS: Final = ("as_name", "pop_code", "pop_city", "pop_country")
_GRAPH_ARRAYS: Final = (
    "provider_ptr", "provider_idx", "customer_ptr", "customer_idx", "peer_ptr", "peer_idx",
)  # fmt: skip
_LOCAL_HEADER: Final = struct.Struct("<26sHH")  # of a ZIP member; the two lengths that follow it
_EXTRA: Final = struct.Struct("<HH")
_EXTRA_ID: Final = 0xD935  # the number that Android's zipalign uses for padding
_ALIGN: Final = 64
_NPY_HEADER_LIMIT: Final = 256
_NPY_HEADER: Final = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype>[<|][uif]\d)', 'fortran_order': False, "
    rb"'shape': \((?P<n>\d+),\), \} *\n",
    re.DOTALL,
)
# What zipfile, zlib and numpy raise over bytes that are not what they seem.
_UNREADABLE: Final = (
    OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, MemoryError,
    SyntaxError, OverflowError, TypeError, IndexError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class NotCompiledError(Exception):
    """The bytes are no compiled Internet of this version, or are damaged; says which."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compiled:
    """What a compiled file holds."""

    internet: Internet
    graph: AsGraph
    origin: str
    """What it was compiled from, in the writer's words: compared, never interpreted here."""


def write_compiled(file: IO[bytes], internet: Internet, graph: AsGraph, *, origin: str) -> None:
    """Write an Internet and its adjacency."""
    members: dict[str, NDArray[Any]] = {
        "schema": _text_to_bytes(SCHEMA),
        "origin": _text_to_bytes(origin),
        "name": _text_to_bytes(internet.name),
    }
    members |= {field: getattr(internet, field) for field in _INTERNET_ARRAYS}
    members |= {field: getattr(graph, field) for field in _GRAPH_ARRAYS}
    for field in _INTERNET_TEXTS:
        words, code = _encode(getattr(internet, field))
        members |= {f"{field}_words": words, f"{field}_code": code}
    with zipfile.ZipFile(file, "w") as archive:
        for member, array in members.items():
            _write_member(archive, file.tell(), member, array)


def read_compiled(file: IO[bytes], *, deep: bool) -> Compiled:
    """Read what `write_compiled` wrote.

    Parameters
    ----------
    file : binary file
        Open for reading, seekable.
    deep : bool
        For a file from elsewhere: check also that links agree with each other, and compute the
        adjacency anew instead of believing the file's.

    Raises
    ------
    NotCompiledError
        It is something else, of another version, or damaged.
    """
    try:
        members = _read_members(file)
        schema = _bytes_to_text(members["schema"])
        if schema != SCHEMA:
            raise NotCompiledError(f"it is of version {schema!r}, not {SCHEMA!r}")
        internet = _internet(members)
        if wrong := complaints(internet, deep=deep):
            raise NotCompiledError("; ".join(wrong))
        graph = as_graph(internet) if deep else _graph(members, internet)
        origin = _bytes_to_text(members["origin"])
    except _UNREADABLE as error:
        raise NotCompiledError(f"it is damaged or something else ({error})") from error
    return Compiled(internet=internet, graph=graph, origin=origin)


def _write_member(archive: zipfile.ZipFile, at: int, member: str, array: NDArray[Any]) -> None:
    """Store one array, uncompressed, so that its data begin at a multiple of `_ALIGN`."""
    npy = io.BytesIO()
    np.lib.format.write_array(npy, array, allow_pickle=False)
    info = zipfile.ZipInfo(f"{member}.npy")  # a fixed date: equal Internets, equal bytes
    # An extra field (PKWARE APPNOTE, section 4.5) of the right length does the alignment.
    pad = -(at + _LOCAL_HEADER.size + len(info.filename) + _EXTRA.size) % _ALIGN
    info.extra = _EXTRA.pack(_EXTRA_ID, pad) + bytes(pad)
    archive.writestr(info, npy.getbuffer())


def _read_members(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` by name, checksums verified, read-only."""
    size = file.seek(0, io.SEEK_END)
    data = np.empty(size, np.uint8)
    file.seek(0)
    if file.readinto(data.data) != size:  # type: ignore[attr-defined]  # every binary file has it
        raise NotCompiledError("it changed while it was read")
    data.setflags(write=False)
    members = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.compress_type == zipfile.ZIP_STORED:
                content = _stored(data, info)
            else:
                content = np.frombuffer(archive.read(info), np.uint8)
            members[info.filename.removesuffix(".npy")] = _array(content)
    return members


def _stored(data: NDArray[np.uint8], info: zipfile.ZipInfo) -> NDArray[np.uint8]:
    start = info.header_offset
    _, name_size, extra_size = _LOCAL_HEADER.unpack_from(data.data, start)
    start += _LOCAL_HEADER.size + name_size + extra_size
    content = data[start : start + info.file_size]
    if content.size != info.file_size or zlib.crc32(content.data) != info.CRC:
        raise NotCompiledError(f"{info.filename} fails its checksum")
    return content


def _array(content: NDArray[np.uint8]) -> NDArray[Any]:
    """Read the ``.npy`` format, without a copy where the data are aligned."""
    # A pattern and not numpy's own reader, which runs Python's parser on each header.
    head = _NPY_HEADER.match(content[:_NPY_HEADER_LIMIT].tobytes())
    if head is None:
        raise NotCompiledError("an array is not one-dimensional, or not of plain numbers")
    array = content[head.end() :].view(head["dtype"].decode())
    if array.size != int(head["n"]):
        raise NotCompiledError(f"an array has {array.size} entries, not {int(head['n'])}")
    if not array.flags.aligned:
        array = array.copy()
        array.setflags(write=False)
    return array


def _internet(members: Mapping[str, NDArray[Any]]) -> Internet:
    texts = {f: _decode(members[f"{f}_words"], members[f"{f}_code"]) for f in _INTERNET_TEXTS}
    arrays = {field: members[field] for field in _INTERNET_ARRAYS}
    return Internet(name=_bytes_to_text(members["name"]), **texts, **arrays)  # type: ignore[arg-type]  # two kinds of fields, both checked by `complaints`


def _graph(members: Mapping[str, NDArray[Any]], internet: Internet) -> AsGraph:
    n = internet.n_as
    for kind in ("provider", "customer", "peer"):
        ptr, idx = members[f"{kind}_ptr"], members[f"{kind}_idx"]
        sound = (
            ptr.dtype == idx.dtype == np.dtype(np.int32)
            and (ptr.shape, idx.ndim) == ((n + 1,), 1)
            and (ptr[0], ptr[-1]) == (0, idx.size)
            and bool(np.all(ptr[1:] >= ptr[:-1]))
            and (idx.size == 0 or (idx.min() >= 0 and idx.max() < n))
        )
        if not sound:
            raise NotCompiledError(f"the {kind} rows do not fit the {n} ASes")
    return AsGraph(n=n, asn=internet.asn, **{field: members[field] for field in _GRAPH_ARRAYS})


def _text_to_bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


def _bytes_to_text(array: NDArray[np.uint8]) -> str:
    return array.astype(np.uint8, casting="no").tobytes().decode()


def _encode(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Write texts as their different words, divided by NUL, and a word number each."""
    number: dict[str, int] = {}
    if any("\0" in text for text in texts):
        raise ValueError("a name or place holds a NUL character")
    code = [number.setdefault(text, len(number)) for text in texts]
    return _text_to_bytes("\0".join(number)), np.array(code, np.min_scalar_type(len(number)))


def _decode(words: NDArray[np.uint8], code: NDArray[Any]) -> tuple[str, ...]:
    table = _bytes_to_text(words).split("\0")
    if code.dtype.kind != "u" or code.ndim != 1:
        raise NotCompiledError(f"word numbers are {code.dtype} of shape {code.shape}")
    if len(table) == 1 and not code.any():
        return _alike(table[0], code.size)
    return tuple(np.array(table, object)[code].tolist())


@lru_cache(maxsize=4)
def _alike(text: str, n: int) -> tuple[str, ...]:
    """Return one long tuple for all fields that say nothing of anyone."""
    return (text,) * n
