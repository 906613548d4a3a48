"""Open files of others, plain or compressed: their first bytes say which."""

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast

from ridgeline.errors import InputError

_GZIP: Final = b"\x1f\x8b"
_BZIP2: Final = b"BZh"
_XZ: Final = b"\xfd7zXZ\x00"


@contextmanager
def open_binary(path: str) -> Iterator[io.BufferedIOBase]:
    """Open a file, or standard input for ``-``; what goes wrong while it is read is told, too.

    Raises
    ------
    InputError
        The file cannot be read, or its compressed data is cut short or damaged.
    """
    try:
        if path == "-":
            yield _decompressed(_peekable(sys.stdin.buffer))
        else:
            with Path(path).open("rb") as raw:
                yield _decompressed(raw)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the compressed data is cut short or damaged: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


@contextmanager
def open_text(path: str) -> Iterator[TextIO]:
    """Open a file as text; bytes that are no UTF-8 are replaced, parsers tell where they matter.

    Raises
    ------
    InputError
        As `open_binary`.
    """
    with open_binary(path) as binary:
        # Every stream that `open_binary` gives is buffered and has `read1`.
        text = io.TextIOWrapper(
            cast("io.BufferedReader", binary), encoding="utf-8", errors="replace", newline=None
        )
        try:
            yield text
        finally:
            text.detach()


def _peekable(stream: BinaryIO) -> io.BufferedReader:
    if isinstance(stream, io.BufferedReader):
        return stream
    return io.BufferedReader(cast("io.RawIOBase", stream))  # what stands in for it in a test


def _decompressed(raw: io.BufferedReader) -> io.BufferedIOBase:
    head = raw.peek(len(_XZ))[: len(_XZ)]
    if head.startswith(_GZIP):
        return gzip.open(raw)
    if head.startswith(_BZIP2):
        return bz2.open(raw)
    if head.startswith(_XZ):
        return lzma.open(raw)
    return raw
