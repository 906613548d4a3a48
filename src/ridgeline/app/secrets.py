"""Make, check and rotate the keys that all sites share. No key is ever shown."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from ridgeline.app.certificates import Pem, judge_certificate
from ridgeline.errors import InputError, MachineError, Problem
from ridgeline.lab.material.secrets import (
    locked,
    read_ring,
    read_rings,
    secrets_folder,
    too_open,
    write_private,
)
from ridgeline.spec.model import Spec
from ridgeline.spec.secrets import (
    WORTH,
    KeyRing,
    Phase,
    SecretKind,
    new_ring,
    phase_after,
    render_keys,
    rotate,
)

RENEW_AFTER: Final = timedelta(hours=26)
"""A key is used no longer than that if it can be helped (RFC 7873, section 7.1)."""
SPREAD_WITHIN: Final = timedelta(minutes=10)
"""How long it may take until every site has a changed file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsVerdict:
    """What `ridgeline secrets check` says."""

    folder: Path | None
    """None where the spec names none."""
    rings: dict[SecretKind, KeyRing]
    """The files that are right."""
    certificates: tuple[str, ...]
    """Services whose certificate was looked at."""
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What one run of a rotation did, and what the next will do."""

    file: Path
    done: Phase | None
    """None: the next step is not due yet, and nothing was changed."""
    next: Phase
    due: datetime
    """When the next step may be taken: what it takes away is worth nothing any more."""
    early: timedelta
    """How much too soon this step was taken; zero if it harms nobody."""
    n_keys: int


def new_secrets(spec: Spec, *, now: datetime | None = None) -> tuple[Path, ...]:
    """Write the files that the spec's folder lacks, and return their paths.

    Raises
    ------
    InputError
        The spec names no folder, or all of its files are there.
    MachineError
        A file cannot be written.
    """
    folder = _folder(spec)
    at = now or datetime.now(UTC)
    missing = [kind for kind in SecretKind if not (folder / kind.value).exists()]
    if not missing:
        raise InputError(
            f"{folder}: holds all keys already, and none is overwritten; "
            f"`ridgeline secrets rotate {spec.file} cookie` replaces those of DNS cookies"
        )
    written = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder):
            for kind in missing:
                ring = new_ring(kind, os.urandom(kind.key_bytes), at=at)
                write_private(folder / kind.value, render_keys(ring))
                written.append(folder / kind.value)
            ignore = folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("# Keys belong in no repository.\n*\n")
    except OSError as error:
        raise _cannot_write(folder, error) from None
    return tuple(written)


def check_secrets(spec: Spec, *, now: datetime | None = None) -> SecretsVerdict:
    """Look at the files of keys, and at the certificates that the spec names."""
    at = now or datetime.now(UTC)
    rings: dict[SecretKind, KeyRing] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    folder = secrets_folder(spec) if spec.secrets else None
    if folder is not None and not folder.is_dir():
        message = f"there is no such folder; `ridgeline secrets new {spec.file}` makes it"
        problems.append(Problem(str(folder), 1, 1, "", message))
    elif folder is not None:
        problems += (Problem(str(folder), 1, 1, "", message) for message in too_open(folder))
        rings, found = read_rings(folder)
        problems += found
    else:
        message = "names no folder of shared keys; sites that make their own refuse each other's"
        warnings.append(Problem(spec.file, 1, 1, "secrets", message))
    looked_at = []
    for service in spec.services:
        if service.tls is None or not service.tls.certificate:
            continue
        base = Path(spec.file).parent
        certificate, key = base / service.tls.certificate, base / service.tls.key
        problems += (Problem(str(key), 1, 1, "", message) for message in too_open(key))
        judged = judge_certificate(Pem.read(certificate), Pem.read(key), service, at)
        problems += judged.problems
        warnings += judged.warnings
        looked_at.append(service.name)
    return SecretsVerdict(
        folder=folder,
        rings=rings,
        certificates=tuple(looked_at),
        problems=tuple(sorted(set(problems))),
        warnings=tuple(sorted(set(warnings))),
    )


def rotate_secrets(
    spec: Spec, kind: SecretKind, *, only_if_due: bool = False, now: datetime | None = None
) -> Rotation:
    """Take the next of the three steps of a rotation, or with `only_if_due` perhaps none.

    Raises
    ------
    InputError
        The spec names no folder, or the file is not right: nothing has been changed.
    MachineError
        The file cannot be written, or another command is changing it.
    """
    folder = _folder(spec)
    at = now or datetime.now(UTC)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder; `ridgeline secrets new` makes it")
    try:
        with locked(folder):
            ring, problems = read_ring(folder, kind)
            if ring is None:
                raise InputError(problems)
            early = max(timedelta(), due(ring) - at)
            if early and only_if_due:
                return _told(folder, ring, None, timedelta())
            step = phase_after(ring)
            ring = rotate(ring, os.urandom(kind.key_bytes), at=at)
            write_private(folder / kind.value, render_keys(ring))
    except OSError as error:
        raise _cannot_write(folder, error) from None
    return _told(folder, ring, step, early if step is not Phase.ACCEPT else timedelta())


def due(ring: KeyRing) -> datetime:
    """Say when the next step may be taken without harm to anybody.

    The new key is used when every site accepts it, the old one dropped when what it made is worth
    nothing any more, and another new one is accepted after a day.
    """
    wait = {
        Phase.ACCEPT: RENEW_AFTER,
        Phase.USE: SPREAD_WITHIN,
        Phase.DROP: timedelta(seconds=WORTH[ring.kind]),
    }
    return ring.since() + wait[phase_after(ring)]


def _told(folder: Path, ring: KeyRing, done: Phase | None, early: timedelta) -> Rotation:
    return Rotation(
        file=folder / ring.kind.value,
        done=done,
        next=phase_after(ring),
        due=due(ring),
        early=early,
        n_keys=len(ring.keys),
    )


def _folder(spec: Spec) -> Path:
    if not spec.secrets:
        raise InputError(f"{spec.file}: names no folder for keys; add the line `secrets: secrets`")
    return secrets_folder(spec)


def _cannot_write(folder: Path, error: OSError) -> MachineError:
    return MachineError(f"{error.filename or folder} cannot be written: {error.strerror}")
