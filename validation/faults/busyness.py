"""How busy the machine is while a story is told: on a busy one, every time is longer."""

import os
import threading
import time
from pathlib import Path
from typing import Final

_EVERY_S: Final = 0.1


class Busyness(threading.Thread):
    """Notes how many threads of this machine want a processor."""

    def __init__(self) -> None:
        super().__init__(name="busyness", daemon=True)
        self._seen: list[tuple[float, int]] = []

    def run(self) -> None:
        """Look, ten times a second."""
        while True:
            runnable = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
            self._seen.append((time.monotonic(), int(runnable)))
            time.sleep(_EVERY_S)

    def stretch(self, since: float) -> float:
        """Say how many times longer than alone everything took that needs a processor."""
        seen = [runnable for at, runnable in self._seen if at >= since]
        mean = sum(seen) / len(seen) if seen else 0.0
        return max(1.0, mean / (os.cpu_count() or 1))
