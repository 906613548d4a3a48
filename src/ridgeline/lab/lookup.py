"""What commands may name: nodes, sites, clients, addresses; an unknown name lists the known ones."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from ridgeline.errors import InputError
from ridgeline.lab.plan import LabPlan, Node, NodeKind
from ridgeline.net.address import is_address
from ridgeline.spec.model import ServiceKind


class Lookup:
    """Resolves the names of one lab."""

    def __init__(self, plan: LabPlan) -> None:
        self._plan = plan
        self.sites = [node.site for node in plan.of_kind(NodeKind.EDGE)]
        self.clients = [node.name.removeprefix("client.") for node in plan.clients]

    def node(self, name: str) -> Node:
        """Find a node by its name, or a client, server or router by its city or site."""
        names = [node.name for node in self._plan.nodes]
        for candidate in (name, f"client.{name}", f"server.{name}", f"edge.{name}"):
            if candidate in names:
                return self._plan.node(candidate)
        raise InputError(
            f"no node {name!r} in this lab{_maybe(name, names)}; "
            f"sites: {', '.join(self.sites)}; clients: {', '.join(self.clients)}; "
            "`ridgeline lab status --nodes` lists all"
        )

    def site(self, name: str) -> str:
        """Check the name of a site."""
        if name not in self.sites:
            raise InputError(
                f"no site {name!r} in this lab{_maybe(name, self.sites)}; "
                f"the sites are {', '.join(self.sites)}"
            )
        return name

    def vantage(self, names: Iterable[str] | None) -> list[Node]:
        """Find the clients of these names; all of them where none is named."""
        chosen = list(dict.fromkeys(names or self.clients))
        for name in chosen:
            if name not in self.clients:
                raise InputError(
                    f"no client {name!r} in this lab{_maybe(name, self.clients)}; "
                    f"the clients are {', '.join(self.clients)}"
                )
        return [self._plan.node(f"client.{name}") for name in chosen]

    def target(self, request: Mapping[str, Any], *kinds: ServiceKind) -> str:
        """Find the address to talk to: given, or a service's, or the first of these kinds."""
        wanted = str(request.get("target") or "")
        services = [s for s in self._plan.spec.services if not kinds or s.kind in kinds]
        version = 6 if request.get("ipv6") else 4
        if wanted:
            if is_address(wanted):
                return wanted
            names = [service.name for service in self._plan.spec.services]
            if wanted not in names:
                raise InputError(
                    f"{wanted!r} is neither an address nor a service{_maybe(wanted, names)}; "
                    f"the services are {', '.join(names)}"
                )
            services = [s for s in self._plan.spec.services if s.name == wanted]
        for service in services:
            for address in service.addresses:
                if address.version == version:
                    return str(address)
        what = f"service {wanted!r}" if wanted else "service of that kind"
        other = "" if not services else "; it has IPv4 ones" if version == 6 else "; add --ipv6"
        raise InputError(f"the spec has no {what} with an IPv{version} address{other}")

    def dns_server(self, request: Mapping[str, Any], transport: str) -> str:
        """Find the name server to ask: given, or the first service that speaks the transport."""
        services = self._plan.spec.services
        if transport not in {"tls", "https"}:
            return self.target(request, ServiceKind.AUTHORITATIVE_DNS, ServiceKind.RECURSIVE_DNS)
        address = self.target(request, ServiceKind.RECURSIVE_DNS)
        for service in services:
            if address in map(str, service.addresses) and (
                service.tls is None or service.kind is not ServiceKind.RECURSIVE_DNS
            ):
                raise InputError(
                    f"service {service.name} does not speak DNS over {transport.upper()}: "
                    "a recursive-dns service does that has `tls:` in the spec"
                )
        return address


def _maybe(name: str, known: list[str]) -> str:
    near = get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
