"""What the services of a node have in common: their files, addresses and names."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ridgeline.lab.material.certificates import CertificateFiles, Certificates
from ridgeline.lab.material.zonefiles import Zone
from ridgeline.lab.plan import LabPlan, Node
from ridgeline.render.identity import SiteIdentity
from ridgeline.spec.model import Service, ServiceKind, Spec
from ridgeline.spec.secrets import Secrets

if TYPE_CHECKING:
    from ridgeline.lab.material.nametree import NameTree

Address: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFiles:
    """A daemon that is ready to start."""

    name: str
    argv: tuple[str, ...]
    configuration: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a daemon's files are written, and what they are written from."""

    plan: LabPlan
    node: Node
    zones: tuple[Zone, ...]
    secrets: Secrets
    certificates: Certificates
    directory: Path
    """The node's own."""
    tree: "NameTree | None" = None
    """The root of the DNS; None where no service resolves."""

    @property
    def spec(self) -> Spec:
        """What the network's author wrote."""
        return self.plan.spec

    def elsewhere(self, directory: Path, zones: tuple[Zone, ...]) -> "Place":
        """Return a place for the same node's files that nothing runs from, with other zones."""
        return replace(self, directory=directory, zones=zones)

    def folder(self, name: str) -> Path:
        """Make a folder of the node."""
        folder = self.directory / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def certificate(self, service: Service) -> CertificateFiles:
        """Write this node's copy of a service's certificate and key, and say where it is.

        The files that the spec names, or what the lab's own authority signed: the same at every
        site. Clients of the lab trust that authority; see `ridgeline.lab.material.certificates`.

        Raises
        ------
        ValueError
            The service has no TLS.
        """
        return self.certificates.pair(service).write(self.folder("tls"), service.name)

    def identity(self) -> SiteIdentity:
        """Return what the site of this node calls itself."""
        network = self.spec.network
        return SiteIdentity(site=self.node.site, network=network, domain=f"{network}.example")


def write_whole(path: Path, text: str) -> None:
    """Write a file at once: who reads it sees the old one or the new."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def anycast_addresses(spec: Spec) -> tuple[Address, ...]:
    """List every address that a server of the spec must hold."""
    return addresses_of(spec.services)


def unicast(node: Node) -> tuple[Address, ...]:
    """List the addresses of a host that are its own."""
    return tuple(a for a in (node.address4, node.address6) if a is not None)


def of_kind(spec: Spec, kind: ServiceKind) -> list[Service]:
    """List the services of one kind, in file order."""
    return [service for service in spec.services if service.kind is kind]


def addresses_of(services: Iterable[Service]) -> tuple[Address, ...]:
    """List the addresses of services, each once."""
    return tuple(dict.fromkeys(a for service in services for a in service.addresses))
