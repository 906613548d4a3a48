"""BGPy on the same graph and the same announcements; runs in a virtual environment of its own.

    python bgpy_peer.py GRAPH SCENARIOS OUTPUT

GRAPH is as-rel2 text that has the sites as stub networks; SCENARIOS a JSON list of lists of
[site's AS number, prepends]. OUTPUT gets, for each scenario, the routes of all networks as int64:
AS number, role of the neighbour (1 customer, 2 peer, 3 provider), AS path length without the network
itself, AS number of the neighbour.
"""
# ruff: noqa: SLF001 - its public door downloads a graph and draws a scenario; we bring both

import json
import sys
import time
from array import array
from pathlib import Path

from bgpy.as_graphs import CAIDAASGraphConstructor
from bgpy.shared.enums import Relationships
from bgpy.simulation_engine import BGP, Announcement, SimulationEngine

PREFIX = "192.0.2.0/24"
ROLE = {Relationships.CUSTOMERS: 1, Relationships.PEERS: 2, Relationships.PROVIDERS: 3}


def main(graph: str, scenarios: str, output: str) -> None:
    begun = time.perf_counter()
    constructor = CAIDAASGraphConstructor()
    as_graph = constructor._get_as_graph(constructor._get_as_graph_info(Path(graph)))
    loaded = time.perf_counter() - begun
    engine = SimulationEngine(as_graph)
    times = []
    with Path(output).open("wb") as stream:
        for scenario in json.loads(Path(scenarios).read_text()):
            for network in as_graph:
                del network.policy.as_
                network.policy = BGP(as_=network)
            for asn, prepends in scenario:
                path = (asn,) * (1 + prepends)
                announcement = Announcement(PREFIX, path, next_hop_asn=asn, seed_asn=asn)
                as_graph.as_dict[asn].policy.seed_ann(announcement)
            begun = time.perf_counter()
            engine._propagate(0, None)
            times.append(time.perf_counter() - begun)
            routes = array("q")
            for network in as_graph:
                best = network.policy.local_rib.get(PREFIX)
                if best is not None and best.recv_relationship in ROLE:
                    role = ROLE[best.recv_relationship]
                    routes.extend((network.asn, role, len(best.as_path) - 1, best.as_path[1]))
            array("q", [len(routes)]).tofile(stream)
            routes.tofile(stream)
    print(json.dumps({"load_s": loaded, "propagation_s": times}))


if __name__ == "__main__":
    main(*sys.argv[1:])
