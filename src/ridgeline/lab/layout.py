"""Lay a lab out: a `Spec` and an `Internet` go in, a `LabPlan` comes out; nothing is built yet.

Lab infrastructure uses the benchmarking ranges 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180):

====================  =====================  ==========================================
198.18.0.0/17         2001:2:0:1::/64        links between routers, /31 and /127
198.18.128.0/18       2001:2:0:2::/64        loopbacks; the IPv4 one is the router id
198.19.0.0/16         2001:2:0:1000::/52...  networks of clients, servers, origin: /28, /64
====================  =====================  ==========================================
"""

from collections import defaultdict
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from math import inf, isnan
from typing import Final

from ridgeline.errors import InputError
from ridgeline.lab.plan import End, LabPlan, Link, LinkKind, Node, NodeKind
from ridgeline.net.asn import Asn
from ridgeline.net.place import ACCESS_RTT_MS, Place, great_circle_km, one_way_ms
from ridgeline.render.bird import Role
from ridgeline.spec.model import ServiceKind, Site, SiteState, Spec
from ridgeline.topology.attach import nearest_pop
from ridgeline.topology.internet import PEER_TO_PEER, Internet

MAX_ROUTERS: Final = 1500
MAX_CLIENTS: Final = 40
UPLINK_MIN_MS: Final = 0.1  # so that a site's uplinks always pass the relay, which can cut them

_LINK4, _LINK6 = int(IPv4Address("198.18.0.0")), int(IPv6Address("2001:2:0:1::"))
_LOOP4, _LOOP6 = int(IPv4Address("198.18.128.1")), int(IPv6Address("2001:2:0:2::1"))
_LAN4, _LAN6 = int(IPv4Address("198.19.0.0")), int(IPv6Address("2001:2:0:1000::"))


def plan_lab(spec: Spec, internet: Internet, *, max_clients: int = MAX_CLIENTS) -> LabPlan:
    """Lay out the lab for a spec on an Internet.

    Raises
    ------
    InputError
        The Internet does not fit on one machine, or an upstream is not in it.
    """
    if len(internet.pop_as) > MAX_ROUTERS:
        raise InputError(
            f"{internet.name} has {len(internet.pop_as):,} PoPs and each is a real router; "
            f"a lab holds at most {MAX_ROUTERS:,}. Use builtin:demo, or make a smaller Internet "
            "with `ridgeline internet make --size N`"
        )
    planner = _Planner(spec, internet)
    planner.add_pops()
    planner.add_interior_links()
    planner.add_exterior_links()
    for site in spec.sites:
        if site.state is not SiteState.PLANNED:
            planner.add_site(site)
    planner.add_clients(max_clients)
    if any(service.kind is ServiceKind.HTTP_CACHE for service in spec.services):
        planner.add_hidden("origin", NodeKind.ORIGIN)
    if any(service.primary for service in spec.services):
        planner.add_hidden("primary", NodeKind.PRIMARY)
    if any(service.kind is ServiceKind.RECURSIVE_DNS for service in spec.services):
        planner.add_names()
    return LabPlan(
        spec=spec,
        internet=internet.name,
        n_ases=len(internet.asn) + 1,
        nodes=tuple(planner.nodes),
        links=tuple(planner.links),
        networks={name: tuple(nets) for name, nets in planner.networks.items()},
    )


class _Planner:
    """Collects nodes and links, numbering them as they come."""

    def __init__(self, spec: Spec, internet: Internet) -> None:
        self.spec = spec
        self.internet = internet
        self.nodes: list[Node] = []
        self.links: list[Link] = []
        self.networks: dict[str, list[IPv4Network | IPv6Network]] = defaultdict(list)
        self._n_interfaces: dict[str, int] = defaultdict(int)
        self._n_routed = 0
        self._n_lans = 0
        self._pop_names = _pop_names(internet)

    def _add(
        self, name: str, kind: NodeKind, asn: Asn, network: str, place: Place, **more: object
    ) -> Node:
        index = len(self.nodes)
        node = Node(
            name=name,
            kind=kind,
            asn=asn,
            network=network,
            place=place,
            loopback4=IPv4Address(_LOOP4 + index),
            loopback6=IPv6Address(_LOOP6 + index),
            **more,  # type: ignore[arg-type]  # keyword fields of Node, checked there
        )
        self.nodes.append(node)
        return node

    def _interface(self, node: str) -> str:
        self._n_interfaces[node] += 1
        return f"eth{self._n_interfaces[node] - 1}"

    def _link(
        self,
        kind: LinkKind,
        a: str,
        b: str,
        delay_ms: float,
        *,
        role: Role | None = None,
        cost: int = 0,
        bfd: bool = False,
    ) -> None:
        """Join two routers by a /31 and a /127."""
        n = 2 * self._n_routed
        self._n_routed += 1
        ends = [
            End(
                node=node,
                interface=self._interface(node),
                address4=IPv4Interface((_LINK4 + n + side, 31)),
                address6=IPv6Interface((_LINK6 + n + side, 127)),
            )
            for side, node in enumerate((a, b))
        ]
        self._append(kind, ends, delay_ms, role=role, cost=cost, bfd=bfd)

    def _lan(self, router: str, host: str, delay_ms: float) -> None:
        """Join a router and a host by a network that the router announces."""
        net4, net6 = _lan_networks(self._n_lans)
        self._n_lans += 1
        self.networks[router] += [net4, net6]
        ends = [
            End(
                node=node,
                interface=self._interface(node),
                address4=IPv4Interface((int(net4.network_address) + side, 28)),
                address6=IPv6Interface((int(net6.network_address) + side, 64)),
            )
            for side, node in ((1, router), (2, host))
        ]
        self._append(LinkKind.LAN, ends, delay_ms)

    def _next_lan_addresses(self) -> dict[str, object]:
        net4, net6 = _lan_networks(self._n_lans)
        return {"address4": net4.network_address + 2, "address6": net6.network_address + 2}

    def _append(
        self,
        kind: LinkKind,
        ends: list[End],
        delay_ms: float,
        *,
        role: Role | None = None,
        cost: int = 0,
        bfd: bool = False,
    ) -> None:
        self.links.append(
            Link(
                index=len(self.links),
                kind=kind,
                a=ends[0],
                b=ends[1],
                delay_ms=round(delay_ms, 3),
                role=role,
                cost=cost,
                bfd=bfd,
            )
        )

    def add_pops(self) -> None:
        """Make a router of every PoP, in PoP order (router ids rise with it)."""
        net = self.internet
        for pop, name in enumerate(self._pop_names):
            as_index = int(net.pop_as[pop])
            asn = Asn(int(net.asn[as_index]))
            self._add(
                name,
                NodeKind.ROUTER,
                asn,
                net.as_name[as_index] or f"as{asn}",
                _place(net, pop),
                users=float(net.pop_users[pop]),
            )

    def add_interior_links(self) -> None:
        """Join the PoPs of each network pairwise, as DESIGN's IGP says."""
        first = 0
        pop_as = self.internet.pop_as
        for end in range(1, len(pop_as) + 1):
            if end < len(pop_as) and pop_as[end] == pop_as[first]:
                continue
            for a in range(first, end):
                for b in range(a + 1, end):
                    km = self._distance_km(a, b)
                    self._link(
                        LinkKind.INTERIOR,
                        self._pop_names[a],
                        self._pop_names[b],
                        one_way_ms(km),
                        cost=max(1, round(km)),
                    )
            first = end

    def add_exterior_links(self) -> None:
        """Make a link of every eBGP session between PoPs."""
        net = self.internet
        for a, b, rel in zip(net.link_a, net.link_b, net.link_rel, strict=True):
            self._link(
                LinkKind.EXTERIOR,
                self._pop_names[int(a)],
                self._pop_names[int(b)],
                one_way_ms(self._distance_km(int(a), int(b))),
                role=Role.PEER if rel == PEER_TO_PEER else Role.PROVIDER,
            )

    def _distance_km(self, a: int, b: int) -> float:
        net = self.internet
        places = [float(x[i]) for i in (a, b) for x in (net.pop_lat, net.pop_lon)]
        return 0.0 if any(isnan(p) for p in places) else great_circle_km(*places)

    def add_site(self, site: Site) -> None:
        """Add a site's router, its uplinks and, where services answer, its server."""
        spec = self.spec
        edge = f"edge.{site.name}"
        self._add(edge, NodeKind.EDGE, spec.asn, spec.network, site.place, site=site.name)
        for asn in dict.fromkeys(upstream.asn for upstream in site.upstreams):
            pop = nearest_pop(self.internet, asn, site.place.lat, site.place.lon)
            if pop is None:
                raise InputError(
                    f"{spec.file}:{site.line}: site {site.name}: AS{asn} is not in "
                    f"{self.internet.name}"
                )
            lat, lon = float(self.internet.pop_lat[pop]), float(self.internet.pop_lon[pop])
            km = 0.0 if isnan(lat) else great_circle_km(site.place.lat, site.place.lon, lat, lon)
            self._link(
                LinkKind.UPLINK,
                edge,
                self._pop_names[pop],
                max(UPLINK_MIN_MS, one_way_ms(km)),
                role=Role.PROVIDER,
                bfd=any(u.bfd for u in site.upstreams if u.asn == asn),
            )
        if any(service.kind is not ServiceKind.CUSTOM for service in spec.services):
            server = f"server.{site.name}"
            self._add(
                server,
                NodeKind.SERVER,
                spec.asn,
                spec.network,
                site.place,
                site=site.name,
                **self._next_lan_addresses(),
            )
            self._lan(edge, server, 0.0)

    def add_clients(self, limit: int) -> None:
        """Put a user behind the PoPs that have users: the heaviest of a city bears its name."""
        net = self.internet
        order = sorted(
            (pop for pop in range(len(net.pop_as)) if net.pop_users[pop] > 0),
            key=lambda pop: (-float(net.pop_users[pop]), pop),
        )[:limit]
        taken: set[str] = set()
        for pop in order:
            router = self.nodes[pop]
            code = router.place.code or f"as{router.asn}"
            name = code if code not in taken else f"{code}-{router.network}"
            taken.add(name)
            client = f"client.{name}"
            self._add(
                client,
                NodeKind.CLIENT,
                router.asn,
                router.network,
                router.place,
                users=router.users,
                **self._next_lan_addresses(),
            )
            self._lan(router.name, client, ACCESS_RTT_MS / 2)

    def add_hidden(self, name: str, kind: NodeKind) -> None:
        """Put a server of the operator beside the first site's first upstream, as a customer."""
        site = self.spec.sites[0]
        pop = nearest_pop(self.internet, site.upstreams[0].asn, site.place.lat, site.place.lon)
        router = self.nodes[pop or 0]
        self._add(name, kind, router.asn, name, router.place, **self._next_lan_addresses())
        self._lan(router.name, name, 0.0)

    def add_names(self) -> None:
        """Put the root of the DNS where the way from all sites together is shortest."""
        net = self.internet
        sites = [(site.place.lat, site.place.lon) for site in self.spec.sites]

        def distance(pop: int) -> tuple[float, int]:
            lat, lon = float(net.pop_lat[pop]), float(net.pop_lon[pop])
            if isnan(lat):
                return inf, pop
            return sum(great_circle_km(*site, lat, lon) for site in sites), pop

        router = self.nodes[min(range(len(net.pop_as)), key=distance)]
        more = self._next_lan_addresses()
        self._add("names", NodeKind.NAMES, router.asn, "names", router.place, **more)
        self._lan(router.name, "names", 0.0)


def _lan_networks(index: int) -> tuple[IPv4Network, IPv6Network]:
    return (
        IPv4Network((_LAN4 + 16 * index, 28)),
        IPv6Network((_LAN6 + (index << 64), 64)),
    )


def _pop_names(internet: Internet) -> list[str]:
    """``tanuki.nrt``; a number follows where a network has two PoPs of one code."""
    names: list[str] = []
    seen: dict[str, int] = defaultdict(int)
    for pop, as_index in enumerate(internet.pop_as):
        network = internet.as_name[int(as_index)] or f"as{int(internet.asn[int(as_index)])}"
        code = internet.pop_code[pop]
        name = f"{network}.{code}" if code else network
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}{seen[name]}")
    return names


def _place(internet: Internet, pop: int) -> Place:
    return Place(
        code=internet.pop_code[pop],
        city=internet.pop_city[pop],
        country=internet.pop_country[pop],
        lat=float(internet.pop_lat[pop]),
        lon=float(internet.pop_lon[pop]),
    )
