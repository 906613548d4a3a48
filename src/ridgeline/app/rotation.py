"""Rotate a secret in a lab, and count meanwhile, as a client that holds what the old one made.

At every site somebody asks all the time: with the cookie, or the TLS session, that the first site
made before the rotation began. What a client is given anew it uses from then on, as clients do.
"""

import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final

from ridgeline.app.consistency import asked_at_home
from ridgeline.app.probe_lab import LabPoints
from ridgeline.probe.consistencysockets import Asked, Cookies, Tickets
from ridgeline.spec.model import ServiceKind

_EVERY_S: Final = 0.02
_AFTER_S: Final = 0.2
"""The old must work beyond the last step, or stop there: clients ask on for so long."""


@dataclass(slots=True)
class Count:
    """What the clients of one service saw."""

    asked: int = 0
    failed: int = 0
    """No answer, or no handshake, twice in a row."""
    again: int = 0
    """Answered when asked again at once: a connection ended under the client's hands."""
    renewed: int = 0
    """Cookies: told a new one, which costs one question more; TLS: a full handshake."""


def rotate_in_lab(lab_name: str, what: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Rotate at all sites of a running lab; the document says what clients saw meanwhile.

    Raises
    ------
    InputError
        Nothing in the lab uses that kind of secret.
    MachineError
        The lab is not up, or a server did not do it.
    """
    lab = LabPoints(lab_name)
    stop = threading.Event()
    counts: dict[str, Count] = {}
    try:
        at_sites = asked_at_home(lab)
        with ThreadPoolExecutor(64) as pool:
            jobs = []
            for index, first in enumerate(next(iter(at_sites.values()), [])):
                if not _concerns(what, first):
                    continue
                counts[first.service] = count = Count()
                maker: Cookies | Tickets = Cookies() if what == "cookie" else Tickets()
                if not maker.give("before", first):
                    continue
                jobs += [
                    pool.submit(_ask_on, maker, all_[index], stop, count, f"at {site}")
                    for site, all_ in at_sites.items()
                ]
            try:
                tell(f"{what}: rotating, with {len(jobs)} clients")
                document: dict[str, Any] = lab.ask("rotate", what=what)
                stop.wait(_AFTER_S)
            finally:
                stop.set()
            for job in jobs:
                job.result()
    finally:
        stop.set()
        lab.close()
    return {**document, "lab": lab_name, "clients": {s: asdict(c) for s, c in counts.items()}}


def _concerns(what: str, asked: Asked) -> bool:
    return asked.kind is ServiceKind.AUTHORITATIVE_DNS if what == "cookie" else asked.tls


_LOCK: Final = threading.Lock()


def _ask_on(
    maker: Cookies | Tickets, asked: Asked, stop: threading.Event, count: Count, me: str
) -> None:
    """Be one client at one site, until told to stop."""
    with _LOCK:
        _copy(maker, "before", me)
    while not stop.wait(_EVERY_S):
        outcome = maker.show(me, asked)
        is_again = outcome is None
        if is_again:
            outcome = maker.show(me, asked)
        with _LOCK:
            count.asked += 1
            count.again += is_again and outcome is not None
            count.failed += outcome is None
            count.renewed += outcome is False


def _copy(maker: Cookies | Tickets, from_: str, to: str) -> None:
    made: dict[str, Any] = maker.made
    held: bytes | ssl.SSLSession = made[from_]
    made[to] = held
