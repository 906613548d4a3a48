"""BIRD's control socket: one command, one answer (its ``doc/reply_codes``).

Lines are ``NNNN-text`` (more follow), ``NNNN text`` (the last), or a blank and text with the code
of the line before. Codes from 8000 are refusals.
"""

import asyncio
from typing import Final

from ridgeline.errors import MachineError

ANSWER_WITHIN_S: Final = 2.0
_BLOCK_BYTES: Final = 1 << 16
_START_HINT: Final = (
    "start BIRD, or name its control socket: `router: {socket: ...}` in agent.yaml; the agent's "
    "user needs to be in BIRD's group"
)


class RefusalError(MachineError):
    """BIRD answered, and the answer is no."""

    def __init__(self, message: str, code: int, lines: list[str]) -> None:
        super().__init__(message)
        self.code = code
        self.lines = lines


class BirdSocket:
    """A connection that is opened by the first command, and again after it was lost."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def command(self, text: str) -> list[str]:
        """Give a command; return the lines of the answer without their codes.

        Raises
        ------
        RefusalError
            BIRD says no.
        MachineError
            BIRD cannot be reached, or does not answer in time.
        """
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                code, lines = await self._ask(text)
        except (FileNotFoundError, ConnectionRefusedError, PermissionError) as error:
            self.close()
            raise MachineError(
                f"BIRD's control socket {self.path} cannot be opened: {error.strerror}",
                hint=_START_HINT,
            ) from error
        except TimeoutError:
            self.close()
            raise MachineError(
                f"BIRD at {self.path} does not answer `{text}` within {ANSWER_WITHIN_S:g} s"
            ) from None
        except (OSError, EOFError) as error:
            self.close()
            reason = str(error) or type(error).__name__
            raise MachineError(f"BIRD at {self.path} was lost during `{text}`: {reason}") from error
        except asyncio.CancelledError:
            self.close()  # an answer may be on its way; the next command must not read it
            raise
        if code >= 8000:
            message = f"BIRD at {self.path} refuses `{text}`: {' '.join(lines)}"
            raise RefusalError(message, code, lines)
        return lines

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _ask(self, text: str) -> tuple[int, list[str]]:
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_unix_connection(self.path)
            await self._answer(self._reader)
        self._writer.write(text.encode() + b"\n")
        return await self._answer(self._reader)

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, list[str]]:
        """Read by blocks: an answer may have thousands of lines."""
        lines: list[str] = []
        rest = b""
        while True:
            block = await reader.read(_BLOCK_BYTES)
            if not block:
                raise EOFError("BIRD closed the connection")
            whole, newline, rest = (rest + block).rpartition(b"\n")
            if not newline:
                continue
            for line in whole.decode(errors="replace").split("\n"):
                if line[:1] in {" ", "+"}:
                    lines.append(line[1:])
                    continue
                lines.append(line[5:])
                if line[4:5] == " " and line[:4].isdigit():
                    return int(line[:4]), lines
