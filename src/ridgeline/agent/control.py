"""How the operator talks to a running agent, and how a monitor reads it.

Control: one JSON line each way on a unix socket with mode 0600. Metrics and health: HTTP/1.0 on a
unix socket or a loopback port, only where asked for.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from ridgeline.errors import MachineError, RidgelineError

_MAX_REQUEST: Final = 64 << 10
_PATIENCE_S: Final = 5.0

Verb = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Page = Callable[[], tuple[int, str, str]]
"""-> (status, content type, body)."""


class Servers:
    """The listening sockets of the agent."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._paths: list[Path] = []

    async def control(self, path: str, verb: Verb) -> None:
        """Listen for the operator.

        Raises
        ------
        MachineError
            The socket cannot be made.
        """

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                async with asyncio.timeout(_PATIENCE_S):
                    line = await reader.readline()
                try:
                    answer = await verb(json.loads(line))
                except RidgelineError as error:
                    answer = {"error": str(error)}
                except (ValueError, KeyError, TypeError) as error:
                    answer = {"error": f"not a request: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
            writer.close()

        await self._unix(Path(path), 0o600, serve)

    async def pages(self, where: str, pages: dict[str, Page]) -> None:
        """Serve a few pages by GET.

        Raises
        ------
        MachineError
            The socket cannot be made.
        """

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, TimeoutError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_PATIENCE_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    parts = head.split(b" ", 2)
                    path = parts[1].decode("latin-1").partition("?")[0] if len(parts) > 1 else ""
                    page = pages.get(path)
                    status, kind, body = page() if page else (404, "text/plain", "not here\n")
                    data = body.encode()
                    writer.write(
                        f"HTTP/1.0 {status} -\r\nContent-Type: {kind}\r\n"
                        f"Content-Length: {len(data)}\r\n\r\n".encode()
                        + data
                    )
                    await writer.drain()
            writer.close()

        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):
                await serve(reader, writer)

        if where.startswith("/"):
            await self._unix(Path(where), 0o660, guarded)
            return
        host, _, port = where.rpartition(":")
        try:
            self._servers.append(
                await asyncio.start_server(
                    guarded, host.strip("[]"), int(port), limit=_MAX_REQUEST, reuse_address=True
                )
            )
        except OSError as error:
            raise MachineError(f"cannot listen on {where}: {error.strerror}") from error

    async def close(self) -> None:
        """Stop listening and remove the sockets."""
        for server in self._servers:
            server.close()
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink()
        self._servers.clear()
        self._paths.clear()

    async def _unix(
        self,
        path: Path,
        mode: int,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ) -> None:
        opened = _listening_at(path, mode)
        self._paths.append(path)
        self._servers.append(
            await asyncio.start_unix_server(serve, sock=opened, limit=_MAX_REQUEST)
        )


def _listening_at(path: Path, mode: int) -> socket.socket:
    if _is_answered(path):
        raise MachineError(
            f"another agent answers at {path}",
            hint="end that one first, or give this one other paths in agent.yaml",
        )
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        before = os.umask(0o177)  # nobody else may connect before the mode is set
        try:
            opened.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(mode)
    except OSError as error:
        opened.close()
        raise MachineError(
            f"cannot make the socket {path}: {error.strerror or error}",
            hint=f"install -d -m 0750 -o $(id -un) {path.parent}, or name another in agent.yaml",
        ) from error
    return opened


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as opened:
        opened.settimeout(1)
        try:
            opened.connect(str(path))
        except OSError:  # not there, or left by an agent that was killed
            return False
    return True


def ask_agent(path: str, request: dict[str, Any], *, seconds: float = 10.0) -> dict[str, Any]:
    """Ask a running agent and return its answer.

    Raises
    ------
    MachineError
        No agent answers there, or it says no.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as opened:
            opened.settimeout(seconds)
            opened.connect(path)
            opened.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(opened.makefile("rb").readline() or b"{}")
    except (FileNotFoundError, ConnectionRefusedError):
        raise MachineError(
            f"no agent runs here: nothing listens on {path}",
            hint="systemctl start ridgeline-agent, or: ridgeline agent run SPEC --site ID",
        ) from None
    except PermissionError:
        raise MachineError(
            f"{path} is not yours to use", hint="run the command as the agent's user, or as root"
        ) from None
    except (OSError, ValueError) as error:
        raise MachineError(f"the agent at {path} does not answer: {error}") from error
    if not isinstance(answer, dict) or not answer:
        raise MachineError(f"the agent at {path} closed the connection without an answer")
    if "error" in answer:
        raise MachineError(str(answer["error"]))
    return answer
