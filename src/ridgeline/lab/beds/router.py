"""A site's router and one neighbour: the smallest lab, to test and measure the agent with.

The neighbour is BIRD, which writes every route that it hears or loses into a log with microseconds.
What the agent achieved is what stands there.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Final

from ridgeline.lab.kernel.namespaces import NetworkNamespace, entered
from ridgeline.lab.kernel.netlink import LOOPBACK, Batch, VethEnd

SITE_ASN: Final = 64500
NEIGHBOUR_ASN: Final = 65550
SITE_4, NEIGHBOUR_4 = "198.18.0.0", "198.18.0.1"  # RFC 2544
SITE_6, NEIGHBOUR_6 = "2001:2::", "2001:2::1"  # RFC 5180
PATIENCE_S: Final = 30.0
"""How long a state may take to come on a machine with much other work; few take a second alone."""
_INDEX: Final = 10

_NEIGHBOUR: Final = """\
log "{folder}/neighbour.log" all;
timeformat log iso long us;
router id 198.18.0.1;
protocol device {{ scan time 60; }}
protocol bgp site4 {{
  local {four} as {asn}; neighbor {site_four} as {site_asn};
  passive yes; strict bind yes; hold time {hold}; error wait time 1, 1; graceful restart off; {extra}
  debug {{ routes, states }};
  ipv4 {{ import filter {{ {say} accept; }}; export none; }};
}}
protocol bgp site6 {{
  local {six} as {asn}; neighbor {site_six} as {site_asn};
  passive yes; strict bind yes; hold time {hold}; error wait time 1, 1; graceful restart off; {extra}
  debug {{ routes, states }};
  ipv6 {{ import filter {{ {say} accept; }}; export none; }};
}}
"""
# RFC 8326: what the neighbour takes next carries GRACEFUL_SHUTDOWN.
_SAY_DRAINED: Final = 'if (65535, 0) ~ bgp_community then print "drained ", net;'
_EVENT: Final = re.compile(r"^(\S+ \S+) <\w+> site[46]\.ipv[46] > (\w+)(?: \[\w+\])? (\S+)")
_SHOWN: Final = re.compile(r"^\s+BGP\.(\w+): (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RouteHeard:
    """One line of the neighbour's log."""

    at: float
    """Seconds since the epoch, as `time.time`."""
    what: str
    """``added``, ``updated`` or ``removed``."""
    prefix: str

    @property
    def is_present(self) -> bool:
        return self.what != "removed"


@dataclass(slots=True, eq=False)
class RouterBed:
    """Two namespaces with a link between them, and the neighbour's BIRD; ended by `router_bed`."""

    folder: Path
    site: NetworkNamespace
    neighbour: NetworkNamespace
    neighbour_options: str = ""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _offset: int = 0

    def start(
        self,
        *argv: str,
        name: str = "",
        namespace: NetworkNamespace | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program at the site (or in `namespace`); its output goes to ``NAME.out``."""
        with (
            (self.folder / f"{name or Path(argv[0]).name}.out").open("ab") as output,
            entered(namespace or self.site),
        ):
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        """End a program that `start` started, and its process group; wait for it."""
        if process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
        if process in self.processes:
            self.processes.remove(process)

    def at_site(self, *argv: str) -> str:
        """Run a short command at the site and return what it printed."""
        with entered(self.site):
            done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {done.stderr or done.stdout}")
        return done.stdout

    def start_neighbour(self, *, hold: int = 240) -> subprocess.Popen[bytes]:
        """Start the neighbour's BIRD; the log goes on where it was."""
        text = _NEIGHBOUR.format(
            folder=self.folder,
            four=NEIGHBOUR_4,
            six=NEIGHBOUR_6,
            site_four=SITE_4,
            site_six=SITE_6,
            asn=NEIGHBOUR_ASN,
            site_asn=SITE_ASN,
            hold=hold,
            say=_SAY_DRAINED,
            extra=self.neighbour_options,
        )
        (self.folder / "neighbour.conf").write_text(text)
        return self.start(
            program("bird"),
            *("-f", "-c", str(self.folder / "neighbour.conf")),
            *("-s", str(self.folder / "neighbour.ctl"), "-P", str(self.folder / "neighbour.pid")),
            name="neighbour",
            namespace=self.neighbour,
        )

    def mark(self) -> None:
        """Forget what the neighbour has heard so far."""
        path = self.folder / "neighbour.log"
        self._offset = path.stat().st_size if path.exists() else 0

    def heard(self, prefix: str = "") -> list[RouteHeard]:
        """Return what the neighbour heard (of one prefix) since `mark`."""
        path = self.folder / "neighbour.log"
        if not path.exists():
            return []
        with path.open() as log:
            log.seek(self._offset)
            # The last line may be there in part: what was not ended is not heard yet.
            lines = [line for line in log if line.endswith("\n")]
        found = [match for line in lines if (match := _EVENT.match(line))]
        return [
            RouteHeard(datetime.fromisoformat(at).timestamp(), what, of)
            for at, what, of in (match.groups() for match in found)
            if prefix in {"", of}
        ]

    def wait_heard(self, what: str, prefix: str, *, seconds: float = PATIENCE_S) -> RouteHeard:
        """Wait until the neighbour has heard that the prefix is present or removed.

        `what` is ``present`` or ``removed``. Raises AssertionError with all that was heard.
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for event in self.heard(prefix):
                if (what == "removed") is not event.is_present:
                    return event
            time.sleep(0.002)
        raise AssertionError(
            f"the neighbour has not heard {what} of {prefix} in {seconds} s: {self.heard()}"
        )

    def route(self, prefix: str) -> dict[str, str] | None:
        """Return the BGP attributes of the neighbour's route to the prefix; None if it has none."""
        text = self.ask_neighbour(f"show route {prefix} all")
        return dict(_SHOWN.findall(text)) if "BGP." in text else None

    def ask_neighbour(self, command: str) -> str:
        done = subprocess.run(
            [program("birdc"), "-s", str(self.folder / "neighbour.ctl"), *command.split()],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        return done.stdout


@contextmanager
def router_bed(folder: Path, *, neighbour_options: str = "") -> Iterator[RouterBed]:
    """Build the bed with the neighbour running; end every process and namespace at the end."""
    site, neighbour = NetworkNamespace.create(), NetworkNamespace.create()
    bed = RouterBed(
        folder=folder, site=site, neighbour=neighbour, neighbour_options=neighbour_options
    )
    try:
        with Batch() as batch:
            batch.veth(
                VethEnd(name="up0", namespace=site, index=_INDEX, mac=_mac(1)),
                VethEnd(name="site0", namespace=neighbour, index=_INDEX, mac=_mac(2)),
            )
        for namespace, ends in ((site, (SITE_4, SITE_6)), (neighbour, (NEIGHBOUR_4, NEIGHBOUR_6))):
            with Batch(namespace) as batch:
                batch.up(LOOPBACK)
                batch.up(_INDEX)
                batch.address(_INDEX, IPv4Interface(f"{ends[0]}/31"))
                batch.address(_INDEX, IPv6Interface(f"{ends[1]}/127"))
        bed.start_neighbour()
        yield bed
    finally:
        for process in list(bed.processes):
            bed.end(process)
        site.close()
        neighbour.close()


def program(name: str) -> str:
    """Return the path of a daemon; name it as it is if it is not installed."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/lib/frr"
    return shutil.which(name, path=path) or name


def missing(programs: Sequence[str]) -> list[str]:
    """Return those of the programs that this machine lacks."""
    return [name for name in programs if not Path(program(name)).is_absolute()]


def wait_until(
    holds: Callable[[], object], what: str, *, seconds: float = PATIENCE_S, pause: float = 0.02
) -> None:
    """Wait until `holds()` is true; AssertionError says what never was."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise AssertionError(f"not in {seconds} s: {what}")
        time.sleep(pause)


def _mac(number: int) -> bytes:
    return bytes((2, 0, 0, 0, 1, number))  # locally administered (IEEE 802)
