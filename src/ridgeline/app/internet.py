"""Find the Internet that the user named; the only place that opens topology files.

A source is ``builtin:demo``, ``builtin:world``, ``builtin:world:size=2000,seed=7`` or a file: CAIDA's
as-rel or as-rel2, plain or bz2, or a compiled ``.npz``. What a file is, its first bytes say, not its
name.
"""

import gzip
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import numpy as np

from ridgeline.app.cache import Origin, digest_of, fetch, file_origin, keep, write_atomically
from ridgeline.errors import InputError, MachineError
from ridgeline.topology.as_rel import read_as_rel
from ridgeline.topology.compiled import NotCompiledError, read_compiled
from ridgeline.topology.demo import demo
from ridgeline.topology.graph import AsGraph, as_graph
from ridgeline.topology.internet import Internet
from ridgeline.topology.summary import Profile, Summary, profile, summarise

DEFAULT_SIZE: Final = 5000
DEFAULT_SEED: Final = 1
_BUILTINS: Final = ("builtin:demo", "builtin:world")
_ZIP_MAGIC: Final = b"PK\x03\x04"
_GZIP_MAGIC: Final = b"\x1f\x8b"


def load_internet(source: str) -> Internet:
    """Return the Internet of that name or in that file.

    Raises
    ------
    InputError
        There is no such source, or the file is wrong.
    """
    return load_internet_and_graph(source)[0]


def load_internet_and_graph(source: str, *, deep: bool = False) -> tuple[Internet, AsGraph]:
    """Return an Internet together with its AS-level adjacency, which the cache keeps too.

    `deep` also compares the links of a compiled file with each other, for commands that check.

    Raises
    ------
    InputError
        There is no such source, or the file is wrong.
    """
    if source == "builtin:demo":
        net = demo()
        return net, as_graph(net)
    if source == "builtin:world" or source.startswith("builtin:world:"):
        return _load_world(source)
    if source.startswith("builtin:"):
        close = get_close_matches(source, _BUILTINS, 1) or _BUILTINS
        raise InputError(f"{source!r} is no built-in Internet: there is {' and '.join(close)}")
    return _load_file(source, deep=deep)


def describe_internet(source: str) -> Summary:
    """Return what an Internet looks like from afar.

    Raises
    ------
    InputError
        There is no such source, or the file is wrong.
    """
    return summarise(*load_internet_and_graph(source, deep=True))


def describe(internet: Internet) -> Summary:
    """Return what an Internet that is not in a file yet looks like from afar."""
    return summarise(internet, as_graph(internet))


def describe_as(source: str, asn: int) -> Profile:
    """Return what one AS of an Internet looks like.

    Raises
    ------
    InputError
        There is no such source, or no such AS in it.
    """
    net, graph = load_internet_and_graph(source)
    index = net.index_of(asn)
    if index is None:
        nearest = net.asn[np.argsort(np.abs(net.asn.astype(np.int64) - asn), kind="stable")[:3]]
        near = ", ".join(f"AS{n}" for n in sorted(nearest.tolist()))
        raise InputError(f"{source}: there is no AS{asn}; the nearest numbers are {near}")
    return profile(net, graph, index)


def place_internet(source: str, geo_asn: Sequence[str], geo_place: Sequence[str]) -> Internet:
    """Return an Internet with its ASes placed by tables of who holds which address, and where.

    Raises
    ------
    InputError
        A file is not there or wrong, or the Internet has places already.
    """
    from ridgeline.topology.cities import cities
    from ridgeline.topology.geography import holdings, place
    from ridgeline.topology.ip_ranges import read_asn_ranges, read_place_ranges

    net = load_internet(source)
    if net.n_pop != net.n_as or not np.all(np.isnan(net.pop_lat)):
        raise InputError(f"{source}: its ASes have places already")
    asns = [read_asn_ranges(_read_table(file), file=file) for file in geo_asn]
    places = [
        read_place_ranges(_read_table(file), file=file, cities=cities()) for file in geo_place
    ]
    held = holdings(asns, places)
    placed = place(net, held, cities())
    if np.all(np.isnan(placed.pop_lat)):
        raise InputError(
            f"{', '.join([*geo_asn, *geo_place])}: they place none of the ASes of {source}: "
            f"do both kinds of table cover the same addresses?"
        )
    return placed


def write_internet(out: str, internet: Internet) -> None:
    """Write an Internet compiled, as a source for later commands.

    Raises
    ------
    MachineError
        The file cannot be written.
    """
    try:
        write_atomically(Path(out), internet, as_graph(internet), origin=internet.name)
    except OSError as error:
        raise MachineError(f"{out} cannot be written: {error.strerror or error}") from error


def _read_table(file: str) -> bytes:
    try:
        data = Path(file).read_bytes()
        return gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data
    except EOFError:
        raise InputError(f"{file}: the gzip data ends in the middle: fetch it again") from None
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from None


def make_world(size: int, seed: int) -> Internet:
    """Generate the Internet of that size and seed.

    Raises
    ------
    InputError
        A number is out of range.
    """
    from ridgeline.topology.world import MAX_SIZE, MIN_SIZE, world

    name = f"builtin:world:size={size},seed={seed}"
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise InputError(f"{name}: the size must be {MIN_SIZE} to {MAX_SIZE}")
    if not 0 <= seed < 2**63:
        raise InputError(f"{name}: the seed must be 0 or more, below 2 to the power of 63")
    return world(size, np.random.default_rng(seed), name=name)


def _load_world(source: str) -> tuple[Internet, AsGraph]:
    from ridgeline.topology.world import GENERATOR_VERSION

    wanted = {"size": DEFAULT_SIZE, "seed": DEFAULT_SEED}
    for part in filter(None, source.removeprefix("builtin:world").removeprefix(":").split(",")):
        name, _, value = part.partition("=")
        if name not in wanted or not (value.isascii() and value.isdigit() and len(value) < 20):
            raise InputError(
                f"{source!r}: {part!r} is not size=N or seed=N, as in builtin:world:size=2000,seed=7"
            )
        wanted[name] = int(value)
    canonical = f"builtin:world:size={wanted['size']},seed={wanted['seed']}"
    origin = Origin(source=f"{canonical}, generator {GENERATOR_VERSION}")
    cached = fetch(origin)
    if cached is not None:
        return cached.internet, cached.graph
    net = make_world(wanted["size"], wanted["seed"])
    graph = as_graph(net)
    keep(origin, net, graph)
    return net, graph


def _load_file(source: str, *, deep: bool) -> tuple[Internet, AsGraph]:
    path = Path(source)
    try:
        origin = file_origin(path)
        with path.open("rb") as file:
            if file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC:
                file.seek(0)
                compiled = read_compiled(file, deep=deep)
                return replace(compiled.internet, name=source), compiled.graph
        cached = fetch(origin)
        if cached is not None:
            return replace(cached.internet, name=source), cached.graph
        data = path.read_bytes()
    except NotCompiledError as error:
        raise InputError(
            f"{source}: no compiled Internet of this version: {error}\n"
            f"  make it again with `ridgeline internet read` or `ridgeline internet make`"
        ) from None
    except OSError as error:
        known = " or ".join(_BUILTINS)
        raise InputError(
            f"{source}: {error.strerror or error}: an Internet is {known}, "
            f"or a file of CAIDA's as-rel, as-rel2 or a compiled one"
        ) from None
    net = read_as_rel(data, file=source)
    graph = as_graph(net)
    keep(replace(origin, digest=digest_of(data)), net, graph)
    return net, graph
