"""BIRD 2: static protocols toggled over the control socket, kept in an include file.

The socket is fast (half a millisecond to the neighbour), and forgets: the operator's next
`configure` would announce again. So the same stance is written into the include file, with fsync
and rename, right after. `configure` itself is asked of BIRD only where our protocols are not there
yet, since it would also load whatever the operator is editing at that moment.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from ridgeline.agent.router import (
    Finding,
    Neighbour,
    Observation,
    RouterSettings,
    Stance,
    Wanted,
)
from ridgeline.agent.routers.bird_socket import BirdSocket, RefusalError
from ridgeline.agent.routers.bird_text import (
    ANNOUNCE,
    DRAIN,
    Include,
    ProtocolLine,
    parse_details,
    parse_prepend,
    parse_protocols,
    parse_routes,
    patterns,
    protocol_name,
)
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

SOCKET: Final = "/run/bird/bird.ctl"
INCLUDE: Final = "/etc/bird/ridgeline.conf"
_ASK_EACH: Final = 64
"""Up to so many prefixes are asked for one by one; more are read from the protocols' routes."""


class BirdRouter:
    """The `Router` of BIRD 2 (see `ridgeline.agent.router`)."""

    def __init__(self, settings: RouterSettings, prefixes: tuple[Prefix, ...]) -> None:
        self.settings = settings
        self.prefixes = prefixes
        self.include = Path(settings.include or INCLUDE)
        self.socket = BirdSocket(settings.socket or SOCKET)
        self.gateways = _gateways(settings.options.get("via", ""), "")
        self.gateways |= _gateways(settings.bfd, " bfd")
        self._names = {prefix: protocol_name(prefix) for prefix in prefixes}
        self._by_text = {str(prefix): prefix for prefix in prefixes}
        self._drains = {f"{DRAIN}{name}" for name in self._names.values()}
        self._needed = {f"{k}{n}" for n in self._names.values() for k in (ANNOUNCE, DRAIN)}
        self._stances: dict[Prefix, Stance] = {}
        self._prepend: int | None = None
        """How often the drain protocols prepend; None until it was looked up in the include."""
        self._known: dict[str, ProtocolLine] = {}
        """The protocols when they were read last; their names, not their states, are relied on."""
        self._lines: list[str] = []
        """BIRD's words that `_known` was read from: mostly it says the same again."""
        self._sent: dict[str, tuple[list[str], list[tuple[Prefix, Stance]]]] = {}
        """The same for what goes to each neighbour."""
        self._draining: set[str] | None = None
        """Every `drn_*` that may be up, so that a mass withdrawal need not name those that are not;
        None: any of them."""
        self._text: Include | None = None
        self._written = ""
        self._neighbours: dict[str, Neighbour] = {}
        self._shut: tuple[str, ...] = ()

    async def apply(self, wanted: Mapping[Prefix, Wanted]) -> tuple[str, ...]:
        """Toggle over the socket, then write the same into the include file."""
        prepends = {w.prepend for w in wanted.values() if w.stance is Stance.DRAINED}
        there = self._loaded_prepend()
        prepend = max(prepends, default=there)
        protocols = self._known or await self._look()
        if not self._are_all_there(protocols):
            protocols = await self._look()
        is_loaded = self._are_all_there(protocols)
        degraded: tuple[str, ...] = ()
        if is_loaded and prepend != there:
            try:
                return await self._load(self._stances_with(wanted, protocols), prepend)
            except MachineError as error:
                reason = str(error).partition("\n")[0]
                degraded = (f"drained with {there} copies of our ASN, not {prepend}: {reason}",)
        if is_loaded:
            try:
                await self._toggle(wanted, protocols)
            except RefusalError:  # gone since we looked: a new BIRD, or no include any more
                self._known, self._draining, is_loaded = {}, None, False
        stances = self._stances_with(wanted, protocols)
        if not is_loaded:
            return await self._load(stances, prepend)
        self._stances = stances
        complaint = await self._write(stances, there)
        return (*degraded, complaint) if complaint else degraded

    async def read_back(self) -> Observation:
        """Read the protocols, and for each neighbour what goes to it of our prefixes."""
        protocols = await self._look()
        held = self._held(protocols)
        neighbours = await self._sessions(protocols)
        exported: dict[Prefix, dict[str, Stance]] = {}
        for neighbour in neighbours:
            if not neighbour.established:
                continue
            for prefix, stance in await self._exported(neighbour.name):
                exported.setdefault(prefix, {})[neighbour.name] = stance
        return Observation(held=held, exported=exported, neighbours=neighbours)

    async def shut_sessions(self, reason: str) -> bool:
        """Disable the sessions with a message (RFC 9003: at most 255 octets)."""
        neighbours = await self._sessions(await self._protocols())
        text = reason.replace('"', "'").encode()[:128].decode(errors="ignore")
        for neighbour in neighbours:
            await self.socket.command(f'disable {neighbour.name} "{text}"')
        self._shut = tuple(neighbour.name for neighbour in neighbours)
        return bool(self._shut)

    async def open_sessions(self) -> None:
        """Enable what was disabled, by us or by the agent before us."""
        protocols = await self._protocols()
        names = self._shut or self.settings.neighbours
        self._shut = ()
        for name in names:
            if name in protocols:
                await self.socket.command(f"enable {name}")

    async def inspect(self) -> tuple[Finding, ...]:
        """See `ridgeline.agent.routers.bird_check`."""
        from ridgeline.agent.routers.bird_check import inspect_bird

        return await inspect_bird(self)

    async def close(self) -> None:
        """Close the socket."""
        self._known, self._draining = {}, None
        self.socket.close()

    # Below.

    async def _protocols(self) -> dict[str, ProtocolLine]:
        return parse_protocols(await self.socket.command("show protocols"))

    async def _look(self) -> dict[str, ProtocolLine]:
        lines = await self.socket.command("show protocols")
        if lines != self._lines or not self._known:
            self._lines, self._known = lines, parse_protocols(lines)
        self._draining = {
            name for name in self._drains if name in self._known and self._known[name].is_up
        }
        return self._known

    def _are_all_there(self, protocols: Mapping[str, ProtocolLine]) -> bool:
        return self._needed <= protocols.keys()

    def _stances_with(
        self, wanted: Mapping[Prefix, Wanted], protocols: Mapping[str, ProtocolLine]
    ) -> dict[Prefix, Stance]:
        """Say how every prefix of the site stands once this is done."""
        known = len(self._stances) == len(self.prefixes)
        stances = dict(self._stances) if known else self._held(protocols) | self._stances
        return stances | {p: w.stance for p, w in wanted.items()}

    def _loaded_prepend(self) -> int:
        if self._prepend is None:
            try:
                self._prepend = parse_prepend(self.include.read_text())
            except (OSError, UnicodeDecodeError):
                self._prepend = 0
        return self._prepend

    def _held(self, protocols: Mapping[str, ProtocolLine]) -> dict[Prefix, Stance]:
        def stance(name: str) -> Stance:
            drain, plain = protocols.get(f"{DRAIN}{name}"), protocols.get(f"{ANNOUNCE}{name}")
            if drain is not None and drain.is_up:
                return Stance.DRAINED
            if plain is not None and plain.is_up:
                return Stance.ANNOUNCED
            return Stance.WITHDRAWN

        return {prefix: stance(name) for prefix, name in self._names.items()}

    async def _toggle(
        self, wanted: Mapping[Prefix, Wanted], protocols: Mapping[str, ProtocolLine]
    ) -> None:
        """Switch protocols in an order that shows the neighbours one change each."""
        gone, drained, plain = (
            [self._names[p] for p, w in wanted.items() if w.stance is stance]
            for stance in (Stance.WITHDRAWN, Stance.DRAINED, Stance.ANNOUNCED)
        )
        reasons = {w.reason for w in wanted.values()}
        message = _message(next(iter(reasons))) if len(reasons) == 1 else ""

        async def switch(verb: str, names: list[str]) -> None:
            for pattern in patterns(names, protocols) if names else ():
                await self.socket.command(f'{verb} "{pattern}"{message}')

        async def stop_draining(of: list[str]) -> None:
            names = [f"{DRAIN}{name}" for name in of]
            if self._draining is not None:
                names = [name for name in names if name in self._draining]
            await switch("disable", names)
            if self._draining is not None:
                self._draining.difference_update(names)

        await switch("disable", [f"{ANNOUNCE}{name}" for name in gone])
        await stop_draining(gone)
        if drained and self._draining is not None:
            self._draining.update(f"{DRAIN}{name}" for name in drained)
        await switch("enable", [f"{DRAIN}{name}" for name in drained])
        await switch("enable", [f"{ANNOUNCE}{name}" for name in (*drained, *plain)])
        await stop_draining(plain)

    async def _load(self, stances: dict[Prefix, Stance], prepend: int) -> tuple[str, ...]:
        """Write the include file and let BIRD read it: our protocols are not there as they should."""
        complaint = await self._write(stances, prepend)
        if complaint:
            raise MachineError(
                f"BIRD does not have the agent's protocols as they should be, and {complaint}",
                hint=f"give the agent's user the right to write {self.include}",
            )
        try:
            await self.socket.command("configure")
        except RefusalError as error:
            raise MachineError(
                f"BIRD refuses its configuration, so it cannot load {self.include}: "
                f"{error.lines[-1] if error.lines else error}",
                hint="mend the line that BIRD names; the agent tries again by itself",
            ) from error
        protocols = await self._protocols()
        if not self._are_all_there(protocols):
            raise MachineError(
                f"BIRD read its configuration, and {self.include} is not part of it",
                hint=f'add to bird.conf: include "{self.include}";',
            )
        self._stances, self._draining, self._prepend = stances, None, prepend
        # `configure` leaves alone what was toggled by hand; make it so.
        wanted = {prefix: Wanted(stance) for prefix, stance in stances.items()}
        await self._toggle(wanted, protocols)
        return ()

    async def _write(self, stances: Mapping[Prefix, Stance], prepend: int) -> str:
        """Write the include file if it differs; return what prevented it."""
        if self._text is None or self._text.prepend != prepend:
            self._text = Include(
                self.prefixes, prepend=prepend, asn=self.settings.asn, gateways=self.gateways
            )
        text = self._text.render(stances)
        if text == self._written and self.include.exists():
            return ""
        try:
            await _beside_the_loop(write_whole, self.include, text)
        except OSError as error:
            self._written = ""
            if error.errno in {errno.ENOSPC, errno.EDQUOT} and write_over(self.include, text):
                self._written = text
                return ""
            reason = os.strerror(error.errno or errno.EIO).lower()
            return (
                f"{self.include} cannot be written ({reason}): until it can, a restart of BIRD or "
                "`configure` brings an old stance back, for as long as the agent needs to see it"
            )
        self._written = text
        return ""

    async def _sessions(self, protocols: Mapping[str, ProtocolLine]) -> tuple[Neighbour, ...]:
        """List the sessions to watch: those named in the settings, or all external ones."""
        lines = {p.name: p for p in protocols.values() if p.kind == "BGP"}
        for name, line in lines.items():
            known = self._neighbours.get(name)
            is_up = line.info.startswith("Established")
            if known is None or known.established is not is_up:
                details = parse_details(await self.socket.command(f'show protocols all "{name}"'))
                is_external = details.get("Neighbor AS") != details.get("Local AS")
                if self.settings.neighbours or is_external:
                    self._neighbours[name] = Neighbour(
                        name=name,
                        address=details.get("Neighbor address", ""),
                        asn=int(details.get("Neighbor AS", "0") or 0),
                        established=is_up,
                        state=details.get("BGP state", line.info),
                    )
        self._neighbours = {n: v for n, v in self._neighbours.items() if n in lines}
        wanted = self.settings.neighbours
        missing = [
            Neighbour(name=n, address="", asn=0, established=False, state="no such protocol")
            for n in wanted
            if n not in lines
        ]
        found = [v for n, v in self._neighbours.items() if not wanted or n in wanted]
        return (*found, *missing)

    async def _exported(self, name: str) -> list[tuple[Prefix, Stance]]:
        """Read what goes to one neighbour, whichever protocol it is from."""
        if len(self.prefixes) <= _ASK_EACH:
            found = []
            for prefix in self.prefixes:
                with suppress(RefusalError):  # "Network not found"
                    lines = await self.socket.command(f"show route {prefix} exported {name}")
                    found += [one for one in self._routes(lines) if one[0] == prefix]
            return found
        lines = await self.socket.command(
            f'show route exported {name} where proto ~ "{ANNOUNCE}*" || proto ~ "{DRAIN}*"'
        )
        before, found = self._sent.get(name, ([], []))
        if lines != before:
            found = self._routes(lines)
            self._sent[name] = (lines, found)
        return found

    def _routes(self, lines: list[str]) -> list[tuple[Prefix, Stance]]:
        return [
            (self._by_text[net], Stance.DRAINED if protocol in self._drains else Stance.ANNOUNCED)
            for net, protocol in parse_routes(lines)
            if net in self._by_text
        ]


def write_whole(path: Path, text: str) -> None:
    """Replace a file so that a reader, and a crash, see the old or the new one, whole.

    Raises
    ------
    OSError
        The disk is full, the file system is read-only...; the old file stands.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            with os.fdopen(descriptor, "w") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_over(path: Path, text: str) -> bool:
    """Put a text into the place of one that is no shorter, which needs no room on the disk.

    A reader may see half of it for a moment; False: it was not done.
    """
    data = text.encode()
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if len(data) <= size and os.pwrite(descriptor, data.ljust(size, b"\n"), 0) == size:
                os.fsync(descriptor)
                return True
        finally:
            os.close(descriptor)
    return False


async def _beside_the_loop(work: Callable[[Path, str], None], path: Path, text: str) -> None:
    """Wait for the disk in a thread; in the loop where no thread can be had (no memory left)."""
    try:
        await asyncio.to_thread(work, path, text)
    except RuntimeError:
        work(path, text)


def _gateways(text: str, kind: str) -> dict[int, str]:
    """Read ``ADDRESS`` or ``ADDRESS4,ADDRESS6``, and say how the next hop is kept alive."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return {6 if ":" in part else 4: f"{part}{kind}" for part in parts}


def _message(reason: str) -> str:
    text = "".join(c if c.isprintable() and c not in '"\\' else " " for c in reason)
    return f' "{text[:100]}"' if text else ""
