"""What the services behind the anycast address take, and what they keep of what they promise.

    make bench-services

Each topic is a module with `figures()`. DNS and HTTP are loaded by dnsperf and wrk, where installed.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from results import publish

TOPICS = ("datapath", "edge", "zones", "surfaces", "sessions")


def main() -> int:
    """Measure all topics that are here."""
    found: dict[str, dict[str, Any]] = {}
    for topic in sys.argv[1:] or TOPICS:
        if (Path(__file__).parent / f"{topic}.py").is_file():
            print(f"measuring: {topic}", file=sys.stderr, flush=True)
            found |= importlib.import_module(topic).figures()
    return 0 if publish("services", found) else 1


if __name__ == "__main__":
    sys.exit(main())
