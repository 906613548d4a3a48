"""What probes tell from files: enumerate, import, decode, compare sweeps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ridgeline.app.maps import check_map_name, read_map, write_map
from ridgeline.app.openfile import open_binary, open_text
from ridgeline.catchment.model import CatchmentMap
from ridgeline.errors import InputError, MachineError
from ridgeline.net.airports import find_place
from ridgeline.probe.atlas import Parsed, Skipped, parse_result
from ridgeline.probe.atlasmap import AtlasMap, site_of_identity
from ridgeline.probe.changes import Changes, find_changes
from ridgeline.probe.enumerate import Enumeration, enumerate_sites
from ridgeline.probe.jsonstream import iter_objects
from ridgeline.probe.locations import Location, read_locations
from ridgeline.probe.places import Decoded, Sighting, decode, decode_header
from ridgeline.probe.vantagefiles import VantageFile, read_vantage_points
from ridgeline.probe.verfploeter import Survey, survey, to_jsonl, to_map


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumerated:
    """An enumeration, and what it was made of."""

    name: str
    """Of the file."""
    file: VantageFile
    enumeration: Enumeration


def enumerate_file(file: str, locations: str | None = None) -> Enumerated:
    """Enumerate the sites behind the address whose round-trip times a file holds.

    Raises
    ------
    InputError
        A file cannot be read, or holds nothing to enumerate from.
    """
    places = _locations(locations)
    with open_text(file) as stream:
        read = read_vantage_points(stream, file=file, locations=places)
    return Enumerated(name=file, file=read, enumeration=enumerate_sites(read.vantage_points))


def import_atlas(
    file: str,
    output: str,
    *,
    locations: str | None = None,
    by_place: bool = True,
    network: str = "",
) -> tuple[CatchmentMap, tuple[str, ...]]:
    """Write a catchment map of RIPE Atlas results; return it, and what was left out.

    Raises
    ------
    InputError
        A file cannot be read, or no result tells which site answered.
    """
    check_map_name(output)
    places = _locations(locations)
    gathered = AtlasMap(name_site=site_of_identity if by_place else str)
    with open_text(file) as stream:
        for result in _results(stream):
            gathered.take(result)
    made = gathered.make(places, network=network, source=file)
    write_map(made, output)
    return made, tuple(gathered.notes(places))


def _results(stream: TextIO) -> Iterator[Parsed]:
    garbage: list[Parsed] = []
    for document in iter_objects(
        stream,
        lambda _offset, reason: garbage.append(Skipped(reason.split(" after ")[0])),
    ):
        yield from parse_result(document)
    yield from garbage


def import_verfploeter(file: str, output: str, *, network: str = "", prefix: str = "") -> Survey:
    """Write a catchment map of a Verfploeter file; return its totals.

    A .jsonl map is written line by line, so that a file of any size needs little memory.

    Raises
    ------
    InputError
        The file cannot be read, or is no Verfploeter file.
    MachineError
        The map cannot be written.
    """
    check_map_name(output)
    if file == "-":
        raise InputError("a Verfploeter file is read twice: name a file, not standard input")
    name = Path(file).name
    with open_binary(file) as first:
        found = survey(first, file=file)
    with open_binary(file) as second:
        if output.endswith(".jsonl"):
            lines = to_jsonl(second, found, file=name, network=network, prefix=prefix)
            _write_lines(lines, output)
        else:
            write_map(to_map(second, found, file=name, network=network, prefix=prefix), output)
    return found


def _write_lines(lines: Iterable[bytes], output: str) -> None:
    try:
        target = Path(output).open("wb")  # noqa: SIM115 - what cannot be opened is told apart
    except OSError as error:
        raise MachineError(f"{output}: cannot be written: {error.strerror}") from None
    with target:
        target.writelines(lines)


def decode_names(
    names: Sequence[str], *, header: str | None = None, seen: Sequence[str] = ()
) -> list[Decoded]:
    """Guess places by names; ``-`` reads them from standard input, one a line.

    Raises
    ------
    InputError
        What was seen is not written as ``PLACE=MS``.
    """
    sightings = [_sighting(text) for text in seen]
    every: list[str] = []
    for name in names:
        if name == "-":
            with open_text("-") as stream:
                every += [line.strip() for line in stream if line.strip()]
        else:
            every.append(name)
    if header is not None:
        return [decode_header(header, name, sightings=sightings) for name in every]
    return [decode(name, sightings=sightings) for name in every]


def changes_of_files(files: Sequence[str], *, alike: float) -> Changes:
    """Compare sweeps on the disk, oldest first.

    Raises
    ------
    InputError
        A file is no map, or two that follow each other have nothing in common.
    """
    return find_changes([read_map(file) for file in files], labels=list(files), alike=alike)


def _locations(file: str | None) -> Mapping[str, Location]:
    if file is None:
        return {}
    with open_text(file) as stream:
        return read_locations(stream, file=file)


def _sighting(text: str) -> Sighting:
    where, equals, ms = text.rpartition("=")
    wrong = InputError(f"--rtt {text}: expected PLACE=MS such as nrt=3.5 or 35.7,139.7=3.5")
    try:
        rtt = float(ms.removesuffix("ms"))
    except ValueError:
        raise wrong from None
    if not equals or not 0 < rtt < float("inf"):
        raise wrong
    place = find_place(where.strip())
    if place is not None:
        return Sighting(lat=place.lat, lon=place.lon, rtt_ms=rtt, name=place.city)
    try:
        lat, lon = map(float, where.split(","))
    except ValueError:
        raise wrong from None
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        raise wrong
    return Sighting(lat=lat, lon=lon, rtt_ms=rtt)
