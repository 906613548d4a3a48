"""What a lab is made of: nodes, links and addresses; the nouns on which all of the room agrees.

`layout` decides them from a spec and an Internet, `sessions` derives what each router is told,
`fabric` builds them.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from ridgeline.net.asn import Asn
from ridgeline.net.place import Place
from ridgeline.render.bird import Role
from ridgeline.spec.model import Spec


class NodeKind(Enum):
    """What a node is; its name starts with the word for all but transit routers."""

    ROUTER = "router"
    """A PoP of a network of the Internet: ``tanuki.nrt``."""
    EDGE = "edge"
    """A site's router: ``edge.nrt``."""
    SERVER = "server"
    """A site's server, where the services answer: ``server.nrt``."""
    CLIENT = "client"
    """A user in a city: ``client.nrt``."""
    ORIGIN = "origin"
    """The web server behind the edge caches: ``origin``."""
    PRIMARY = "primary"
    """The hidden primary name server, which sends zones to the sites: ``primary``."""
    NAMES = "names"
    """The rehearsal's root of the DNS, where the sites' resolvers begin: ``names``."""


class LinkKind(Enum):
    """What a link is for."""

    INTERIOR = "interior"
    EXTERIOR = "exterior"
    UPLINK = "uplink"
    """From a site's router to one of its upstreams."""
    LAN = "lan"
    """From a router to a server, client, origin or primary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One network namespace."""

    name: str
    kind: NodeKind
    asn: Asn
    network: str
    """The operator's short name, used in host names."""
    place: Place
    loopback4: IPv4Address
    loopback6: IPv6Address
    users: float = 0.0
    site: str = ""
    """The site that an edge router or a server belongs to."""
    address4: IPv4Address | None = None
    """Unicast address of a server, client, origin or primary."""
    address6: IPv6Address | None = None

    @property
    def runs_bird(self) -> bool:
        """Whether a routing daemon runs here."""
        return self.kind in {NodeKind.ROUTER, NodeKind.EDGE, NodeKind.SERVER}


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a link."""

    node: str
    interface: str
    address4: IPv4Interface
    address6: IPv6Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Two ends and the time between them."""

    index: int
    kind: LinkKind
    a: End
    b: End
    delay_ms: float
    """One way; 0 is a plain veth pair."""
    role: Role | None = None
    """What b is to a, between different networks."""
    cost: int = 0
    """IGP cost, interior links only."""
    bfd: bool = False

    def ends(self) -> tuple[tuple[End, End], tuple[End, End]]:
        """Both directions: (here, there), (there, here)."""
        return ((self.a, self.b), (self.b, self.a))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPlan:
    """Everything to build, in build order."""

    spec: Spec
    internet: str
    n_ases: int
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    networks: dict[str, tuple[IPv4Network | IPv6Network, ...]]
    """Client and server networks by the router that announces them."""
    _by_name: dict[str, Node] = field(init=False, repr=False)
    _links_of: dict[str, tuple[tuple[Link, End, End], ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {node.name: node for node in self.nodes})
        links_of: dict[str, list[tuple[Link, End, End]]] = defaultdict(list)
        for link in self.links:
            for here, there in link.ends():
                links_of[here.node].append((link, here, there))
        object.__setattr__(self, "_links_of", {k: tuple(v) for k, v in links_of.items()})

    def node(self, name: str) -> Node:
        """Return the node of that name (KeyError if there is none)."""
        return self._by_name[name]

    def links_of(self, name: str) -> tuple[tuple[Link, End, End], ...]:
        """Return each link of a node with its own end and the other."""
        return self._links_of.get(name, ())

    def of_kind(self, *kinds: NodeKind) -> Iterator[Node]:
        """Nodes of these kinds, in build order."""
        return (node for node in self.nodes if node.kind in kinds)

    @property
    def clients(self) -> tuple[Node, ...]:
        """The users, heaviest city first within the plan's order."""
        return tuple(self.of_kind(NodeKind.CLIENT))

    def origin_node(self, site: str) -> str:
        """Name the node of a site at which the anycast prefixes start."""
        server = f"server.{site}"
        return server if server in self._by_name else f"edge.{site}"
