"""ExaBGP: its text API, through a helper that ExaBGP starts (`exabgp_helper`).

The helper is also the dead-man switch: it withdraws when the agent's event loop falls silent. The
order does not outlive a restart of ExaBGP; `read_back` shows it, and the agent says it again.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any, Final

from ridgeline.agent.router import (
    Finding,
    Neighbour,
    Observation,
    RouterSettings,
    Stance,
    Wanted,
)
from ridgeline.agent.routers.exabgp_check import inspect_exabgp, is_established
from ridgeline.errors import MachineError
from ridgeline.spec.model import Prefix

SOCKET: Final = "/run/ridgeline/exabgp.sock"
PATIENCE_S: Final = 1.0
AT_ONCE: Final = 500
"""Prefixes in one command; ExaBGP reads 16 kB of commands in a turn."""
ANSWER_WITHIN_S: Final = 3.0
_PREFIX_S: Final = 0.002
"""So much longer for each prefix: ExaBGP takes a third of a millisecond on an idle machine."""
_MOST_QUOTED: Final = 200
_MOST_BYTES: Final = 16 << 20
_ROUTE: Final = re.compile(
    r"^neighbor (\S+) .*? ipv[46] unicast (\S+) next-hop (\S+)(.*)$", re.MULTILINE
)
_GRACEFUL: Final = "65535:0"


class ExabgpRouter:
    """A `Router` (see `ridgeline.agent.router`).

    Options: ``patience`` (seconds of silence after which the helper withdraws; 0: never).
    """

    def __init__(self, settings: RouterSettings, prefixes: tuple[Prefix, ...]) -> None:
        self._settings = settings
        self._prefixes = prefixes
        self._socket = settings.socket or SOCKET
        self._patience = float(settings.options.get("patience", PATIENCE_S))
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._beating: asyncio.Task[None] | None = None
        named = ", ".join(f"neighbor {name}" for name in settings.neighbours)
        self._to = f"{named} " if named else ""

    async def apply(self, wanted: Mapping[Prefix, Wanted]) -> tuple[str, ...]:
        commands = list(self._commands(wanted))
        answers = await self._ask(commands, more_s=len(wanted) * _PREFIX_S)
        for command, answer in zip(commands, answers, strict=True):
            if answer[-1] != "done":
                raise MachineError(
                    f"ExaBGP refuses `{command[:_MOST_QUOTED]}`: {' '.join(answer)}",
                    hint="its log says why",
                )
        return ()

    async def read_back(self) -> Observation:
        peers, routes = await self._look()
        held = dict.fromkeys(self._prefixes, Stance.WITHDRAWN)
        exported: dict[Prefix, dict[str, Stance]] = {}
        neighbours = [_neighbour(peer) for peer in peers]
        up = {n.name for n in neighbours if n.established}
        for name, text, _, attributes in routes:
            prefix = ip_network(text)
            if prefix not in held:
                continue
            stance = Stance.DRAINED if _GRACEFUL in attributes.split() else Stance.ANNOUNCED
            held[prefix] = stance
            if name in up:
                exported.setdefault(prefix, {})[name] = stance
        return Observation(held=held, exported=exported, neighbours=tuple(neighbours))

    async def shut_sessions(self, reason: str) -> bool:  # noqa: ARG002 - its API takes no text
        return False

    async def open_sessions(self) -> None:
        return

    async def inspect(self) -> tuple[Finding, ...]:
        return await inspect_exabgp(
            self._ask, self.read_back, self._settings, self._prefixes, self._socket
        )

    async def close(self) -> None:
        """End the guard too: what is announced stays until somebody says otherwise."""
        if self._streams is not None:
            with contextlib.suppress(OSError):
                self._streams[1].write(b"ridgeline leave\n")
                async with asyncio.timeout(1):
                    await self._streams[1].drain()
        self._drop()

    def _commands(self, wanted: Mapping[Prefix, Wanted]) -> Iterator[str]:
        """Order alike prefixes together: ExaBGP does 25 commands, or 50 prefixes, in a turn."""
        alike: dict[tuple[str, int], list[str]] = {}
        for prefix in sorted(wanted, key=lambda p: wanted[p].stance is not Stance.WITHDRAWN):
            what = self._what(wanted[prefix])
            alike.setdefault((what, prefix.version), []).append(str(prefix))
        for (what, _), prefixes in alike.items():
            for start in range(0, len(prefixes), AT_ONCE):
                yield f"{self._to}{what} nlri {' '.join(prefixes[start : start + AT_ONCE])}"

    def _what(self, wanted: Wanted) -> str:
        match wanted.stance:
            case Stance.WITHDRAWN:
                return "withdraw attributes next-hop self"
            case Stance.ANNOUNCED:
                return "announce attributes next-hop self"
            case Stance.DRAINED:
                text = f"announce attributes next-hop self community [ {_GRACEFUL} ]"
                if wanted.prepend:  # ExaBGP sends a given path as it stands
                    path = " ".join([str(self._settings.asn)] * (1 + wanted.prepend))
                    text += f" as-path [ {path} ]"
                return text

    async def _look(self) -> tuple[list[Any], list[tuple[str, str, str, str]]]:
        sessions, routes = await self._ask(["show neighbor json", "show adj-rib out extensive"])
        named = self._settings.neighbours
        try:
            peers = json.loads("".join(sessions[:-1]) or "[]")
        except ValueError as error:
            raise MachineError(
                f"ExaBGP answers `show neighbor json` with no JSON: {error}",
                hint="ExaBGP 5 is needed",
            ) from error
        peers = [p for p in peers if not named or p.get("peer", {}).get("address") in named]
        found = _ROUTE.findall("\n".join(routes[:-1]))
        return peers, [route for route in found if not named or route[0] in named]

    async def _ask(self, commands: Sequence[str], *, more_s: float = 0.0) -> list[list[str]]:
        """Give commands, all at once; return the lines of each answer, the last ``done``."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S + more_s):
                reader, writer = await self._open()
                writer.write(b"".join(command.encode() + b"\n" for command in commands))
                answers: list[list[str]] = []
                for _ in commands:
                    lines: list[str] = []
                    while not lines or lines[-1] not in {"done", "error"}:
                        line = await reader.readuntil(b"\n")
                        lines.append(line.decode(errors="replace").strip())
                    answers.append(lines)
                return answers
        except (OSError, EOFError, TimeoutError) as error:
            self._drop()
            said = str(error) or "no answer in time"
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                said = "nobody listens there"
            raise MachineError(
                f"ExaBGP's helper at {self._socket} cannot be asked: {said}",
                hint="is ExaBGP running with the process of `ridgeline agent check`?",
            ) from error
        except BaseException:
            self._drop()  # the rest of an answer would be taken for the next one's
            raise

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(self._socket, limit=_MOST_BYTES)
            if self._patience > 0:
                prefixes = " ".join(map(str, self._prefixes))
                hello = f"ridgeline guard {self._patience:g} {prefixes}\n"
                self._streams[1].write(hello.encode())
                self._beating = asyncio.create_task(self._beat(self._streams[1]))
        return self._streams

    async def _beat(self, writer: asyncio.StreamWriter) -> None:
        """Say that the event loop is alive, as long as it is."""
        with contextlib.suppress(OSError):
            while not writer.is_closing():
                writer.write(b"ridgeline alive\n")
                await asyncio.sleep(self._patience / 5)

    def _drop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        if self._streams is not None:
            self._streams[1].close()
        self._streams = self._beating = None


def _neighbour(peer: Mapping[str, Any]) -> Neighbour:
    address = str(peer.get("peer", {}).get("address", ""))
    return Neighbour(
        name=address,
        address=address,
        asn=int(peer.get("peer", {}).get("as") or 0),
        established=is_established(peer),
        state=str(peer.get("fsm", "")),
    )
