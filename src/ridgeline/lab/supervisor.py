"""The lab's own process: builds it, watches it, and does what the commands ask.

One asyncio loop owns all state. Commands that change the network take turns; those that only look
do not wait. The process ends with the lab: there is nothing to resume.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ridgeline.errors import InputError
from ridgeline.lab.change.currency import Currency
from ridgeline.lab.change.draining import drain
from ridgeline.lab.change.faults import How, SiteFaults
from ridgeline.lab.change.publish import publish
from ridgeline.lab.change.purge import Purges
from ridgeline.lab.change.rotation import rotate
from ridgeline.lab.described import describe_services, own_addresses
from ridgeline.lab.egress import egress_of
from ridgeline.lab.expected import files_at
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.flows.download import Wanted, download
from ridgeline.lab.flows.verbs import SessionVerbs
from ridgeline.lab.launch import Reporter
from ridgeline.lab.lookup import Lookup
from ridgeline.lab.material.certificates import trust_environment
from ridgeline.lab.nameroot import NameRoot
from ridgeline.lab.plan import LabPlan, Node, NodeKind
from ridgeline.lab.server import ControlServer, Passed, Tell, Verb
from ridgeline.lab.tools import dig, get, trace
from ridgeline.lab.watch.measure import Event, client_catchments, measure
from ridgeline.spec.model import ServiceKind

QUIET_S: Final = 1.0
HANG_SHOWN_S: Final = 4.0
READY_WITHIN_S: Final = 60.0


class Supervisor:
    """One running lab."""

    def __init__(
        self, directory: Path, plan: LabPlan, *, shuffle: int | None = None, agents: bool = False
    ) -> None:
        self._directory = directory
        self._plan = plan
        self._fabric = Fabric(plan, directory / "files", shuffle=shuffle, agents=agents)
        self._currency = Currency(self._fabric)
        self._purges = Purges(self._fabric)
        self._faults = SiteFaults(self._fabric, self._currency, self._purges)
        self._lookup = Lookup(plan)
        self._names = NameRoot(self._fabric)
        self._turn = asyncio.Lock()
        self._sessions = SessionVerbs(self._fabric, self._faults, self._lookup, self._turn)
        self._done = asyncio.Event()
        self._started = time.monotonic()
        self._ready_after = 0.0
        self._converged_after = 0.0
        self._verbs: dict[str, Verb] = {
            "status": self._status,
            "trace": self._trace,
            "dig": self._dig,
            "get": self._get,
            "routes": self._routes,
            "fail": self._fail,
            "heal": self._heal,
            "drain": self._drain,
            "publish": self._publish,
            "purge": self._purge,
            "download": self._download,
            "rotate": self._rotate,
            "fingerprints": self._fingerprints,
            "sessions": self._sessions.sessions,
            "rescue": self._sessions.rescue,
        }

    async def run(self, reporter: Reporter) -> None:
        """Build the lab, say that it is ready, and serve until told to end."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._done.set)
        loop.add_reader(reporter.lifeline, self._abandoned)
        building = asyncio.create_task(self._build(reporter))
        ending = asyncio.create_task(self._done.wait())
        await asyncio.wait({building, ending}, return_when=asyncio.FIRST_COMPLETED)
        loop.remove_reader(reporter.lifeline)
        if not building.done():
            building.cancel()
            return
        building.result()
        server = ControlServer(self._directory, self._verbs, enter=self._enter, down=self._done.set)
        serving = asyncio.create_task(server.serve())
        reporter.ready(self._summary())
        await ending
        serving.cancel()

    def _abandoned(self) -> None:
        self._done.set()  # the command that waited for us has gone

    async def _build(self, reporter: Reporter) -> None:
        await self._fabric.build(reporter.progress)
        await asyncio.gather(  # the root of the DNS costs no time of its own
            self._names.start(),
            self._currency.release_all(),
            self._fabric.until_quiet(reporter.progress, quiet_s=QUIET_S, deadline_s=READY_WITHIN_S),
        )
        if self._fabric.has_agents:
            await self._fabric.start_agents(reporter.progress)
        if self._fabric.has_agents or time.monotonic() - self._currency.released_at < QUIET_S:
            await self._fabric.until_quiet(
                reporter.progress, quiet_s=QUIET_S, deadline_s=READY_WITHIN_S
            )
        if self._plan.spec.rescue:
            reporter.progress("rescue: loading")
            await self._sessions.begin_rescue()
        self._ready_after = time.monotonic() - self._started
        self._converged_after = self._fabric.last_change - self._started

    def _summary(self) -> dict[str, Any]:
        plan = self._plan
        return {
            "routers": sum(1 for node in plan.nodes if node.runs_bird),
            "ases": plan.n_ases,
            "links": len(plan.links),
            "n_clients": len(plan.clients),
            "n_sites": sum(1 for _ in plan.of_kind(NodeKind.EDGE)),
            "delay": self._fabric.delay_kind,
            "built_s": round(self._fabric.built_s, 2),
            "converged_s": round(self._converged_after, 2),
            "ready_s": round(self._ready_after, 2),
        }

    def _enter(self, request: dict[str, Any]) -> Passed:
        """Pass the descriptors with which a command steps into a node's namespaces."""
        node = self._lookup.node(str(request["node"]))
        opened = {
            kind: os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("user", "pid", "mnt")
        }
        opened["net"] = os.dup(self._fabric.namespace(node.name).fd)
        kinds = ["user", "pid", "net", "mnt"]  # in the order in which they must be entered
        return Passed(
            result={
                "kinds": kinds,
                "node": node.name,
                "environment": trust_environment(self._fabric.trusted)
                if self._fabric.trusted
                else {},
            },
            descriptors=[opened[kind] for kind in kinds],
        )

    # Looking.

    async def _status(self, request: dict[str, Any], _: Tell) -> dict[str, Any]:
        catchments: dict[str, dict[str, Any]] = {}
        if not request.get("quick"):  # asking every service from every client takes a second
            catchments = await client_catchments(self._fabric, ipv6=bool(request.get("ipv6")))
        told = await self._fabric.agents_tell()
        sites = {}
        for site in self._plan.spec.sites:
            state, how = self._state(site.name), self._how(site.name)
            if state == "announced" and (of_agent := told.get(site.name)):
                state, how = of_agent
            sites[site.name] = {
                "state": state,
                "city": site.place.city,
                "how": how,
                "upstreams": [
                    {
                        "asn": upstream.asn,
                        "name": self._neighbour(site.name, upstream.asn),
                        "prepend": upstream.prepend,
                        "bfd": upstream.bfd,
                    }
                    for upstream in site.upstreams
                ],
                "place": {"lat": site.place.lat, "lon": site.place.lon},
                "egress": egress_of(self._plan, site.name),
                "addresses": own_addresses(self._plan, site.name),
            }
        return {
            "schema": "ridgeline.lab/1",
            "name": self._directory.name,
            "ready": True,
            "network": self._plan.spec.network,
            "asn": self._plan.spec.asn,
            "prefixes": [str(prefix) for prefix in self._plan.spec.prefixes],
            "internet": self._plan.internet,
            "sites": sites,
            "services": describe_services(self._plan, self._fabric.zones),
            "clients": {
                node.name.removeprefix("client."): {
                    "city": node.place.city,
                    "code": node.place.code,
                    "country": node.place.country,
                    "vantage": self._fabric.router_of(node.name),
                    "lat": node.place.lat,
                    "lon": node.place.lon,
                    "network": node.network,
                    "asn": node.asn,
                    "users": node.users,
                    "services": catchments.get(node.name, {}),
                }
                for node in self._plan.clients
            },
            "daemons_lost": self._fabric.lost_daemons(),
            "rescue": self._sessions.rescuers.describe(),
            **self._summary(),
            "up_s": round(time.monotonic() - self._started, 1),
            "routing_quiet_s": round(time.monotonic() - self._fabric.last_change, 1),
            **(
                {"nodes": [[n.name, n.kind.value, n.place.city] for n in self._plan.nodes]}
                if request.get("nodes")
                else {}
            ),
        }

    def _how(self, site: str) -> str | None:
        """Say how a site is down, or how far it is drained."""
        if site in self._faults.broken:
            return self._faults.broken[site].value
        if site in self._faults.withdrawn:
            return "withdrawn"
        return "last resort" if site in self._faults.drained else None

    def _neighbour(self, site: str, asn: int) -> str:
        for _, _, there in self._plan.links_of(f"edge.{site}"):
            node = self._plan.node(there.node)
            if node.asn == asn:
                return node.network
        return ""

    def _state(self, site: str) -> str:
        if site not in self._lookup.sites:
            return "planned"
        if site in self._faults.broken:
            return "down"
        return "drained" if site in self._faults.drained else "announced"

    async def _trace(self, request: dict[str, Any], _: Tell) -> list[dict[str, Any]]:
        target = self._lookup.target(request)
        clients = self._lookup.vantage(request.get("from"))

        async def one(node: Node) -> dict[str, Any]:
            namespace = self._fabric.namespace(node.name)
            result = await asyncio.to_thread(trace, namespace, target)
            site = None
            if result["reached"]:
                last = [hop for hop in result["hops"][:-1] if hop["city"]]
                site = last[-1]["city"] if last else None
            return {"from": node.name.removeprefix("client."), **result, "site": site}

        return list(await asyncio.gather(*(one(node) for node in clients)))

    async def _dig(self, request: dict[str, Any], _: Tell) -> list[dict[str, Any]]:
        transport = str(request.get("transport") or "udp")
        server = self._lookup.dns_server(request, transport)

        async def one(node: Node) -> dict[str, Any]:
            answer = await asyncio.to_thread(
                dig,
                self._fabric.namespace(node.name),
                server,
                str(request["name"]),
                str(request.get("type") or "A"),
                transport=transport,
                tls_name=str(request.get("tls_name") or ""),
            )
            return {"from": node.name.removeprefix("client."), **answer}

        return list(
            await asyncio.gather(*(one(node) for node in self._lookup.vantage(request.get("from"))))
        )

    async def _get(self, request: dict[str, Any], _: Tell) -> list[dict[str, Any]]:
        url = request.get("url")
        if not url:
            address = self._lookup.target(request, ServiceKind.HTTP_CACHE)
            host = f"[{address}]" if ":" in address else address
            url = f"http://{host}/.well-known/anycast-trace"

        async def one(node: Node) -> dict[str, Any]:
            answer = await asyncio.to_thread(
                get,
                self._fabric.namespace(node.name),
                str(url),
                self._fabric.scratch(f"body-{node.name}"),
            )
            return {"from": node.name.removeprefix("client."), **answer}

        return list(
            await asyncio.gather(*(one(node) for node in self._lookup.vantage(request.get("from"))))
        )

    async def _routes(self, request: dict[str, Any], _: Tell) -> dict[str, Any]:
        """Read every router's best route for a prefix: where it goes and by which AS path."""
        return await self._fabric.best_routes(str(request["prefix"]))

    # Changing.

    async def _fail(self, request: dict[str, Any], tell: Tell) -> dict[str, Any]:
        site, how = self._lookup.site(str(request["site"])), How(request.get("how") or "withdraw")
        async with self._turn:
            if site in self._faults.broken:
                raise InputError(
                    f"site {site} is down already (--how {self._faults.broken[site].value}); "
                    f"mend it first: ridgeline lab heal {site} --name {self._directory.name}"
                )
            event = Event(
                name="fail",
                site=site,
                how=how.value,
                notice_s=min(self._faults.notice_within_s(site, how), HANG_SHOWN_S)
                if how is How.HANG
                else self._faults.notice_within_s(site, how),
                notes=tuple(self._faults.notes(site, how)),
            )
            return await self._measure(event, lambda: self._faults.fail(site, how), request, tell)

    async def _measure(
        self,
        event: Event,
        act: Callable[[], Awaitable[None]],
        request: dict[str, Any],
        tell: Tell,
    ) -> dict[str, Any]:
        document = await measure(
            self._fabric,
            event,
            act,
            quiet_s=QUIET_S,
            services=request.get("services") or (),
            with_samples=bool(request.get("samples")),
            tell=tell,
        )
        await self._sessions.rescuers.learn()
        return document

    async def _heal(self, request: dict[str, Any], tell: Tell) -> dict[str, Any]:
        site = self._lookup.site(str(request["site"]))
        async with self._turn:
            if self._state(site) == "announced":
                raise InputError(f"site {site} is well: it announces and nothing is broken")
            how = self._faults.broken.get(site)

            async def mend() -> None:
                await self._faults.heal(site)
                await self._fabric.until_quiet(
                    lambda _: None, quiet_s=QUIET_S, deadline_s=READY_WITHIN_S
                )

            event = Event(name="heal", site=site, how=how.value if how else "drain", notice_s=0.0)
            return await self._measure(event, mend, request, tell)

    async def _drain(self, request: dict[str, Any], tell: Tell) -> dict[str, Any]:
        site = self._lookup.site(str(request["site"]))
        async with self._turn:
            if self._state(site) != "announced":
                raise InputError(f"site {site} does not announce (it is {self._state(site)})")

            stages: list[dict[str, Any]] = []

            async def act() -> None:
                grace_s = float(request.get("grace") or 0.0)
                stages.extend(
                    await drain(self._fabric, self._faults, site, grace_s=grace_s, tell=tell)
                )

            event = Event(name="drain", site=site, how="drain", notice_s=0.0)
            document = await self._measure(event, act, request, tell)
            return {**document, "stages": stages}

    async def _publish(self, _: dict[str, Any], tell: Tell) -> dict[str, Any]:
        async with self._turn:
            tell("reading the zone files")
            published = await publish(self._fabric, skip=self._faults.broken)
            await self._names.refresh()
            return published

    async def _purge(self, request: dict[str, Any], _: Tell) -> dict[str, Any]:
        """Let every cache that can be reached forget pages."""
        async with self._turn:
            away = {s for s, how in self._faults.broken.items() if how is not How.WITHDRAW}
            return await self._purges.purge(request, away=away)

    async def _rotate(self, request: dict[str, Any], tell: Tell) -> dict[str, Any]:
        async with self._turn:
            return await rotate(self._fabric, str(request["what"]), tell)

    async def _fingerprints(self, _: dict[str, Any], __: Tell) -> dict[str, dict[str, str]]:
        """Say what the files of each service at each site are, as they are on the disk now."""
        servers = self._plan.of_kind(NodeKind.SERVER)
        return {node.site: files_at(self._fabric.place(node)) for node in servers}

    async def _download(self, request: dict[str, Any], _: Tell) -> dict[str, Any]:
        """Hold a TCP download open at a client and say how it ended."""
        node = self._lookup.vantage([str(request["from"])])[0]
        url = urlsplit(str(request["url"]))
        wanted = Wanted(
            address=self._lookup.target(request, ServiceKind.HTTP_CACHE),
            host=url.hostname or "origin",
            path=url.path or "/",
            seconds=float(request.get("seconds") or 20),
        )
        result = await asyncio.to_thread(download, self._fabric.namespace(node.name), wanted)
        return {"from": node.name.removeprefix("client."), **result}


def supervise(
    plan: LabPlan, *, shuffle: int | None = None, agents: bool = False
) -> Callable[[Path, Reporter], None]:
    """Make the function that a lab's process runs."""

    def run(directory: Path, reporter: Reporter) -> None:
        supervisor = Supervisor(directory, plan, shuffle=shuffle, agents=agents)
        asyncio.run(supervisor.run(reporter))

    return run
