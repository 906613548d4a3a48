"""The running lab: namespaces, links, daemons. It builds them, watches them, and can break links.

Everything it holds dies with its process; there is no teardown to forget.
"""

import asyncio
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Any, Final, TypeAlias

from ridgeline.errors import MachineError
from ridgeline.lab.agents import NAME, AgentOrigin, AgentSite, include_pattern
from ridgeline.lab.birdctl import BirdControl
from ridgeline.lab.expected import Expectations
from ridgeline.lab.kernel.namespaces import MS_BIND, NetworkNamespace, entered, mount
from ridgeline.lab.kernel.netlink import Batch, RouteEvent, RouteEvents, VethEnd
from ridgeline.lab.kernel.processes import Daemon, start_daemon
from ridgeline.lab.links.delay import LinkPlan, LinkShape, Wires, open_wires
from ridgeline.lab.material.certificates import SYSTEM_TRUST, Certificates, trust_environment
from ridgeline.lab.material.nametree import NameTree
from ridgeline.lab.material.secrets import secrets_of
from ridgeline.lab.material.zonefiles import Zone, read_zones
from ridgeline.lab.plan import End, LabPlan, Link, LinkKind, Node, NodeKind
from ridgeline.lab.ready import routers_to_await, until_quiet
from ridgeline.lab.routes import BestRoute, describe_routes, parse_best_route
from ridgeline.lab.services import prepare
from ridgeline.lab.services.base import DaemonFiles, Place, anycast_addresses, unicast
from ridgeline.lab.services.edge import answers_healthy
from ridgeline.lab.services.tree import name_tree
from ridgeline.lab.sessions import router_config
from ridgeline.render.bird import render_bird
from ridgeline.render.explain import explain
from ridgeline.spec.model import SiteState

Address: TypeAlias = IPv4Address | IPv6Address

FIRST_INDEX: Final = 10
SERVICE_START_S: Final = 15.0

_ROUTER_SYSCTLS: Final[dict[str, object]] = {
    "net/ipv4/ip_forward": 1,
    "net/ipv4/icmp_errors_use_inbound_ifaddr": 1,
    "net/ipv4/icmp_ratelimit": 0,
    "net/ipv4/conf/all/rp_filter": 0,
    "net/ipv4/conf/default/rp_filter": 0,
    "net/ipv6/conf/all/forwarding": 1,
    "net/ipv6/conf/default/accept_dad": 0,
    "net/ipv6/conf/all/accept_dad": 0,
    "net/ipv6/icmp/ratelimit": 0,
}
_HOST_SYSCTLS: Final[dict[str, object]] = {
    **_ROUTER_SYSCTLS,
    "net/ipv4/ip_forward": 0,
    "net/ipv6/conf/all/forwarding": 0,
    "net/ipv6/conf/default/accept_ra": 0,
    "net/ipv4/ping_group_range": "0 0",
    "net/ipv4/ip_unprivileged_port_start": 0,
}


class Fabric:
    """Namespaces, links and daemons of one lab."""

    def __init__(
        self, plan: LabPlan, files: Path, *, shuffle: int | None = None, agents: bool = False
    ) -> None:
        self.plan = plan
        self._agents: dict[str, AgentOrigin] = {}
        self.has_agents = agents
        """Whether the agent runs at every site."""
        self._files = files
        self.secrets = secrets_of(plan.spec)
        """What all sites share."""
        self.zones: tuple[Zone, ...] = ()
        """As the name servers were last given them."""
        self.tree: NameTree | None = None
        """The root of the DNS."""
        servers = plan.of_kind(NodeKind.SERVER)
        own = (a for node in servers for a in (node.address4, node.address6) if a is not None)
        self.certificates = Certificates(plan.spec, own)
        self.trusted: Path | None = None
        """The certificates that every program of the lab trusts; None where nothing speaks TLS."""
        self.expected = Expectations(files, plan.nodes, self.place)
        """What every site shall be, for the agents; it does nothing where there are none."""
        self._shuffle = shuffle
        self._namespaces: dict[str, NetworkNamespace] = {}
        self._controls: dict[str, BirdControl] = {}
        self._daemons: dict[tuple[str, str], Daemon] = {}
        self._lost: list[dict[str, str]] = []
        self._wires: Wires | None = None
        self._events: list[RouteEvents] = []
        self.last_change = time.monotonic()
        """When a forwarding table last changed (monotonic)."""
        self.recorders: list[Callable[[str, RouteEvent], None]] = []
        """Hear of every change of an anycast route: (router, event)."""
        self._failed_start: asyncio.Future[None] | None = None
        self._cut: set[int] = set()
        self._neighbours = {
            (here.node, _index(link, here)): there.node
            for link in plan.links
            for here, there in link.ends()
        }
        self.delay_kind = ""
        self.built_s = 0.0
        """How long namespaces, links and addresses took."""

    # Building.

    async def build(self, tell: Callable[[str], None]) -> None:
        """Make everything and start every daemon; return when all have been started."""
        plan = self.plan
        begun = time.monotonic()
        self._failed_start = asyncio.get_running_loop().create_future()
        self.zones = read_zones(plan.spec)
        self.tree = name_tree(plan, self.zones)
        tell(f"namespaces: {len(plan.nodes)}")
        self._make_namespaces()
        tell(f"links: {len(plan.links)}")
        self._make_links()
        self._configure_nodes()
        self._set_resolver()
        self._set_trust()
        self._watch_routes()
        self.built_s = time.monotonic() - begun
        birds = [node.name for node in plan.nodes if node.runs_bird]
        if self._shuffle is not None:
            random.Random(self._shuffle).shuffle(birds)  # noqa: S311 - start order, not a secret
        tell(f"routers: starting {len(birds)}")
        for name in birds:
            await self.start_bird(name)
        others = [
            *plan.of_kind(NodeKind.PRIMARY),  # first: the sites ask it as soon as they start
            *plan.of_kind(NodeKind.SERVER, NodeKind.ORIGIN, NodeKind.CLIENT),
        ]
        tell(f"services: starting at {len(others)} hosts")
        for node in others:
            self.start_services(node)
            await asyncio.sleep(0)
        await self._services_answer()

    def start_services(self, node: Node) -> None:
        """Write the files of what runs on a node besides BIRD, and start it."""
        for files in prepare(self.place(node)):
            self._start(node.name, files.name, files.argv, files.configuration)

    def start_another(self, node: Node, files: DaemonFiles) -> Daemon:
        """Start a daemon beside the one of its name, which from now on is the caller's to end."""
        self._start(node.name, files.name, files.argv, files.configuration)
        return self._daemons[node.name, files.name]

    def place(self, node: Node) -> Place:
        """Say where the files of a node's daemons are, and what they are written from."""
        return Place(
            plan=self.plan,
            node=node,
            zones=self.zones,
            secrets=self.secrets,
            certificates=self.certificates,
            directory=self._files / node.name,
            tree=self.tree,
        )

    async def start_agents(self, tell: Callable[[str], None]) -> None:
        """Start the agent of every site; return when all announce.

        Not before resolvers reach the root of the DNS: one that is asked too early finds no key to
        trust, and remembers that for a minute.
        """
        sites = [node.site for node in self.plan.of_kind(NodeKind.EDGE)]
        tell(f"agents: starting {len(sites)}")
        self.expected.begin(self.zones)
        for site in sites:
            node = self.plan.origin_node(site)
            folder = self._files / node / NAME
            names = ("to_edge",) if node.startswith("server.") else ()
            bird = self._files / "bird" / f"{node}.ctl"
            server = self._files / f"server.{site}"
            agent = AgentSite(
                spec=self.plan.spec,
                site=site,
                folder=folder,
                bird=bird,
                neighbours=names,
                primary=tuple(a for p in self.plan.of_kind(NodeKind.PRIMARY) for a in unicast(p)),
                expected=self.expected.path,
                server=server if node == server.name else None,
            )
            files = agent.start(self.zones)
            self._start(node, files.name, files.argv, files.configuration)
            self._agents[site] = AgentOrigin(agent)
        tell("agents: waiting until they announce")
        waiting = asyncio.gather(
            *(
                agent.until_announced(drained=self.plan.spec.site(name).state is SiteState.DRAINED)
                for name, agent in self._agents.items()
            )
        )
        await self._unless_start_fails(waiting)

    async def agents_follow(self, zones: tuple[Zone, ...]) -> None:
        """Have the agents of all sites check these zones and no others."""

        def reload(site: str) -> Callable[[], None]:
            daemon = self._daemons[self.plan.origin_node(site), NAME]
            return lambda: daemon.send(signal.SIGHUP)

        agents = self._agents.items()
        await asyncio.gather(*(agent.follow(zones, reload(site)) for site, agent in agents))

    def _make_namespaces(self) -> None:
        for node in self.plan.nodes:
            routes = node.kind in {NodeKind.ROUTER, NodeKind.EDGE}
            self._namespaces[node.name] = NetworkNamespace.create(
                _ROUTER_SYSCTLS if routes else _HOST_SYSCTLS
            )

    def _make_links(self) -> None:
        self._wires = open_wires()
        self._wires.build(
            [
                LinkPlan(
                    name=str(link.index),
                    a=self._veth_end(link, 0),
                    b=self._veth_end(link, 1),
                    shape=LinkShape(delay_ms=link.delay_ms),
                )
                for link in self.plan.links
            ]
        )
        self.delay_kind = self._wires.kind

    def _veth_end(self, link: Link, side: int) -> VethEnd:
        end = (link.a, link.b)[side]
        return VethEnd(
            name=end.interface,
            namespace=self._namespaces[end.node],
            index=_index(link, end),
            mac=_mac(link, side),
        )

    def _configure_nodes(self) -> None:
        for node in self.plan.nodes:
            with Batch(self._namespaces[node.name]) as batch:
                batch.up(1)
                if node.runs_bird:
                    batch.address(1, IPv4Interface(node.loopback4))
                    batch.address(1, IPv6Interface(node.loopback6))
                if node.kind is NodeKind.SERVER:
                    for address in anycast_addresses(self.plan.spec):
                        batch.address(1, _host(address))
                for link, here, there in self.plan.links_of(node.name):
                    index = _index(link, here)
                    batch.address(index, here.address4)
                    batch.address(index, here.address6)
                    batch.up(index)
                    mac = _mac(link, 1 if here is link.a else 0)
                    batch.neighbour(index, there.address4.ip, mac)
                    batch.neighbour(index, there.address6.ip, mac)
                    if node.kind not in {NodeKind.ROUTER, NodeKind.EDGE}:
                        # A server's BIRD only announces; its packets leave by its router.
                        batch.route(IPv4Network("0.0.0.0/0"), gateway=there.address4.ip)
                        batch.route(IPv6Network("::/0"), gateway=there.address6.ip)

    def _set_resolver(self) -> None:
        """Point every program of the lab at the stub resolver of its own host."""
        for name, text in (
            ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n"),
            ("nsswitch.conf", "hosts: files dns\n"),
        ):
            if Path("/etc", name).exists():
                ours = self._files / name
                ours.write_text(text)
                mount(str(ours), f"/etc/{name}", None, MS_BIND)

    def _set_trust(self) -> None:
        """Let every program of the lab trust the lab's own authority."""
        self.trusted = self.certificates.write_trusted(self._files / "trusted.pem")
        if self.trusted is None:
            return
        os.environ.update(trust_environment(self.trusted))
        if SYSTEM_TRUST.exists():  # GnuTLS and others ask no environment
            mount(str(self.trusted), str(SYSTEM_TRUST), None, MS_BIND)

    # Daemons.

    async def start_bird(self, node: str) -> None:
        """Start the BIRD of a node, with the configuration that the plan gives it."""
        folder = self._files / "bird"
        folder.mkdir(exist_ok=True)
        configuration = folder / f"{node}.conf"
        log = folder / f"{node}.log"
        router = router_config(self.plan, self.plan.node(node), log=str(log))
        if self.has_agents and router.originates:
            router = replace(router, include=include_pattern(self._files, node))
        elif router.originates and node.startswith("server."):
            router = replace(router, held=True)  # until its services are ready: see `currency`
        configuration.write_text(render_bird(router))
        socket = folder / f"{node}.ctl"
        self._start(
            node, "bird", ("bird", "-f", "-c", str(configuration), "-s", str(socket)), configuration
        )
        self._controls[node] = BirdControl(socket)

    def _start(self, node: str, name: str, argv: Sequence[str], configuration: Path) -> None:
        self._daemons[node, name] = start_daemon(
            self._namespaces[node],
            node=node,
            name=name,
            program=Path(argv[0]) if name == NAME else self._program(argv[0]),
            argv=argv,
            configuration=configuration,
            output=configuration.with_suffix(".out"),
            on_end=self._ended,
        )

    def _program(self, name: str) -> Path:
        """Copy a daemon's program into the lab, and run that.

        Debian and Ubuntu confine daemons by path (AppArmor): /usr/sbin/unbound may read nothing
        outside /etc/unbound. That is right for the machine's own service and wrong for ours.
        """
        if Path(name).is_absolute():
            return Path(name)  # not a daemon of the system: Python, for the agent
        copy = self._files / "bin" / name
        if not copy.exists():
            found = shutil.which(name)
            if found is None:
                raise MachineError(f"{name} is not installed", hint="scripts/setup packages")
            copy.parent.mkdir(exist_ok=True)
            shutil.copy(found, copy)
        return copy

    def _ended(self, daemon: Daemon) -> None:
        if daemon.stopped_by_us:
            return
        error = describe_death(daemon)
        self._lost.append({"node": daemon.node, "daemon": daemon.name, "why": str(error)})
        print(f"lost: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the lab's own log
        failed = self._failed_start
        if failed is not None and not failed.done():
            failed.set_exception(error)

    def lost_daemons(self) -> list[dict[str, str]]:
        """List the daemons that ended although nobody asked them to."""
        return self._lost

    async def _services_answer(self) -> None:
        """Wait until every service of every server takes its first question."""
        checks = [
            self._answers(node, address, service.kind.value)
            for node in self.plan.of_kind(NodeKind.SERVER)
            for service in self.plan.spec.services
            if service.kind.value != "custom"
            for address in service.addresses[:1]
        ]
        await self._unless_start_fails(asyncio.gather(*checks))

    async def _unless_start_fails(self, work: "asyncio.Future[Any]") -> None:
        failed = self._failed_start
        if failed is None:
            await work
            return
        await asyncio.wait({work, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            work.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await work
            failed.result()
        await work

    async def _answers(self, node: Node, address: Address, kind: str) -> None:
        import socket

        port = 80 if kind == "http-cache" else 53
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + SERVICE_START_S
        while True:
            with entered(self._namespaces[node.name]):
                probe = socket.socket(family, socket.SOCK_STREAM)
            with probe:
                probe.setblocking(False)
                try:
                    await asyncio.wait_for(loop.sock_connect(probe, (str(address), port)), 1)
                    if kind == "http-cache":
                        await asyncio.wait_for(answers_healthy(probe), 1)
                except (OSError, TimeoutError) as error:
                    if time.monotonic() > deadline:
                        raise MachineError(
                            f"{kind} at {node.name} does not answer on {address} port {port} "
                            f"after {SERVICE_START_S:.0f} s: {error}"
                        ) from error
                else:
                    return
            await asyncio.sleep(0.02)

    # Watching.

    def _watch_routes(self) -> None:
        loop = asyncio.get_running_loop()
        prefixes = set(self.plan.spec.prefixes)
        for node in self.plan.nodes:
            if not node.runs_bird:
                continue
            events = RouteEvents(self._namespaces[node.name])
            self._events.append(events)

            def changed(events: RouteEvents = events, name: str = node.name) -> None:
                for event in events.read():
                    self.last_change = event.time
                    if event.destination in prefixes:
                        for recorder in self.recorders:
                            recorder(name, event)

            loop.add_reader(events.fileno(), changed)

    async def until_quiet(
        self, tell: Callable[[str], None], *, quiet_s: float, deadline_s: float
    ) -> None:
        """Wait until routing is quiet (see `ready`)."""
        nodes = [node for node in self.plan.nodes if self._runs(node.name, "bird")]
        start = time.monotonic()
        shown = ""

        def count(settled: int, total: int) -> None:
            nonlocal shown
            text = (
                f"routing: {settled} of {total} routers settled"
                if settled < total
                else f"routing: waiting until it is quiet ({time.monotonic() - start:.0f} s)"
            )
            if text != shown:
                tell(text)
                shown = text

        waiting = routers_to_await(self.plan, self.control, nodes, self._can_come_up)
        await self._unless_start_fails(
            asyncio.ensure_future(
                until_quiet(
                    waiting,
                    lambda: self.last_change,
                    quiet_s=quiet_s,
                    deadline_s=deadline_s,
                    tell=count,
                )
            )
        )

    async def until_still(self, quiet_s: float, *, deadline_s: float = 30.0) -> None:
        """Wait until no forwarding table has changed for a while, counted from now at the least."""
        begun = time.monotonic()
        while (left := quiet_s - (time.monotonic() - max(self.last_change, begun))) > 0:
            if time.monotonic() - begun > deadline_s:
                return
            await asyncio.sleep(left)

    def _can_come_up(self, node: Node, protocol: str) -> bool:
        """Say whether a BGP session has what it needs: an uncut link and a running neighbour."""
        for link, here, there in self.plan.links_of(node.name):
            lan = link.kind is LinkKind.LAN and protocol in {"to_edge", "to_server"}
            if lan or protocol.endswith(f"_{here.interface}"):
                return link.index not in self._cut and self._runs(there.node, "bird")
        return True

    def _runs(self, node: str, name: str) -> bool:
        daemon = self._daemons.get((node, name))
        return daemon is not None and daemon.is_running

    # What others need of it.

    def namespace(self, node: str) -> NetworkNamespace:
        """Return the namespace of a node."""
        return self._namespaces[node]

    def control(self, node: str) -> BirdControl:
        """Return the control connection of a node's BIRD."""
        return self._controls[node]

    async def agents_tell(self) -> dict[str, tuple[str, str]]:
        """Ask all agents; return the state of each site that its agent has taken out, and why."""
        stances = await asyncio.gather(*(agent.stance() for agent in self._agents.values()))
        states = {"withdrawn": "down", "drained": "drained"}
        return {
            site: (states[stance[0]], f"by its agent: {stance[1]}")
            for site, stance in zip(self._agents, stances, strict=True)
            if stance is not None and stance[0] in states
        }

    def origin(self, site: str) -> "BirdControl | AgentOrigin":
        """Return what announces and withdraws a site's prefixes."""
        return self._agents.get(site) or self._controls[self.plan.origin_node(site)]

    def bird(self, node: str) -> Daemon:
        """Return the BIRD of a node."""
        return self._daemons[node, "bird"]

    def daemon(self, node: str, name: str) -> Daemon:
        """Return a daemon of a node."""
        return self._daemons[node, name]

    def services_of(self, site: str) -> list[Daemon]:
        """List what answers at a site."""
        return [
            daemon
            for (node, name), daemon in self._daemons.items()
            if node == f"server.{site}" and name not in {"bird", NAME}
        ]

    def scratch(self, name: str) -> Path:
        """Name a temporary file of the lab."""
        folder = self._files / "scratch"
        folder.mkdir(exist_ok=True)
        return folder / name

    def router_of(self, host: str) -> str:
        """Name the router that a client, server or origin is behind."""
        return self.plan.links_of(host)[0][2].node

    def neighbour(self, node: str, index: int) -> str | None:
        """Name the node at the other end of an interface."""
        return self._neighbours.get((node, index))

    async def best_routes(self, prefix: str) -> dict[str, dict[str, Any] | None]:
        """Read what each router chose for a prefix (see `routes`)."""

        async def one(node: Node) -> tuple[str, BestRoute | None]:
            control = self._controls[node.name]
            try:
                lines = await control.command(f"show route primary all {prefix}")
            except MachineError as error:
                if "not found" not in str(error):  # BIRD's way to say: no route
                    raise
                lines = []
            return node.name, parse_best_route(lines)

        nodes = [node for node in self.plan.nodes if self._runs(node.name, "bird")]
        return describe_routes(self.plan, dict(await asyncio.gather(*(one(n) for n in nodes))))

    # Breaking links.

    def cut(self, links: Sequence[Link]) -> None:
        """Take the carrier of delayed links, at both ends."""
        self._cut.update(link.index for link in links)
        self.wires.cut(*(str(link.index) for link in links))

    def mend(self, links: Sequence[Link]) -> None:
        """Give it back."""
        self._cut.difference_update(link.index for link in links)
        self.wires.mend(*(str(link.index) for link in links))

    def silence(self, links: Sequence[Link]) -> None:
        """Drop everything on delayed links while both ends keep their carrier."""
        self._cut.update(link.index for link in links)
        self.wires.silence(*(str(link.index) for link in links))

    def restore(self, links: Sequence[Link]) -> None:
        """Carry packets again."""
        self._cut.difference_update(link.index for link in links)
        self.wires.restore(*(str(link.index) for link in links))

    @property
    def wires(self) -> Wires:
        """The links that have latency."""
        if self._wires is None:
            raise MachineError("the lab is not built yet")
        return self._wires


def describe_death(daemon: Daemon) -> MachineError:
    """Say what ended, how, in its own words, and which line of our file it means."""
    status = daemon.status or 0
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    words = daemon.last_words()
    try:
        line = explain(daemon.configuration.read_text(), words)
    except OSError:
        line = None
    parts = [f"{daemon.name} at {daemon.node} ended ({how})"]
    if words:
        parts.append(f"it said: {words}")
    if line:
        parts.append(f"{daemon.configuration.name}, {line}")
    return MachineError("; ".join(parts))


def _index(link: Link, end: End) -> int:
    """Give an interface a number that no other of the lab has.

    The two ends of a veth pair must differ: where they are equal the kernel reports a lost carrier
    up to a second late.
    """
    return FIRST_INDEX + 2 * link.index + (0 if end is link.a else 1)


def _mac(link: Link, side: int) -> bytes:
    return b"\x02\x00" + (2 * link.index + side).to_bytes(4, "big")


def _host(address: Address) -> IPv4Interface | IPv6Interface:
    return IPv4Interface(address) if address.version == 4 else IPv6Interface(address)
