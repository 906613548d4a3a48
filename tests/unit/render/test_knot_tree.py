"""The rehearsal's root leads to every zone of the network, and to nothing else."""

import re
from ipaddress import ip_address

import dns.name
import dns.zone
import pytest

from ridgeline.render.knot_tree import (
    FAILED,
    OUTSIDE,
    WHO_ASKS,
    TreeZone,
    plan_tree,
    render_knot_tree,
    render_tree_zone,
)
from ridgeline.spec.model import Address

SERVER: tuple[Address, ...] = (ip_address("198.18.0.9"), ip_address("2001:2::9"))
AUTHORITY: tuple[Address, ...] = (ip_address("192.0.2.53"), ip_address("2001:db8:53::53"))
DS = "12345 13 2 " + "ab" * 32


def tree(
    delegated: dict[str, tuple[str, ...]], hosts: dict[str, tuple[Address, ...]] | None = None
) -> dict[str, TreeZone]:
    zones = plan_tree(server=SERVER, delegated=delegated, authority=AUTHORITY, hosts=hosts or {})
    assert zones[-1].domain == "."
    return {zone.domain: zone for zone in zones}


def records(zone: TreeZone, name: str, kind: str) -> list[str]:
    text = render_tree_zone(zone, serial=1, ds=dict.fromkeys(zone.children, DS))
    read = dns.zone.from_text(text, origin=zone.domain, relativize=False)
    found = read.get_rdataset(dns.name.from_text(name), kind)
    return sorted(map(str, found)) if found else []


def test_a_zone_is_delegated_to_the_anycast_addresses_where_its_name_says() -> None:
    zones = tree({"Example.test": (), "2.0.192.in-addr.arpa.": (), "a.b.com.": (DS,)})
    for parent, domain in (
        ("test.", "example.test."),
        ("arpa.", "2.0.192.in-addr.arpa."),
        ("com.", "a.b.com."),
    ):
        zone = zones[parent]
        assert records(zone, domain, "NS") == [f"ns.{domain}"]
        assert records(zone, f"ns.{domain}", "A") == ["192.0.2.53"]
        assert records(zone, f"ns.{domain}", "AAAA") == ["2001:db8:53::53"]
        assert records(zone, domain, "DS") == ([DS] if domain == "a.b.com." else [])


def test_the_root_leads_to_every_top_and_vouches_for_it() -> None:
    zones = tree({"a.com.": ()})
    assert zones["."].children == ("arpa.", "com.", "example.", "test.")
    for top in zones["."].children:
        assert records(zones["."], top, "NS") == ["a.names."]
        assert records(zones["."], top, "DS") == [DS]
    assert records(zones["."], "a.names.", "A") == ["198.18.0.9"]


def test_of_two_zones_one_below_the_other_only_the_upper_is_delegated() -> None:
    zone = tree({"example.test.": (), "sub.example.test.": (), "not-example.test.": ()})["test."]
    assert records(zone, "example.test.", "NS")
    assert records(zone, "not-example.test.", "NS")
    assert not records(zone, "sub.example.test.", "NS")


def test_a_top_that_the_network_holds_itself_is_delegated_by_the_root() -> None:
    zones = tree({"test.": (DS,)})
    assert zones.keys() == {".", "arpa.", "example."}
    assert records(zones["."], "test.", "NS") == ["ns.test."]
    assert records(zones["."], "test.", "DS") == [DS]


def test_the_network_may_hold_what_is_otherwise_held_outside() -> None:
    zones = tree({OUTSIDE: ()})
    assert OUTSIDE not in zones
    assert WHO_ASKS not in zones
    assert FAILED in zones
    assert records(zones["test."], OUTSIDE, "NS") == [f"ns.{OUTSIDE}"]


def test_who_holds_the_root_needs_no_tree() -> None:
    with pytest.raises(ValueError, match="holds the root zone"):
        tree({".": (), "example.test.": ()})


def test_hosts_stand_in_their_top_unless_the_network_holds_their_zone() -> None:
    hosts = {"dns.net.example": AUTHORITY, "dns.own.example.": AUTHORITY, "a.org.": AUTHORITY}
    zone = tree({"own.example.": ()}, hosts)["example."]
    assert records(zone, "dns.net.example.", "A") == ["192.0.2.53"]
    assert not records(zone, "dns.own.example.", "A")


def test_whoever_asks_is_told_by_a_zone_that_nobody_signs_or_keeps() -> None:
    zones = tree({})
    zone = zones[WHO_ASKS]
    assert not zone.is_signed
    text = render_tree_zone(zones[OUTSIDE], serial=1, ds={FAILED: DS})
    assert f"{WHO_ASKS} NS a.names." in text
    assert f"{WHO_ASKS} DS" not in text
    assert set(
        re.findall(r"^\$TTL (\d+)|(\d+)$", render_tree_zone(zone, serial=1, ds={}), re.MULTILINE)
    ) == {
        ("0", ""),
        ("", "0"),
    }
    configuration = render_knot_tree(
        directory="/run/names", listen=SERVER, zones={WHO_ASKS: "/run/100%", ".": "/run/root"}
    )
    who, root = configuration.split("  - domain: ")[1:]
    assert "module: mod-whoami" in who
    assert 'file: "/run/100%%"' in who
    assert "module" not in root
