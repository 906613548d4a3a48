"""Where compiled topologies are kept between runs, and when they are still good.

A cache only saves time: whatever is wrong with it, the caller gets None and compiles anew, and a
folder that cannot be written is no error.
"""

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ridgeline.topology.compiled import Compiled, NotCompiledError, read_compiled, write_compiled
from ridgeline.topology.graph import AsGraph
from ridgeline.topology.internet import Internet


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a topology was compiled from; two that are alike give the same topology."""

    source: str
    """The absolute path of a file, or the name of a built-in with its parameters and version."""
    size: int = 0
    """Bytes; of a built-in 0, like the rest."""
    mtime_ns: int = 0
    digest: str = ""
    """BLAKE2b of the content."""


def cache_folder() -> Path | None:
    """Return the folder for compiled topologies (XDG base directories), or None without a home."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        # The standard says that a relative path counts as unset.
        base = configured if configured.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "ridgeline" / "internet"


def file_origin(path: Path) -> Origin:
    """Describe a file without reading it: the digest stays empty.

    Raises
    ------
    OSError
        There is no such file.
    """
    status = path.stat()
    source = str(path.resolve())
    return Origin(source=source, size=status.st_size, mtime_ns=status.st_mtime_ns)


def digest_of(data: bytes) -> str:
    """Return the digest that `Origin` keeps."""
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def fetch(origin: Origin) -> Compiled | None:
    """Return the compiled topology of that origin, or None when there is none to trust.

    A file of another size is another file. One of the same size and time is the same; where only
    the time differs, as after a copy, its content decides.
    """
    path = _path_for(origin)
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            compiled = read_compiled(file, deep=False)
        kept = Origin(**json.loads(compiled.origin))
        if (kept.source, kept.size) != (origin.source, origin.size):
            return None
        if kept.mtime_ns != origin.mtime_ns and kept.digest != digest_of(
            Path(origin.source).read_bytes()
        ):
            return None
    except (OSError, NotCompiledError, ValueError, TypeError):
        return None
    return compiled


def keep(origin: Origin, internet: Internet, graph: AsGraph) -> None:
    """Keep a compiled topology for later runs, if the machine lets us."""
    path = _path_for(origin)
    if path is None:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, internet, graph, origin=json.dumps(asdict(origin)))


def write_atomically(path: Path, internet: Internet, graph: AsGraph, *, origin: str) -> None:
    """Write a compiled topology so that a reader sees the old file or the whole new one.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            # No fsync: what a power cut leaves behind fails its checksums and is made again.
            write_compiled(file, internet, graph, origin=origin)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp gives the file to its owner alone
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _path_for(origin: Origin) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    stem = "".join(c if c.isalnum() else "-" for c in Path(origin.source).name)[:40]
    return folder / f"{stem}-{digest_of(origin.source.encode())[:16]}.npz"
