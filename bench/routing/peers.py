"""BGPy, fed the same file: how long it takes, and whether it says the same."""

import bz2
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ridgeline.routing.announce import Announcements
from ridgeline.routing.propagate import propagate
from ridgeline.topology.graph import AsGraph

HERE = Path(__file__).parent
VENV = HERE / ".venv"
FIRST_SITE = 4_294_000_000
"""AS number of the first site in BGPy's graph: above all others, as our sites come last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    load_s: float
    propagation_s: float
    """The fastest of all."""
    n_routes: int
    n_different: int


def install() -> Path | None:
    """Make the virtual environment, once; None if that cannot be done."""
    python = VENV / "bin" / "python"
    ready = VENV / ".ready"
    if ready.exists():
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "bgpy-pkg>=13"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"BGPy is left out: {error}", file=sys.stderr)
        return None
    ready.touch()
    return python


def against_bgpy(file: Path, graph: AsGraph, scenarios: list[Announcements]) -> Verdict | None:
    """Run both on every scenario; each site announces alike on all its sessions."""
    python = install()
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "graph.txt"
        text.write_bytes(bz2.decompress(file.read_bytes()) + stubs(graph, scenarios).encode())
        asked = folder / "scenarios.json"
        asked.write_text(
            json.dumps([origins(number, said) for number, said in enumerate(scenarios)])
        )
        output = folder / "routes"
        done = subprocess.run(
            [python, HERE / "bgpy_peer.py", text, asked, output],
            check=True, stdout=subprocess.PIPE, text=True, cwd=folder,
        )  # fmt: skip
        took: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        theirs = list(read_routes(output))
    n_routes = n_different = 0
    for number, (said, routes) in enumerate(zip(scenarios, theirs, strict=True)):
        ours = table(graph, said, number)
        is_site = routes[:, 0] >= FIRST_SITE
        n_routes += ours.shape[0]
        n_different += count_different(ours, routes[~is_site])
    return Verdict(
        load_s=took["load_s"],
        propagation_s=min(took["propagation_s"]),
        n_routes=n_routes,
        n_different=n_different,
    )


def site_asn(scenario: int, site: int) -> int:
    return FIRST_SITE + 1000 * scenario + site


def stubs(graph: AsGraph, scenarios: list[Announcements]) -> str:
    """Write the sites of each scenario as stub networks that buy from their upstreams."""
    lines = [
        f"{graph.asn[said.as_index[i]]}|{site_asn(number, int(said.site[i]))}|-1|bench\n"
        for number, said in enumerate(scenarios)
        for i in range(said.n_sessions)
    ]
    return "".join(lines)


def origins(number: int, said: Announcements) -> list[tuple[int, int]]:
    length = {int(s): int(n) for s, n in zip(said.site, said.length(), strict=True)}
    return [(site_asn(number, site), n - 1) for site, n in length.items()]


def table(graph: AsGraph, said: Announcements, number: int) -> NDArray[np.int64]:
    """Our routes as BGPy's are written: AS number, role, length, neighbour."""
    routes = propagate(graph, said)
    heard = np.flatnonzero(routes.site >= 0)
    hop = routes.next_hop[heard].astype(np.int64)
    to_site = hop >= graph.n
    neighbour = graph.asn[np.where(to_site, 0, hop)].astype(np.int64)
    neighbour[to_site] = [site_asn(number, int(s)) for s in hop[to_site] - graph.n]
    columns = (graph.asn[heard], routes.learned[heard], routes.length[heard], neighbour)
    return np.stack([np.asarray(column, np.int64) for column in columns], axis=1)


def count_different(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> int:
    """Count networks whose routes differ, or that only one side gives a route."""
    theirs = theirs[np.argsort(theirs[:, 0])]
    _, in_ours, in_theirs = np.intersect1d(ours[:, 0], theirs[:, 0], return_indices=True)
    alone = ours.shape[0] + theirs.shape[0] - 2 * in_ours.size
    return int(np.sum(np.any(ours[in_ours] != theirs[in_theirs], axis=1))) + alone


def read_routes(file: Path) -> list[NDArray[np.int64]]:
    numbers = np.fromfile(file, np.int64)
    tables = []
    at = 0
    while at < numbers.size:
        size = int(numbers[at])
        tables.append(numbers[at + 1 : at + 1 + size].reshape(-1, 4))
        at += 1 + size
    return tables
