"""What the agent asks of a site's router, whichever program that is.

One `Router` serves all prefixes of the site. The agent asks in batches (`apply`) and believes only
what it reads back (`read_back`): `apply` returning says that the router took the order, not that
the neighbours have heard it.

::

    core ── Wanted per prefix ──> apply ──> router's socket (and a file that outlives its restart)
    core <── Observation ─────── read_back <── router's tables and sessions

Who fails, says so with `MachineError`: what was asked, of whom, the answer, and a hint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from ridgeline.net.asn import Asn
from ridgeline.spec.model import Prefix


class Stance(Enum):
    """How a prefix stands towards the neighbours."""

    ANNOUNCED = "announced"
    DRAINED = "drained"
    """Announced with the community GRACEFUL_SHUTDOWN (65535:0, RFC 8326), perhaps prepended."""
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the agent wants of one prefix."""

    stance: Stance
    prepend: int = 0
    """Extra copies of our own AS number; for a drained prefix only."""
    reason: str = ""
    """Why, in a few words; for the router's log, and for `shut_sessions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One BGP session of the router on which the prefixes may be announced."""

    name: str
    """As the router calls it: BIRD's protocol, the neighbour's address in FRR, GoBGP, ExaBGP."""
    address: str
    asn: int
    """0 where the router does not say."""
    established: bool
    state: str = ""
    """In the router's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the router says, at one moment, of the prefixes asked for; never the whole table."""

    held: Mapping[Prefix, Stance]
    """What the router itself holds as ours: every prefix of the site has an entry.

    ANNOUNCED here and not in `exported` means that a filter, or a session that is down, stands
    between us and the neighbours. Another source's route for the prefix does not count.
    """
    exported: Mapping[Prefix, Mapping[str, Stance]]
    """What is really sent: prefix -> neighbour's name -> ANNOUNCED or DRAINED.

    A neighbour to whom nothing is sent for the prefix is absent; whatever source the route has
    counts here, since the neighbour cannot tell. A prefix that goes to nobody may be absent.
    """
    neighbours: tuple[Neighbour, ...]


class Severity(Enum):
    """How much a finding matters."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"
    """The agent cannot do its work with this router as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that `agent check` says about the set-up."""

    severity: Severity
    what: str
    """One line: what was looked at and what was found."""
    why: str = ""
    """What goes wrong if it stays so; empty where all is well."""
    lines: tuple[str, ...] = ()
    """Exactly what to add to the router's configuration, or to run; empty if nothing is needed."""
    where: str = ""
    """The file, or the place in it, that the lines belong to."""


class RouterKind(Enum):
    """The programs that we know how to ask."""

    BIRD = "bird"
    FRR = "frr"
    GOBGP = "gobgp"
    EXABGP = "exabgp"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """How to reach the site's router and what to touch there; from `agent.yaml`."""

    kind: RouterKind
    asn: Asn
    """Our own AS number, from the spec."""
    socket: str = ""
    """BIRD: control socket; FRR: `bgpd.vty`; GoBGP: `host:port` or `unix:PATH` of its gRPC;
    ExaBGP: the unix socket of our helper. Empty: the usual place."""
    include: str = ""
    """A file that the back-end may write and the router reads at its start; empty: the usual place
    where the back-end needs one."""
    neighbours: tuple[str, ...] = ()
    """Names of the sessions to announce on and watch; empty: every external BGP session."""
    bfd: str = ""
    """Address of the agent's BFD speaker, the next hop of the prefixes in routers that offer a
    BFD-bound static route; empty: no dead-man switch by BFD."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What only one back-end knows."""


class Router(Protocol):
    """A site's router, as its back-end presents it.

    Made by ``XRouter(settings, prefixes)`` with the site's prefixes in file order; making one
    connects to nothing. Calls come one at a time. Every call may be cancelled, and may be repeated
    after any error: a lost connection is opened again by the next call.
    """

    async def apply(self, wanted: Mapping[Prefix, Wanted]) -> tuple[str, ...]:
        """Bring the prefixes named here to these stances; leave all others alone.

        Idempotent: what already stands so causes no UPDATE at any neighbour. A change between
        ANNOUNCED and DRAINED is one replacing UPDATE, never a withdrawal between. Withdrawals go
        first. 1,000 prefixes cost one write, not 1,000 turns (all withdrawn within 50 ms). The
        order must outlive the router's restart and its operator's reload, or `read_back` must show
        that it did not.

        Returns
        -------
        tuple of str
            What works less well than it should, though the order was carried out: "the include
            file cannot be written (no space left on device): a restart of BIRD would ...".

        Raises
        ------
        MachineError
            The router could not be asked, or refused; some of the batch may have been done.
        """
        ...

    async def read_back(self) -> Observation:
        """Read what the router holds and really sends of the site's prefixes.

        Raises
        ------
        MachineError
            The router could not be asked. Nothing is then known: not that it announces, not that
            it does not.
        """
        ...

    async def shut_sessions(self, reason: str) -> bool:
        """Close the sessions with `reason` as shutdown communication (RFC 9003).

        Asked only after everything is withdrawn, and only where `agent.yaml` allows it. False: this
        router cannot say a reason; nothing was done.
        """
        ...

    async def open_sessions(self) -> None:
        """Open what `shut_sessions` closed; nothing if it closed nothing."""
        ...

    async def inspect(self) -> tuple[Finding, ...]:
        """Look whether the router is set up right, for `agent check`; change nothing.

        Sessions up, prefixes accepted (import-check, export filter), BFD, graceful-restart traps,
        prefixes longer than /24 or /48, TTL security, maxLength of a ROA, and the dead-man switch:
        every subject gives a finding, OK where all is well. An unreachable router is a finding of
        severity ERROR, not an exception.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection; change nothing at the router."""
        ...
