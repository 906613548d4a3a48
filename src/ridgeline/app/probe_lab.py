"""A running lab as a place to probe from: sockets opened on its nodes."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from ridgeline.catchment.model import Row
from ridgeline.errors import InputError, MachineError
from ridgeline.lab.control import LabClient
from ridgeline.lab.kernel.namespaces import CLONE_NEWUSER, entered, setns
from ridgeline.net.place import Place
from ridgeline.probe.sockets import MakeSocket

RESOLVER = "127.0.0.1"
"""Every client of a lab has one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPoint:
    """A client of the lab."""

    name: str
    row: Row
    """Where it is; neither service nor site yet."""
    make: MakeSocket

    @property
    def place(self) -> Place | None:
        row = self.row
        if row.lat is None or row.lon is None:
            return None
        return Place(code=row.city, city=row.city, country=row.country, lat=row.lat, lon=row.lon)


class LabPoints:
    """The nodes of one running lab.

    Raises
    ------
    MachineError
        No such lab is up, or its namespaces cannot be entered.
    """

    def __init__(self, name: str) -> None:
        self._client = LabClient(name)
        self.status: Mapping[str, Any] = self._client.ask("status", None, quick=True)
        self._namespaces: dict[str, int] = {}

    def ask(self, verb: str, **arguments: object) -> Any:
        """Ask the lab itself."""
        return self._client.ask(verb, None, **arguments)

    def clients(self, names: Sequence[str] = ()) -> list[LabPoint]:
        """Return the clients of these names, or all."""
        known: Mapping[str, Any] = self.status["clients"]
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                maybe = f"; did you mean {near[0]}?" if near else ""
                raise InputError(
                    f"no client {name!r} in this lab{maybe}; the clients are {', '.join(known)}"
                )
        return [self._point(name, known[name]) for name in names or known]

    def sites(self) -> list[str]:
        """Return the sites that are not merely planned."""
        sites: Mapping[str, Any] = self.status["sites"]
        return [name for name, site in sites.items() if site["state"] != "planned"]

    def site_socket(self, site: str) -> MakeSocket:
        """Return how to open sockets where the anycast addresses of a site are."""
        try:
            return self._maker(f"server.{site}")
        except InputError:
            return self._maker(f"edge.{site}")

    def _point(self, name: str, client: Mapping[str, Any]) -> LabPoint:
        row = Row(
            name=client["vantage"],
            asn=client["asn"],
            city=client["code"],
            country=client["country"],
            lat=client["lat"],
            lon=client["lon"],
            weight=client["users"],
        )
        return LabPoint(name=name, row=row, make=self._maker(f"client.{name}"))

    def _maker(self, node: str) -> MakeSocket:
        if node not in self._namespaces:
            self._namespaces[node] = self._enter(node)
        return partial(_open_inside, self._namespaces[node])

    def _enter(self, node: str) -> int:
        answer, descriptors = self._client.enter(node)
        inside: dict[str, int] = dict(zip(answer["kinds"], descriptors, strict=True))
        try:
            # The lab of an ordinary user has a user namespace around it: join that once.
            ours = Path("/proc/self/ns/user").stat().st_ino
            if os.fstat(inside["user"]).st_ino != ours:
                setns(inside["user"], CLONE_NEWUSER)
        except MachineError:
            os.close(inside["net"])
            raise
        finally:
            for kind, descriptor in inside.items():
                if kind != "net":
                    os.close(descriptor)
        return inside["net"]

    def close(self) -> None:
        for descriptor in self._namespaces.values():
            os.close(descriptor)
        self._namespaces.clear()


def _open_inside(namespace: int, family: int, kind: int, protocol: int) -> socket.socket:
    with entered(namespace):
        return socket.socket(family, kind, protocol)
