"""FRR's command line over the unix socket of one daemon, as `vtysh` uses it.

A command goes as its text and a zero byte; the answer comes as text, three zero bytes and a status
(FRR, `lib/vty.c` and `vtysh/vtysh.c`).
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from ridgeline.errors import MachineError

_END: Final = b"\0\0\0"
_MOST_BYTES: Final = 64 << 20
_SUCCESS: Final = 0


class Vty:
    """A connection to a daemon's vty; opened by the first command, and again after an error."""

    def __init__(self, socket: str, *, seconds: float) -> None:
        self._socket = socket
        self._seconds = seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def show(self, command: str) -> str:
        """Run one command.

        Raises
        ------
        MachineError
            FRR does not answer, or refuses.
        """
        return (await self.show_all([command]))[0]

    async def show_json(self, *commands: str) -> list[Any]:
        """Run commands that answer in JSON, all sent at once."""
        texts = await self.show_all(commands)
        try:
            return [json.loads(text) for text in texts]
        except ValueError as error:
            raise MachineError(
                f"FRR answers `{commands[0]}` with something that is not JSON: {error}"
            ) from error

    async def show_all(self, commands: Sequence[str]) -> list[str]:
        """Run commands, all sent at once; return their answers."""
        answers = []
        for command, (status, text) in zip(commands, await self._run(commands), strict=True):
            if status != _SUCCESS:
                raise MachineError(f"FRR refuses `{command}`: {text.strip() or status}")
            answers.append(text)
        return answers

    async def configure(
        self, inside: Sequence[str], commands: Sequence[str], *, tolerate: str = "\0"
    ) -> None:
        """Run configuration commands below `inside` (``router bgp ...``).

        Answers that contain `tolerate` are as good as success.

        Raises
        ------
        MachineError
            FRR does not answer, or refuses; the message has every refusal.
        """
        refused: list[str] = []
        try:
            for command in ("configure terminal", *inside):
                await self.show(command)
            for command, (status, text) in zip(commands, await self._run(commands), strict=True):
                if status != _SUCCESS and tolerate not in text:
                    refused.append(f"`{command}`: {text.strip() or status}")
            await self._run(["end"])
        except BaseException:
            self.close()  # the connection stands somewhere in the configuration
            raise
        if refused:
            raise MachineError(f"FRR refuses {'; '.join(refused[:5])}")

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _run(self, commands: Sequence[str]) -> list[tuple[int, str]]:
        try:
            async with asyncio.timeout(self._seconds):
                if self._streams is None:
                    self._streams = await asyncio.open_unix_connection(
                        self._socket, limit=_MOST_BYTES
                    )
                    await _exchange(self._streams, ["enable"])
                return await _exchange(self._streams, commands)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            said = str(error) or type(error).__name__
            if isinstance(error, FileNotFoundError):
                said = "there is no such socket"
            elif isinstance(error, TimeoutError):
                said = f"no answer in {self._seconds:g} s"
            raise MachineError(
                f"FRR at {self._socket} cannot be asked: {said}",
                hint="is bgpd running, and is the agent's user in the group frrvty?",
            ) from error
        except BaseException:
            self.close()  # answers to a cancelled command would be taken for the next one's
            raise


async def _exchange(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], commands: Sequence[str]
) -> list[tuple[int, str]]:
    reader, writer = streams
    writer.write(b"".join(command.encode() + b"\0" for command in commands))
    answers = []
    for _ in commands:
        text = (await reader.readuntil(_END))[: -len(_END)]
        (status,) = await reader.readexactly(1)
        answers.append((status, text.decode(errors="replace")))
    return answers
