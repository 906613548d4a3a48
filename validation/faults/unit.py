"""What systemd does with the agent's unit, done here: the machine under test need not run it.

The settings are those of the unit that we ship, and of the drop-in that `agent check` prints. As in
systemd: the watchdog counts from READY=1 and from every WATCHDOG=1; who is late gets WatchdogSignal
and SIGCONT; what is left of a unit that ended gets SIGKILL; ExecStopPost runs with SERVICE_RESULT;
the next start comes after RestartSec, and none after StartLimitBurst starts in StartLimitIntervalSec
(systemd.service(5), systemd.kill(5), sd_notify(3)).
"""

import os
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ridgeline.lab.beds.router import RouterBed
from ridgeline.lab.kernel.namespaces import entered

_UNITS: Final = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "m": 60.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSettings:
    """The lines of a unit that say what happens to a service that fails."""

    watchdog_s: float = 0.0
    watchdog_signal: signal.Signals = signal.SIGABRT
    restart_s: float = 0.1
    start_limit_s: float = 10.0
    start_limit_burst: int = 5
    stop_post: str = ""
    """The command after it ended, however it did."""

    def with_lines(self, lines: Iterable[str]) -> "UnitSettings":
        """Take over the lines of a unit, or of a drop-in."""
        found: dict[str, str] = {}
        for line in lines:
            key, equals, value = line.partition("=")
            if equals and not key.lstrip().startswith(("#", ";")):
                found[key.strip()] = value.strip()
        assert found.get("Restart", "always") == "always"
        changes: dict[str, object] = {}
        for key, name in (
            ("WatchdogSec", "watchdog_s"),
            ("RestartSec", "restart_s"),
            ("StartLimitIntervalSec", "start_limit_s"),
        ):
            if key in found:
                changes[name] = parse_span(found[key])
        if "StartLimitBurst" in found:
            changes["start_limit_burst"] = int(found["StartLimitBurst"])
        if "WatchdogSignal" in found:
            changes["watchdog_signal"] = signal.Signals[found["WatchdogSignal"]]
        if "ExecStopPost" in found:
            changes["stop_post"] = found["ExecStopPost"]
        return replace(self, **changes)  # type: ignore[arg-type]  # a name's value fits it


def parse_span(text: str) -> float:
    """Read a time span such as ``200ms`` or ``1`` (systemd.time(7)); in seconds."""
    found = re.findall(r"([\d.]+)\s*([a-z]*)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in found)


class Unit:
    """The agent as a service: started, watched, restarted, until `stop`."""

    def __init__(self, bed: RouterBed, argv: Sequence[str], *, name: str = "agent") -> None:
        self.bed = bed
        self.argv = tuple(argv)
        self.name = name
        self.settings = UnitSettings()
        self.starts = 0
        self.results: list[str] = []
        """Why it ended each time, in systemd's words (SERVICE_RESULT)."""
        self.process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._running = threading.Event()

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it, and whatever comes after it."""
        assert self._thread is None
        self._ending.clear()
        self._running.clear()
        self.starts, self.results = 0, []
        self._thread = threading.Thread(
            target=self._supervise, args=(dict(environment or {}),), daemon=True
        )
        self._thread.start()
        assert self._running.wait(10)

    def send(self, number: signal.Signals) -> None:
        """Send the main process a signal, as the fault that it is."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it for good, without ExecStopPost."""
        if self._thread is None:
            return
        self._ending.set()
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)
        self._thread.join()
        self._thread = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _supervise(self, environment: dict[str, str]) -> None:
        path = self.bed.folder / f"{self.name}.notify"
        path.unlink(missing_ok=True)
        starts: deque[float] = deque()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(path))
            environment |= {"NOTIFY_SOCKET": str(path)}
            if self.settings.watchdog_s:
                environment["WATCHDOG_USEC"] = str(round(self.settings.watchdog_s * 1e6))
            while not self._ending.is_set():
                now = time.monotonic()
                while starts and now - starts[0] > self.settings.start_limit_s:
                    starts.popleft()
                if self.settings.start_limit_s and len(starts) >= self.settings.start_limit_burst:
                    self.results.append("start-limit-hit")
                    return
                starts.append(now)
                process = self.bed.start(*self.argv, name=self.name, environment=environment)
                self.process = process
                self.starts += 1
                self._running.set()
                result = self._watch(process, notify)
                self.bed.end(process)  # KillMode=control-group: nothing outlives it
                self.results.append(result)
                if self._ending.is_set():
                    return
                self._stop_post(result)
                self._ending.wait(self.settings.restart_s)

    def _watch(self, process: subprocess.Popen[bytes], notify: socket.socket) -> str:
        """Wait until the process has ended; say why it did."""
        pidfd = os.pidfd_open(process.pid)
        deadline: float | None = None
        result = ""
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(notify, select.POLLIN)
        try:
            while True:
                pause = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
                ready = {fd for fd, _ in poll.poll(pause)}
                if notify.fileno() in ready:
                    words = notify.recv(4096).split(b"\n")
                    if b"READY=1" in words or (deadline is not None and b"WATCHDOG=1" in words):
                        deadline = self._next_deadline()
                if pidfd in ready:
                    break
                if deadline is not None and time.monotonic() >= deadline and not result:
                    result, deadline = "watchdog", None
                    process.send_signal(self.settings.watchdog_signal)
                    process.send_signal(signal.SIGCONT)
        finally:
            os.close(pidfd)
        status = process.wait()
        if result:
            return result
        return "signal" if status < 0 else "exit-code" if status else "success"

    def _next_deadline(self) -> float | None:
        return time.monotonic() + self.settings.watchdog_s if self.settings.watchdog_s else None

    def _stop_post(self, result: str) -> None:
        if self.settings.stop_post:
            with entered(self.bed.site), (self.bed.folder / "stop_post.out").open("ab") as output:
                subprocess.run(
                    ["/bin/sh", "-c", self.settings.stop_post],
                    env={**os.environ, "SERVICE_RESULT": result},
                    stdout=output,
                    stderr=output,
                    timeout=10,
                    check=False,
                )


def read_unit(path: Path) -> UnitSettings:
    """Read the settings of a unit file."""
    return UnitSettings().with_lines(path.read_text().splitlines())
