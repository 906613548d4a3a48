"""etcd, through its JSON gateway: leases, ranges and transactions over plain HTTP/1.1.

No gRPC library beside a name server. Every member is asked in turn until one answers: a stopped
member accepts connections and says nothing, so no member gets more than its share of the deadline.
A request may thus be carried out twice; all that are made here may.

https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
"""

import asyncio
import json
import ssl
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from ridgeline.agent.fleet import FleetSettings

_MOST_BYTES: Final = 1 << 20
_LEAST_TURN_S: Final = 0.05
_UNAVAILABLE: Final = frozenset({"408", "429", "500", "502", "503", "504"})
_BAD_TOKEN: Final = ("invalid auth token", "user name is empty")


class StoreError(Exception):
    """The store did not do what was asked; the message says what each member answered."""


class Etcd:
    """A client of one etcd cluster. Connections are kept and used again."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._endpoints = list(settings.endpoints)
        self._idle: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}
        self._token = ""
        self._tls: ssl.SSLContext | None = None
        if any(e.startswith("https:") for e in self._endpoints):
            self._tls = ssl.create_default_context(cafile=settings.ca or None)
            if settings.certificate:
                self._tls.load_cert_chain(settings.certificate, settings.key or None)

    async def grant(self, ttl: int, *, seconds: float) -> int:
        """Make a lease; return its number."""
        answer = await self.call("/v3/lease/grant", {"TTL": ttl}, seconds=seconds)
        return int(answer["ID"])

    async def keep_alive(self, lease: int, *, seconds: float) -> bool:
        """Renew a lease; False if the store has ended it."""
        answer = await self.call("/v3/lease/keepalive", {"ID": lease}, seconds=seconds)
        return int(answer.get("result", {}).get("TTL", 0)) > 0

    async def revoke(self, lease: int, *, seconds: float) -> None:
        """End a lease and delete its keys; nothing if it has ended already."""
        try:
            await self.call("/v3/lease/revoke", {"ID": lease}, seconds=seconds)
        except StoreError as error:
            if "lease not found" not in str(error):
                raise

    async def below(self, folder: str, *, seconds: float) -> dict[str, str]:
        """Return all keys that begin so, with their values; as of now, by the quorum."""
        end = folder[:-1] + chr(ord(folder[-1]) + 1)
        body = {"key": _base64(folder), "range_end": _base64(end)}
        answer = await self.call("/v3/kv/range", body, seconds=seconds)
        return {_text(pair["key"]): _text(pair.get("value", "")) for pair in answer.get("kvs", [])}

    async def put_if_absent(self, key: str, value: str, lease: int, *, seconds: float) -> bool:
        """Create a key bound to a lease; False, and nothing done, if it exists."""
        compare = {"target": "VERSION", "version": "0"}
        return await self._put_if(compare, key, value, lease, seconds=seconds)

    async def put_if_same(self, key: str, value: str, lease: int, *, seconds: float) -> bool:
        """Bind a key to a lease if it has this very value; False, and nothing done, if not."""
        compare = {"target": "VALUE", "value": _base64(value)}
        return await self._put_if(compare, key, value, lease, seconds=seconds)

    async def _put_if(
        self, compare: Mapping[str, str], key: str, value: str, lease: int, *, seconds: float
    ) -> bool:
        name = _base64(key)
        body = {
            "compare": [{"key": name, "result": "EQUAL", **compare}],
            "success": [
                {"requestPut": {"key": name, "value": _base64(value), "lease": str(lease)}}
            ],
        }
        answer = await self.call("/v3/kv/txn", body, seconds=seconds)
        return bool(answer.get("succeeded", False))

    async def call(self, path: str, body: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """POST to the members in turn until one answers.

        Raises
        ------
        StoreError
            None did within `seconds`, or the answer is an error that no member would mend.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        said: list[str] = []
        for turn, endpoint in enumerate(list(self._endpoints)):
            left = until - loop.time()
            share = max(left / (len(self._endpoints) - turn), min(left, _LEAST_TURN_S))
            if share <= 0:
                break
            try:
                async with asyncio.timeout(share):
                    answer = await self._authorised(endpoint, path, body)
            except (OSError, EOFError, TimeoutError, _UnavailableError) as error:
                said.append(f"{endpoint}: {str(error) or 'no answer'}")
                if self._endpoints[0] == endpoint:  # ask it last from now on
                    self._endpoints.append(self._endpoints.pop(0))
                continue
            return answer
        raise StoreError("; ".join(said) or "no member was asked in time")

    def close(self) -> None:
        for connections in self._idle.values():
            for _, writer in connections:
                writer.close()
        self._idle.clear()

    async def _authorised(
        self, endpoint: str, path: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        if not self._settings.user:
            return await self._post(endpoint, path, body)
        if not self._token:
            await self._log_in(endpoint)
        try:
            return await self._post(endpoint, path, body)
        except StoreError as error:
            if not any(text in str(error) for text in _BAD_TOKEN):
                raise
        await self._log_in(endpoint)  # tokens live five minutes unless used
        return await self._post(endpoint, path, body)

    async def _log_in(self, endpoint: str) -> None:
        self._token = ""
        body = {"name": self._settings.user, "password": self._settings.password}
        answer = await self._post(endpoint, "/v3/auth/authenticate", body)
        self._token = str(answer["token"])

    async def _post(self, endpoint: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request and read its answer, on a connection that was kept if there is one."""
        connections = self._idle.setdefault(endpoint, [])
        while connections:
            streams = connections.pop()
            try:
                return await self._exchange(endpoint, streams, path, body)
            except (OSError, EOFError):
                continue  # the member closed it meanwhile: the next, or a new one
        parts = urlsplit(endpoint)
        tls = self._tls if parts.scheme == "https" else None
        port = parts.port or 2379
        streams = await asyncio.open_connection(parts.hostname, port, ssl=tls, limit=_MOST_BYTES)
        return await self._exchange(endpoint, streams, path, body)

    async def _exchange(
        self,
        endpoint: str,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        path: str,
        body: Mapping[str, Any],
    ) -> dict[str, Any]:
        reader, writer = streams
        keep = False
        try:
            payload = json.dumps(body).encode()
            lines = [
                f"POST {path} HTTP/1.1",
                f"Host: {urlsplit(endpoint).netloc}",
                "Content-Type: application/json",
                f"Content-Length: {len(payload)}",
            ]
            if self._token:
                lines.append(f"Authorization: {self._token}")
            writer.write("\r\n".join([*lines, "", ""]).encode() + payload)
            await writer.drain()
            status, text, keep = await _read_answer(reader)
        finally:
            if keep:
                self._idle.setdefault(endpoint, []).append(streams)
            else:
                writer.close()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if status == "200" and isinstance(answer, dict):
            return answer
        said = answer.get("message") or answer.get("error") if isinstance(answer, dict) else text
        message = f"{status}: {str(said)[:200]}"
        if status in _UNAVAILABLE:
            raise _UnavailableError(message)
        raise StoreError(f"{endpoint}: {message}")


class _UnavailableError(Exception):
    """A member cannot answer now; another may."""


async def _read_answer(reader: asyncio.StreamReader) -> tuple[str, str, bool]:
    """Read one HTTP/1.1 response (RFC 9112); return status, body, and whether to keep the line."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = head[0].split(" ", 2)[1] if " " in head[0] else ""
    fields = {
        name.strip().lower(): value.strip().lower()
        for name, _, value in (line.partition(":") for line in head[1:])
    }
    keep = fields.get("connection") != "close"
    if fields.get("transfer-encoding") == "chunked":
        body = await _read_chunks(reader)
    elif "content-length" in fields:
        body = await reader.readexactly(min(int(fields["content-length"]), _MOST_BYTES))
    else:
        body, keep = await reader.read(_MOST_BYTES), False
    return status, body.decode(errors="replace"), keep


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        chunk = (await reader.readexactly(size + 2))[:-2]
        if not size:
            return body
        body += chunk
        if len(body) > _MOST_BYTES:
            raise EOFError("the answer is too long")


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _text(encoded: str) -> str:
    with suppress(ValueError):
        return b64decode(encoded).decode(errors="replace")
    return ""
