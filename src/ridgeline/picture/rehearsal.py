"""What a report says, worked out once: who answers whom, before and after the failure.

Everything here is lenient (`record`): a report cut short by an error is still worth reading.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

from ridgeline.picture.chips import Chips
from ridgeline.picture.markup import count
from ridgeline.picture.record import Record, child, number, records, text
from ridgeline.picture.worldmap import ClientMark, SiteLook, SiteMark

_FARTHER_KM: Final = 50.0  # less than this is no detour worth a remark

# How a site left, by the name of the fault, as one says it of the site.
_HOW: Final = {
    "withdraw": "withdrew its announcement",
    "link": "lost the link to its upstreams",
    "crash": "lost its router: the routing daemon died",
    "silent": "fell silent, its links still up",
    "hang": "hung: its services stopped answering, its route stayed",
    "drain": "was drained, with a warning to its neighbours (RFC 8326)",
}


@dataclass(frozen=True, slots=True)
class Loss:
    """Queries over one event, all clients together."""

    asked: int
    lost: int
    longest_ms: float | None
    moved: tuple[str, ...]
    """Cities whose site changed to another one."""
    silent: tuple[str, ...]
    """Cities that had an answer before and none at the end."""


class Rehearsal:
    """A report, asked the questions that the page puts to it."""

    def __init__(self, report: Record) -> None:
        self.report = report
        self.sites = records(report, "sites")
        self.clients = records(report, "clients")
        self.chips = Chips(text(site, "name") for site in self.sites)
        self.names = {text(c, "city"): text(c, "name") or text(c, "city") for c in self.clients}
        services: dict[str, None] = {}
        for client in self.clients:
            services.update(dict.fromkeys(child(client, "services")))
        self.services = list(services)

    @property
    def service(self) -> str:
        """The service that the maps show, the first."""
        return self.services[0] if self.services else ""

    def site_of(self, client: Record, service: str) -> str | None:
        """Return the site that answers a client; None for no answer."""
        return text(child(child(client, "services"), service), "site") or None

    def rtt_of(self, client: Record, service: str) -> float | None:
        return number(child(child(client, "services"), service), "rtt_ms")

    def detour_km(self, client: Record) -> float | None:
        """How much nearer the nearest site is than the one that answers; None for no detour."""
        near, far = number(client, "nearest_km"), number(client, "site_km")
        if near is None or far is None or far - near < _FARTHER_KM:
            return None
        if text(client, "nearest") == self.site_of(client, self.service):
            return None
        return far - near

    def loss(self, event: Record) -> Loss:
        rows = records(event, "clients")
        outages = [o for r in rows if (o := number(r, "outage_ms")) is not None]
        changed = [r for r in rows if text(r, "before") != text(r, "after")]
        return Loss(
            asked=int(sum(number(r, "queries") or 0 for r in rows)),
            lost=int(sum(number(r, "queries_lost") or 0 for r in rows)),
            longest_ms=max(outages, default=None),
            moved=tuple(dict.fromkeys(text(r, "city") for r in changed if text(r, "after"))),
            silent=tuple(dict.fromkeys(text(r, "city") for r in changed if not text(r, "after"))),
        )

    def median_rtt_ms(self) -> float | None:
        """Median over the clients of the first service, by users."""
        pairs = sorted(
            (rtt, number(c, "users") or 1.0)
            for c in self.clients
            if (rtt := self.rtt_of(c, self.service)) is not None
        )
        half, seen = sum(users for _, users in pairs) / 2, 0.0
        for rtt, users in pairs:
            seen += users
            if seen >= half:
                return rtt
        return None

    def how(self, event: Record) -> str:
        """Say what the site did: ``withdrew its announcement``."""
        how = text(event, "how")
        return _HOW.get(how, f"failed ({how})" if how else "failed")

    def site_marks(self, down: str = "") -> list[SiteMark]:
        return [
            SiteMark(
                name=text(site, "name"),
                city=text(site, "city"),
                lat=_degrees(site, "lat"),
                lon=_degrees(site, "lon"),
                state="down" if text(site, "name") == down else _look(text(site, "state")),
            )
            for site in self.sites
        ]

    def client_marks(self) -> list[ClientMark]:
        """Return the clients as they are answered when all is well."""
        marks = []
        for client in self.clients:
            site = self.site_of(client, self.service)
            detour = self.detour_km(client)
            note = (
                f"not the nearest: {text(client, 'nearest')} is {count(detour)} km nearer"
                if detour is not None
                else ""
            )
            marks.append(self._mark(client, site, self.rtt_of(client, self.service), note=note))
        return marks

    def marks_after(self, event: Record) -> list[ClientMark]:
        """Return the clients after an event; those that moved stand out."""
        rows = [r for r in records(event, "clients") if text(r, "service") == self.service]
        changes = {text(r, "city"): r for r in rows or records(event, "clients")}
        marks = []
        for client in self.clients:
            row = changes.get(text(client, "city"))
            site = self.site_of(client, self.service)
            if row is None or text(row, "before") == text(row, "after"):
                marks.append(self._mark(client, site, self.rtt_of(client, self.service)))
            else:
                after = text(row, "after") or None
                marks.append(
                    self._mark(client, after, self._rtt_after(event, row),
                               was=text(row, "before") or site)
                )  # fmt: skip
        return marks

    def _rtt_after(self, event: Record, row: Record) -> float | None:
        """Round trip after the event: as told, or that of the last answer in the timeline."""
        told = number(row, "rtt_after_ms")
        if told is not None:
            return told
        answers = [
            (number(e, "t_ms") or 0.0, rtt)
            for e in records(event, "timeline")
            if text(e, "city") == text(row, "city") and (rtt := number(e, "rtt_ms")) is not None
        ]
        return max(answers)[1] if answers else None

    def _mark(
        self,
        client: Record,
        site: str | None,
        rtt_ms: float | None,
        *,
        note: str = "",
        was: str | None = None,
    ) -> ClientMark:
        users = number(client, "users")
        return ClientMark(
            code=text(client, "city"),
            city=text(client, "name"),
            lat=_degrees(client, "lat"),
            lon=_degrees(client, "lon"),
            weight=1.0 if users is None else max(users, 0.0),
            site=site,
            rtt_ms=rtt_ms,
            note=note,
            emphasis="unreached" if site is None else "moved" if was is not None else "",
            was=was,
        )

    def other_services(self) -> str:
        """Say whether the other services are answered by the same sites as the one on the map."""
        others = self.services[1:]
        if not others:
            return ""
        differing = Counter(
            name
            for name in others
            for c in self.clients
            if self.site_of(c, name) != self.site_of(c, self.service)
        )
        if not differing:
            return f"{_listing(others)} {'is' if len(others) == 1 else 'are'} answered alike."
        parts = [f"{name} in {n} {'city' if n == 1 else 'cities'}" for name, n in differing.items()]
        return f"Answered by another site: {_listing(parts)}."


def _degrees(record: Record, key: str) -> float:
    value = number(record, key)
    return nan if value is None else value


def _look(state: str) -> SiteLook:
    match state:
        case "drained" | "down" | "planned":
            return state
        case _:
            return "announced"


def _listing(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
