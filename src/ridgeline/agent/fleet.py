"""How many sites may be withdrawn at once: the rules, with no store and no clock.

A budget of K sites per prefix is K slots in a store that all sites share. A slot is one key, which
exists while its holder's lease lives; its value is the holder's site. A site takes a slot *before*
it withdraws, by a compare-and-swap that fails if another site was faster, and gives it back when it
announces again.

::

    what the store holds ──> next_step ──> Take(slot)   try the compare-and-swap, look again if lost
                                      ├──> Renew(slot)  ours already, from before a restart
                                      └──> Refused      all are taken: stay announced, drained
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias
from zlib import crc32

from ridgeline.spec.model import Prefix

RENEWALS_PER_TTL: Final = 4
"""A lease survives this many renewals lost in a row, less one."""
LEAST_LEASE_S: Final = 2.0
EXPIRY_MARGIN: Final = 0.1
"""Share of the time to live by which we count a lease as lost before the store does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """The store and the budget; from `agent.yaml`. The same at every site, but for `site`."""

    network: str
    site: str
    endpoints: tuple[str, ...]
    """``http://HOST:PORT`` or ``https://HOST:PORT`` of every etcd member, the nearest first."""
    budget: int = 1
    """Sites that may be withdrawn at once, for each prefix."""
    lease_s: float = 60.0
    """How long a slot stays taken after its holder was heard last."""
    timeout_s: float = 0.9
    """How long a slot may take; then the answer is no."""
    user: str = ""
    password: str = ""
    ca: str = ""
    """File of the authority that signed the store's certificates; empty: the system's."""
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if self.budget < 1:
            raise ValueError(f"a budget of {self.budget} sites would never let a site withdraw")
        if not self.endpoints:
            raise ValueError(
                "the fleet guard needs the address of at least one member of the store"
            )
        if self.lease_s < LEAST_LEASE_S:
            raise ValueError(f"a lease of {self.lease_s:g} s is too short: at least 2 s")


@dataclass(frozen=True, slots=True)
class Take:
    """Put our site into this slot if nobody has it."""

    slot: int


@dataclass(frozen=True, slots=True)
class Renew:
    """Put our site into this slot again, with a new lease, if it is still ours."""

    slot: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Every slot belongs to another site."""

    holders: tuple[str, ...]

    def __str__(self) -> str:
        n = len(self.holders)
        return f"{n} of {n} sites are withdrawn already ({', '.join(self.holders)})"


Step: TypeAlias = Take | Renew | Refused


def next_step(taken: Mapping[int, str], *, site: str, budget: int) -> Step:
    """Say what to try next, by what was seen in the slots (number -> site that has it).

    Sites begin at different slots, so that a race among all of them needs few turns. Slots beyond
    the budget, left from a larger one, close as many at its end: lowering K lets no site more go.
    """
    for slot, holder in taken.items():
        if holder == site:
            return Renew(slot)
    room = budget - sum(slot >= budget for slot in taken)
    if room > 0 and len(taken) < budget:
        first = crc32(site.encode()) % room
        for i in range(room):
            if (slot := (first + i) % room) not in taken:
                return Take(slot)
    return Refused(tuple(sorted(set(taken.values()))))


def prefix_folder(network: str, prefix: Prefix) -> str:
    """Return the beginning of the keys of a prefix's slots; no other prefix's begin so."""
    return f"/ridgeline/{network}/withdrawn/{prefix}/"


def slot_key(network: str, prefix: Prefix, slot: int) -> str:
    return f"{prefix_folder(network, prefix)}{slot}"


def read_slots(network: str, prefix: Prefix, pairs: Mapping[str, str]) -> dict[int, str]:
    """Turn what the store holds below `prefix_folder` into slots; other keys there are ignored."""
    folder = prefix_folder(network, prefix)
    numbers = {key.removeprefix(folder): value for key, value in pairs.items()}
    return {int(n): value for n, value in numbers.items() if n.isascii() and n.isdigit()}


@dataclass(slots=True)
class Lease:
    """A lease as its holder must see it: lost when the store *may* have ended it.

    All times are of the holder's monotonic clock, and those of renewals are the times of *asking*,
    so that the store's own end is never earlier.
    """

    number: int
    ttl: float
    asked_at: float

    @property
    def renew_at(self) -> float:
        return self.asked_at + self.ttl / RENEWALS_PER_TTL

    @property
    def expires_at(self) -> float:
        return self.asked_at + self.ttl * (1 - EXPIRY_MARGIN)

    def renewed(self, *, asked_at: float) -> None:
        self.asked_at = max(self.asked_at, asked_at)
