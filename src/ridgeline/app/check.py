"""Read a spec from the disk, and look for the files that it names.

`read_spec` is what every command uses. `check_spec` is the command of that name: it raises nothing,
and tells what the spec's text cannot: whether its zone files, certificates and keys are there, and
whether the zones are zones.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ridgeline.errors import InputError, Problem
from ridgeline.spec.model import Spec
from ridgeline.spec.parse import (
    Examined,
    FileKind,
    NamedFile,
    decode_spec,
    examine_spec,
    parse_spec_with_warnings,
)

STDIN: Final = "-"
_MAX_BYTES: Final = 4 * 2**20
_PLACED: Final = re.compile(r"(?P<file>.+?):(?:(?P<line>[0-9]+):)? (?P<message>.+)")
# What a PEM file of that kind has on one of its lines (RFC 7468).
_PEM: Final = {FileKind.CERTIFICATE: b"BEGIN CERTIFICATE-", FileKind.KEY: b"PRIVATE KEY-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `ridgeline check` says of one file."""

    file: str
    spec: Spec | None
    """None where the file is not a spec; a spec whose zone files are missing is one."""
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem; warnings do not count."""
        return not self.problems


def read_spec(path: str) -> Spec:
    """Read the spec in a file, or on standard input for ``-``.

    Raises
    ------
    InputError
        The file cannot be read, or with every problem in it.
    """
    return read_spec_with_warnings(path)[0]


def read_spec_with_warnings(path: str) -> tuple[Spec, tuple[Problem, ...]]:
    """Read a spec as `read_spec` does, and return the warnings too."""
    file = _name(path)
    return parse_spec_with_warnings(_read_text(path, file), file=file)


def check_spec(path: str) -> Verdict:
    """Say everything there is to say about a spec and the files that it names."""
    file = _name(path)
    try:
        text = _read_text(path, file)
    except InputError as error:
        problems = error.problems or (Problem(file, 1, 1, "", _without_name(str(error), file)),)
        return Verdict(file=file, spec=None, problems=problems, warnings=())
    examined = examine_spec(text, file=file)
    found = [*examined.problems, *_preflight(examined, Path(file).parent)]
    if examined.spec is not None and not found:
        found += _zone_problems(examined.spec)
    return Verdict(
        file=file,
        spec=examined.spec,
        problems=tuple(sorted(found)),
        warnings=examined.warnings,
    )


def _name(path: str) -> str:
    return "<stdin>" if path == STDIN else path


def _without_name(message: str, file: str) -> str:
    return message.removeprefix(f"{file}: ")


def _read_text(path: str, file: str) -> str:
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as stream:
                data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(
            f"{file}: there is no such file; `ridgeline new DIR` writes a spec to start from"
        ) from None
    except IsADirectoryError:
        inside = Path(path) / "ridgeline.yaml"
        hint = f"; did you mean {inside}?" if inside.is_file() else " without a ridgeline.yaml"
        raise InputError(f"{file}: is a directory{hint}") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise InputError(f"{file}: is larger than {_MAX_BYTES} bytes; that is no spec")
    return decode_spec(data, file=file)


def _preflight(examined: Examined, folder: Path) -> Iterator[Problem]:
    for named in examined.files:
        message = _look_at(named, folder / named.path)
        if message:
            yield named.problem(message)


def _look_at(named: NamedFile, path: Path) -> str:
    """Return what is wrong with a file, or an empty string."""
    marker = _PEM.get(named.holds, b"")
    try:
        with path.open("rb") as stream:
            if marker not in stream.read(2**20):
                return f"{named.path} holds no PEM {named.holds.value} (RFC 7468)"
    except FileNotFoundError:
        return f"there is no file {path}"
    except IsADirectoryError:
        return f"{path} is a directory; a {named.holds.value} file is needed"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return ""


def _zone_problems(spec: Spec) -> Iterator[Problem]:
    """Read the zones as the lab would, each mistake placed in the zone's own file."""
    from ridgeline.lab.material.zonefiles import read_zones

    try:
        read_zones(spec)
    except InputError as error:
        for line in str(error).splitlines():
            found = _PLACED.fullmatch(line)
            if found is None:
                yield Problem(spec.file, 1, 1, "services", line)
            else:
                yield Problem(found["file"], int(found["line"] or 1), 1, "", found["message"])
