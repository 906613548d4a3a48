"""RIPE Atlas results: ping, traceroute, and DNS that asks who answers (CHAOS, NSID).

Firmware 1 to 5000 and later, as the API gives them. What cannot be read becomes `Skipped` with the
reason, never an exception: results come from ten thousand strangers' living rooms.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Any, Final, TypeAlias

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype

_TOO_SLOW_MS: Final = 60_000.0
_MAX_HOPS: Final = 255
_LONGEST_IDENTITY: Final = 255


class Kind(StrEnum):
    """What a probe did."""

    PING = "ping"
    DNS = "dns"
    TRACEROUTE = "traceroute"


@dataclass(frozen=True, slots=True)
class Hop:
    """One router on the way, or silence."""

    number: int
    address: str
    """Empty: nobody answered."""
    rtt_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasResult:
    """One probe's answer at one time."""

    kind: Kind
    probe: str
    target: str
    """Address asked; its name where no address is told."""
    at: int | None
    """Seconds since 1970."""
    rtt_ms: float | None = None
    """The fastest reply; None: no reply."""
    identity: str = ""
    """What the server called itself: CHAOS TXT (RFC 4892), else NSID (RFC 5001)."""
    hops: tuple[Hop, ...] = ()
    error: str = ""
    """Why there is no reply, in the probe's words."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that is no result we can use."""

    reason: str


Parsed: TypeAlias = AtlasResult | Skipped


def parse_result(document: Mapping[str, Any]) -> list[Parsed]:
    """Read one result; several where a probe asked all of its resolvers."""
    probe = document.get("prb_id")
    if isinstance(probe, bool) or not isinstance(probe, int | str) or not str(probe).strip():
        return [Skipped("no prb_id")]
    kind = _kind(document)
    if kind is None:
        return [Skipped(f"type {str(document.get('type'))[:20]!r}")]
    read = {Kind.PING: _ping, Kind.DNS: _dns, Kind.TRACEROUTE: _traceroute}[kind]
    return read(document, str(probe).strip())


def _kind(document: Mapping[str, Any]) -> Kind | None:
    word = str(document.get("type") or document.get("msm_name") or "").lower()
    for kind in Kind:
        if word.startswith(kind.value) or (kind is Kind.DNS and word in ("tdig", "evtdig")):
            return kind
    if "resultset" in document:
        return Kind.DNS
    if "min" in document and "rcvd" in document:
        return Kind.PING
    return None


def _text(document: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        value = document.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def _target(document: Mapping[str, Any]) -> str:
    return _text(document, "dst_addr", "addr", "dst_name", "name")


def _number(value: object) -> float | None:
    """Read a finite number; JSON has integers that no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def _time(document: Mapping[str, Any]) -> int | None:
    value = _number(document.get("timestamp", document.get("time")))
    return None if value is None else int(value)


def _rtt(value: object) -> float | None:
    """Read a round-trip time; probes write -1 for none."""
    number = _number(value)
    return number if number is not None and 0 < number < _TOO_SLOW_MS else None


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _error(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())[:200]
    return ""


def _ping(document: Mapping[str, Any], probe: str) -> list[Parsed]:
    replies = _objects(document.get("result"))
    times = [rtt for reply in replies if (rtt := _rtt(reply.get("rtt"))) is not None]
    if not times and (least := _rtt(document.get("min"))) is not None:
        times = [least]
    errors = [text for reply in replies if (text := _error(reply.get("error")))]
    return [
        AtlasResult(
            kind=Kind.PING,
            probe=probe,
            target=_target(document),
            at=_time(document),
            rtt_ms=min(times, default=None),
            error="" if times else (errors[0] if errors else "timeout"),
        )
    ]


def _traceroute(document: Mapping[str, Any], probe: str) -> list[Parsed]:
    target = _target(document)
    steps = _objects(document.get("result"))
    if not isinstance(document.get("result"), list):
        return [Skipped("traceroute without a list of hops")]
    hops = [hop for step in steps if (hop := _hop(step)) is not None]
    reached = [hop.rtt_ms for hop in hops if hop.address == target and hop.rtt_ms is not None]
    errors = [text for step in steps if (text := _error(step.get("error")))]
    return [
        AtlasResult(
            kind=Kind.TRACEROUTE,
            probe=probe,
            target=target,
            at=_time(document),
            rtt_ms=min(reached, default=None),
            hops=tuple(hops),
            error="" if reached else (errors[0] if errors else "the target did not answer"),
        )
    ]


def _hop(step: Mapping[str, Any]) -> Hop | None:
    number = step.get("hop")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= _MAX_HOPS:
        return None
    best: Hop | None = None
    for reply in _objects(step.get("result")):
        address, rtt = _text(reply, "from"), _rtt(reply.get("rtt"))
        if not address or "late" in reply:
            continue
        if best is None or (rtt is not None and (best.rtt_ms is None or rtt < best.rtt_ms)):
            best = Hop(number, address, rtt)
    return best or Hop(number, "", None)


def _dns(document: Mapping[str, Any], probe: str) -> list[Parsed]:
    answers = _objects(document.get("resultset")) or [document]
    return [_dns_answer(document, answer, probe) for answer in answers]


def _dns_answer(document: Mapping[str, Any], answer: Mapping[str, Any], probe: str) -> AtlasResult:
    result = answer.get("result")
    inner: Mapping[str, Any] = result if isinstance(result, dict) else {}
    rtt = _rtt(inner.get("rt"))
    error = _error(answer.get("error")) or _error(inner.get("error"))
    if not error and rtt is None:
        error = "timeout"
    return AtlasResult(
        kind=Kind.DNS,
        probe=probe,
        target=_target(answer) or _target(document),
        at=_time(answer) or _time(document),
        rtt_ms=rtt,
        identity=_answered(inner) or identity_of_wire(inner.get("abuf")),
        error=error,
    )


def _answered(result: Mapping[str, Any]) -> str:
    """Read what the probe decoded itself: TXT under names such as ``hostname.bind``."""
    for record in _objects(result.get("answers")):
        data = record.get("RDATA")
        texts: Sequence[object] = data if isinstance(data, list) else [data]
        found = "".join(text for text in texts if isinstance(text, str))
        if str(record.get("TYPE", "TXT")).upper() == "TXT" and found:
            return clean_identity(found)
    return ""


def identity_of_wire(abuf: object) -> str:
    """Read the identity in a DNS message (base64): a CHAOS TXT answer, else NSID; else nothing."""
    if not isinstance(abuf, str) or not abuf:
        return ""
    try:
        wire = base64.b64decode(abuf, validate=False)
        message = dns.message.from_wire(wire, ignore_trailing=True)
    except (binascii.Error, dns.exception.DNSException, ValueError, IndexError):
        return ""
    for rrset in message.answer:
        if rrset.rdtype == dns.rdatatype.TXT and rrset.rdclass == dns.rdataclass.CH:
            text = b"".join(s for rdata in rrset for s in rdata.strings)
            if text:
                return clean_identity(text.decode("utf-8", "replace"))
    for option in message.options:
        if option.otype == dns.edns.OptionType.NSID:
            return readable_nsid(option.to_wire() or b"")
    return ""


def readable_nsid(nsid: bytes) -> str:
    """Write an NSID as text where it is text, else in hexadecimal (RFC 5001, section 2.3)."""
    if nsid and all(32 <= byte < 127 for byte in nsid):
        return clean_identity(nsid.decode("ascii"))
    return nsid.hex()[:_LONGEST_IDENTITY]


def clean_identity(text: str) -> str:
    """Leave out what no identity has: control characters, quotes around it, endless length."""
    printable = "".join(c for c in text if c.isprintable()).strip().strip('"').strip()
    return printable[:_LONGEST_IDENTITY]
