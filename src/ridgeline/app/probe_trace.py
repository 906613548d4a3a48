"""Traces with everything known about their hops: names, networks, places, where the paths part."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ridgeline.app.probe_lab import RESOLVER, LabPoints
from ridgeline.app.probe_places import find_here, guess_place, place_fields, seen_from
from ridgeline.errors import InputError, MachineError
from ridgeline.net.place import Place
from ridgeline.probe.astable import AsTable, read_as_table
from ridgeline.probe.identity import Answer, agree
from ridgeline.probe.names import HostNames
from ridgeline.probe.paths import meets_at, parts_at
from ridgeline.probe.sockets import MakeSocket, open_socket
from ridgeline.probe.tracecore import Hop, TracePolicy
from ridgeline.probe.tracer import Method, TraceRequest, TraceRun, new_run, resolve, run_traces

SCHEMA = "ridgeline.traces/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """What the user asked for."""

    targets: tuple[str, ...]
    method: Method = Method.DNS
    port: int = 0
    source_port: int = 0
    version: int | None = None
    policy: TracePolicy
    as_table: str = ""
    here: str = ""
    """IATA code of this machine's place."""
    lab: str = ""
    vantage: tuple[str, ...] = ()
    look_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _From:
    """Where traces begin."""

    name: str
    place: Place | None
    make: MakeSocket
    names: HostNames


class Tracing:
    """Traces under way: `run` makes them, `document` says what is known so far."""

    def __init__(
        self, runs: Sequence[TraceRun], origins: Sequence[_From], table: AsTable | None
    ) -> None:
        self._runs, self._origins, self._table = runs, origins, table
        self._is_looking_up = True

    def run(self, *, look_up: bool = True, beat: Callable[[], None] | None = None) -> None:
        """Make all traces; call `beat` now and then meanwhile."""
        asyncio.run(self._run(look_up=look_up, beat=beat))

    async def _run(self, *, look_up: bool, beat: Callable[[], None] | None) -> None:
        self._is_looking_up = look_up
        work = asyncio.create_task(run_traces(self._runs, look_up=look_up))
        try:
            while beat is not None and not work.done():
                await asyncio.wait({work}, timeout=0.15)
                beat()
            await work
        finally:
            work.cancel()
            for origin in self._origins:
                await origin.names.close()

    def document(self) -> dict[str, Any]:
        """Give the whole document."""
        hops = [run.hops() for run in self._runs]
        steps = [[hop.address for hop in path] for path in hops]
        parts, meets = parts_at(steps), meets_at(steps)
        return {
            "schema": SCHEMA,
            "traces": [
                self._trace(run, origin, path, part, meet)
                for run, origin, path, part, meet in zip(
                    self._runs, self._origins, hops, parts, meets, strict=True
                )
            ],
        }

    def _trace(
        self,
        run: TraceRun,
        origin: _From,
        path: Sequence[Hop],
        part: int | None,
        meet: int | None,
    ) -> dict[str, Any]:
        request = run.request
        return {
            "from": request.vantage,
            "target": request.target,
            "address": request.address,
            "method": request.method.value,
            "reached": run.core.reached,
            "problem": run.failure or run.core.problem or None,
            "site": agree(run.answers).site,
            "identity": {
                "same_flow": run.is_same_flow,
                "answers": [answer_document(answer) for answer in run.answers],
            },
            "parts_at": None if part is None else part + 1,
            "meets_at": None if meet is None else meet + 1,
            "hops": self._hops(path, origin),
        }

    def _hops(self, path: Sequence[Hop], origin: _From) -> list[dict[str, Any]]:
        known: list[tuple[str, Place, float]] = []
        if origin.place is not None:
            known.append((origin.name, origin.place, 0.0))
        made = []
        for hop in path:
            address = hop.address
            name = None
            if address is not None and self._is_looking_up:
                name = origin.names.find(address)
            network = self._table.find(address) if self._table and address else None
            rtt_ms = None if hop.rtt is None else round(hop.rtt * 1000, 3)
            sightings = [
                sighting
                for who, where, away_ms in known
                for sighting in seen_from(where, rtt_ms and rtt_ms + away_ms, who)
            ]
            place, _ = guess_place(name, sightings) if name else (None, "")
            if place is not None and rtt_ms is not None:
                known.append((place.city, place, rtt_ms))
            made.append(
                {
                    "ttl": hop.ttl,
                    "address": address,
                    "addresses": list(hop.addresses),
                    "name": name,
                    "rtt_ms": rtt_ms,
                    "rtts_ms": [round(reply.rtt * 1000, 3) for reply in hop.replies],
                    "sent": hop.sent,
                    "asn": network.asn if network else None,
                    "network": (network.name or f"AS{network.asn}") if network else None,
                    "city": place.code if place else None,
                    "place": None,
                    **(place_fields(name, sightings) if name else {}),
                    **({"note": hop.note} if hop.note else {}),
                }
            )
        return made


@contextmanager
def prepare_traces(options: TraceOptions) -> Iterator[Tracing]:
    """Resolve and read everything that traces need, before the first packet leaves.

    Raises
    ------
    InputError
        A target does not resolve, a table cannot be read, a place or client is unknown.
    MachineError
        The lab is not up.
    """
    table = read_as_table(options.as_table) if options.as_table else None
    here = find_here(options.here)
    lab = LabPoints(options.lab) if options.lab else None
    try:
        targets = [(t, _address(t, options.version, lab)) for t in options.targets]
        origins = _origins(options, here, lab)
        pairs = [(origin, target) for target in targets for origin in origins]
        runs = [
            new_run(
                TraceRequest(
                    target=target,
                    address=address,
                    vantage=origin.name,
                    method=options.method,
                    port=options.port,
                    source_port=options.source_port,
                    make=origin.make,
                ),
                options.policy,
                origin.names,
            )
            for origin, (target, address) in pairs
        ]
        yield Tracing(runs, [origin for origin, _ in pairs], table)
    finally:
        if lab is not None:
            lab.close()


def _origins(options: TraceOptions, here: Place | None, lab: LabPoints | None) -> list[_From]:
    if lab is None:
        if options.vantage:
            raise InputError("--from names clients of a lab; say which lab with --lab")
        return [_From(name="here", place=here, make=open_socket, names=HostNames())]
    return [
        _From(
            name=point.name,
            place=point.place,
            make=point.make,
            names=HostNames((RESOLVER,), make=point.make),
        )
        for point in lab.clients(options.vantage)
    ]


def _address(target: str, version: int | None, lab: LabPoints | None) -> str:
    """Resolve a target; in a lab a name is never asked of the machine's own resolvers."""
    try:
        return resolve(target, version, numeric=lab is not None)
    except InputError:
        if lab is None:
            raise
        raise InputError(f"{target!r} is no address; in a lab, name the target so") from None


def answer_document(answer: Answer) -> dict[str, Any]:
    """Describe what one way of asking gave, for programs."""
    return {
        "way": answer.way,
        "transport": answer.transport,
        "ipv": answer.version,
        "outcome": answer.outcome.value,
        "value": answer.value,
        "rtt_ms": None if answer.rtt_ms is None else round(answer.rtt_ms, 3),
        **({"detail": answer.detail} if answer.detail else {}),
    }


def write_trace_report(document: Mapping[str, Any], path: str) -> None:
    """Write traces as a page of its own.

    Raises
    ------
    MachineError
        The file cannot be written.
    """
    from ridgeline.picture.chips import Chips
    from ridgeline.picture.html import render_page, render_section
    from ridgeline.picture.markup import esc
    from ridgeline.picture.traces import STYLE, render_traces

    traces = document["traces"]
    chips = Chips(sorted({trace["site"] for trace in traces if trace["site"]}))
    targets = ", ".join(dict.fromkeys(trace["target"] for trace in traces))
    problems = "".join(
        f"<li>from {esc(trace['from'])} to {esc(trace['target'])}: {esc(trace['problem'])}</li>"
        for trace in traces
        if trace["problem"]
    )
    body = (
        f'<header class="top"><h1>Paths to {esc(targets)}</h1></header><main>'
        + render_section("paths", "Which way, and who answers", render_traces(traces, chips))
        + render_section(
            "problems", "What did not come through", problems and f"<ul>{problems}</ul>"
        )
        + "</main>"
    )
    page = render_page(f"Paths to {targets}", body, style=STYLE + chips.style())
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error.strerror}") from None
