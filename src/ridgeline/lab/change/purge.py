"""Forgetting pages at every site at once: by surrogate key, by URL, or all of them.

Each order has a number, and each site the number up to which it has obeyed. A site that was away
catches up from the journal before it announces; where the journal does not reach back so far, its
cache forgets everything. Sites of the shield come first: what they still held, others would fetch.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ridgeline.errors import InputError, MachineError
from ridgeline.lab.change.pagefiles import forget
from ridgeline.lab.fabric import Fabric
from ridgeline.lab.plan import NodeKind
from ridgeline.lab.services.base import of_kind
from ridgeline.lab.services.edge import edge_folder
from ridgeline.render.nginx import CACHE_FOLDER
from ridgeline.render.varnish import KEY, control_socket
from ridgeline.spec.model import EdgeEngine, Service, ServiceKind

JOURNAL_ORDERS: Final = 10_000
ANSWER_WITHIN_S: Final = 2.0
_PATH: Final = re.compile(r"/[!-~]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be forgotten."""

    keys: tuple[str, ...] = ()
    urls: tuple[tuple[str, str], ...] = ()
    """Host and path, with its query; whatever the scheme."""
    everything: bool = False


EVERYTHING: Final = Order(everything=True)


class Purges:
    """The journal of one lab's orders, and how far each site has obeyed them."""

    def __init__(self, fabric: Fabric, *, remembered: int = JOURNAL_ORDERS) -> None:
        self._fabric = fabric
        self._sequence = 0
        self._journal: deque[tuple[int, str, Order]] = deque(maxlen=remembered)
        self._obeyed: dict[str, int] = {}

    async def purge(self, request: dict[str, Any], *, away: Collection[str]) -> dict[str, Any]:
        """Let every site that can be reached forget; say when each had."""
        service = self._service(request.get("service"))
        items = [str(item) for item in request.get("items") or ()]
        order = EVERYTHING if request.get("everything") else parse_order(items, service)
        self._sequence += 1
        self._journal.append((self._sequence, service.name, order))
        begun = time.perf_counter()
        sites: dict[str, dict[str, Any]] = {}
        here = [node.site for node in self._fabric.plan.of_kind(NodeKind.SERVER)]
        for group in (service.shield, [site for site in here if site not in service.shield]):
            reached = [site for site in group if site in here and site not in away]
            done = await asyncio.gather(*(self._obey(s) for s in reached), return_exceptions=True)
            for site, failed in zip(reached, done, strict=True):
                if failed is not None and not isinstance(failed, MachineError):
                    raise failed
                sites[site] = {
                    "state": "behind" if failed else "purged",
                    "ms": round(1000 * (time.perf_counter() - begun), 3),
                    **({"why": str(failed).splitlines()[0]} if failed else {}),
                }
        for site in here:
            sites.setdefault(site, {"state": "behind", "ms": None, "why": "the site is away"})
        return {
            "schema": "ridgeline.purge/1",
            "service": service.name,
            "sequence": self._sequence,
            "items": ["everything"] if order.everything else items,
            "sites": {site: sites[site] for site in here},
            "everywhere": all(said["state"] == "purged" for said in sites.values()),
        }

    def is_behind(self, site: str) -> bool:
        """Say whether a site holds what the others have forgotten."""
        return self._obeyed.get(site, 0) < self._sequence

    async def catch_up(self, site: str) -> None:
        """Let a site forget what it missed; until it has, it must not announce.

        Raises
        ------
        MachineError
            Its cache does not answer.
        """
        if self.is_behind(site):
            await self._obey(site)

    async def _obey(self, site: str) -> None:
        done = self._obeyed.get(site, 0)
        if self._journal and self._journal[0][0] > done + 1:
            missed = [(service, EVERYTHING) for service in {s for _, s, _ in self._journal}]
        else:
            missed = [(service, order) for number, service, order in self._journal if number > done]
        until = self._sequence
        for service, order in missed:
            await self._send(site, self._service(service), order)
        self._obeyed[site] = max(until, self._obeyed.get(site, 0))

    async def _send(self, site: str, service: Service, order: Order) -> None:
        place = self._fabric.place(self._fabric.plan.node(f"server.{site}"))
        folder = edge_folder(place, service)
        if service.engine is EdgeEngine.VARNISH:
            await order_varnish(control_socket(str(folder)), order)
        else:
            pages = folder / CACHE_FOLDER
            await asyncio.to_thread(
                forget, pages, order.keys, order.urls, everything=order.everything
            )

    def _service(self, name: object) -> Service:
        caches = of_kind(self._fabric.plan.spec, ServiceKind.HTTP_CACHE)
        for service in caches:
            if name in {None, service.name}:
                return service
        known = ", ".join(service.name for service in caches) or "none"
        raise InputError(f"no HTTP cache is named {name!r}; the spec's are: {known}")


def parse_order(items: Iterable[str], service: Service) -> Order:
    """Read keys and URLs as a user writes them; a path alone is of the origin's host.

    Raises
    ------
    InputError
        One is neither; nothing is forgotten then.
    """
    keys: list[str] = []
    urls: list[tuple[str, str]] = []
    for item in items:
        if "://" in item or item.startswith("/"):
            urls.append(_read_url(item, service))
        elif re.fullmatch(KEY, item):
            keys.append(item)
        else:
            raise InputError(
                f"{item!r} is neither a surrogate key nor a URL: a key has 1 to 128 letters, digits "
                "and _ . : / -, a URL begins with http://, https:// or /"
            )
    if not keys and not urls:
        raise InputError("name a surrogate key or a URL to forget, or say --everything")
    return Order(keys=tuple(keys), urls=tuple(urls))


def _read_url(item: str, service: Service) -> tuple[str, str]:
    origin = urlsplit(service.origin).hostname or ""
    try:
        parts = urlsplit(item)
        host = parts.hostname or ("" if "://" in item else origin)
    except ValueError:
        parts, host = urlsplit(""), ""
    if not host or ("://" in item and parts.scheme not in {"http", "https"}):
        raise InputError(f"{item!r} is no URL that a cache could hold: write http://HOST/PATH")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _PATH.fullmatch(path) or set(path) & set('"\\'):
        raise InputError(
            f"the path of {item!r} holds a character that a URL percent-encodes (RFC 3986)"
        )
    return (f"[{host}]" if ":" in host else host), path


async def order_varnish(socket: str, order: Order) -> None:
    """Send an order to a Varnish's control socket.

    Raises
    ------
    MachineError
        It does not take it.
    """
    requests = [("/", "Purge-Everything: 1")] if order.everything else []
    requests += [("/", f"Purge-Keys: {' '.join(some)}") for some in _shares(order.keys)]
    requests += [(path, f"Host: {host}") for host, path in order.urls]
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                for path, field in requests:
                    also = "" if field.startswith("Host") else "Host: purge\r\n"
                    writer.write(f"PURGE {path} HTTP/1.1\r\n{also}{field}\r\n\r\n".encode())
                    await _read_answer(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise MachineError(f"{Path(socket).name} does not answer: {error}") from error


def _shares(keys: Sequence[str], at_once: int = 20) -> list[Sequence[str]]:
    return [keys[at : at + at_once] for at in range(0, len(keys), at_once)]


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
    length = re.search(r"(?im)^content-length: *(\d+)", head)
    await reader.readexactly(int(length[1]) if length else 0)
    status = head.split("\r\n", 1)[0]
    if " 200" not in status:
        raise MachineError(f"the cache refused an order: {status}")
