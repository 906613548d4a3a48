"""Ask one address from many vantage points: sockets here and elsewhere, or commands on other hosts."""

import asyncio
import json
import re
import shlex
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ridgeline.catchment.model import Row
from ridgeline.errors import InputError, Problem
from ridgeline.net.airports import find_place
from ridgeline.net.asn import parse_asn
from ridgeline.probe.identifysockets import Asking, ask_udp, ask_web
from ridgeline.probe.identity import Answer, DnsQuestion, Outcome, agree, clean
from ridgeline.probe.sockets import MakeSocket

QUESTION: Final = DnsQuestion(name="id.server", is_chaos=True)
DEFAULT_COMMAND: Final = "ssh -o BatchMode=yes -o ConnectTimeout=5 {host} ridgeline probe identify {address} --by dns --json"
_AT_ONCE: Final = 32
_MAX_OUTPUT: Final = 1 << 20
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@%-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """A vantage point that can be made to ask."""

    row: Row
    """Where it is; neither service nor site yet."""
    make: MakeSocket | None = None
    """Opens sockets there."""
    argv: tuple[str, ...] = ()
    """Or a command that asks from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one vantage point saw."""

    row: Row
    """With the site, if one answered."""
    problem: str = ""
    """Why no site is known; or that several names were given."""


async def observe(
    observers: Iterable[Observer],
    address: str,
    *,
    service: str = "",
    by: str = "dns",
    timeout: float = 2.0,  # noqa: ASYNC109 - of each question, not of this function
    command_timeout: float = 30.0,
    progress: Callable[[int], None] | None = None,
) -> list[Sighting]:
    """Let every observer ask the address who it is, a few dozen at once."""
    turn, n_done = asyncio.Semaphore(_AT_ONCE), 0

    async def one(observer: Observer) -> Sighting:
        nonlocal n_done
        async with turn:
            if observer.make is not None:
                asking = Asking(address=address, timeout=timeout, make=observer.make)
                found = await _ask(asking, by)
            else:
                found = await _run(observer.argv, command_timeout)
        n_done += 1
        if progress is not None:
            progress(n_done)
        site, rtt_ms, problem = found
        row = replace(observer.row, service=service, site=site, rtt_ms=rtt_ms)
        return Sighting(row=row, problem=problem)

    return list(await asyncio.gather(*(one(observer) for observer in observers)))


_Found = tuple[str | None, float | None, str]


async def _ask(asking: Asking, by: str) -> _Found:
    answers: Sequence[Answer]
    if by == "dns":
        answers = await ask_udp(asking, QUESTION)
    else:
        answers = await ask_web(asking, tls=by == "tls")
    agreement = agree(answers)
    times = [a.rtt_ms for a in answers if a.rtt_ms is not None]
    rtt_ms = round(min(times), 3) if times and agreement.site else None
    if agreement.site is None:
        bad = next((a for a in answers if a.outcome is not Outcome.ANSWERED), None)
        return None, None, "no identity" if bad is None else _in_words(bad)
    problem = "" if agreement.is_one else f"several names: {', '.join(agreement.names)}"
    return agreement.site, rtt_ms, problem


def _in_words(answer: Answer) -> str:
    detail = answer.detail
    return answer.outcome.value if detail in ("", answer.outcome) else f"{answer.outcome}: {detail}"


async def _run(argv: Sequence[str], timeout: float) -> _Found:  # noqa: ASYNC109 - the command's
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE
        )
    except OSError as error:
        return None, None, f"{argv[0]}: {error.strerror}"
    try:
        async with asyncio.timeout(timeout):
            output, errors = await process.communicate()
    except TimeoutError:
        return None, None, f"the command did not end within {timeout:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    site, rtt_ms = read_output(output[:_MAX_OUTPUT])
    if site is not None:
        return site, rtt_ms, ""
    last = clean(errors.strip().rpartition(b"\n")[2])
    return None, None, last or f"the command named no site (exit {process.returncode})"


def read_output(output: bytes) -> tuple[str | None, float | None]:
    """Read what a command saw: the document of `probe identify`, or a line as ``dig +short`` prints."""
    text = output.decode("utf-8", errors="replace").strip()
    if text.startswith("{"):
        return _read_document(text)
    for line in text.splitlines():
        name = clean(line.strip().strip('"').encode())
        if name and not line.startswith(";"):
            return name, None
    return None, None


def _read_document(text: str) -> tuple[str | None, float | None]:
    try:
        document = json.loads(text)
        target = document["targets"][0]
        site, answers = target["site"], target["answers"]
        times = [a["rtt_ms"] for a in answers if isinstance(a["rtt_ms"], int | float)]
    except (ValueError, KeyError, IndexError, TypeError):
        return None, None
    if not isinstance(site, str) or not site:
        return None, None
    return clean(site.encode()), min(times, default=None)


def read_hosts(lines: Iterable[str], *, file: str, command: str, address: str) -> list[Observer]:
    """Read vantage points from lines of ``host[,asn[,city]]``, each asked by a command.

    Parameters
    ----------
    command
        Words with ``{host}`` and ``{address}`` in them; no shell reads it.

    Raises
    ------
    InputError
        The command or a line cannot be used.
    """
    try:
        words = shlex.split(command)
        for word in words:
            word.format(host="h", address="a")
    except (ValueError, KeyError, IndexError) as error:
        raise InputError(
            f"--command: {error}: only {{host}} and {{address}} are replaced"
        ) from None
    if not any("{host}" in word for word in words):
        raise InputError("--command: names no {host}, so that every vantage point were the same")
    problems: list[Problem] = []
    observers: dict[str, Observer] = {}
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.partition("#")[0].split(",")]
        if not cells[0]:
            continue
        try:
            row = _host_row(cells)
        except ValueError as error:
            problems.append(Problem(file, number, 1, "", str(error)))
            continue
        argv = tuple(word.format(host=cells[0], address=address) for word in words)
        observers.setdefault(row.name, Observer(row=row, argv=argv))
    if problems:
        raise InputError(problems)
    if not observers:
        raise InputError(f"{file}: names no host")
    return list(observers.values())


def _host_row(cells: Sequence[str]) -> Row:
    host, asn, city, *_ = (*cells, "", "")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{host!r} is no host name")  # nor an option of ssh in disguise
    place = find_place(city) if city else None
    if city and place is None:
        raise ValueError(f"no airport has the IATA code {city!r}")
    return Row(
        name=host,
        asn=parse_asn(asn) if asn else None,
        city=place.code if place else "",
        country=place.country if place else "",
        lat=place.lat if place else None,
        lon=place.lon if place else None,
    )
