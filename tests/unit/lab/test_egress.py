"""The root of the DNS is there for who resolves, and status tells from where a site asks."""

from dataclasses import replace
from pathlib import Path

import pytest

from ridgeline.app.check import read_spec
from ridgeline.errors import InputError
from ridgeline.lab.egress import egress_of
from ridgeline.lab.layout import plan_lab
from ridgeline.lab.lookup import Lookup
from ridgeline.lab.plan import LabPlan, NodeKind
from ridgeline.spec.model import ServiceKind, Spec, Tls
from ridgeline.topology.demo import demo

EXAMPLE = Path(__file__).parents[3] / "examples" / "demo" / "ridgeline.yaml"


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec(str(EXAMPLE))


@pytest.fixture(scope="module")
def plan(spec: Spec) -> LabPlan:
    return plan_lab(spec, demo())


def test_the_root_is_one_host_and_only_where_a_service_resolves(spec: Spec, plan: LabPlan) -> None:
    (names,) = plan.of_kind(NodeKind.NAMES)
    ((link, _, router),) = plan.links_of("names")
    assert plan.networks[router.node]
    assert names.address4 in link.a.address4.network
    without = tuple(s for s in spec.services if s.kind is not ServiceKind.RECURSIVE_DNS)
    other = plan_lab(replace(spec, services=without), demo())
    assert not list(other.of_kind(NodeKind.NAMES))


def test_a_site_asks_from_its_own_addresses_alone(spec: Spec, plan: LabPlan) -> None:
    seen = set()
    for site in spec.sites:
        egress = egress_of(plan, site.name)
        assert egress.keys() == {"resolver", "web"}  # plain authoritative DNS asks nobody
        server = plan.node(f"server.{site.name}")
        assert egress["resolver"] == [str(server.address4), str(server.address6)]
        seen.update(egress["resolver"])
    assert len(seen) == 2 * len(spec.sites)
    assert not seen & {str(a) for s in spec.services for a in s.addresses}


def test_a_hidden_primary_is_asked_too_and_a_site_without_a_server_asks_nobody(
    spec: Spec, plan: LabPlan
) -> None:
    primary = tuple(
        replace(s, primary=s.kind is ServiceKind.AUTHORITATIVE_DNS) for s in spec.services
    )
    plan_with_primary = plan_lab(replace(spec, services=primary), demo())
    assert "dns" in egress_of(plan_with_primary, "nrt")
    assert egress_of(plan, "nowhere") == {}


def test_only_a_resolver_with_tls_is_asked_over_tls(spec: Spec, plan: LabPlan) -> None:
    with pytest.raises(InputError, match="service resolver does not speak DNS over TLS"):
        Lookup(plan).dns_server({}, "tls")
    with pytest.raises(InputError, match="service dns does not speak DNS over HTTPS"):
        Lookup(plan).dns_server({"target": "dns"}, "https")
    services = tuple(
        replace(s, tls=Tls(certificate="", key="")) if s.kind is ServiceKind.RECURSIVE_DNS else s
        for s in spec.services
    )
    secure = Lookup(plan_lab(replace(spec, services=services), demo()))
    assert secure.dns_server({}, "tls") == "192.0.2.1"
    assert secure.dns_server({"ipv6": True}, "https") == "2001:db8:53::1"
    assert secure.dns_server({}, "udp") == "192.0.2.53"
