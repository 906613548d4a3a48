"""A sweep from inside: probes leave from the anycast address, and every site listens."""

import contextlib
import os
import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ridgeline.app.probe_lab import LabPoints
from ridgeline.app.probe_sweep import Subject, Swept, find_subject, make_map
from ridgeline.errors import InputError, MachineError
from ridgeline.net.address import is_address
from ridgeline.probe.hitlist import Hitlist, read_hitlist
from ridgeline.probe.journal import Journal, SweepIdentity
from ridgeline.probe.sockets import MakeSocket, family_of, open_socket
from ridgeline.probe.sweepcore import SweepCore, SweepPolicy
from ridgeline.probe.sweepsockets import (
    TOKEN_BYTES,
    CommandListener,
    Listener,
    Sender,
    SiteListener,
    Sweeping,
)

_READY_S = 20.0
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InsideOptions:
    """What the user asked for; rate and number of targets have no defaults on purpose."""

    target: str
    sender: str
    """Site from which the probes leave."""
    rate: float
    max_targets: int
    version: int = 4
    service: str = ""
    lab: str = ""
    hitlist: str = ""
    """File; in a lab its clients are the default."""
    sites: tuple[str, ...] = ()
    """Other sites that listen; in a lab all do."""
    listen: str = ""
    """Command that listens at ``{site}`` for ``{address}`` and ``{token}``."""
    journal: str = ""
    seed: int = 0
    patience: float = 5.0


class InsideSweep:
    """Everything that a sweep from inside needs; nothing is sent before `run`.

    Raises
    ------
    InputError
        The target, the hitlist or a site is wrong, or something must not be asked.
    MachineError
        The lab is not up.
    """

    def __init__(self, options: InsideOptions) -> None:
        self._options = options
        self._lab = LabPoints(options.lab) if options.lab else None
        try:
            self.policy = SweepPolicy(rate=options.rate, patience=options.patience)
        except ValueError as error:
            raise InputError(f"--rate: {error}") from None
        self._subject: Subject = find_subject(
            options.target, lab=self._lab, version=options.version, service=options.service
        )
        self.address = self._subject.asked[0].address
        self.sites = self._listening_sites()
        self.hitlist = self._read_hitlist()
        self.identity = SweepIdentity(
            address=self.address,
            sender=options.sender,
            hitlist=self.hitlist.digest,
            n_targets=len(self.hitlist),
            seed=options.seed,
        )

    def plan(self) -> dict[str, Any]:
        """Describe what `run` would send; reads the journal, if there is one, and sends nothing."""
        asked: set[int] = set()
        if self._options.journal and Path(self._options.journal).exists():
            journal = Journal(self._options.journal, self.identity)
            asked = set(journal.asked)
            journal.close()
        order = [at for at in self.hitlist.order(self._options.seed) if at not in asked]
        return {
            "schema": "ridgeline.sweep-plan/1",
            "from": self.address,
            "at": self._options.sender,
            "listening": list(self.sites),
            "n_targets": len(self.hitlist),
            "n_asked_before": len(asked),
            "n_to_ask": len(order),
            "rate": self.policy.rate,
            "seconds": round(len(order) / self.policy.rate + self.policy.patience, 1),
            "first": [self.hitlist.addresses[at] for at in order[:_SHOWN]],
        }

    def run(self, tell: Callable[[str], None]) -> Swept:
        """Ask everybody who was not asked before, and say where the replies landed."""
        core = SweepCore(self.hitlist.order(self._options.seed), self.policy)
        token = os.urandom(TOKEN_BYTES)
        with ExitStack() as stack:
            journal = None
            if self._options.journal:
                journal = Journal(self._options.journal, self.identity)
                stack.callback(journal.close)
                core.remember(journal.asked, journal.landed)
            listeners = [
                stack.enter_context(contextlib.closing(self._listen(site, token)))
                for site in self.sites
            ]
            for listener in listeners:
                if isinstance(listener, CommandListener):
                    listener.wait_until_ready(_READY_S)
            make = self._maker(self._options.sender)
            sender = Sender(self.address, token, make=make)
            stack.callback(sender.close)
            sweeping = Sweeping(
                core,
                self.hitlist.addresses,
                sender,
                listeners,
                journal=journal,
                progress=lambda core: tell(self._in_words(core)),
            )
            sweeping.run()
        return self._swept(core)

    def close(self) -> None:
        if self._lab is not None:
            self._lab.close()

    def _swept(self, core: SweepCore) -> Swept:
        rows, problems = [], dict[str, str]()
        n_aliases = 0
        for index, (address, row) in enumerate(
            zip(self.hitlist.addresses, self.hitlist.rows, strict=True)
        ):
            landing = core.landed.get(index)
            if landing is None:
                problems[row.name] = core.failed.get(index, "no reply")
                rows.append(row)
                continue
            n_aliases += ip_address(landing.source) != ip_address(address)
            # Only where it came back to who sent it is the time that of one path.
            is_home = landing.site == self._options.sender and landing.rtt is not None
            rtt_ms = round((landing.rtt or 0.0) * 1000, 3) if is_home else None
            rows.append(replace(row, site=landing.site, rtt_ms=rtt_ms))
        where = self._options.hitlist or f"clients of lab {self._options.lab}"
        return Swept(
            catchment=make_map(
                rows,
                self._subject,
                in_lab=self._lab is not None,
                source=f"echoes from {self._options.sender} to {where}",
                address=self.address,
            ),
            how="inside",
            problems=problems,
            facts={
                "n_sent": core.n_asked,
                "n_repeated": core.n_repeated,
                "n_from_another_address": n_aliases,
            },
        )

    def _in_words(self, core: SweepCore) -> str:
        n_landed = len(core.landed)
        counts: dict[str, int] = {}
        for landing in core.landed.values():
            counts[landing.site] = counts.get(landing.site, 0) + 1
        shares = ", ".join(
            f"{site} {100 * n / n_landed:.0f} %" for site, n in sorted(counts.items())
        )
        return f"asked {core.n_asked}, {core.n_left} to go, {n_landed} landed {shares}".rstrip()

    def _listening_sites(self) -> tuple[str, ...]:
        options = self._options
        if self._lab is not None:
            known = self._lab.sites()
            if options.sender not in known:
                raise InputError(
                    f"no site {options.sender!r} in this lab; the sites are {', '.join(known)}"
                )
            return tuple(known)
        others = [site for site in options.sites if site != options.sender]
        if others and not options.listen:
            raise InputError("--sites: say with --listen by which command the others listen")
        return (options.sender, *others)

    def _read_hitlist(self) -> Hitlist:
        options = self._options
        if options.hitlist:
            try:
                lines = Path(options.hitlist).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{options.hitlist}: cannot be read: {error}") from None
        elif self._lab is None:
            raise InputError("--hitlist: name the file of addresses to ask")
        else:
            lines = list(self._client_addresses())
        hitlist = read_hitlist(
            lines,
            file=options.hitlist or "clients",
            version=ip_address(self.address).version,
            max_targets=options.max_targets,
            ours=self._subject.prefixes,
            in_lab=self._lab is not None,
        )
        if self._lab is None or options.hitlist:
            return hitlist
        by_name = {point.row.name: point.row for point in self._lab.clients()}
        return replace(hitlist, rows=tuple(by_name[row.name] for row in hitlist.rows))

    def _client_addresses(self) -> Iterator[str]:
        """Ask each client's kernel from which address it would talk to the anycast address."""
        assert self._lab is not None  # noqa: S101 - only called in a lab
        for point in self._lab.clients():
            with point.make(family_of(self.address), socket.SOCK_DGRAM, 0) as sock:
                try:
                    sock.connect((self.address, 9))
                except OSError as error:
                    raise MachineError(
                        f"client {point.name} has no way to {self.address}: {error.strerror}"
                    ) from None
                yield f"{sock.getsockname()[0]},{point.row.name}"

    def _maker(self, site: str) -> MakeSocket:
        return open_socket if self._lab is None else self._lab.site_socket(site)

    def _listen(self, site: str, token: bytes) -> Listener:
        if self._lab is not None or site == self._options.sender:
            return SiteListener(site, self.address, token, make=self._maker(site))
        words = {"site": site, "address": self.address, "token": token.hex()}
        try:
            argv = [word.format(**words) for word in shlex.split(self._options.listen)]
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(
                f"--listen: {error}: only {{site}}, {{address}} and {{token}} are replaced"
            ) from None
        return CommandListener(site, argv)


@contextmanager
def listening(site: str, address: str, token_text: str) -> Iterator[SiteListener]:
    """Listen at this machine for the replies of a sweep that runs elsewhere.

    Raises
    ------
    InputError
        Address or token is none.
    """
    try:
        token = bytes.fromhex(token_text)
    except ValueError:
        token = b""
    if len(token) != TOKEN_BYTES:
        raise InputError(f"--token: expected {2 * TOKEN_BYTES} hexadecimal digits")
    if not is_address(address):
        raise InputError(f"{address!r} is no address")
    listener = SiteListener(site, address, token)
    try:
        yield listener
    finally:
        listener.close()
