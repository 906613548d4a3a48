"""The lab's side of the conversation with commands (see `control`)."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ridgeline.errors import MachineError, RidgelineError
from ridgeline.lab.control import describe_error

Tell: TypeAlias = Callable[[str], None]
Verb: TypeAlias = Callable[[dict[str, Any], Tell], Awaitable[Any]]

SEND_TIMEOUT_S = 5.0  # a command that does not read for so long has hung


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A result that comes with open descriptors, which are closed once they are sent."""

    result: object
    descriptors: list[int]


class ControlServer:
    """Listens on the lab's socket; each command gets a task of its own."""

    def __init__(
        self,
        directory: Path,
        verbs: Mapping[str, Verb],
        *,
        enter: Callable[[dict[str, Any]], Passed],
        down: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._verbs = verbs
        self._enter = enter
        self._down = down
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = directory / "control.sock"
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(16)
        self._socket.setblocking(False)

    async def serve(self) -> None:
        """Answer commands until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                connection, _ = await loop.sock_accept(self._socket)
                group.create_task(self._converse(connection))

    async def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the command may go at any time
            line = await _read_line(connection)
            if not line:
                return
            connection.settimeout(SEND_TIMEOUT_S)
            try:
                await self._answer(connection, json.loads(line))
            except RidgelineError as error:
                _send(connection, {"error": describe_error(error)})
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - the top of a task: tell, keep the lab
                sys.excepthook(type(error), error, error.__traceback__)
                oops = MachineError(
                    f"the lab could not do `{line.decode(errors='replace').strip()}`: "
                    f"{type(error).__name__}: {error}",
                    hint=f"see {self._directory / 'log'}",
                )
                _send(connection, {"error": describe_error(oops)})

    async def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        match request["verb"]:
            case "down":
                _send(connection, {"result": None})
                self._down()
            case "enter":
                passed = self._enter(request)
                try:
                    answer = json.dumps({"result": passed.result}).encode() + b"\n"
                    socket.send_fds(connection, [answer], passed.descriptors)
                finally:
                    for descriptor in passed.descriptors:
                        os.close(descriptor)
            case verb:

                def tell(text: str) -> None:
                    _send(connection, {"progress": text})

                _send(connection, {"result": await self._verbs[verb](request, tell)})


async def _read_line(connection: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    connection.setblocking(False)
    line = b""
    while not line.endswith(b"\n"):
        data = await loop.sock_recv(connection, 1 << 16)
        if not data:
            return b""
        line += data
    return line


def _send(connection: socket.socket, message: object) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")
