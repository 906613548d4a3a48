"""Read CAIDA's AS relationships: as-rel (3 fields) and as-rel2 (4 fields), plain or bz2.

Each line is ``provider|customer|-1`` or ``peer|peer|0``, in as-rel2 followed by ``|source``; lines
that begin with ``#`` are comments. Note the order: the provider stands *first*. An AS read here has
one PoP, nowhere; `ridgeline.topology.geography` places it.

The file has half a million lines, so all are checked at once as arrays; only what is wrong is
looked at line by line.
"""

import bz2
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError, Problem
from ridgeline.net.asn import AS_TRANS, MAX_ASN, parse_asn
from ridgeline.topology.checks import repeats
from ridgeline.topology.internet import CUSTOMER_TO_PROVIDER, PEER_TO_PEER, Internet

MAX_PROBLEMS: Final = 50  # told one by one; the rest are counted
_NEWLINE, _BAR, _HASH, _MINUS, _ZERO, _ONE = (ord(c) for c in "\n|#-01")
_RESERVED: Final = (0, AS_TRANS, 2**16 - 1, MAX_ASN)  # as `parse_asn` refuses them
_MAX_DIGITS: Final = len(str(MAX_ASN))
_TABLE_LIMIT: Final = 1 << 24  # AS numbers below this are ranked through a table: no search


def read_as_rel(data: bytes, *, file: str) -> Internet:
    """Read the bytes of an as-rel or as-rel2 file.

    Parameters
    ----------
    data : bytes
        The whole file; bz2 is recognised by its first bytes.
    file : str
        Its name, for messages and as the Internet's name.

    Raises
    ------
    InputError
        It is empty, cut off, or has lines that are wrong: malformed, an AS linked with itself, a
        pair that stands twice, a pair related in two ways.
    """
    lines = _split(_decompress(data, file))
    if lines.start.size == 0:
        raise InputError(f"{file}: there is no link in it: want lines such as 65536|64512|-1")
    left, right, rel, good = _parse(lines)
    if not np.all(good):
        bad = np.flatnonzero(~good)
        blamed = [_blame(lines.text_of(i)) for i in bad[:MAX_PROBLEMS]]
        _refuse(file, lines.number[bad], blamed)
    asn, a, b = _rank(left, right)
    _refuse_repeats(file, lines, asn, a, b, rel)
    # The file names the provider first, a link its customer.
    sells = rel == CUSTOMER_TO_PROVIDER
    return _nowhere(file, asn, np.where(sells, b, a), np.where(sells, a, b), rel)


def _decompress(data: bytes, file: str) -> bytes:
    if not data.startswith(b"BZh"):
        return data
    try:
        return bz2.decompress(data)
    except ValueError:
        raise InputError(f"{file}: the bz2 data ends in the middle: fetch the file again") from None
    except OSError:
        raise InputError(f"{file}: the bz2 data is damaged: fetch the file again") from None


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """The lines that are neither blank nor comments: byte offsets, int64, shape (n,)."""

    text: NDArray[np.uint8]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    number: NDArray[np.int64]
    """1-based, as editors count."""

    def text_of(self, i: int) -> str:
        return self.text[self.start[i] : self.end[i]].tobytes().decode("utf-8", "replace")


def _split(data: bytes) -> _Lines:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    text = np.frombuffer(data, np.uint8)
    end = np.flatnonzero(text == _NEWLINE)
    if text.size and text[-1] != _NEWLINE:
        end = np.append(end, text.size)
    start = np.concatenate([np.zeros(min(1, end.size), np.int64), end[:-1] + 1])
    keep = end > start
    keep[keep] = text[start[keep]] != _HASH
    return _Lines(text, start[keep], end[keep], np.flatnonzero(keep) + 1)


def _parse(
    lines: _Lines,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8], NDArray[np.bool_]]:
    """Return both AS numbers and the relationship of each line, and which lines are well formed."""
    text, n = lines.text, lines.start.size
    bar = np.flatnonzero(text == _BAR)
    first = np.searchsorted(bar, lines.start)
    n_bars = np.searchsorted(bar, lines.end) - first
    good = (n_bars == 2) | (n_bars == 3)
    bar = np.append(bar, np.full(3, text.size))  # so that a short line has something to point at
    bar1, bar2 = bar[first], bar[first + 1]
    rel_end = np.where(n_bars == 3, bar[first + 2], lines.end)

    left, left_good = _numbers(text, lines.start, bar1, good)
    right, right_good = _numbers(text, bar1 + 1, bar2, good)
    good &= left_good & right_good

    padded = np.append(text, np.zeros(4, np.uint8))
    at = np.where(good, bar2 + 1, 0)
    width = np.where(good, rel_end - bar2 - 1, 0)
    peers = (width == 1) & (padded[at] == _ZERO)
    sells = (width == 2) & (padded[at] == _MINUS) & (padded[at + 1] == _ONE)
    rel = np.where(peers, PEER_TO_PEER, np.full(n, CUSTOMER_TO_PROVIDER)).astype(np.int8)
    return left, right, rel, good & (peers | sells)


def _numbers(
    text: NDArray[np.uint8],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    wanted: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read the AS number in ``text[start:end]`` of every wanted row; say where there is one."""
    width = np.where(wanted, end - start, 0)
    good = (width > 0) & (width <= _MAX_DIGITS)
    value = np.zeros(start.size, np.int64)
    row = np.flatnonzero(good)
    for k in range(_MAX_DIGITS):
        row = row[width[row] > k]
        if row.size == 0:
            break
        digit = text[start[row] + k] - np.uint8(_ZERO)  # wraps around below "0", so one test does
        value[row] = value[row] * 10 + digit
        good[row[digit > 9]] = False
    good &= ~np.isin(value, _RESERVED) & (value <= MAX_ASN)
    return value, good


def _blame(line: str) -> tuple[int, str, str]:
    """Say what is wrong with one line: column, field and message."""
    fields = line.split("|")
    if len(fields) not in (3, 4):
        return (
            1,
            "",
            f"{_shown(line)} has {len(fields)} field(s), not 3 (as-rel) or 4 (as-rel2), divided by |",
        )
    column = 1
    for where, field in zip(("first AS", "second AS"), fields, strict=False):
        try:
            parse_asn(field)
        except ValueError as error:
            return column, where, str(error) if len(field) <= 40 else f"{_shown(field)} is too long"
        if not (field.isascii() and field.isdigit()):
            return column, where, f"{field!r} must be plain digits here"
        column += len(field) + 1
    message = f"{_shown(fields[2])} is not -1 (the first sells to the second) or 0 (they peer)"
    return column, "relationship", message


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _refuse(file: str, numbers: NDArray[np.int64], blamed: list[tuple[int, str, str]]) -> None:
    """Raise with the problems of the first lines, and the count of the others."""
    problems = [Problem(file, int(n), *why) for n, why in zip(numbers, blamed, strict=False)]
    if numbers.size > len(problems):
        rest = f"here and below, {numbers.size - len(problems)} more lines are wrong"
        problems.append(Problem(file, int(numbers[len(problems)]), 1, "", rest))
    raise InputError(problems)


def _rank(
    left: NDArray[np.int64], right: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.int32]]:
    """Return the AS numbers, rising, and both columns as indices into them."""
    top = int(max(left.max(), right.max()))
    if top < _TABLE_LIMIT:
        seen = np.zeros(top + 1, np.bool_)
        seen[left] = seen[right] = True
        asn = np.flatnonzero(seen)
        table = np.cumsum(seen, dtype=np.int32) - np.int32(1)
        return asn.astype(np.uint32), table[left], table[right]
    asn, rank = np.unique(np.concatenate([left, right]), return_inverse=True)
    a, b = np.split(rank.astype(np.int32), 2)
    return asn.astype(np.uint32), a, b


def _refuse_repeats(
    file: str,
    lines: _Lines,
    asn: NDArray[np.uint32],
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    rel: NDArray[np.int8],
) -> None:
    """Refuse links of an AS with itself and pairs that stand twice."""
    # Sorting without remembering the order is several times faster, and finds nothing as a rule.
    pair = np.sort(np.minimum(a, b).astype(np.int64) * asn.size + np.maximum(a, b))
    if not (np.any(a == b) or np.any(pair[1:] == pair[:-1])):
        return
    again = repeats(a, b, rel, asn.size)
    first = dict(zip(again.link.tolist(), again.earlier.tolist(), strict=True))
    differs = set(again.link[again.differs].tolist())
    bad = np.union1d(np.flatnonzero(a == b), again.link)
    blamed = []
    for i in bad[:MAX_PROBLEMS].tolist():
        one, other = f"AS{asn[a[i]]}", f"AS{asn[b[i]]}"
        if a[i] == b[i]:
            blamed.append((1, "", f"{one} has a link with itself"))
            continue
        line = lines.number[first[i]]
        what = f"and differ: {lines.text_of(first[i])!r}" if i in differs else "already"
        blamed.append((1, "", f"{one} and {other} stand on line {line} {what}"))
    _refuse(file, lines.number[bad], blamed)


def _nowhere(
    name: str,
    asn: NDArray[np.uint32],
    a: NDArray[np.int32],
    b: NDArray[np.int32],
    rel: NDArray[np.int8],
) -> Internet:
    """Give every AS one PoP without a place, so that PoP indices are AS indices."""
    empty = ("",) * asn.size
    arrays = {
        "asn": asn,
        "pop_as": np.arange(asn.size, dtype=np.int32),
        "pop_lat": np.full(asn.size, np.nan),
        "pop_lon": np.full(asn.size, np.nan),
        "pop_users": np.zeros(asn.size),
        "link_a": a,
        "link_b": b,
        "link_rel": rel,
    }
    for array in arrays.values():
        array.setflags(write=False)
    return Internet(
        name=name, as_name=empty, pop_code=empty, pop_city=empty, pop_country=empty, **arrays
    )
