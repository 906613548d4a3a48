"""Run traceroutes side by side: the loop between `tracecore` and `tracesockets`."""

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from ridgeline.errors import InputError, MachineError
from ridgeline.probe.identifysockets import Asking, ask_tcp, ask_udp, ask_web
from ridgeline.probe.identity import Answer, DnsQuestion
from ridgeline.probe.names import HostNames
from ridgeline.probe.sockets import MakeSocket, open_socket
from ridgeline.probe.tracecore import (
    Event,
    Finished,
    Hop,
    SendFailed,
    SendProbe,
    TracePolicy,
    TracerouteCore,
    WakeAt,
    Woken,
)
from ridgeline.probe.tracesockets import IcmpTrace, TcpTrace, TraceSocket, UdpTrace

QUESTION: Final = DnsQuestion(name="id.server", is_chaos=True)
_MAX_AT_ONCE: Final = 32
DNS_PORT: Final = 53
TLS_PORTS: Final = frozenset({443, 8443})


class Method(StrEnum):
    """What probes are."""

    DNS = "dns"
    """DNS queries over UDP, so that the target answers and says who it is."""
    UDP = "udp"
    ICMP = "icmp"
    TCP = "tcp"


PORTS: Final = {Method.DNS: 53, Method.UDP: 33434, Method.TCP: 443, Method.ICMP: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRequest:
    """One trace to make."""

    target: str
    """As the user named it."""
    address: str
    vantage: str = "here"
    method: Method = Method.DNS
    port: int = 0
    """0: the method's own."""
    source_port: int = 0
    """0: any; another one may take another path."""
    make: MakeSocket = open_socket


def new_run(request: TraceRequest, policy: TracePolicy, names: HostNames) -> "TraceRun":
    """Begin a trace; by TCP one probe is under way at a time, since all leave by one port."""
    if request.method is Method.TCP:
        policy = replace(policy, window=1)
    return TraceRun(request=request, core=TracerouteCore(policy), names=names)


@dataclass(slots=True)
class TraceRun:
    """A trace under way, or done."""

    request: TraceRequest
    core: TracerouteCore
    names: HostNames
    answers: list[Answer] = field(default_factory=list)
    """What the target says about itself, asked by the flow of the trace or beside it."""
    is_same_flow: bool = False
    failure: str = ""
    """Why there is no trace at all."""

    def hops(self) -> tuple[Hop, ...]:
        return self.core.hops()


def resolve(target: str, version: int | None = None, *, numeric: bool = False) -> str:
    """Find the address of a name; an address is itself, and nothing else will do if `numeric`.

    Raises
    ------
    InputError
        The name does not resolve, or not to that version of IP.
    """
    family = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}[version]
    what = "" if version is None else f" to an IPv{version} address"
    flags = socket.AI_NUMERICHOST if numeric else 0
    try:
        found = socket.getaddrinfo(target, None, family, socket.SOCK_DGRAM, 0, flags)
    except (socket.gaierror, UnicodeError) as error:
        why = error.strerror if isinstance(error, socket.gaierror) else "it is no host name"
        raise InputError(f"{target!r} does not resolve{what}: {why}") from None
    return str(found[0][4][0]).partition("%")[0]


async def run_traces(runs: Sequence[TraceRun], *, look_up: bool = True) -> None:
    """Make all traces at once, at most a few dozen together; each run's state grows on the way."""
    turn = asyncio.Semaphore(_MAX_AT_ONCE)

    async def one(run: TraceRun) -> None:
        async with turn:
            try:
                await _run(run, look_up=look_up)
            except MachineError as error:
                run.failure = str(error)

    await asyncio.gather(*(one(run) for run in runs))
    if runs and all(run.failure for run in runs):
        raise MachineError(runs[0].failure)


async def _run(run: TraceRun, *, look_up: bool) -> None:
    request = run.request
    sock = _open(request)
    try:
        await _Driver(run, sock, look_up=look_up).drive()
        await _ask_who(run, sock)
    finally:
        sock.close()
    if look_up:
        await run.names.finish()


def _open(request: TraceRequest) -> TraceSocket:
    port = request.port or PORTS[request.method]
    address, source_port, make = request.address, request.source_port, request.make
    match request.method:
        case Method.ICMP:
            return IcmpTrace(address, make=make)
        case Method.TCP:
            return TcpTrace(address, port, source_port=source_port, make=make)
        case Method.DNS:
            query = QUESTION.wire()
            return UdpTrace(address, port, query=query, source_port=source_port, make=make)
        case Method.UDP:
            return UdpTrace(address, port, source_port=source_port, make=make)


class _Driver:
    """Carries out what the core of one trace says."""

    def __init__(self, run: TraceRun, sock: TraceSocket, *, look_up: bool) -> None:
        self._run, self._socket, self._look_up = run, sock, look_up
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    async def drive(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._hear)
        try:
            self._feed(Woken())
            await self._done
        finally:
            self._loop.remove_reader(self._socket.fileno())
            if self._timer is not None:
                self._timer.cancel()

    def _hear(self) -> None:
        for reply in self._socket.hear():
            if self._look_up:
                self._run.names.look_up(reply.address)
            self._feed(reply)

    def _feed(self, event: Event) -> None:
        now = time.monotonic()
        for command in self._run.core.handle(event, now=now):
            match command:
                case SendProbe(ttl=ttl, sequence=sequence):
                    why = self._socket.send(ttl, sequence)
                    if why:
                        self._feed(SendFailed(sequence=sequence, why=why))
                case WakeAt(at=at):
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = self._loop.call_later(max(0.0, at - now), self._feed, Woken())
                case Finished():
                    if not self._done.done():
                        self._done.set_result(None)


async def _ask_who(run: TraceRun, sock: TraceSocket) -> None:
    """Ask the target who it is: by the flow of the trace where the probes can carry a question."""
    if not run.core.reached:
        return
    request = run.request
    asking = Asking(address=request.address, host=_host(request), make=request.make)
    if isinstance(sock, UdpTrace) and request.method is Method.DNS:
        run.is_same_flow = True
        if sock.answer is not None:
            pair = QUESTION.answer(sock.answer, transport="udp", version=asking.version)
            run.answers = list(pair)
    elif isinstance(sock, TcpTrace):
        run.is_same_flow = True
        port = request.port or PORTS[Method.TCP]
        flow = sock.open_flow()
        if port == DNS_PORT:
            run.answers = list(await ask_tcp(asking, QUESTION, sock=flow))
        else:
            ports = replace(asking, http_port=port, tls_port=port)
            run.answers = await ask_web(ports, tls=port in TLS_PORTS, sock=flow)
    else:
        run.answers = list(await ask_udp(asking, QUESTION))


def _host(request: TraceRequest) -> str:
    return "" if request.target == request.address else request.target
