"""What communities and AS paths make networks do, looked up by AS index instead of by number."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ridgeline.net.community import GRACEFUL_SHUTDOWN, NO_ADVERTISE, NO_EXPORT
from ridgeline.routing.announce import Announcements
from ridgeline.routing.reference import NO_EXPORT_SUBCONFED

BoolArray = NDArray[np.bool_]
DO_NOT_ANNOUNCE = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Policy:
    """Everything beyond plain Gao-Rexford; per session, shape (n_sessions,).

    Attributes
    ----------
    drained : bool array
        GRACEFUL_SHUTDOWN: local preference 0 wherever it is heard.
    kept : bool array
        Never told to another AS (NO_EXPORT, NO_ADVERTISE).
    silent : bool array
        Told to nobody at all (NO_ADVERTISE).
    lowered : dict of AS index to int32 array
        Local preference that the AS gives these routes when a customer tells them.
    towards : dict of (AS index, AS index) to int8 array
        What the first AS does with a customer's route when it tells the second: extra prepends,
        or `DO_NOT_ANNOUNCE`.
    refused : dict of AS index to bool array
        Routes that have the AS in their path already.
    """

    drained: BoolArray
    kept: BoolArray
    silent: BoolArray
    lowered: dict[int, NDArray[np.int32]]
    towards: dict[tuple[int, int], NDArray[np.int8]]
    refused: dict[int, BoolArray]

    @property
    def is_plain(self) -> bool:
        """Whether every AS treats all sessions alike (some may refuse all of them)."""
        special = self.lowered or self.towards or not all(map(np.all, self.refused.values()))
        return not (special or bool(np.any(self.drained)) or bool(np.any(self.kept)))


def policy(asn: NDArray[np.uint32], said: Announcements) -> Policy:
    """Read the communities and paths of all sessions; orders to absent ASes fall away."""
    lowered: dict[int, NDArray[np.int32]] = {}
    towards: dict[tuple[int, int], NDArray[np.int8]] = {}
    refused: dict[int, BoolArray] = {}
    n = said.n_sessions
    for session, communities in enumerate(said.communities):
        # Rising, so that three prepends overrule one, and the lowest preference the others.
        large = sorted(c for c in communities if len(c) == 3)
        for who, what, whom in large:
            a, x = _index(asn, who), _index(asn, whom)
            if a is not None and what == 10 and whom in {50, 100, 200}:
                preference = lowered.setdefault(a, np.full(n, 300, np.int32))
                preference[session] = min(preference[session], whom)
            elif a is not None and x is not None and what <= 3:
                orders = towards.setdefault((a, x), np.zeros(n, np.int8))
                if orders[session] != DO_NOT_ANNOUNCE:
                    orders[session] = what or DO_NOT_ANNOUNCE
    for number in set().union(*said.as_path):
        a = _index(asn, number)
        if a is not None:
            refused[a] = np.array([number in path for path in said.as_path], np.bool_)
    silent = _saying(said, {NO_ADVERTISE})
    return Policy(
        drained=_saying(said, {GRACEFUL_SHUTDOWN}),
        kept=_saying(said, {NO_EXPORT, NO_EXPORT_SUBCONFED}) | silent,
        silent=silent,
        lowered=lowered,
        towards=towards,
        refused=refused,
    )


def _saying(said: Announcements, any_of: Iterable[tuple[int, ...]]) -> BoolArray:
    if not any(said.communities):
        return np.zeros(said.n_sessions, np.bool_)
    wanted = set(any_of)
    return np.array([not wanted.isdisjoint(c) for c in said.communities], np.bool_)


def _index(asn: NDArray[np.uint32], number: int) -> int | None:
    at = int(asn.searchsorted(np.uint32(number)))
    return at if at < asn.size and int(asn[at]) == number else None
