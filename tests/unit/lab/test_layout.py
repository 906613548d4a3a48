"""How a lab is laid out: names, addresses, links, before anything is built."""

from dataclasses import replace
from ipaddress import ip_network
from itertools import combinations
from pathlib import Path

import pytest

from ridgeline.app.check import read_spec
from ridgeline.errors import InputError
from ridgeline.lab.layout import plan_lab
from ridgeline.lab.names import host_names, read_host_name
from ridgeline.lab.plan import LabPlan, LinkKind, NodeKind
from ridgeline.lab.sessions import router_config
from ridgeline.net.place import great_circle_km, one_way_ms
from ridgeline.render.bird import Role
from ridgeline.spec.model import SiteState, Spec
from ridgeline.topology.demo import demo

EXAMPLE = Path(__file__).parents[3] / "examples" / "demo" / "ridgeline.yaml"


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec(str(EXAMPLE))


@pytest.fixture(scope="module")
def plan(spec: Spec) -> LabPlan:
    return plan_lab(spec, demo())


def test_every_pop_is_a_router_and_router_ids_rise_with_them(plan: LabPlan) -> None:
    routers = list(plan.of_kind(NodeKind.ROUTER))
    assert len(routers) == demo().n_pop
    ids = [int(node.loopback4) for node in (*routers, *plan.of_kind(NodeKind.EDGE))]
    assert ids == sorted(ids)


def test_no_two_ends_share_an_address_and_all_are_lab_space(plan: LabPlan) -> None:
    addresses = [end.address4.ip for link in plan.links for end in (link.a, link.b)]
    addresses += [node.loopback4 for node in plan.nodes]
    assert len(set(addresses)) == len(addresses)
    assert all(address in ip_network("198.18.0.0/15") for address in addresses)
    six = [end.address6.ip for link in plan.links for end in (link.a, link.b)]
    six += [node.loopback6 for node in plan.nodes]
    assert len(set(six)) == len(six)
    assert all(address in ip_network("2001:2::/48") for address in six)


def test_interface_names_are_unique_on_a_node(plan: LabPlan) -> None:
    for node in plan.nodes:
        names = [here.interface for _, here, _ in plan.links_of(node.name)]
        assert len(set(names)) == len(names)


def test_the_cities_of_a_network_are_all_joined_and_as_far_apart_as_on_the_globe(
    plan: LabPlan,
) -> None:
    interior = {
        frozenset((link.a.node, link.b.node)): link
        for link in plan.links
        if link.kind is LinkKind.INTERIOR
    }
    tanuki = [node for node in plan.of_kind(NodeKind.ROUTER) if node.network == "tanuki"]
    for a, b in combinations(tanuki, 2):
        link = interior[frozenset((a.name, b.name))]
        km = great_circle_km(a.place.lat, a.place.lon, b.place.lat, b.place.lon)
        assert link.cost == max(1, round(km))
        assert link.delay_ms == pytest.approx(one_way_ms(km), abs=0.001)


def test_a_site_reaches_the_nearest_city_of_each_upstream(plan: LabPlan) -> None:
    uplinks = [link for link in plan.links if link.kind is LinkKind.UPLINK]
    towards = {(link.a.node, link.b.node) for link in uplinks}
    assert ("edge.nrt", "tanuki.nrt") in towards
    assert ("edge.iad", "norrsken.iad") in towards
    assert all(link.role is Role.PROVIDER for link in uplinks)
    assert all(link.delay_ms >= 0.1 for link in uplinks)  # so that the relay can cut it


def test_two_users_of_one_city_have_different_names(plan: LabPlan) -> None:
    names = [node.name for node in plan.clients]
    assert len(set(names)) == len(names)
    assert {"client.nrt", "client.nrt-momiji"} <= set(names)


def test_planned_sites_are_not_built_and_drained_ones_announce_as_a_last_resort(spec: Spec) -> None:
    nrt, lhr, *rest = spec.sites
    changed = replace(
        spec,
        sites=(
            replace(nrt, state=SiteState.PLANNED),
            replace(lhr, state=SiteState.DRAINED),
            *rest,
        ),
    )
    plan = plan_lab(changed, demo())
    edges = {node.site for node in plan.of_kind(NodeKind.EDGE)}
    assert edges == {"lhr", "iad", "gru", "jnb", "syd"}
    server = plan.node("server.lhr")
    assert router_config(plan, server, log="x").drained
    assert not router_config(plan, plan.node("server.iad"), log="x").drained


def test_without_services_the_routers_themselves_announce(spec: Spec) -> None:
    plan = plan_lab(replace(spec, services=()), demo())
    assert not list(plan.of_kind(NodeKind.SERVER))
    assert plan.origin_node("nrt") == "edge.nrt"
    assert router_config(plan, plan.node("edge.nrt"), log="x").originates


def test_sessions_of_both_ends_mirror_each_other(plan: LabPlan) -> None:
    sessions = {
        (node.name, session.local4): (node, session)
        for node in plan.nodes
        if node.runs_bird
        for session in router_config(plan, node, log="x").ebgp
    }
    opposite = {Role.PROVIDER: Role.CUSTOMER, Role.CUSTOMER: Role.PROVIDER, Role.PEER: Role.PEER}
    by_local = {local: pair for (_, local), pair in sessions.items()}
    assert len(by_local) == len(sessions)
    for node, session in sessions.values():
        other, mirrored = by_local[session.remote4]
        assert mirrored.remote4 == session.local4
        assert mirrored.role is opposite[session.role]
        assert session.asn == other.asn
        assert mirrored.asn == node.asn
        assert session.passive is not mirrored.passive


def test_what_the_spec_says_to_an_upstream_is_what_the_router_announces(spec: Spec) -> None:
    nrt, *rest = spec.sites
    first, *others = nrt.upstreams
    loud = replace(first, prepend=2, communities=((65550, 0, 65537),))
    changed = replace(spec, sites=(replace(nrt, upstreams=(loud, *others)), *rest))
    plan = plan_lab(changed, demo())
    config = router_config(plan, plan.node("edge.nrt"), log="x")
    said = {session.asn: session.announcements for session in config.ebgp}
    assert said[first.asn] is not None
    assert [(a.prepend, a.communities) for a in said[first.asn] or ()] == [
        (2, ((65550, 0, 65537),))
    ] * 2
    assert [a.prepend for a in said[others[0].asn] or ()] == [0, 0]


def test_an_upstream_that_is_not_there_is_named_with_its_line(spec: Spec) -> None:
    nrt, *rest = spec.sites
    lost = replace(nrt.upstreams[0], asn=type(nrt.upstreams[0].asn)(64999))
    with pytest.raises(InputError, match=rf":{nrt.line}: site nrt: AS64999 is not in"):
        plan_lab(replace(spec, sites=(replace(nrt, upstreams=(lost,)), *rest)), demo())


def test_host_names_tell_city_and_network(plan: LabPlan) -> None:
    names = host_names(plan)
    for link in plan.links:
        for end in (link.a, link.b):
            node = plan.node(end.node)
            told = read_host_name(names[end.address4.ip])
            assert told is not None
            assert told.network == node.network
            assert told.place == (node.site or node.place.code)
            assert names[end.address6.ip] == names[end.address4.ip]


@pytest.mark.parametrize("name", ["", "example", "www.example.test", "ae1.nrt.example", "..."])
def test_other_names_tell_nothing(name: str) -> None:
    assert read_host_name(name) is None
