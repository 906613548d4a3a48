"""The pages that nginx keeps, one file each, and how to make it forget them.

nginx has no way to be told: but a page whose file is gone is a page that it fetches anew. A file
begins with a binary header, the line ``KEY: http://host/path``, and the origin's header.
"""

import contextlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 24 << 10  # more than the largest header that our nginx keeps
_KEY: Final = re.compile(rb"\nKEY: (?:https?)://([^\n]*)\n")
_SURROGATE: Final = re.compile(rb"(?im)^surrogate-key:[ \t]*([^\r\n]*)")


def forget(
    folder: Path,
    keys: Collection[str] = (),
    urls: Collection[tuple[str, str]] = (),
    *,
    everything: bool = False,
) -> int:
    """Delete the files of pages with one of these keys or URLs; return how many."""
    wanted_keys = {key.encode() for key in keys}
    wanted_urls = {f"{host}{path}".encode() for host, path in urls}
    n_forgotten = 0
    for path in folder.rglob("*"):
        if not path.is_file() or "." in path.name:  # nginx is still writing it
            continue
        if everything or _is_wanted(path, wanted_keys, wanted_urls):
            with contextlib.suppress(FileNotFoundError):  # nginx itself was faster
                path.unlink()
                n_forgotten += 1
    return n_forgotten


def _is_wanted(path: Path, keys: set[bytes], urls: set[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return False
    named = _KEY.search(head)
    if named is None:
        return False
    if named[1] in urls:
        return True
    header = head[named.end() :].partition(b"\r\n\r\n")[0]
    return any(key in keys for line in _SURROGATE.findall(header) for key in line.split())
