"""Hold the model against real routers: a network is predicted, built and compared router by router.

Random networks are small but nasty: networks of several cities, peerings and purchases in several
places, prepends, communities, drained sites, IPv4 and IPv6 announced differently.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from itertools import combinations
from typing import Any, Final, Protocol

import numpy as np

from ridgeline.lab.control import LabClient, take_down
from ridgeline.lab.launch import launch
from ridgeline.lab.layout import plan_lab
from ridgeline.lab.preflight import add_system_paths, check_programs
from ridgeline.lab.supervisor import supervise
from ridgeline.net.asn import Asn
from ridgeline.net.community import GRACEFUL_SHUTDOWN, NO_EXPORT, Community
from ridgeline.net.place import Place
from ridgeline.routing.announce import announcements
from ridgeline.routing.forward import CertaintyCode, forward
from ridgeline.spec.model import Prefix, Site, SiteState, Spec, Upstream
from ridgeline.topology.build import InternetBuilder
from ridgeline.topology.internet import Internet

PREFIXES: Final[tuple[Prefix, ...]] = (
    IPv4Network("192.0.2.0/24"),
    IPv6Network("2001:db8:53::/48"),
)
_OUR_ASN: Final = Asn(64500)
_FIRST_ASN: Final = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One router, one prefix: what was said and what happened."""

    router: str
    prefix: str
    predicted: str | None
    possible: tuple[str, ...]
    certain: bool
    may_hear_nothing: bool
    """Whether some tie-break leaves this router without a route."""
    chosen: str | None
    as_path: tuple[int, ...]
    """Of the route that the router chose; empty without one."""

    @property
    def agrees(self) -> bool:
        """Whether the router chose the very site that was predicted."""
        return self.predicted == self.chosen

    @property
    def is_foreseen(self) -> bool:
        """Whether the model holds: right where it was certain, among the possible elsewhere."""
        if self.certain:
            return self.agrees
        return self.chosen in self.possible or (self.chosen is None and self.may_hear_nothing)


def verify(
    spec: Spec, internet: Internet, *, name: str = "", shuffle: int | None = None
) -> list[Verdict]:
    """Build a lab of a spec and compare every router's choice with the prediction.

    Raises
    ------
    MachineError
        The lab could not be built.
    """
    name = name or f"verify-{os.getpid()}"
    check_programs(spec)
    add_system_paths()
    plan = plan_lab(spec, internet, max_clients=0)
    launch(name, supervise(plan, shuffle=shuffle), lambda _: None)
    try:
        lab = LabClient(name)
        chosen = {prefix: lab.ask("routes", None, prefix=str(prefix)) for prefix in spec.prefixes}
    finally:
        take_down(name)
    routers = [node.name for node in plan.nodes]
    return [
        verdict
        for prefix in spec.prefixes
        for verdict in _compare(spec, internet, prefix, routers, chosen[prefix])
    ]


def _compare(
    spec: Spec, internet: Internet, prefix: Prefix, routers: list[str], chosen: dict[str, Any]
) -> Iterator[Verdict]:
    ways = forward(internet, announcements(spec, internet, prefix, planned=False))
    names = ways.announcements.site_names
    for pop in range(len(internet.pop_as)):
        site = int(ways.site[pop])
        route = chosen[routers[pop]]
        yield Verdict(
            router=routers[pop],
            prefix=str(prefix),
            predicted=names[site] if site >= 0 else None,
            possible=tuple(names[s] for s in ways.possible_sites(pop)),
            certain=ways.certainty[pop] == CertaintyCode.CERTAIN
            or (ways.certainty[pop] == CertaintyCode.UNREACHED and bool(ways.sure[pop])),
            may_hear_nothing=not ways.sure[pop],
            chosen=route["site"] if route else None,
            as_path=tuple(route["as_path"]) if route else (),
        )


def random_network(rng: np.random.Generator) -> tuple[Spec, Internet]:
    """Draw a small Internet and an anycast network on it.

    Two to three networks at the top peer with all their like; those below buy from one to three
    above, in one or several places, and some peer with each other.
    """
    n_top, n_rest = int(rng.integers(2, 4)), int(rng.integers(5, 12))
    asns = [_FIRST_ASN + i for i in rng.permutation(n_top + n_rest).tolist()]
    tops, rest = asns[:n_top], asns[n_top:]
    cities = [_city(i, rng) for i in range(int(rng.integers(4, 10)))]
    homes = {asn: _homes(rng, cities, most=5 if asn in tops else 3) for asn in asns}

    net = InternetBuilder(f"random-{int(rng.integers(10**6))}")
    sessions = []
    for left, right, join in _relations(rng, net, tops, rest):
        places = _meeting_places(rng, homes, left, right)
        sessions += [(join, left, right, code) for code in places]
    for asn in asns:
        net.add_as(asn, f"n{asn}", at=homes[asn], users={homes[asn][0].code: 1.0})
    for join, left, right, code in sessions:
        join(left, right, at=code)
    return _random_spec(rng, cities, asns), net.build()


class _Join(Protocol):
    """Adds one session to an Internet: `InternetBuilder.buys` or `peers`."""

    def __call__(self, left: int, right: int, /, *, at: str) -> None: ...


def _homes(rng: np.random.Generator, cities: list[Place], *, most: int) -> list[Place]:
    n_pops = min(len(cities), int(rng.integers(1, most + 1)))
    return [cities[i] for i in sorted(rng.permutation(len(cities))[:n_pops].tolist())]


def _relations(
    rng: np.random.Generator, net: InternetBuilder, tops: list[int], rest: list[int]
) -> Iterator[tuple[int, int, _Join]]:
    """Draw who buys from whom and who peers; no pair does both."""
    joined: set[frozenset[int]] = set()
    for left, right in combinations(tops, 2):
        yield left, right, net.peers
    for position, asn in enumerate(rest):
        above = rng.permutation(tops + rest[:position])
        for provider in above[: int(rng.integers(1, 4))].tolist():
            joined.add(frozenset((asn, provider)))
            yield asn, provider, net.buys
    for left, right in combinations(rest, 2):
        if frozenset((left, right)) not in joined and rng.random() < 0.15:
            yield left, right, net.peers


def _meeting_places(
    rng: np.random.Generator, homes: dict[int, list[Place]], left: int, right: int
) -> list[str]:
    """Choose one or two cities where both are; the first goes to the other if there is none."""
    here = {place.code for place in homes[left]}
    shared = [place.code for place in homes[right] if place.code in here]
    if not shared:
        homes[left].append(homes[right][0])
        shared = [homes[right][0].code]
    chosen: list[str] = rng.permutation(shared)[: int(rng.integers(1, 3))].tolist()
    return chosen


def _city(index: int, rng: np.random.Generator) -> Place:
    return Place(
        code=f"c{index}",
        city=f"City {index}",
        country="",
        lat=float(np.round(rng.uniform(-55, 65), 3)),
        lon=float(np.round(rng.uniform(-175, 175), 3)),
    )


def _random_spec(rng: np.random.Generator, cities: list[Place], asns: list[int]) -> Spec:
    sites = []
    n_sites = int(rng.integers(2, 6))
    for index in range(n_sites):
        place = (
            _city(100 + index, rng)
            if rng.random() < 0.3
            else cities[int(rng.integers(len(cities)))]
        )
        chosen = rng.permutation(asns)[: int(rng.integers(1, 4))].tolist()
        state = SiteState.DRAINED if index and rng.random() < 0.15 else SiteState.ACTIVE
        sites.append(
            Site(
                name=f"s{index}",
                place=place,
                upstreams=tuple(
                    upstream for asn in chosen for upstream in _upstreams(rng, int(asn), asns)
                ),
                capacity=None,
                state=state,
                line=index + 1,
            )
        )
    return Spec(
        file="random.yaml",
        network="random",
        asn=_OUR_ASN,
        prefixes=PREFIXES,
        services=(),
        sites=tuple(sites),
    )


def _upstreams(rng: np.random.Generator, asn: int, asns: list[int]) -> Iterator[Upstream]:
    """Say the same for both families, or something else for each, or nothing for one."""
    if rng.random() < 0.7:
        yield _upstream(rng, asn, asns, PREFIXES)
        return
    for prefix in PREFIXES:
        if rng.random() < 0.85:
            yield _upstream(rng, asn, asns, (prefix,))


def _upstream(
    rng: np.random.Generator, asn: int, asns: list[int], prefixes: tuple[Prefix, ...]
) -> Upstream:
    communities: list[Community] = []
    if rng.random() < 0.35:
        other = asns[int(rng.integers(len(asns)))]
        kinds: list[Community] = [
            (asn, 0, other),
            (asn, int(rng.integers(1, 4)), other),
            (asn, 10, int(rng.choice([200, 100, 50]))),
            NO_EXPORT,
            GRACEFUL_SHUTDOWN,
        ]
        communities.append(kinds[int(rng.integers(len(kinds)))])
    return Upstream(
        asn=Asn(asn),
        prefixes=prefixes,
        prepend=int(rng.choice([0, 0, 0, 1, 2, 3])),
        communities=tuple(communities),
        bfd=False,
    )
