"""The notification protocol of systemd (sd_notify(3)): ready, watchdog, reloading, stopping."""

import os
import socket
import time
from collections.abc import Mapping
from math import inf


class Notifier:
    """Tells the service manager; says nothing where there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        usec = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 if usec.isdigit() and mine else None
        """Within how much time it wants to hear from us; None: never."""

    @property
    def pause(self) -> float:
        """Seconds between two signs of life: two may be lost or late."""
        return inf if self.watchdog_s is None else self.watchdog_s / 3

    def send(self, **state: str) -> None:
        """Send ``READY=1`` and the like; a manager that does not listen is no reason to stop."""
        if not self._address:
            return
        text = "\n".join(f"{key}={value}" for key, value in state.items())
        address = self._address.replace("@", "\0", 1)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as opened:
                opened.setblocking(False)
                opened.sendto(text.encode(), address)
        except OSError:
            return

    def reloading(self) -> None:
        """Say that a reload begins (Type=notify-reload wants the time)."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send(RELOADING="1", MONOTONIC_USEC=str(usec))
