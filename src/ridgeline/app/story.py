"""One run of the demo: the lab that it has, and the report that grows as it goes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ridgeline.lab.control import LabClient
from ridgeline.spec.model import ServiceKind, Spec
from ridgeline.topology.internet import Internet

Tell = Callable[[str], None]


@dataclass(slots=True)
class Demo:
    """One run of the story; `report` grows as it goes."""

    spec: Spec
    internet: Internet
    tell: Tell
    lab: LabClient
    report: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)

    def claim(self, text: str, seen: bool, detail: str = "") -> None:
        """Note that something promised was, or was not, seen."""
        self.report["claims"].append({"claim": text, "seen": bool(seen), "detail": detail})

    def ask(self, verb: str, **arguments: object) -> Any:
        """Ask the lab."""
        return self.lab.ask(verb, self.tell, **arguments)

    @property
    def clients(self) -> dict[str, Any]:
        """The clients as the lab last described them."""
        clients: dict[str, Any] = self.status["clients"]
        return clients

    def service(self, *kinds: ServiceKind) -> str | None:
        """Name the first service of these kinds."""
        return next((s.name for s in self.spec.services if s.kind in kinds), None)

    @property
    def mapped_service(self) -> str:
        """The service whose catchment the story follows: the first that there is."""
        return next(s.name for s in self.spec.services if s.kind is not ServiceKind.CUSTOM)

    def site_of(self, city: str) -> str | None:
        """Say which site answers a city."""
        site: str | None = self.clients[city]["services"][self.mapped_service]["site"]
        return site

    def spread(self, n: int) -> list[str]:
        """Choose cities that show the most: the heaviest of each site's, then the next ones."""
        heaviest = sorted(self.clients, key=lambda city: -self.clients[city]["users"])
        first: dict[str | None, str] = {}
        for city in heaviest:
            first.setdefault(self.site_of(city), city)
        chosen = list(first.values())
        chosen += [city for city in heaviest if city not in chosen]
        return chosen[:n]
