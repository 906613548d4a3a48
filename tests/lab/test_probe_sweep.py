"""Catchments seen from inside, from vantage points and in the routers' own tables: one truth."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from ridgeline.app.maps import read_map, write_map
from ridgeline.app.probe_inside import InsideOptions, InsideSweep
from ridgeline.app.probe_lab import LabPoint, LabPoints
from ridgeline.app.probe_sweep import Swept
from ridgeline.app.probe_vantage import VantageOptions, VantageSweep
from ridgeline.errors import InputError
from ridgeline.lab.control import LabClient
from ridgeline.lab.kernel.namespaces import entered
from ridgeline.probe.sweepcore import SweepCore, SweepPolicy
from ridgeline.probe.sweepsockets import CommandListener, Sender, SiteListener, Sweeping

SPEC = str(Path(__file__).parents[2] / "examples" / "demo" / "ridgeline.yaml")
PREFIX = {4: "192.0.2.0/24", 6: "2001:db8:53::/48"}
DNS = "192.0.2.53"

Sites = dict[str, str | None]


def from_inside(lab: Any, sender: str, version: int = 4, **options: Any) -> Swept:
    asked = InsideOptions(
        target=SPEC,
        sender=sender,
        rate=200,
        max_targets=100,
        version=version,
        lab=lab.name,
        patience=2,
        **options,
    )
    with closing(InsideSweep(asked)) as sweep:
        return sweep.run(lambda _: None)


def from_vantage_points(lab: Any, version: int = 4, service: str = "") -> Swept:
    asked = VantageOptions(target=SPEC, version=version, lab=lab.name, service=service)
    with closing(VantageSweep(asked)) as sweep:
        return sweep.run(lambda _: None)


def sites_of(swept: Swept) -> Sites:
    sites: Sites = {}
    for row in swept.catchment.rows():
        assert sites.setdefault(row.name, row.site) == row.site, "services of one prefix differ"
    return sites


def sites_in_tables(lab: Any, version: int = 4) -> Sites:
    """Follow each client's router through the routing tables to a site."""
    client = LabClient(lab.name)
    routes = client.ask("routes", None, prefix=PREFIX[version])
    clients = client.ask("status", None, quick=True)["clients"].values()
    names = [each["vantage"] for each in clients]
    return {name: routes[name] and routes[name]["site"] for name in names}


@pytest.mark.parametrize("version", [4, 6])
def test_inside_outside_and_the_routing_tables_agree_on_everyone(
    demo_lab: Any, version: int
) -> None:
    tables = sites_in_tables(demo_lab, version)
    assert len(tables) >= 12
    assert len(set(tables.values())) == 6
    assert sites_of(from_vantage_points(demo_lab, version)) == tables
    for sender in ("nrt", "jnb"):
        inside = from_inside(demo_lab, sender, version)
        assert sites_of(inside) == tables, f"echoes from {sender}"
        assert inside.problems == {}
        assert inside.facts["n_repeated"] == 0


def test_they_agree_while_a_site_is_down_and_both_notice_who_moved(demo_lab: Any) -> None:
    before = sites_in_tables(demo_lab)
    demo_lab.ask("fail", "lhr")
    try:
        tables = sites_in_tables(demo_lab)
        moved = {name for name in tables if tables[name] != before[name]}
        assert moved == {name for name, site in before.items() if site == "lhr"}
        assert sites_of(from_inside(demo_lab, "nrt")) == tables
        assert sites_of(from_vantage_points(demo_lab, service="dns")) == tables
    finally:
        demo_lab.ask("heal", "lhr")
    assert sites_of(from_inside(demo_lab, "nrt")) == before


def test_times_are_told_only_where_the_reply_comes_back_to_who_asked(demo_lab: Any) -> None:
    def best(of: Callable[[], Swept]) -> dict[str, tuple[str | None, float | None]]:
        """The least of three sweeps: a busy machine adds to a round trip, nothing takes from it."""
        rows = [row for _ in range(3) for row in of().catchment.rows()]
        times = {
            name: [r.rtt_ms for r in rows if r.name == name] for name in {r.name for r in rows}
        }
        sites = {row.name: row.site for row in rows}
        return {
            name: (sites[name], None if None in all_ else min(t for t in all_ if t is not None))
            for name, all_ in times.items()
        }

    inside = best(lambda: from_inside(demo_lab, "nrt"))
    outside = best(lambda: from_vantage_points(demo_lab, service="dns"))
    assert {site for site, rtt in inside.values() if rtt is not None} == {"nrt"}
    for name, (site, rtt) in inside.items():
        assert (rtt is not None) == (site == "nrt"), name
        if rtt is not None:
            assert rtt == pytest.approx(outside[name][1], abs=8)


def test_a_sweep_is_a_map_like_any_other(demo_lab: Any, tmp_path: Path) -> None:
    swept = from_inside(demo_lab, "gru")
    again = swept.catchment
    for ending in (".jsonl", ".parquet"):
        path = str(tmp_path / f"map{ending}")
        write_map(swept.catchment, path)
        again = read_map(path)
        assert again == swept.catchment
    assert again.sites == ("nrt", "lhr", "iad", "gru", "jnb", "syd")
    assert again.prefix == PREFIX[4]
    assert all(row.lat is not None and row.weight > 1 for row in again.rows())


BROKEN_OFF = """
import sys
from ridgeline.app.probe_inside import InsideOptions, InsideSweep
target, lab, journal = sys.argv[1:]
options = InsideOptions(target=target, sender="nrt", rate=10, max_targets=100, lab=lab,
                        journal=journal)
InsideSweep(options).run(print)
"""


def test_a_sweep_killed_halfway_goes_on_and_asks_nobody_twice(
    demo_lab: Any, tmp_path: Path
) -> None:
    journal = tmp_path / "sweep.journal"
    before = echoes_heard(demo_lab)
    argv = [sys.executable, "-c", BROKEN_OFF, SPEC, demo_lab.name, str(journal)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: n_asked(journal) >= 6)
        process.send_signal(signal.SIGKILL)
    asked = n_asked(journal)
    assert 6 <= asked < len(before)
    swept = from_inside(demo_lab, "nrt", journal=str(journal))
    heard = echoes_heard(demo_lab)
    news = {name: heard[name] - before[name] for name in heard}
    assert set(news.values()) <= {0, 1}
    # Whoever was noted in the instant of the kill may not have been sent anything.
    assert sum(news.values()) >= len(news) - 1
    assert swept.facts["n_sent"] == len(news) - asked
    done = from_inside(demo_lab, "nrt", journal=str(journal))
    assert done.facts["n_sent"] == 0
    assert echoes_heard(demo_lab) == heard


def n_asked(journal: Path) -> int:
    lines = journal.read_text().splitlines() if journal.exists() else []
    return sum(len(json.loads(line).get("asked", ())) for line in lines[:-1])


def wait_until(holds: Any, seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "it did not come to that in time"
        time.sleep(0.02)


def echoes_heard(lab: Any) -> dict[str, int]:
    """Count the echo requests that each client's kernel has received."""
    client, heard = LabClient(lab.name), {}
    for name in client.ask("status", None, quick=True)["clients"]:
        answer, descriptors = client.enter(f"client.{name}")
        try:
            with entered(descriptors[answer["kinds"].index("net")]):
                lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        names, values = (line.split() for line in lines if line.startswith("Icmp:"))
        heard[name] = int(values[names.index("InEchos")])
    return heard


def test_a_rehearsal_plans_without_sending(demo_lab: Any) -> None:
    before = echoes_heard(demo_lab)
    asked = InsideOptions(target=DNS, sender="nrt", rate=5, max_targets=100, lab=demo_lab.name)
    with closing(InsideSweep(asked)) as sweep:
        plan = sweep.plan()
    assert plan["n_to_ask"] == len(before)
    assert plan["seconds"] == pytest.approx(len(before) / 5 + 5)
    assert echoes_heard(demo_lab) == before


def test_what_nobody_named_is_refused(demo_lab: Any, tmp_path: Path) -> None:
    hitlist = tmp_path / "hitlist"
    hitlist.write_text("198.19.0.1\n192.0.2.80\n")
    asked = {"target": DNS, "sender": "nrt", "rate": 5, "lab": demo_lab.name}
    with pytest.raises(InputError, match="names 25 addresses, and --max-targets allows 3"):
        InsideSweep(InsideOptions(max_targets=3, **asked))
    with pytest.raises(InputError, match="anycast network itself"):
        InsideSweep(InsideOptions(max_targets=3, hitlist=str(hitlist), **asked))
    with pytest.raises(InputError, match="no site 'nowhere'"):
        InsideSweep(InsideOptions(max_targets=100, **{**asked, "sender": "nowhere"}))
    with pytest.raises(InputError, match="20,000"):
        InsideSweep(InsideOptions(max_targets=100, **{**asked, "rate": 1e6}))


def test_a_client_that_does_not_answer_is_silent_and_nothing_else(
    demo_lab: Any, tmp_path: Path
) -> None:
    hitlist = tmp_path / "hitlist"
    hitlist.write_text("198.19.0.178,there\n198.19.255.254,nobody\n")
    swept = from_inside(demo_lab, "nrt", hitlist=str(hitlist))
    sites = sites_of(swept)
    assert sites["there"] is not None
    assert sites["nobody"] is None
    assert set(swept.problems) == {"nobody"}


LISTEN = """
import sys
from ridgeline.lab.control import LabClient
from ridgeline.lab.kernel.namespaces import setns
lab, site, *rest = sys.argv[1:]
answer, descriptors = LabClient(lab).enter(f"server.{site}")
setns(descriptors[answer["kinds"].index("net")])
from ridgeline.cli.probe_listen import command
command.main(rest)
"""


def address_of(point: LabPoint) -> str:
    """Learn from the client's kernel from which address it talks to the network."""
    with point.make(socket.AF_INET, socket.SOCK_DGRAM, 0) as sock:
        sock.connect((DNS, 9))
        return str(sock.getsockname()[0])


@pytest.fixture
def points(demo_lab: Any) -> Iterator[LabPoints]:
    with closing(LabPoints(demo_lab.name)) as points:
        yield points


def test_a_site_elsewhere_listens_by_a_command(demo_lab: Any, points: LabPoints) -> None:
    token = os.urandom(8)
    hitlist = [address_of(point) for point in points.clients()]
    here = SiteListener("nrt", DNS, token, make=points.site_socket("nrt"))
    others: list[CommandListener] = [
        CommandListener(
            site,
            [sys.executable, "-c", LISTEN, demo_lab.name, site, DNS, "--token", token.hex()],
        )
        for site in points.sites()
        if site != "nrt"
    ]
    sender = Sender(DNS, token, make=points.site_socket("nrt"))
    core = SweepCore(range(len(hitlist)), SweepPolicy(rate=200, patience=3))
    with ExitStack() as stack:
        stack.callback(here.close)
        stack.callback(sender.close)
        for other in others:
            stack.callback(other.close)
        for other in others:
            other.wait_until_ready(20)
        Sweeping(core, hitlist, sender, [here, *others]).run()
    names = [point.row.name for point in points.clients()]
    found = {name: core.landed[at].site for at, name in enumerate(names)}
    assert found == sites_in_tables(demo_lab)
