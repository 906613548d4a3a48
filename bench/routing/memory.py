"""Load a graph, propagate ten sites, find the tie sets; print the most memory in use, in MB."""

import sys
from pathlib import Path

import numpy as np

from ridgeline.app.internet import load_internet_and_graph
from ridgeline.routing.announce import Announcements
from ridgeline.routing.propagate import propagate, tie_sets

graph = load_internet_and_graph(sys.argv[1])[1]
at = np.argsort(-np.diff(graph.customer_ptr), kind="stable")[:10].astype(np.int32)
said = Announcements(
    origin=64500,
    site_names=tuple(f"s{s}" for s in range(10)),
    site_lat=np.full(10, np.nan),
    site_lon=np.full(10, np.nan),
    site=np.arange(10, dtype=np.int32),
    pop=at,
    as_index=at,
    learned=np.ones(10, np.int8),
    as_path=((64500,),) * 10,
    communities=(frozenset(),) * 10,
)
propagate(graph, said)
tie_sets(graph, said)
# Not getrusage: that counts what the parent had at the fork.
status = Path("/proc/self/status").read_text().split()
print(int(status[status.index("VmHWM:") + 1]) / 1024)
