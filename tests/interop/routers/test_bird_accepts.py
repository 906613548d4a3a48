"""BIRD itself reads every configuration of the example, and of odd specs."""

import shutil
import subprocess
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from ridgeline.app.check import read_spec
from ridgeline.lab.layout import plan_lab
from ridgeline.lab.plan import LabPlan
from ridgeline.lab.sessions import router_config
from ridgeline.net.community import GRACEFUL_SHUTDOWN, NO_EXPORT
from ridgeline.render.bird import render_bird
from ridgeline.spec.model import Prefix, Spec
from ridgeline.topology.demo import demo

EXAMPLE = Path(__file__).parents[3] / "examples" / "demo" / "ridgeline.yaml"
BIRD = shutil.which("bird", path="/usr/sbin:/sbin:/usr/local/sbin:/usr/bin")

pytestmark = pytest.mark.skipif(
    BIRD is None, reason="bird is not installed: scripts/setup packages"
)


def assert_accepted(plan: LabPlan, folder: Path, *names: str) -> None:
    for node in plan.nodes:
        if node.runs_bird and (not names or node.name in names):
            path = folder / f"{node.name}.conf"
            log = str(folder / f"{node.name}.log")
            path.write_text(render_bird(router_config(plan, node, log=log)))
            done = subprocess.run(
                [str(BIRD), "-p", "-c", str(path)], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{node.name}: {done.stderr}"


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec(str(EXAMPLE))


def test_every_router_of_the_example(spec: Spec, tmp_path: Path) -> None:
    assert_accepted(plan_lab(spec, demo()), tmp_path)


@pytest.mark.parametrize("version", [4, 6])
def test_a_spec_of_one_family(spec: Spec, tmp_path: Path, version: int) -> None:
    prefixes = tuple(p for p in spec.prefixes if p.version == version)
    sites = tuple(
        replace(s, upstreams=tuple(replace(u, prefixes=prefixes) for u in s.upstreams))
        for s in spec.sites
    )
    one = replace(spec, prefixes=prefixes, sites=sites, services=())
    assert_accepted(plan_lab(one, demo()), tmp_path, "edge.nrt", "tancho.nrt")


def test_prepends_and_communities_of_both_kinds(spec: Spec, tmp_path: Path) -> None:
    said = (NO_EXPORT, GRACEFUL_SHUTDOWN, (65550, 0, 65537), (65550, 10, 50))
    sites = tuple(
        replace(s, upstreams=tuple(replace(u, prepend=10, communities=said) for u in s.upstreams))
        for s in spec.sites
    )
    assert_accepted(
        plan_lab(replace(spec, sites=sites), demo()), tmp_path, "edge.nrt", "server.nrt"
    )


def test_many_prefixes(spec: Spec, tmp_path: Path) -> None:
    prefixes: tuple[Prefix, ...] = (
        *(IPv4Network(f"203.0.{n}.0/24") for n in range(50)),
        *(IPv6Network(f"2001:db8:{n:x}::/48") for n in range(50)),
    )
    sites = tuple(
        replace(s, upstreams=tuple(replace(u, prefixes=prefixes) for u in s.upstreams))
        for s in spec.sites
    )
    many = replace(spec, prefixes=prefixes, sites=sites, services=())
    assert_accepted(plan_lab(many, demo()), tmp_path, "edge.nrt")
