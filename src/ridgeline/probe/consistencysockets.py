"""Ask one site what it serves: zones, configuration, certificate, cookies, TLS tickets.

Every question is bounded in time and never raises: what a site does not say is not there. Cookies
(RFC 7873, RFC 9018) and tickets (RFC 8446, section 2.2) are compared by what counts, whether one
site takes what another made; so neither the keys nor their number is learned.
"""

import os
import secrets
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from ridgeline.probe.certificate import certificate_end
from ridgeline.probe.sockets import MakeSocket, family_of, open_socket
from ridgeline.render.identity import TRACE_PATH
from ridgeline.spec.model import ServiceKind

CONFIG_NAME: Final = "config.whoami.anycast.test."
"""TXT records that tell with which configuration a name server runs."""
_TRIES: Final = 3
_FINGERPRINT: Final = 16
_TRACE_FACTS: Final = {"config": "configuration", "policy": "cache policy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One service at one site, and how to reach it there and nowhere else."""

    service: str
    kind: ServiceKind
    address: str
    """The site's own, or the anycast address where `make` opens sockets at the site itself."""
    source: str = ""
    """Address to ask from: the same for all sites that are compared; empty: any."""
    host: str = ""
    """Name for HTTP and TLS; empty: the address."""
    tls: bool = False
    zones: tuple[str, ...] = ()
    timeout: float = 2.0
    make: MakeSocket = open_socket

    @property
    def tls_port(self) -> int:
        return 443 if self.kind is ServiceKind.HTTP_CACHE else 853


Facts = dict[tuple[str, str], str]


def ask_service(asked: Asked) -> Facts:
    """Return what a service says of itself at one site; an absent fact was not told."""
    found: Facts = {}
    told = _name_server(asked) if asked.kind is not ServiceKind.HTTP_CACHE else _web(asked)
    for name, value in told:
        found[asked.service, name] = value
    return found


def _name_server(asked: Asked) -> Iterator[tuple[str, str]]:
    for zone in asked.zones:
        answer = _ask(asked, zone, "SOA")
        if answer is not None:
            yield f"serial of {zone}", _serial(answer)
    answer = _ask(asked, CONFIG_NAME, "TXT")
    for text in _texts(answer):
        name, _, value = text.partition("=")
        if value and text.isprintable():
            yield name[:64], value[:64]
    if asked.tls:
        yield from _certificate(asked)


def _serial(answer: dns.message.Message) -> str:
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.SOA:
            return str(rrset[0].serial)
    return str(dns.rcode.to_text(answer.rcode()))


def _texts(answer: dns.message.Message | None) -> Iterator[str]:
    for rrset in answer.answer if answer is not None else ():
        if rrset.rdtype == dns.rdatatype.TXT:
            for record in rrset:
                yield b"".join(record.strings).decode(errors="replace")


def _web(asked: Asked) -> Iterator[tuple[str, str]]:
    told = dict(line.split("=", 1) for line in _trace(asked).splitlines() if "=" in line)
    for key, name in _TRACE_FACTS.items():
        value = told.get(key, "")
        if value and value.isprintable():
            yield name, value[:64]
    if asked.tls:
        yield from _certificate(asked)


def _trace(asked: Asked) -> str:
    try:
        with _connect(asked, 80) as opened:
            return _fetch(opened, asked)
    except OSError:
        return ""


def _fetch(opened: socket.socket, asked: Asked) -> str:
    bracketed = f"[{asked.address}]" if ":" in asked.address else asked.address
    host = asked.host or bracketed
    request = f"GET {TRACE_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    opened.sendall(request.encode())
    data = b""
    while len(data) < 65536 and (chunk := opened.recv(4096)):
        data += chunk
    return data.partition(b"\r\n\r\n")[2].decode(errors="replace")


def _certificate(asked: Asked) -> Iterator[tuple[str, str]]:
    try:
        with _connect(asked, asked.tls_port) as opened, _wrap(opened, asked, _context()) as shown:
            der = shown.getpeercert(binary_form=True) or b""
    except OSError:
        return
    yield "certificate", sha256(der).hexdigest()[:_FINGERPRINT]
    ends = certificate_end(der)
    if ends is not None:
        yield "certificate ends", f"{ends:%Y-%m-%d %H:%M} UTC"


# Cookies.


@dataclass(slots=True)
class Cookies:
    """Whether sites take each other's DNS cookies; all asked with one client cookie, from one address."""

    client: bytes = field(default_factory=lambda: os.urandom(8))
    made: dict[str, bytes] = field(default_factory=dict)
    """Site -> the server cookie that it gave."""

    def give(self, site: str, asked: Asked) -> bool:
        """Have a site make a cookie; False if it makes none."""
        self._keep(site, self._ask(asked, self.client))
        return site in self.made

    def accepts(self, made_at: str, asked: Asked) -> bool:
        """Say whether a site takes the cookie that another made (BADCOOKIE: it does not)."""
        answer = self._ask(asked, self.client + self.made[made_at])
        return answer is not None and answer.rcode() != dns.rcode.BADCOOKIE

    def show(self, who: str, asked: Asked) -> bool | None:
        """Show what somebody holds; None: no answer. What is given instead is held from now on."""
        answer = self._ask(asked, self.client + self.made[who])
        if answer is None:
            return None
        self._keep(who, answer)
        return answer.rcode() != dns.rcode.BADCOOKIE

    def _keep(self, who: str, answer: dns.message.Message | None) -> None:
        for option in answer.options if answer is not None else ():
            if option.otype == dns.edns.OptionType.COOKIE:
                server = (option.to_wire() or b"")[8:]
                if server:
                    self.made[who] = server

    def _ask(self, asked: Asked, cookie: bytes) -> dns.message.Message | None:
        option = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie)
        name = asked.zones[0] if asked.zones else CONFIG_NAME
        return _ask(asked, name, "SOA" if asked.zones else "TXT", option)


# TLS tickets.


@dataclass(slots=True)
class Tickets:
    """Whether TLS sessions that began at one site resume at another."""

    context: ssl.SSLContext = field(default_factory=lambda: _context())  # noqa: PLW0108 - defined below
    made: dict[str, ssl.SSLSession] = field(default_factory=dict)

    def give(self, site: str, asked: Asked) -> bool:
        """Begin a session at a site; False if it gives no ticket."""
        session = self._session(asked, None)[0]
        if session is not None and session.has_ticket:
            self.made[site] = session
        return site in self.made

    def accepts(self, made_at: str, asked: Asked) -> bool:
        """Say whether a session of another site resumes at this one."""
        return self._session(asked, self.made[made_at])[1]

    def show(self, who: str, asked: Asked) -> bool | None:
        """Show what somebody holds; None: no handshake. What is given instead is held from now on."""
        session, resumed = self._session(asked, self.made[who])
        if session is None:
            return None
        if session.has_ticket:
            self.made[who] = session
        return resumed

    def _session(
        self, asked: Asked, session: ssl.SSLSession | None
    ) -> tuple[ssl.SSLSession | None, bool]:
        try:
            with (
                _connect(asked, asked.tls_port) as opened,
                _wrap(opened, asked, self.context, session) as shown,
            ):
                # TLS 1.3: the ticket comes after the handshake, so something must be read.
                if asked.kind is ServiceKind.HTTP_CACHE:
                    _fetch(shown, asked)
                else:
                    query = dns.message.make_query(CONFIG_NAME, "TXT").to_wire()
                    shown.sendall(len(query).to_bytes(2, "big") + query)
                    shown.recv(4096)
                return shown.session, bool(shown.session_reused)
        except OSError:
            return None, False


# Sockets.


def _context() -> ssl.SSLContext:
    """Trust everybody: what a site shows is compared with what other sites show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _wrap(
    opened: socket.socket,
    asked: Asked,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
) -> ssl.SSLSocket:
    return context.wrap_socket(opened, server_hostname=asked.host or asked.address, session=session)


def _connect(asked: Asked, port: int) -> socket.socket:
    opened = asked.make(family_of(asked.address), socket.SOCK_STREAM, 0)
    try:
        opened.settimeout(asked.timeout)
        if asked.source:
            opened.bind((asked.source, 0))
        opened.connect((asked.address, port))
    except OSError:
        opened.close()
        raise
    return opened


def _ask(
    asked: Asked, name: str, kind: str, option: dns.edns.Option | None = None
) -> dns.message.Message | None:
    """Ask by UDP, each time anew; None if nothing that answers the question came."""
    query = dns.message.make_query(
        name, kind, use_edns=0, payload=1232, options=[option] if option else None
    )
    query.flags &= ~int(dns.flags.RD)
    for _ in range(_TRIES):
        query.id = secrets.randbelow(65536)
        try:
            with asked.make(family_of(asked.address), socket.SOCK_DGRAM, 0) as opened:
                opened.settimeout(asked.timeout / _TRIES)
                if asked.source:
                    opened.bind((asked.source, 0))
                opened.connect((asked.address, 53))
                opened.send(query.to_wire())
                answer = dns.message.from_wire(opened.recv(65535))
        except (OSError, dns.exception.DNSException):
            continue
        if query.is_response(answer):
            return answer
    return None
