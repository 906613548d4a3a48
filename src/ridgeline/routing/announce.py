"""What the sites announce, as arrays: one row for each session of a site with an upstream."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError, Problem
from ridgeline.net.community import GRACEFUL_SHUTDOWN, Community
from ridgeline.routing.learned import Learned
from ridgeline.spec.model import Site, SiteState, Spec
from ridgeline.topology.attach import nearest_pop
from ridgeline.topology.internet import Internet

Prefix: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Announcements:
    """Everything the sites say about one prefix.

    A site's router comes after all routers of the Internet, in the order of the sites.

    Attributes
    ----------
    origin : int
        The AS number that announces.
    site_names : tuple of str, length n_sites
        All sites, in the order of the spec, whether they announce or not.
    site_lat, site_lon : float64 array, shape (n_sites,)
        Degrees; NaN where unknown.
    site : int32 array, shape (n_sessions,)
        Site of each session; rising.
    pop : int32 array, shape (n_sessions,)
        PoP that hears the session.
    as_index : int32 array, shape (n_sessions,)
        AS of that PoP.
    learned : int8 array, shape (n_sessions,)
        What the site is to that AS (`Learned`): a customer, from a spec.
    as_path : tuple of tuple of int, length n_sessions
        AS path as announced: the origin, prepends included. Any other AS in it refuses the route.
    communities : tuple of frozenset of Community, length n_sessions
        What is attached on that session.
    """

    origin: int
    site_names: tuple[str, ...]
    site_lat: NDArray[np.float64]
    site_lon: NDArray[np.float64]
    site: NDArray[np.int32]
    pop: NDArray[np.int32]
    as_index: NDArray[np.int32]
    learned: NDArray[np.int8]
    as_path: tuple[tuple[int, ...], ...]
    communities: tuple[frozenset[Community], ...]

    @property
    def n_sites(self) -> int:
        """Number of sites, announcing or not."""
        return len(self.site_names)

    @property
    def n_sessions(self) -> int:
        """Number of sessions."""
        return self.site.size

    def length(self) -> NDArray[np.int32]:
        """AS path length of each session as its upstream hears it; int32, shape (n_sessions,)."""
        return np.fromiter(map(len, self.as_path), np.int32, self.n_sessions)

    def announcing(self) -> tuple[str, ...]:
        """Names of the sites with at least one session."""
        return tuple(self.site_names[i] for i in np.unique(self.site))

    def without(self, *sites: str) -> "Announcements":
        """Return what is left when these sites withdraw."""
        gone = [self.site_names.index(name) for name in sites]
        return self._only(np.flatnonzero(~np.isin(self.site, gone)))

    def prepended(self, site: str, prepend: int, *, as_index: int | None = None) -> "Announcements":
        """Return the same with so many extra copies of the origin, on one session or all of a site."""
        index = self.site_names.index(site)
        paths = tuple(
            (self.origin,) * (1 + prepend)
            if self.site[i] == index and as_index in {None, int(self.as_index[i])}
            else path
            for i, path in enumerate(self.as_path)
        )
        return replace(self, as_path=paths)

    def drained(self, *sites: str) -> "Announcements":
        """Return the same with these sites in graceful shutdown (RFC 8326)."""
        index = {self.site_names.index(name) for name in sites}
        return replace(
            self,
            communities=tuple(
                said | {GRACEFUL_SHUTDOWN} if int(self.site[i]) in index else said
                for i, said in enumerate(self.communities)
            ),
        )

    def _only(self, keep: NDArray[np.intp]) -> "Announcements":
        return replace(
            self,
            site=self.site[keep],
            pop=self.pop[keep],
            as_index=self.as_index[keep],
            learned=self.learned[keep],
            as_path=tuple(self.as_path[i] for i in keep),
            communities=tuple(self.communities[i] for i in keep),
        )


def announcements(
    spec: Spec,
    internet: Internet,
    prefix: Prefix | None = None,
    *,
    down: Collection[str] = (),
    planned: bool = True,
) -> Announcements:
    """Place every session of a spec in an Internet.

    Parameters
    ----------
    prefix
        One of the spec's prefixes; the first by default.
    down
        Names of sites that announce nothing.
    planned
        Whether sites in state `planned` announce too: yes in a prediction, no in the lab.

    Raises
    ------
    InputError
        An upstream is not in the Internet, a name in `down` is no site, or nothing is announced.
    """
    prefix = spec.prefixes[0] if prefix is None else prefix
    if prefix not in spec.prefixes:
        known = ", ".join(map(str, spec.prefixes))
        raise InputError(f"{spec.file}: {prefix} is not announced; prefixes: {known}")
    check_sites(spec, down)
    rows = list(_rows(spec, internet, prefix, down, planned=planned))
    problems = [row for row in rows if isinstance(row, Problem)]
    if problems:
        raise InputError(problems)
    sessions = [row for row in rows if isinstance(row, _Session)]
    if not sessions:
        why = "every site is down" if set(down) >= {s.name for s in spec.sites} else "no site is up"
        raise InputError(f"{spec.file}: {why}, so nobody announces {prefix}")
    pop = np.array([s.pop for s in sessions], np.int32)
    site = np.array([s.site for s in sessions], np.int32)
    return Announcements(
        origin=spec.asn,
        site_names=tuple(s.name for s in spec.sites),
        site_lat=np.array([s.place.lat for s in spec.sites], np.float64),
        site_lon=np.array([s.place.lon for s in spec.sites], np.float64),
        site=site,
        pop=pop,
        as_index=internet.pop_as[pop],
        learned=np.full(pop.size, Learned.CUSTOMER, np.int8),
        as_path=tuple((int(spec.asn),) * (1 + s.prepend) for s in sessions),
        communities=tuple(s.communities for s in sessions),
    )


def check_sites(spec: Spec, names: Collection[str]) -> None:
    """Refuse names that are no site of the spec.

    Raises
    ------
    InputError
        With the sites that there are.
    """
    known = [site.name for site in spec.sites]
    strange = [name for name in names if name not in known]
    if strange:
        raise InputError(
            f"{spec.file}: no site is named {', '.join(map(repr, strange))}; sites: {', '.join(known)}"
        )


@dataclass(frozen=True, slots=True)
class _Session:
    site: int
    pop: int
    prepend: int
    communities: frozenset[Community]


def _rows(
    spec: Spec, internet: Internet, prefix: Prefix, down: Collection[str], *, planned: bool
) -> Iterator[_Session | Problem]:
    for index, site in enumerate(spec.sites):
        if site.state is SiteState.PLANNED and not planned:
            continue
        for number, upstream in enumerate(site.upstreams):
            pop = nearest_pop(internet, upstream.asn, site.place.lat, site.place.lon)
            if pop is None:
                yield _missing(spec, site, number, internet)
            elif site.name not in down and prefix in upstream.prefixes:
                drain = {GRACEFUL_SHUTDOWN} if site.state is SiteState.DRAINED else set()
                said = frozenset(upstream.communities) | drain
                yield _Session(index, pop, upstream.prepend, said)


def _missing(spec: Spec, site: Site, number: int, internet: Internet) -> Problem:
    asn = site.upstreams[number].asn
    near = ", ".join(_label(internet, other) for other in _near(internet, asn))
    return Problem(
        file=spec.file,
        line=site.line,
        column=1,
        where=f"sites.{site.name}.upstreams[{number}].asn",
        message=f"AS{asn} is not in {internet.name}; near it: {near}",
    )


def _label(internet: Internet, asn: int) -> str:
    index = internet.index_of(asn)
    name = internet.as_name[index] if index is not None else ""
    return f"AS{asn} ({name})" if name else f"AS{asn}"


def _near(internet: Internet, asn: int) -> list[int]:
    """AS numbers one slip of a finger away, else the next ones below and above."""
    digits = str(asn)
    slips = {digits[:i] + digits[i + 1 :] for i in range(len(digits))}
    slips |= {
        digits[:i] + d + digits[i + k :]
        for i in range(len(digits) + 1)
        for k in (0, 1)
        for d in "0123456789"
    }
    slips |= {
        digits[:i] + digits[i + 1] + digits[i] + digits[i + 2 :] for i in range(len(digits) - 1)
    }
    typed = sorted({int(s) for s in slips if s and internet.index_of(int(s)) is not None})
    if typed:
        return sorted(typed, key=lambda other: (abs(other - asn), other))[:3]
    at = int(np.searchsorted(internet.asn, np.uint32(asn)))
    return [int(other) for other in internet.asn[max(0, at - 1) : at + 2]]
