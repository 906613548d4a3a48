"""What every site of a lab shall be: written for the agents, widened before a change, narrowed after.

An agent does not let its site announce while that differs (`ridgeline.agent.checks.expectation`), so
the order of a change matters::

    widen    the old and the new are right, before the first site gets the new
    (the change goes from site to site)
    settle   the new alone is right, once most sites have it

A change that fails on the way stays wide: sites with the old and sites with the new both announce.
What is right is rendered once more, apart from the files that run: nobody's edit of those counts.
"""

import json
import re
import shutil
import ssl
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias

from ridgeline.lab.material.zonefiles import Zone
from ridgeline.lab.plan import Node, NodeKind
from ridgeline.lab.services import prepare
from ridgeline.lab.services.authoritative import FOLDER
from ridgeline.lab.services.base import Place, unicast, write_whole
from ridgeline.lab.services.edge import edge_folder
from ridgeline.lab.services.fingerprints import fleet_of
from ridgeline.lab.services.recursive import resolver_folder
from ridgeline.render.fingerprint import (
    ABSENT,
    EXPECTED_SCHEMA,
    FILE_FACT,
    LENGTH,
    SERIAL_FACT,
    file_fingerprint,
)
from ridgeline.spec.model import Service, ServiceKind

FILE_NAME: Final = "expected.json"
_SHARED: Final = ("*.conf", "site.vcl", "ticket-*.key")
"""Files of a service that are the same at every site, less what may differ."""
_TELLING: Final = ("*.conf", "site.vcl", "whoami.zone")
"""Files of a service in which its fingerprints stand, since it tells them."""
_TOLD: Final = re.compile(rf"(?:(?<=\\n)|\b)(configuration|config|policy)=([0-9a-f]{{{LENGTH}}})\b")
_PEM_END: Final = "-----END CERTIFICATE-----"
_TOLD_AS: Final = {"config": "configuration", "policy": "cache policy"}

Facts: TypeAlias = dict[str, dict[str, tuple[str, ...]]]
"""Service -> fact -> the values that are right."""


class Expectations:
    """The expectation of one lab, in one file that the agents of all sites read.

    Parameters
    ----------
    folder
        For the file; the sites' own folders are beside it.
    place
        Says what a node's files are written from now.
    """

    def __init__(
        self, folder: Path, nodes: tuple[Node, ...], place: Callable[[Node], Place]
    ) -> None:
        self.path = folder / FILE_NAME
        self._scratch = folder / "x"  # no longer than any site's own: paths of sockets are short
        self._servers = [node for node in nodes if node.kind is NodeKind.SERVER]
        self._place = place
        self._facts: Facts | None = None

    def begin(self, zones: tuple[Zone, ...]) -> None:
        """Write the file for the first time; before that nothing is done at all."""
        self._facts = {}
        self.settle(zones)

    def widen(self, zones: tuple[Zone, ...]) -> None:
        """Let what these zones, and the secrets and certificates of now, make be right too."""
        if self._facts is not None:
            self._write(merge(self._facts, self._render(zones)))

    def settle(self, zones: tuple[Zone, ...]) -> None:
        """Let nothing else be right any more."""
        if self._facts is not None:
            self._write(self._render(zones))

    def _write(self, facts: Facts) -> None:
        self._facts = facts
        addresses = [str(a) for node in self._servers for a in unicast(node)]
        document = {"schema": EXPECTED_SCHEMA, "addresses": addresses, "services": facts}
        write_whole(self.path, json.dumps(document, indent=1))

    def _render(self, zones: tuple[Zone, ...]) -> Facts:
        if not self._servers:
            return {}
        try:
            return expected_of(self._place(self._servers[0]).elsewhere(self._scratch, zones))
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)


def merge(one: Facts, other: Facts) -> Facts:
    """Let the values of both be right.

    A file that one of them lacks may be there or not; anything else, such as a zone that comes or
    goes, is not judged meanwhile.
    """
    merged: Facts = {}
    for service in dict.fromkeys([*one, *other]):
        here, there = one.get(service, {}), other.get(service, {})
        merged[service] = {
            name: tuple(dict.fromkeys((*here.get(name, (ABSENT,)), *there.get(name, (ABSENT,)))))
            for name in dict.fromkeys([*here, *there])
            if (name in here and name in there) or name.startswith(FILE_FACT)
        }
    return merged


def expected_of(place: Place) -> Facts:
    """Write the files of a site's services into `place`, and say what each service shall be."""
    for _ in prepare(place):
        pass
    facts: Facts = {}
    for service in place.spec.services:
        folder = service_folder(place, service)
        if folder is None:
            continue
        found = facts[service.name] = {}
        for text in (path.read_text() for path in _matching(folder, _TELLING)):
            for name, value in _TOLD.findall(text):
                found[_TOLD_AS.get(name, name)] = (value,)
        if service.zones:
            own = [zone for zone in place.zones if not zone.primary]  # others: check `zones`
            found.update({SERIAL_FACT + z.domain: (str(z.serial),) for z in own})
        if service.tls is not None:
            found["certificate"] = (_certificate(place, service),)
        for path in _matching(folder, _SHARED):
            name = str(path.relative_to(place.directory))
            found[FILE_FACT + name] = (_fingerprint(place, path),)
    return facts


def files_at(place: Place) -> dict[str, str]:
    """Return one fingerprint of all shared files that a service has at a site now."""
    found: dict[str, str] = {}
    for service in place.spec.services:
        folder = service_folder(place, service)
        if folder is not None:
            paths = _matching(folder, _SHARED)
            prints = [f"{path.name} {_fingerprint(place, path)}" for path in paths]
            found[service.name] = sha256("\n".join(prints).encode()).hexdigest()[:LENGTH]
    return found


def service_folder(place: Place, service: Service) -> Path | None:
    """Return the folder of a service at a site; None: it has none."""
    match service.kind:
        case ServiceKind.AUTHORITATIVE_DNS:
            return place.folder(FOLDER)
        case ServiceKind.RECURSIVE_DNS:
            return resolver_folder(place, service)
        case ServiceKind.HTTP_CACHE:
            return edge_folder(place, service)
        case _:
            return None


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})


def _fingerprint(place: Place, path: Path) -> str:
    return file_fingerprint(path.read_bytes(), fleet_of(place))


def _certificate(place: Place, service: Service) -> str:
    first, end, _ = place.certificates.pair(service).certificate.decode().partition(_PEM_END)
    der = ssl.PEM_cert_to_DER_cert(first[first.index("-----BEGIN") :] + end)
    return sha256(der).hexdigest()[:LENGTH]
