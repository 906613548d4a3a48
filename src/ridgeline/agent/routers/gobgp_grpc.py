"""gRPC to gobgpd with nothing but an HTTP/2 state machine: no compiled library, no stubs.

A call is one HTTP/2 stream; each message goes with five bytes before it (gRPC over HTTP/2,
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). Messages are protocol buffers, of
which we need varints and length-delimited fields alone.
"""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote

from ridgeline.errors import MachineError

if TYPE_CHECKING:
    from h2.connection import H2Connection

Value: TypeAlias = int | bytes | str
Fields: TypeAlias = dict[int, list[int | bytes]]

_CHUNK: Final = 16_384
_UNIMPLEMENTED: Final = "12"


class CallFailedError(Exception):
    """The server answered with an error: its gRPC status and message."""

    def __init__(self, status: str, message: str) -> None:
        self.status = status
        super().__init__(message or f"gRPC status {status}")


def encode(*fields: tuple[int, Value]) -> bytes:
    """Write a message; zero and empty values are left out, as proto3 does."""
    out = bytearray()
    for number, value in fields:
        if not value:
            continue
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return bytes(out)


def decode(data: bytes) -> Fields:
    """Read a message: field number -> values in order; fixed-size fields are skipped.

    Raises
    ------
    ValueError
        It is no protocol buffer.
    """
    fields: Fields = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        match key & 7:
            case 0:
                value, at = _read_varint(data, at)
                fields.setdefault(key >> 3, []).append(value)
            case 2:
                length, at = _read_varint(data, at)
                if at + length > len(data):
                    raise ValueError("a field is longer than its message")
                fields.setdefault(key >> 3, []).append(data[at : at + length])
                at += length
            case 1:
                at += 8
            case 5:
                at += 4
            case kind:
                raise ValueError(f"wire type {kind}")
    return fields


def number_of(fields: Fields, key: int) -> int:
    value = fields.get(key, [0])[-1]
    return value if isinstance(value, int) else 0


def bytes_of(fields: Fields, key: int) -> bytes:
    value = fields.get(key, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def text_of(fields: Fields, key: int) -> str:
    return bytes_of(fields, key).decode(errors="replace")


def messages_of(fields: Fields, key: int) -> list[Fields]:
    return [decode(value) for value in fields.get(key, []) if isinstance(value, bytes)]


class Grpc:
    """A connection to one server; opened by the first call, and again after an error."""

    def __init__(self, target: str, *, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._http: H2Connection | None = None

    async def call(self, method: str, *messages: bytes) -> list[bytes]:
        """Call ``package.Service/Method``; return the messages of the answer.

        Raises
        ------
        CallFailedError
            The server said no.
        MachineError
            The server cannot be asked.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._call(method, messages)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            said = str(error) or f"no answer in {self._seconds:g} s"
            if isinstance(error, FileNotFoundError):
                said = "there is no such socket"
            raise MachineError(
                f"GoBGP at {self._target} cannot be asked: {said}",
                hint="is gobgpd running with --api-hosts as in agent.yaml?",
            ) from error
        except CallFailedError:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
        self._streams = self._http = None

    async def _open(self) -> tuple["H2Connection", asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._http is None:
            try:
                from h2.config import H2Configuration
                from h2.connection import H2Connection
            except ImportError as error:
                raise MachineError(
                    "the GoBGP back-end needs the package h2",
                    hint="pip install 'ridgeline[gobgp]'",
                ) from error
            if self._target.startswith("unix:"):
                path = self._target.removeprefix("unix:")
                path = "/" + path.lstrip("/") if path.startswith("//") else path
                streams = await asyncio.open_unix_connection(path)
            else:
                host, _, port = self._target.rpartition(":")
                streams = await asyncio.open_connection(host.strip("[]"), int(port))
            self._streams = streams
            self._http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
            self._http.initiate_connection()
        return self._http, *self._streams

    async def _call(self, method: str, messages: Sequence[bytes]) -> list[bytes]:
        http, reader, writer = await self._open()
        stream = http.get_next_available_stream_id()
        http.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", f"/{method}"),
                (":authority", "localhost"),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ],
        )
        body = b"".join(struct.pack("!BI", 0, len(m)) + m for m in messages)
        answer = _Answer(stream)
        while body:
            room = min(http.local_flow_control_window(stream), http.max_outbound_frame_size, _CHUNK)
            if room > 0:
                http.send_data(stream, body[:room])
                body = body[room:]
                continue
            await self._turn(http, reader, writer, answer)
            if answer.ended:
                break
        if not answer.ended:
            http.end_stream(stream)
        while not answer.ended:
            await self._turn(http, reader, writer, answer)
        return answer.messages()

    async def _turn(
        self,
        http: "H2Connection",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: "_Answer",
    ) -> None:
        """Send what is due, read what has come."""
        from h2 import events
        from h2.exceptions import ProtocolError

        writer.write(http.data_to_send())
        data = await reader.read(65_536)
        if not data:
            raise EOFError("gobgpd closed the connection")
        try:
            happened = http.receive_data(data)
        except ProtocolError as error:
            raise OSError(f"it does not speak HTTP/2: {error}") from error
        for event in happened:
            if isinstance(event, events.ConnectionTerminated):
                raise EOFError("gobgpd closes the connection")  # noqa: TRY004 - of an event
            if getattr(event, "stream_id", None) != answer.stream:
                continue
            if isinstance(event, events.DataReceived):
                answer.body += event.data or b""
                http.acknowledge_received_data(event.flow_controlled_length or 0, answer.stream)
            elif isinstance(event, events.ResponseReceived | events.TrailersReceived):
                answer.take(event.headers or [])
            elif isinstance(event, events.StreamEnded | events.StreamReset):
                answer.ended = True
        writer.write(http.data_to_send())


class _Answer:
    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.body = bytearray()
        self.ended = False
        self._status = ""
        self._message = ""

    def take(self, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        for name, value in headers:
            if name == "grpc-status":
                self._status = str(value)
            elif name == "grpc-message":
                self._message = unquote(str(value))

    def messages(self) -> list[bytes]:
        if self._status != "0":
            raise CallFailedError(self._status, self._message)
        found, at = [], 0
        while at + 5 <= len(self.body):
            _, length = struct.unpack_from("!BI", self.body, at)
            found.append(bytes(self.body[at + 5 : at + 5 + length]))
            at += 5 + length
        return found


def is_unknown_service(error: CallFailedError) -> bool:
    return error.status == _UNIMPLEMENTED


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number does not end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
