"""Talk to BIRD over its control socket, without starting `birdc`.

BIRD answers each command with lines ``NNNN-text`` and a last line ``NNNN text``; codes from 8000
are refusals (BIRD's ``doc/reply_codes``).
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ridgeline.errors import MachineError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolState:
    """One line of ``show protocols``."""

    name: str
    kind: str
    state: str
    info: str

    @property
    def is_settled(self) -> bool:
        """Whether it is as far as it will come: up, and for BGP established."""
        return self.state == "up" and (self.kind != "BGP" or self.info.startswith("Established"))


class BirdControl:
    """A connection to one BIRD; commands are answered one after another."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def command(self, text: str, *, timeout: float = 5.0) -> list[str]:  # noqa: ASYNC109 - the caller's deadline, in seconds
        """Give a command; return the answer's lines without their codes.

        Raises
        ------
        MachineError
            BIRD refused, or does not answer.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(timeout):
                    return await self._command(text)
            except (OSError, EOFError, TimeoutError) as error:
                self.close()
                reason = str(error) or type(error).__name__
                raise MachineError(
                    f"BIRD at {self._socket} does not answer `{text}`: {reason}"
                ) from error

    async def _command(self, text: str) -> list[str]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(str(self._socket), limit=1 << 20)
            await self._answer("hello")
        self._streams[1].write(text.encode() + b"\n")
        return await self._answer(text)

    async def _answer(self, command: str) -> list[str]:
        if self._streams is None:
            raise EOFError("not connected")
        lines: list[str] = []
        code = "0000"
        while True:
            raw = await self._streams[0].readline()
            if not raw:
                raise EOFError("BIRD closed the connection")
            line = raw.decode(errors="replace").rstrip("\n")
            if re.match(r"\d{4}[ -]", line):
                code, text = line[:4], line[5:]
                lines.append(text)
                if line[4] == " ":
                    break
            else:
                lines.append(line[1:])
        if code >= "8000":
            raise MachineError(f"BIRD at {self._socket} refuses `{command}`: {' '.join(lines)}")
        return lines

    async def protocols(self) -> dict[str, ProtocolState]:
        """Read the state of every protocol."""
        found = {}
        for line in await self.command("show protocols"):
            # name, type, table, state, since, info; the last may be empty
            parts = line.split(None, 5)
            if len(parts) >= 5 and parts[3] in {"up", "down", "start", "stop", "flush"}:
                found[parts[0]] = ProtocolState(
                    name=parts[0],
                    kind=parts[1],
                    state=parts[3],
                    info=parts[5] if len(parts) > 5 else "",
                )
        return found

    async def full_neighbours(self, ospf: str) -> int:
        """Count the adjacencies of an OSPF instance that are Full (RFC 2328, section 10.1)."""
        return sum("Full" in line for line in await self.command(f"show ospf neighbors {ospf}"))

    async def toggle(self, wanted: Mapping[str, bool]) -> None:
        """Enable or disable the protocols that match each pattern, in order."""
        for pattern, enable in wanted.items():
            await self.command(f'{"enable" if enable else "disable"} "{pattern}"')

    def close(self) -> None:
        """Close the connection; the next command opens a new one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
