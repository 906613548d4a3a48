"""Who answers at an address: every way to ask, and what each answer means. No socket here.

    WAYS --> DnsQuestion.wire() --> (the network) --> DnsQuestion.answer(wire) --> Answer

NSID (RFC 5001), CHAOS identity (RFC 4892), TXT names that tell who answers, HTTP pages and fields,
the name in the certificate. Each way's answer is shown as what it is; `agree` compares them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT

MAX_SHOWN: Final = 255
UDP_BYTES: Final = 1232  # what passes every path unfragmented (DNS flag day 2020)
WHOAMI: Final = "whoami.anycast.test"
TRACE_PATHS: Final = ("/.well-known/anycast-trace", "/cdn-cgi/trace")
NSID: Final = "nsid"
CERTIFICATE: Final = "certificate"
CHAOS_NAMES: Final = ("id.server", "hostname.bind", "version.server", "version.bind")


class Outcome(StrEnum):
    """What came of asking in one way."""

    ANSWERED = "answered"
    NO_RECORD = "no such record"
    """A sound answer that holds no identity."""
    REFUSED = "refused"
    """The server says no (RFC 1035 REFUSED, NOTIMP...), or nobody listens at that port."""
    RATE_LIMITED = "rate-limited"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one way of asking gave."""

    way: str
    """``nsid``, ``id.server``, ``TXT whoami.anycast.test``, ``x-served-by``, ``certificate``..."""
    transport: str
    """``udp``, ``tcp``, ``http`` or ``tls``."""
    version: int
    """Of IP: 4 or 6."""
    outcome: Outcome
    value: str | None = None
    """The identity as it was given; None unless answered."""
    rtt_ms: float | None = None
    """Of the question, without the connection before it."""
    detail: str = ""
    """What was found instead, in words."""

    @property
    def tells_site(self) -> bool:
        """Whether the value may name a site; a version says which software, not where."""
        return self.value is not None and not self.way.startswith("version.")

    @property
    def is_weak(self) -> bool:
        """Whether the value as often names something else, so that it counts if it is a place."""
        return self.way in _WEAK or self.way == CERTIFICATE


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsQuestion:
    """One DNS question that asks who answers. All of them ask for the NSID as well."""

    name: str
    is_chaos: bool

    @property
    def way(self) -> str:
        return self.name if self.is_chaos else f"TXT {self.name}"

    def wire(self, number: int = 0) -> bytes:
        """Make the message; its first two bytes are `number`."""
        query = dns.message.make_query(
            self.name,
            dns.rdatatype.TXT,
            dns.rdataclass.CH if self.is_chaos else dns.rdataclass.IN,
            use_edns=0,
            payload=UDP_BYTES,
            options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")],
            id=number,
        )
        query.flags = dns.flags.Flag(0 if self.is_chaos else dns.flags.RD)
        return query.to_wire()

    def answer(
        self, wire: bytes, *, transport: str, version: int, rtt_ms: float | None = None
    ) -> tuple[Answer, Answer]:
        """Read the answer: what it says to the question, and its NSID."""

        def made(way: str, outcome: Outcome, value: str | None = None, detail: str = "") -> Answer:
            return Answer(
                way=way,
                transport=transport,
                version=version,
                outcome=outcome,
                value=value,
                rtt_ms=rtt_ms,
                detail=detail,
            )

        try:
            message = dns.message.from_wire(wire, ignore_trailing=True)
        except dns.message.Truncated:
            message = None
        except (dns.exception.DNSException, ValueError, IndexError, KeyError) as error:
            detail = str(error) or type(error).__name__
            return (
                made(self.way, Outcome.MALFORMED, detail=detail),
                made(NSID, Outcome.MALFORMED, detail=detail),
            )
        if message is not None and not message.flags & dns.flags.QR:
            detail = "a query came back instead of an answer"
            return (
                made(self.way, Outcome.MALFORMED, detail=detail),
                made(NSID, Outcome.MALFORMED, detail=detail),
            )
        if message is None or (message.flags & dns.flags.TC and not message.answer):
            detail = "the answer does not fit UDP, or the server limits its rate: ask over TCP"
            return (
                made(self.way, Outcome.TRUNCATED, detail=detail),
                made(NSID, Outcome.TRUNCATED, detail=detail),
            )
        nsid = _nsid(message)
        other = (
            made(NSID, Outcome.ANSWERED, nsid)
            if nsid
            else made(NSID, Outcome.NO_RECORD, detail="the server sent no NSID")
        )
        text = self._text(message)
        if text:
            return made(self.way, Outcome.ANSWERED, text), other
        rcode = message.rcode()
        name = dns.rcode.to_text(rcode)
        if rcode in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return made(self.way, Outcome.NO_RECORD, detail=name), other
        refusing = (dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.NOTAUTH)
        outcome = Outcome.REFUSED if rcode in refusing else Outcome.FAILED
        return made(self.way, outcome, detail=name), other

    def _text(self, message: dns.message.Message) -> str | None:
        for rrset in message.answer:
            for record in rrset:
                if isinstance(record, dns.rdtypes.ANY.TXT.TXT):
                    return clean(b"".join(record.strings))
        return None


def dns_questions(names: Iterable[str] = (WHOAMI,)) -> tuple[DnsQuestion, ...]:
    """Make the questions that identify a name server; `names` are TXT names to ask besides."""
    return (
        *(DnsQuestion(name=name, is_chaos=True) for name in CHAOS_NAMES),
        *(DnsQuestion(name=name, is_chaos=False) for name in names),
    )


def clean(value: bytes) -> str:
    """Make text of what a stranger sent: printable, and no longer than anyone wants to read."""
    text = value.decode("utf-8", errors="replace")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown.strip()[:MAX_SHOWN]


def _nsid(message: dns.message.Message) -> str | None:
    for option in message.options:
        if option.otype == dns.edns.OptionType.NSID:
            wire = option.to_wire()
            if wire:
                is_text = wire.isascii() and wire.decode("ascii").isprintable()
                return clean(wire) if is_text else wire[: MAX_SHOWN // 2].hex()
    return None


# HTTP. Field -> what in it names the site; the first group is the identity.
_FIELDS: Final[Mapping[str, re.Pattern[str]]] = {
    "x-served-by": re.compile(r"(?:.*,\s*)?([^\s,]+)\s*$"),  # the last cache is the nearest
    "cf-ray": re.compile(r"[0-9a-f]+-([A-Z]{3})$"),
    "x-amz-cf-pop": re.compile(r"([A-Z]{3}\d*(?:-[A-Z]\d+)?)$"),
    "server-timing": re.compile(
        r"(?:^|.*[,\s])(?:cdn-?pop|pop|edge|colo|site)\s*;\s*desc=\"?([\w.-]+)", re.IGNORECASE
    ),
    "cache-status": re.compile(r"(?:.*,\s*)?\"?([\w.:/-]+)\"?\s*(?:;[^,]*)?$"),  # RFC 9211
    "via": re.compile(r"(?:.*,\s*)?(?:[\w.]+/)?[\d.]+\s+([\w.:-]+)[^,]*$"),  # RFC 9110, 7.6.3
    "x-cache": re.compile(r"(?:.*,\s*)?\w+\s+from\s+([\w.-]+)", re.IGNORECASE),
    "x-site": re.compile(r"([\w.-]+)$"),
    "x-pop": re.compile(r"([\w.-]+)$"),
}
# Fields that often name a cache's software or role alone: they count if the name is like a site's.
_WEAK: Final = frozenset({"via", "cache-status", "x-cache"})
_SOFTWARE: Final = re.compile(
    r"(?:varnish|nginx|squid|cache|cdn|edge|proxy|google|cloudfront|apache|traffic_?server|ats|"
    r"hit|miss|envoy|haproxy|caddy)(?:[-_/.]?[\d.]+)?$",
    re.IGNORECASE,
)
_BODY_KEYS: Final = ("site", "colo", "pop", "edge")
_MAX_HEAD: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpHead:
    """Status and fields of an HTTP answer, names in lower case; a repeated field is joined."""

    status: int
    fields: Mapping[str, str]


def read_head(data: bytes) -> tuple[HttpHead, bytes]:
    """Read the head of an HTTP/1 answer and return what follows it (RFC 9112, section 2.1).

    Raises
    ------
    ValueError
        It is none, or not all of it.
    """
    head, end, body = data[:_MAX_HEAD].partition(b"\r\n\r\n")
    status_line, *lines = head.split(b"\r\n")
    words = status_line.split(None, 2)
    if not end:
        raise ValueError("the head of the answer does not end")
    if (
        len(words) < 2
        or not words[0].startswith(b"HTTP/1.")
        or not re.fullmatch(rb"\d{3}", words[1])
    ):
        raise ValueError(f"no HTTP answer: {clean(status_line[:60])!r}")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        key = clean(name).lower()
        if colon and key:
            text = clean(value)
            fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return HttpHead(int(words[1]), fields), body


def read_http(
    data: bytes, *, path: str, transport: str, version: int, rtt_ms: float | None = None
) -> tuple[Answer, ...]:
    """Read who answered from the answer to a request for a trace page: page, then fields."""

    def made(way: str, outcome: Outcome, value: str | None = None, detail: str = "") -> Answer:
        return Answer(
            way=way,
            transport=transport,
            version=version,
            outcome=outcome,
            value=value,
            rtt_ms=rtt_ms,
            detail=detail,
        )

    try:
        head, body = read_head(data)
    except ValueError as error:
        return (made(path, Outcome.MALFORMED, detail=str(error)),)
    value = _body_site(body) if 200 <= head.status < 300 else None
    if value:
        page = made(path, Outcome.ANSWERED, value)
    elif head.status == 429:
        page = made(path, Outcome.RATE_LIMITED, detail="HTTP 429")
    elif head.status in (401, 403, 451):
        page = made(path, Outcome.REFUSED, detail=f"HTTP {head.status}")
    elif head.status >= 500:
        page = made(path, Outcome.FAILED, detail=f"HTTP {head.status}")
    else:
        page = made(path, Outcome.NO_RECORD, detail=f"HTTP {head.status}")
    named = [
        made(field, Outcome.ANSWERED, found)
        for field in _FIELDS
        if (found := field_site(field, head.fields.get(field, "")))
    ]
    return (page, *named)


def field_site(field: str, value: str) -> str | None:
    """Take the site's name out of an HTTP field; None if it tells none."""
    pattern = _FIELDS.get(field)
    found = pattern.match(value) if pattern and value else None
    if not found or (field in _WEAK and _SOFTWARE.fullmatch(found[1])):
        return None
    return found[1]


def _body_site(body: bytes) -> str | None:
    """Find ``site=nrt`` or ``colo=NRT`` in a page of such lines."""
    found: dict[str, str] = {}
    for line in clean_lines(body):
        key, equals, value = line.partition("=")
        if equals and value:
            found.setdefault(key.strip().lower(), value.strip())
    return next((found[key] for key in _BODY_KEYS if key in found), None)


def clean_lines(body: bytes, most: int = 200) -> list[str]:
    """Split a page from a stranger into clean lines."""
    return [clean(line) for line in body[:_MAX_HEAD].splitlines()[:most]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Whether all ways name one site."""

    site: str | None
    """The name that most ways give; None if none gives one."""
    names: Mapping[str, tuple[str, ...]]
    """Each name given, as given first, and the ways that gave it; the commonest first."""

    @property
    def is_one(self) -> bool:
        return len(self.names) == 1


def agree(answers: Sequence[Answer], place_of: Mapping[str, str] | None = None) -> Agreement:
    """Compare what the ways of asking say.

    Names are equal if they differ in case alone, or if `place_of` leads both to one place. What
    is weak counts only with a place.
    """
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.tells_site and answer.value is not None:
            place = (place_of or {}).get(answer.value)
            if place or not answer.is_weak:
                groups.setdefault(place or answer.value.casefold(), []).append(answer)
    ranked = sorted(groups.values(), key=len, reverse=True)  # stable: the first of equals leads
    names = {
        str(group[0].value): tuple(
            dict.fromkeys(f"{a.way}/{a.transport}{a.version}" for a in group)
        )
        for group in ranked
    }
    return Agreement(site=next(iter(names), None), names=names)
