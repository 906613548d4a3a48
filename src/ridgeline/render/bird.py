"""BIRD 2 configuration of one router of the lab, or of one announcing server.

RFC 4271 (BGP), RFC 4760 (both address families on one session), RFC 4456 is not used: inside an
AS the routers form a full mesh. Policy is Gao-Rexford's: routes from customers go to everybody,
all others to customers only; local preference customer 300 > peer 200 > provider 100.

A provider's customers may act on its routes with large communities (RFC 8092), `P` its own ASN:

==================  ==========================================================
(P, 0, X)           do not announce to ASX
(P, 1..3, X)        prepend one to three times towards ASX
(P, 10, lp)         set local preference to lp: 200, 100 or 50
(65535, 0)          graceful shutdown (RFC 8326): local preference 0
(65535, 65281)      no export (RFC 1997), which BIRD obeys by itself
==================  ==========================================================

`(P, 100, 1..3)` marks inside P whether a route came from a customer, a peer or a provider;
`(P, 101, 1)` asks P's own border routers to make the path longer, while a site drains.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from ridgeline.net.asn import Asn
from ridgeline.net.community import Community

Prefix: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address

HOLD_TIME_S = 9
"""Lab sessions give a silent neighbour up after this long (BIRD's default would be 240 s)."""
BFD_INTERVAL_MS = 100
BFD_MULTIPLIER = 3
DRAIN_PREPEND = 3
"""Extra copies of our AS number in the second stage of a drain."""


class Role(Enum):
    """What the neighbour is to us (RFC 9234)."""

    PROVIDER = "provider"
    PEER = "peer"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """How one of our own prefixes is announced on one session."""

    prefix: Prefix
    prepend: int = 0
    communities: tuple[Community, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EbgpSession:
    """A session with a router of another network, over a direct link; both families on it."""

    name: str
    """BIRD protocol name."""
    role: Role
    asn: Asn
    local4: IPv4Address
    local6: IPv6Address
    remote4: IPv4Address
    passive: bool
    bfd: bool = False
    announcements: tuple[Announcement, ...] | None = None
    """Anycast site routers only: exactly these anycast prefixes, so; None: plain policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IbgpSession:
    """A session with another router of our own network, between loopbacks."""

    name: str
    remote4: IPv4Address
    passive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Interior:
    """An internal link: OSPF runs on it."""

    interface: str
    cost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """Where a loopback of our network is before OSPF has said so (it takes five seconds)."""

    prefix: Prefix
    gateway: Address
    metric: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSession:
    """The session between a site's router and its server (iBGP over their common link)."""

    local4: IPv4Address
    local6: IPv6Address
    remote4: IPv4Address
    is_server: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BirdRouter:
    """Everything that a router's configuration says."""

    asn: Asn
    loopback4: IPv4Address
    loopback6: IPv6Address
    log: str
    networks: tuple[Prefix, ...] = ()
    """Originated always: the networks of attached clients and servers."""
    anycast: tuple[Prefix, ...] = ()
    """The anycast prefixes of the spec, where this router belongs to it."""
    originates: bool = False
    """The anycast prefixes start here (protocols `anycast*` and, for draining, `drain*`, `prepend*`)."""
    held: bool = False
    """Both kinds start disabled: whoever knows that the services are ready enables one."""
    drained: bool = False
    """Whether they are announced with GRACEFUL_SHUTDOWN from the start."""
    include: str | None = None
    """A file, or a pattern, in which an agent keeps the anycast prefixes instead of us."""
    ebgp: tuple[EbgpSession, ...] = ()
    ibgp: tuple[IbgpSession, ...] = ()
    interior: tuple[Interior, ...] = ()
    seeds: tuple[Seed, ...] = ()
    server: ServerSession | None = None


_POLICY = """\
function mark_from(int kind) {
  bgp_large_community.delete([(MYAS,100,*)]);
  bgp_large_community.add((MYAS,100,kind));
}
function graceful_shutdown() { if (65535,0) ~ bgp_community then bgp_local_pref = 0; }
function from_customer() {
  bgp_med = 0; bgp_local_pref = 300;
  if (MYAS,10,200) ~ bgp_large_community then bgp_local_pref = 200;
  if (MYAS,10,100) ~ bgp_large_community then bgp_local_pref = 100;
  if (MYAS,10,50) ~ bgp_large_community then bgp_local_pref = 50;
  mark_from(1); graceful_shutdown(); accept;
}
function from_peer() {
  bgp_med = 0; bgp_large_community.delete([(MYAS,0..10,*)]);
  bgp_local_pref = 200; mark_from(2); graceful_shutdown(); accept;
}
function from_provider() {
  bgp_med = 0; bgp_large_community.delete([(MYAS,0..10,*)]);
  bgp_local_pref = 100; mark_from(3); graceful_shutdown(); accept;
}
function act_towards(int neighbour) {
  if (MYAS,0,neighbour) ~ bgp_large_community then reject;
  if (MYAS,3,neighbour) ~ bgp_large_community then {
    bgp_path.prepend(MYAS); bgp_path.prepend(MYAS); bgp_path.prepend(MYAS);
  } else if (MYAS,2,neighbour) ~ bgp_large_community then {
    bgp_path.prepend(MYAS); bgp_path.prepend(MYAS);
  } else if (MYAS,1,neighbour) ~ bgp_large_community then bgp_path.prepend(MYAS);
}
function to_customer(int neighbour) {
  if source = RTS_STATIC && preference > 50 then accept;
  if source != RTS_BGP then reject;
  act_towards(neighbour); accept;
}
function to_others(int neighbour) {
  if source = RTS_STATIC && preference > 50 then accept;
  if source != RTS_BGP then reject;
  if (MYAS,100,1) !~ bgp_large_community then reject;
  act_towards(neighbour); accept;
}
template bgp EBGP {
  local as MYAS; direct; connect delay time 0; connect retry time 1; error wait time 1,4;
  error forget time 10; startup hold time 30; hold time @HOLD@; keepalive time @KEEP@;
  graceful restart off; prefer older off;
}
template bgp IBGP {
  local as MYAS; connect delay time 0; connect retry time 1; error wait time 1,4;
  startup hold time 30; hold time @HOLD@; keepalive time @KEEP@;
  graceful restart off; prefer older off;
}
""".replace("@HOLD@", str(HOLD_TIME_S)).replace("@KEEP@", str(HOLD_TIME_S // 3))

_IMPORT = {
    Role.CUSTOMER: "from_customer",
    Role.PEER: "from_peer",
    Role.PROVIDER: "from_provider",
}
_EXPORT = {Role.CUSTOMER: "to_customer", Role.PEER: "to_others", Role.PROVIDER: "to_others"}


def render_bird(router: BirdRouter) -> str:
    """Write the configuration of one router."""
    return "\n".join(_lines(router)) + "\n"


def _lines(router: BirdRouter) -> Iterator[str]:
    yield f'log "{router.log}" {{ warning, error, fatal, bug, auth, remote }};'
    yield f"router id {router.loopback4};"
    yield f"define MYAS = {router.asn};"
    yield _anycast_filter(router)
    yield _POLICY
    yield "protocol device { scan time 600; }"
    yield from _kernel(router)
    if any(session.bfd for session in router.ebgp):
        yield "protocol bfd { }"
    # Marked as a customer's, so that the other routers of our network export it as our own.
    own = "import filter { bgp_large_community.add((MYAS,100,1)); accept; };"
    yield from _statics("own", router.networks, own)
    if router.originates and router.include is not None:
        yield f'include "{router.include}";'
    elif router.originates:
        yield from _origin(router)
    yield from _interior(router)
    if router.ibgp:
        yield from _core()
    for session in router.ibgp:
        yield from _ibgp(router, session)
    if router.server is not None:
        yield from _server(router.server)
    for external in router.ebgp:
        yield from _ebgp(router, external)


def _anycast_filter(router: BirdRouter) -> str:
    tests = [
        f"if net.type = NET_IP{version} then return net ~ [ {_prefix_set(router, version)} ];"
        for version in (4, 6)
        if any(p.version == version for p in router.anycast)
    ]
    return f"function is_anycast() {{ {' '.join(tests)} return false; }}"


def _prefix_set(router: BirdRouter, version: int) -> str:
    """Our prefixes and everything inside them."""
    return ", ".join(f"{p}+" for p in router.anycast if p.version == version)


def _kernel(router: BirdRouter) -> Iterator[str]:
    for version, loopback in ((4, router.loopback4), (6, router.loopback6)):
        length = 32 if version == 4 else 128
        yield f"""\
protocol kernel kernel{version} {{ scan time 600; ipv{version} {{ import none; export filter {{
  if dest = RTD_BLACKHOLE || dest = RTD_UNREACHABLE then reject;
  if source = RTS_OSPF && net.len != {length} then reject;
  if net = {loopback}/{length} then reject;
  krt_prefsrc = {loopback}; accept;
}}; }}; }}"""


def _statics(name: str, prefixes: Iterable[Prefix], options: str) -> Iterator[str]:
    prefixes = tuple(prefixes)
    for version in (4, 6):
        routes = " ".join(f"route {p} blackhole;" for p in prefixes if p.version == version)
        if routes:
            yield f"protocol static {name}{version} {{ ipv{version} {{ {options} }}; {routes} }}"


def _origin(router: BirdRouter) -> Iterator[str]:
    off = "disabled yes; "
    plain, drain = (off, "") if router.drained else ("", off)
    if router.held:
        plain = drain = off
    for version in (4, 6):
        routes = " ".join(f"route {p} blackhole;" for p in router.anycast if p.version == version)
        if not routes:
            continue
        yield f"protocol static anycast{version} {{ {plain}ipv{version}; {routes} }}"
        # The twin that replaces it while the site drains, in a single update (RFC 8326).
        yield (
            f"protocol static drain{version} {{ {drain}ipv{version} {{ preference 150; "
            f"import filter {{ bgp_community.add((65535,0)); accept; }}; }}; {routes} }}"
        )
        # And the one that speaks to neighbours who do not heed it: our routers make the path long.
        yield (
            f"protocol static prepend{version} {{ disabled yes; ipv{version} {{ preference 160; "
            f"import filter {{ bgp_community.add((65535,0)); "
            f"bgp_large_community.add((MYAS,101,1)); accept; }}; }}; {routes} }}"
        )


def _interior(router: BirdRouter) -> Iterator[str]:
    if not router.interior:
        return
    for version in (4, 6):
        routes = "".join(
            f"\n  route {s.prefix} via {s.gateway} {{ igp_metric = {s.metric}; }};"
            for s in router.seeds
            if s.prefix.version == version
        )
        yield f"protocol static seed{version} {{ ipv{version} {{ preference 10; }};{routes}\n}}"
        links = "".join(
            f'\n  interface "{i.interface}" {{ type ptp; cost {i.cost}; hello 1; dead count 4; }};'
            for i in router.interior
        )
        yield (
            f"protocol ospf v{2 if version == 4 else 3} ospf{version} "
            f"{{ ipv{version} {{ import all; export none; }}; "
            f'area 0 {{ interface "lo" {{ stub; }};{links}\n}}; }}'
        )


def _ibgp(router: BirdRouter, session: IbgpSession) -> Iterator[str]:
    passive = " passive on;" if session.passive else ""
    rules = "import all; export where source = RTS_BGP || source = RTS_STATIC;"
    yield f"""\
protocol bgp {session.name} from IBGP {{ neighbor {session.remote4} as MYAS;
  source address {router.loopback4};{passive}
  ipv4 {{ table core4; igp table master4; next hop self; {rules} }};
  ipv6 {{ table core6; igp table master6; next hop self; next hop address {router.loopback6};
    {rules} }};
}}"""


def _core() -> Iterator[str]:
    """Give iBGP tables of its own, in which our external routes beat all others.

    So a router offers its best external route to the other routers even while it prefers one of
    theirs (draft-ietf-idr-best-external): when the best goes, nobody is without a route for a
    round trip. No choice changes, as all routes meet in the master tables on equal terms. BIRD's
    own `secondary` would do, but not with recursive next hops.
    """
    for version in (4, 6):
        yield f"""\
ipv{version} table core{version};
protocol pipe best_external{version} {{ table master{version}; peer table core{version};
  export filter {{
    if source = RTS_STATIC && preference <= 50 then reject;
    if source = RTS_STATIC || (source = RTS_BGP && proto !~ "ibgp_*") then {{
      preference = 200; accept;
    }}
    reject;
  }};
  import where source = RTS_BGP && proto ~ "ibgp_*";
}}"""


def _server(session: ServerSession) -> Iterator[str]:
    if session.is_server:
        name, passive = "to_edge", ""
        rules = "import none; export where source = RTS_STATIC && is_anycast();"
    else:
        name, passive = "to_server", " passive on;"
        rules = (
            "import filter { if ! is_anycast() then reject; mark_from(1); accept; }; export none;"
        )
    yield f"""\
protocol bgp {name} from IBGP {{ neighbor {session.remote4} as MYAS;
  source address {session.local4}; direct;{passive}
  ipv4 {{ next hop self; {rules} }};
  ipv6 {{ next hop self; next hop address {session.local6}; {rules} }};
}}"""


def _ebgp(router: BirdRouter, session: EbgpSession) -> Iterator[str]:
    passive = " passive on;" if session.passive else ""
    bfd = (
        f" bfd {{ interval {BFD_INTERVAL_MS} ms; multiplier {BFD_MULTIPLIER}; }};"
        if session.bfd
        else ""
    )
    # A site hears the unicast networks of its sisters (same ASN), never its own anycast prefix.
    island = " allow local as 1;" if router.anycast else ""
    guard = "if is_anycast() then reject; " if router.anycast else ""
    export = f"{_EXPORT[session.role]}({session.asn});"
    if session.announcements is not None:
        export = f"{_own_announcements(session.announcements)} {export}"
    rules = f"import filter {{ {guard}{_IMPORT[session.role]}(); }}; export filter {{ {export} }};"
    yield f"""\
protocol bgp {session.name} from EBGP {{ neighbor {session.remote4} as {session.asn};
  source address {session.local4};{passive}{bfd}{island}
  ipv4 {{ {rules} }};
  ipv6 {{ next hop address {session.local6}; {rules} }};
}}"""


def _own_announcements(announcements: Iterable[Announcement]) -> str:
    """Announce exactly what the spec says to this neighbour."""
    cases = []
    for item in announcements:
        actions = ["bgp_path.prepend(MYAS);"] * item.prepend
        for community in item.communities:
            attribute = "bgp_community" if len(community) == 2 else "bgp_large_community"
            actions.append(f"{attribute}.add(({','.join(map(str, community))}));")
        cases.append(f"if net = {item.prefix} then {{ {' '.join(actions)} accept; }}")
    if cases:
        longer = "bgp_path.prepend(MYAS); " * DRAIN_PREPEND
        mark = "(MYAS,101,1)"
        cases.insert(
            0,
            f"if {mark} ~ bgp_large_community then {{ {longer}"
            f"bgp_large_community.delete([{mark}]); }}",
        )
    return " ".join([*cases, "if is_anycast() then reject;"])
